"""Say it when the query behind existing output files changes. Owns `query.json` of a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from asyncreport.core.columns import column
from asyncreport.core.job import Job
from asyncreport.core.text import first_items, plural, shorten
from asyncreport.export.targets import all_files
from asyncreport.store.json_files import read_json, write_json
from asyncreport.store.written_outputs import Outputs

#: the value of each key of the query, as text
_Query = Mapping[str, str]

#: output files that the line names
_MAX_FILES = 1
#: characters of a value
_MAX_VALUE = 80


def query_changes(job: Job) -> list[str]:
    """Warn, in one line, about files that this job wrote with another query; raise StoreError."""
    before = _last_query(job)
    now = _describe(job)
    keys = _different(before, now)
    files = list(_existing_files(job))
    if keys and files:
        return [_changed(files, _values(before, keys), _values(now, keys))]
    return []


def save_query(job: Job) -> None:
    """Note that all output files come from the query of this job; raise StoreError."""
    query = _describe(job)
    if _last_query(job) != query:
        write_json(_path(job), query)


def _last_query(job: Job) -> _Query:
    """Read the query of the output files; empty if no run has noted it."""
    return read_json(_path(job), dict[str, str]) or {}


def _different(before: _Query, now: _Query) -> list[str]:
    """List the keys whose values differ; what another version does not know is not compared."""
    both = [key for key in now if key in before]
    return [key for key in both if before[key] != now[key]]


def _path(job: Job) -> Path:
    """Give the path of the file."""
    return job.state_folder / "query.json"


def _describe(job: Job) -> dict[str, str]:
    """Write each key of the query as text; the range and the teams are not part of it."""
    query = job.query
    chosen = query.filter
    return {
        "hosts": _list(connection.identity for connection in job.connections),
        "contract": query.contract,
        "granularity": query.grid.granularity.value,
        "time_zone": query.grid.zone.key,
        "split_by": _list(map(column, query.split_by)),
        "metrics": _list(query.metrics),
        "occupancy": str(query.occupancy).lower(),
        "filter.media_types": _list(chosen.media_types),
        "filter.queues": _list(chosen.queues),
        "filter.divisions": _list(chosen.divisions),
    }


def _list(items: Iterator[str] | tuple[str, ...]) -> str:
    """Write a list; an empty one is `none`."""
    return ", ".join(items) or "none"


def _existing_files(job: Job) -> Iterator[str]:
    """List the output files that an earlier run wrote and that still exist."""
    outputs = Outputs(job.state_folder)
    for file in all_files(job):
        if outputs.get(file.path) is not None and file.path.exists():
            yield str(file.path)


def _values(query: _Query, keys: list[str]) -> str:
    """Write the values of some keys: `granularity PT1H, split_by queue_id`."""
    return ", ".join(f"{key} {shorten(query[key], _MAX_VALUE)}" for key in keys)


def _changed(files: list[str], before: str, now: str) -> str:
    """Say what the files were and what they will be."""
    it = plural(len(files), "it", "them")
    return (
        f"{first_items(files, 'file', limit=_MAX_FILES)}: "
        f"an earlier run wrote {it} with {before}; a run now writes {it} with {now}"
    )
