"""Parts into output files, with team and names in front of every line. Owns the output files.

One walk serves all files: month after month, and in a month file after file, so that the indexes of
a month are read once. A file is open only while its records of a month are written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Protocol, TypeVar

import orjson

from asyncreport.core.columns import null_first
from asyncreport.core.job import Part, Team
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.timeline import Interval, iso
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.folders import make_folder
from asyncreport.store.month_index import MonthIndex, ReadIndex, Rows
from asyncreport.store.parts import PartReader
from asyncreport.store.replacement import Replacement, Sink
from asyncreport.store.target import Source, Target
from asyncreport.store.threads import Interrupted

# No value can contain these bytes: JSON escapes the quotes inside a value, and no value is followed
# by a colon.
_START = b'"interval_start":"'
_INSTANT = len("2023-10-01T10:00:00.000Z")

#: the month's indexes by the connection's name
_Indexes = dict[str, MonthIndex]


@dataclass(slots=True, frozen=True, kw_only=True)
class Merged:
    """An output file as it was merged."""

    #: bytes
    size: int
    #: hex
    sha256: str
    #: by the team's name
    records: dict[str, int]
    #: whether the old file had other content, or there was none; False in a dry run
    changed: bool


def merge(
    targets: Sequence[Target],
    reader: PartReader,
    stopped: Event,
    check: Callable[[Path], None] = lambda _: None,
) -> Generator[tuple[Target, Merged], None, None]:
    """Write files; each one that is given is complete and durable under its name.

    An old file with the same content is not touched. `check` is called right before another one is
    replaced; if it raises an error, the old file stays.
    Raise StoreError, or Interrupted once `stopped` is set; the files that were not given stay.
    """
    files = [_NewFile(target, reader, check) for target in targets]
    try:
        for file in _walk(files, reader, stopped):
            yield file.target, file.finish()
    finally:
        for file in files:
            file.discard()


def dry_run(
    targets: Sequence[Target],
    reader: PartReader,
    stopped: Event,
) -> Generator[tuple[Target, Merged], None, None]:
    """Report what `merge` would write, and write nothing.

    Raise StoreError, and Interrupted once `stopped` is set.
    """
    with Path(os.devnull).open("wb", buffering=0) as nowhere:
        files = [_NoFile(target, Sink(nowhere.fileno())) for target in targets]
        for file in _walk(files, reader, stopped):
            yield file.target, file.finish()


class _File(Protocol):
    """What the walk needs of a file."""

    target: Target
    #: by the team's name
    records: dict[str, int]

    def writing(self) -> AbstractContextManager[Sink]:
        """Open the file for one month."""


def _no_records(target: Target) -> dict[str, int]:
    """Begin to count the records of teams."""
    return {team.name: 0 for team in target.teams}


class _NewFile:
    """An output file that is being written."""

    def __init__(self, target: Target, reader: PartReader, check: Callable[[Path], None]) -> None:
        self.target = target
        self.records = _no_records(target)
        self._reader = reader
        self._check = check
        self._new = Replacement(target.path, owner=reader.folder)

    @contextmanager
    def writing(self) -> Iterator[Sink]:
        """Open the file for one month."""
        make_folder(self.target.path.parent)
        with self._errors(), self._new.writing() as sink:
            yield sink

    def finish(self) -> Merged:
        """Put the file in its place."""
        with self._errors():
            self._new.finish(keep_equal=True, before_replace=lambda: self._check(self.target.path))
        return _merged(self._new.sink, self.records)

    def discard(self) -> None:
        """Remove what is left of a file that was not finished."""
        with self._errors():
            self._new.discard()

    def _errors(self) -> AbstractContextManager[None]:
        """Turn errors of the system into StoreError."""
        return oserror_as_store_error(self._new.path, "written", self._needs)

    def _needs(self) -> int:
        """Count the bytes of the whole file, for a disk that is full."""
        return _size(self.target, self._reader)


@dataclass(slots=True)
class _NoFile:
    """A file that is only counted and hashed."""

    target: Target
    sink: Sink
    records: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Begin to count."""
        self.records = _no_records(self.target)

    def writing(self) -> AbstractContextManager[Sink]:
        """Give the sink for one month."""
        return nullcontext(self.sink)

    def finish(self) -> Merged:
        """Report what the file would be."""
        self.sink.flush()
        self.sink.changed = False
        return _merged(self.sink, self.records)


def _merged(sink: Sink, records: dict[str, int]) -> Merged:
    """Describe a file that is complete."""
    return Merged(size=sink.size, sha256=sink.sha256, records=records, changed=sink.changed)


F = TypeVar("F", bound=_File)


