"""Records as the lines of an output file: rows of parts, with team and names in front. Pure.

The default columns are copied as bytes; only a choice of columns decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Protocol

import orjson

from asyncreport.core.columns import null_first
from asyncreport.core.errors import Interrupted
from asyncreport.core.job import Part, Team
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.reshape import Reshape
from asyncreport.core.timeline import Interval, iso
from asyncreport.store.month_index import MonthIndex, Rows
from asyncreport.store.parts import PartReader
from asyncreport.store.target import Source, Target

# No value can contain these bytes: JSON escapes the quotes inside a value, and no value is followed
# by a colon.
_START = b'"interval_start":"'
_INSTANT = len("2023-10-01T10:00:00.000Z")

#: called with the rows of a user in one part: writes them and counts them
_Copy = Callable[[Rows], int]


@dataclass(slots=True, frozen=True)
class Month:
    """The rows of one month, while the files of a job are written."""

    name: str
    #: by the connection's name
    indexes: Mapping[str, MonthIndex]
    reader: PartReader
    stopped: Event

    def rows(
        self, connection: str, users: Sequence[str | None]
    ) -> Iterator[tuple[str | None, list[Rows]]]:
        """Read the rows of users; raise StoreError, and Interrupted once the work must stop."""
        for user, rows in self.indexes[connection].read(users, self.reader):
            if self.stopped.is_set():
                raise Interrupted
            yield user, rows


class LineSink(Protocol):
    """What takes the lines of a file."""

    def write(self, data: bytes, /) -> object:
        """Take whole lines, or pieces of them."""


class Lines(Protocol):
    """The lines of one file, which come month by month."""

    #: what belongs in the file; may be replaced by one with the parts of more months
    target: Target
    #: rows that were written: by the team's name
    records: dict[str, int]

    def write_month(self, month: Month, sink: LineSink) -> None:
        """Write the lines of a month."""

    def finish(self, sink: LineSink) -> None:
        """Write what is left after the last month."""


class RecordLines:
    """The lines of a file of records."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.records = {team.name: 0 for team in target.teams}
        chosen = target.form.chosen
        self._reshape = chosen and Reshape(chosen, target.form.query.grid.zone)

    def write_month(self, month: Month, sink: LineSink) -> None:
        """Write the records of a month: by team, user and time."""
        for team in self.target.teams:
            users = members(team, month.indexes[team.connection].users)
            for user, rows in month.rows(team.connection, users):
                copy = self._copy(team, user, sink)
                self.records[team.name] += sum(map(copy, rows))

    def finish(self, sink: LineSink) -> None:
        """Write nothing: all records are in a month."""

    def _copy(self, team: Team, user: str | None, sink: LineSink) -> _Copy:
        """Give what copies the rows of one user."""
        source = self.target.sources[team.connection]
        if self._reshape:
            return _Reshaping(self.target, team, user, source, self._reshape, sink)
        prefix = line_start(team.name, user, source.names)
        return _Copying(self.target.interval, prefix, source, sink)


class _Copying:
    """Copy the rows of one user as they are; this moves every byte of an export."""

    def __init__(self, interval: Interval, prefix: bytes, source: Source, sink: LineSink) -> None:
        self._interval = interval
        self._prefix = prefix
        self._source = source
        self._sink = sink

    def __call__(self, rows: Rows) -> int:
        block, count = rows_within(rows, self._interval)
        if count:
            # Parts of earlier versions may hold separators as they are.
            lines = escape_separators(self._source.with_queue_names(block))
            self._sink.write(self._prefix)
            # Only a brace that opens a line follows a newline. Split and joined: twice as fast as
            # bytes.replace, whose search is made for longer texts.
            self._sink.write((b"\n" + self._prefix).join(lines[1:].split(b"\n{")))
        return count


@dataclass(slots=True, frozen=True)
class _Reshaping:
    """Write the rows of one user with the columns that the job chose."""

    target: Target
    team: Team
    user: str | None
    source: Source
    reshape: Reshape
    sink: LineSink

    def __call__(self, rows: Rows) -> int:
        block, count = rows_within(rows, self.target.interval)
        if count:
            facts = {
                "team": self.team.name,
                **user_facts(self.user, self.source),
                "job": self.target.form.job,
                "connection": self.team.connection,
            }
            self.sink.write(self.reshape.lines(block, facts, self.source.names_by_id))
        return count


def members(team: Team, users: set[str | None]) -> list[str | None]:
    """List the members of a team who have records; for everyone, the rows without a user first."""
    if team.everyone:
        return sorted(users, key=null_first)
    return sorted(users.intersection(team.users), key=null_first)


def user_facts(user: str | None, source: Source) -> dict[str, str | None]:
    """Give the columns of a user."""
    return {"user_id": user, "user_name": None if user is None else source.names.get(user)}


def line_start(team: str, user: str | None, names: Mapping[str, str | None]) -> bytes:
    """Write how every line of a user begins: an open JSON object."""
    name = None if user is None else names.get(user)
    fields = orjson.dumps({"team": team, "user_id": user, "user_name": name})
    return escape_separators(fields).removesuffix(b"}") + b","


def rows_within(rows: Rows, interval: Interval) -> tuple[bytes, int]:
    """Keep the rows that begin in an interval, and count them."""
    if covers(interval, rows.part):
        return rows.lines, rows.count
    return _within(rows.lines, interval)


def covers(interval: Interval, part: Part) -> bool:
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
