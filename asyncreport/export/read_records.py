"""The records of a finished export, read back from its files one by one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from asyncreport.core.columns import default_columns
from asyncreport.core.errors import ConfigError, StoreError
from asyncreport.core.job import Job
from asyncreport.core.table import Column, Kind, Table
from asyncreport.export.status import FileStatus, status_of
from asyncreport.export.storage import looking
from asyncreport.export.targets import OutputFile, files_of
from asyncreport.formats import FORMATS, format_of
from asyncreport.store.disk_errors import oserror_as_store_error

Value = str | int | float | datetime | date | None

#: instants whose values are remembered: those of some months
_REMEMBERED = 1 << 14


class Record(Struct, frozen=True, kw_only=True):
    """One record: a user and a bucket, and one value of each dimension of `split_by`.

    Times are seconds, instants are in UTC. `None` of `user_id` is work that no user did.
    """

    team: str
    user_id: str | None
    #: None: the directory does not know the user
    user_name: str | None
    interval_start: datetime
    #: the first instant after the bucket
    interval_end: datetime
    handled_count: int
    total_talk_time_sec: float
    #: None with the contract `entities`, which does not report it
    total_hold_time_sec: float | None
    total_wrap_up_sec: float
    total_handle_time_sec: float
    #: None: nothing was handled
    avg_handle_time_sec: float | None
    #: the other columns, by their names in the file: of `split_by`, `occupancy`, `metrics`, and
    #: those that `output.columns` adds
    more: dict[str, Value] = {}


@dataclass(frozen=True, slots=True)
class Export:
    """The files of a finished export that have each record once, and what is in them."""

    #: in order of time
    files: Sequence[OutputFile]
    table: Table

    @property
    def columns(self) -> Sequence[Column]:
        """List the columns, in order."""
        return self.table.columns

    def rows(self) -> Iterator[list[Any]]:
        """Read the values of each row as JSON lines have them; raise StoreError."""
        for file in self.files:
            read = file.format.read
            assert read is not None
            with _readable(file.path):
                yield from read(file.path, self.table)

    def records(self) -> Iterator[Record]:
        """Read the records; raise StoreError while reading.

        Raise ConfigError at once if a column of a record is missing.
        """
        return map(_RecordMaker(self.columns), self.rows())


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise StoreError for a file that cannot be read."""
    with oserror_as_store_error(path, "read"):
        try:
            yield
        except (EOFError, ValueError, zlib.error) as error:
            raise StoreError(
                f"{path}: is damaged ({error}); delete it and run the job again: the run writes it"
            ) from error


class _RecordMaker:
    """Make records from the values of rows with these columns."""

    def __init__(self, columns: Sequence[Column]) -> None:
        places = {column.source: place for place, column in enumerate(columns)}
        standard = [name for name in Record.__struct_fields__ if name != "more"]
        _check_columns(standard, places)
        self._standard = [(name, places[name]) for name in standard]
        others = [place for place in range(len(columns)) if columns[place].source not in standard]
        self._others = [(columns[place].name, place) for place in others]
        self._converted = [
            (place, _CONVERTERS[column.kind])
            for place, column in enumerate(columns)
            if column.kind in _CONVERTERS
        ]

    def __call__(self, row: list[Any]) -> Record:
        for place, convert in self._converted:
            row[place] = convert(row[place])
        values = {name: row[place] for name, place in self._standard}
        return Record(**values, more={name: row[place] for name, place in self._others})


def _check_columns(standard: Sequence[str], places: Mapping[str, int]) -> None:
    """Raise ConfigError if a column of every record is not in the file."""
    missing = [name for name in standard if name not in places]
    if missing:
        raise ConfigError(
            f"output.columns: leaves out {', '.join(missing)}, which asyncreport.records needs; "
            "add these columns, or use asyncreport.to_pandas or asyncreport.to_polars"
        )


@lru_cache(_REMEMBERED)
def _instant(text: str) -> datetime:
    """Read an instant, or a local time with its offset."""
    return datetime.fromisoformat(text)


#: what makes the values of a column, by its kind; others are as in the file, and none is null
_CONVERTERS: Mapping[Kind, Callable[[str], Value]] = {
    "instant": _instant,
    "local": _instant,
    "date": date.fromisoformat,
}


@contextmanager
def finished_export(job: Job, *, now: int, allow_partial: bool = False) -> Iterator[Export]:
    """Open the files with the records of a finished export; `now` is an instant.

    They are those of the path that is read fastest; of a job in a bucket, copies that are deleted
    when the block ends. Raise ConfigError if no path can be read, StoreError if a file is not what
    a run of this job would leave, and unless `allow_partial`, if records are missing in it.
    """
    _fastest_path(job)
    with looking(job) as opened:
        export = _find(opened.job, now=now, allow_partial=allow_partial)
        opened.fetch_files(file.path for file in export.files)
        yield export


def _find(job: Job, *, now: int, allow_partial: bool) -> Export:
    """Find the files, and check what they are."""
    files = files_of(job, _fastest_path(job))
    found = {file.path: file for file in status_of(job, None, now=now).files}
    for file in files:
        _check_file(file.path, found.get(str(file.path)), allow_partial=allow_partial)
    columns = job.output.columns or default_columns(job.query)
    return Export(files, Table(columns, job.query.grid.zone, job.output.csv))


def _fastest_path(job: Job) -> str:
    """Give the path whose format is fastest to read; raise ConfigError if none can be read."""
    for each in FORMATS.values():
        of_format = [path for path in job.output.paths if format_of(path) == each]
        if of_format and each.read is not None:
            return of_format[0]
    raise ConfigError(
        f"output.path: only has {', '.join(job.output.paths)}, and a workbook is not read back: "
        "its times have no offset; add a path that ends with .jsonl or .csv (a list makes several) "
        "and run the job: parts are reused"
    )


#: what to say about a file that is not finished, by its state
_PROBLEMS = {
    "not_written": "was not written yet; run the job first",
    "deleted": "was deleted since it was written; run the job again: parts are reused",
    "foreign": "exists, but this job did not write it; run the job first, or choose another path",
    "changed": "was changed after the run; run the job again: the run writes it",
    "outdated": "is made from other data or for another query; run the job again",
}


def _check_file(path: Path, file: FileStatus | None, *, allow_partial: bool) -> None:
    """Raise StoreError if a file is not finished; None: nothing was ever fetched."""
    state = "not_written" if file is None else file.state
    if state in _PROBLEMS:
        raise StoreError(f"{path}: {_PROBLEMS[state]}")
    if file is not None and file.partial and not allow_partial:
        raise StoreError(
            f"{path}: records are missing in it; run the job again to fetch them, or use "
            "allow_partial=True to read the others"
        )