def _walk(files: Sequence[F], reader: PartReader, stopped: Event) -> Iterator[F]:
    """Write the records of all files, month after month; give each file when it is complete."""
    months = chain.from_iterable(file.target.months for file in files)
    for month in sorted(set(months)):
        of_month = [file for file in files if month in file.target.months]
        _write_month(of_month, month, reader, stopped)
        for file in of_month:
            if month == file.target.months[-1]:
                yield file


def _write_month(files: Sequence[_File], month: str, reader: PartReader, stopped: Event) -> None:
    """Write the records of one month into each file."""
    # Of this month only, and dropped before the next one: two months at once were a third of the
    # peak memory.
    indexes: _Indexes = {}
    for file in files:
        _read_indexes(indexes, file.target, month, reader.checked_index)
        with file.writing() as sink:
            for team in file.target.teams:
                for run in _user_runs(file.target, team, indexes[team.connection], reader):
                    _check_stopped(stopped)
                    file.records[team.name] += _copy(run, file.target.interval, sink)


def _check_stopped(stopped: Event) -> None:
    """Raise Interrupted once the work was told to stop."""
    if stopped.is_set():
        raise Interrupted


def _read_indexes(indexes: _Indexes, target: Target, month: str, read_index: ReadIndex) -> None:
    """Read the indexes of a month that a file needs and that were not read yet."""
    for team in target.teams:
        name = team.connection
        if name not in indexes:
            indexes[name] = MonthIndex.of(target.parts(name, month), read_index)


@dataclass(slots=True, frozen=True)
class _UserRun:
    """The records of one user in one team and month: how each line begins, and the rows."""

    source: Source
    prefix: bytes
    #: in order of time
    rows: Sequence[Rows]


def _user_runs(
    target: Target,
    team: Team,
    index: MonthIndex,
    reader: PartReader,
) -> Iterator[_UserRun]:
    """Read the records of a team, in the order of its lines: user, then time."""
    source = target.sources[team.connection]
    for user, rows in index.read(_members(team, index.users), reader):
        yield _UserRun(source, _prefix(team.name, user, source.names), rows)


def _size(target: Target, reader: PartReader) -> int:
    """Add up the bytes of a target's lines from the indexes.

    Queue names are not counted, nor is what the range leaves out.
    """
    size = 0
    for month in target.months:
        indexes: _Indexes = {}
        _read_indexes(indexes, target, month, reader.index)
        for team in target.teams:
            size += _size_of(team, target, indexes[team.connection])
    return size


def _size_of(team: Team, target: Target, index: MonthIndex) -> int:
    """Add up the bytes of a team's lines in one month."""
    size = 0
    names = target.sources[team.connection].names
    for user in _members(team, index.users):
        # The prefix takes the place of the brace that opens a line.
        longer = len(_prefix(team.name, user, names)) - 1
        size += sum(place.length + place.count * longer for place in index.places(user))
    return size


def _members(team: Team, users: set[str | None]) -> list[str | None]:
    """List the members of a team who have records; for everyone, the rows without a user first."""
    if team.everyone:
        return sorted(users, key=null_first)
    return sorted(users.intersection(team.users), key=null_first)


def _prefix(team: str, user: str | None, names: Mapping[str, str | None]) -> bytes:
    """Write how every line of a user begins: an open JSON object."""
    name = None if user is None else names.get(user)
    fields = orjson.dumps({"team": team, "user_id": user, "user_name": name})
    return escape_separators(fields).removesuffix(b"}") + b","


def _copy(run: _UserRun, interval: Interval, sink: Sink) -> int:
    """Copy one user's lines and count them; this loop moves every byte of an export."""
    copied = 0
    # Only a brace that opens a line follows a newline. Split and joined: twice as fast as
    # bytes.replace, whose search is made for longer texts.
    between = b"\n" + run.prefix
    for rows in run.rows:
        block, count = rows.lines, rows.count
        if not _covers(interval, rows.part):
            block, count = _within(block, interval)
        if count:
            # Parts of earlier versions may hold separators as they are.
            lines = escape_separators(run.source.with_queue_names(block))
            sink.write(run.prefix)
            sink.write(between.join(lines[1:].split(b"\n{")))
        copied += count
    return copied


def _covers(interval: Interval, part: Part) -> bool:
    """Tell whether a part lies completely in an interval."""
    return interval.start <= part.interval.start and part.interval.end <= interval.end


def _within(block: bytes, interval: Interval) -> tuple[bytes, int]:
    """Keep the lines that begin in an interval, and count them."""
    # Instants in UTC sort as their texts do.
    start = iso(interval.start).encode()
    end = iso(interval.end).encode()
    found = []
    for line in block.splitlines(keepends=True):
        at = line.index(_START) + len(_START)
        begins = line[at : at + _INSTANT]
        if start <= begins < end:
            found.append(line)
    return b"".join(found), len(found)
