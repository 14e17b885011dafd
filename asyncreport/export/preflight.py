"""The state folders of other jobs beside a job's own: whose output file is whose, and whose parts would do. Reads them, changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

from asyncreport.config import MULTI_VALUED
from asyncreport.core.columns import column
from asyncreport.core.errors import ConfigError, StoreError
from asyncreport.core.job import Job, Part
from asyncreport.export.targets import all_files
from asyncreport.store.lookups import Clients
from asyncreport.store.written import Outputs, WrittenFile


def query_warnings(job: Job) -> list[str]:
    """Say what a reader of the records may get wrong."""
    several = [column(dimension) for dimension in job.query.split_by if dimension in MULTI_VALUED]
    return [
        f"warning: an interaction can have several values of {name}: its records do not add up to the total"
        for name in several
    ]


def check_owners(job: Job) -> None:
    """See that no output file that a run would replace is another job's; raise ConfigError before any work is done."""
    others = dict(_remembered(job))
    if not others:
        return
    own = Outputs(job.state_folder).by_real_path()
    for path in (file.path for file in all_files(job) if file.path.exists()):
        real = os.path.realpath(path)
        mine = own.get(real)
        for folder, made in others.items():
            # Of a file that both have written, it is the other's where it is as that one left it.
            theirs = made.get(real)
            if theirs is not None and (
                mine is None or (theirs.matches(path) and not mine.matches(path))
            ):
                raise ConfigError(_taken(job, path, folder))


def _remembered(job: Job) -> Iterator[tuple[Path, dict[str, WrittenFile]]]:
    for folder in _others(job, "outputs.json"):
        try:
            yield folder, Outputs(folder).by_real_path()
        except StoreError:
            continue  # it is that job's run that has to say so


def _taken(job: Job, path: Path, folder: Path) -> str:
    own = job.state_folder
    renamed = (
        ""
        if own.exists()
        else f", or, where {folder.name!r} is this job's old name, rename {folder} to {own.name}"
    )
    return (
        f"{path} is an output file of the job {folder.name!r}, and two jobs would replace each other's; "
        f"give this one another path, or move that file away{renamed}; then run again"
    )


def _others(job: Job, file: str) -> list[Path]:
    """List the folders beside the job's own that hold a file of a name."""
    own = job.state_folder
    return sorted(
        found.parent
        for found in own.parent.glob(f"*/{file}")
        if os.path.realpath(found.parent) != os.path.realpath(own)
    )


def other_clients(job: Job, standing: Callable[[str], Sequence[Part]]) -> dict[str, str]:
    """Find the connections none of whose OAuth clients fetched the parts that stand, and say so of each; raise StoreError.

    It is no error, for clients are renewed.
    """
    clients = Clients(job.state_folder)
    return {
        each.name: f"{each.name}: the parts of {each.identity} were fetched by other OAuth clients; where that is another organisation, "
        f"give the job another name or delete {job.state_folder}"
        for each in job.connections
        if clients.fetched_by_others(each) and standing(job.query.fingerprint(each.identity))
    }


def remember_clients(job: Job, *, but: Container[str] = ()) -> None:
    """Keep in mind which clients fetch, `but` of these connections not yet; raise StoreError."""
    clients = Clients(job.state_folder)
    for connection in job.connections:
        if connection.name not in but:
            clients.save(connection)
