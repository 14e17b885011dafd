"""What belongs in an output file: parts, names and teams. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from asyncreport.core.columns import default_columns
from asyncreport.core.job import Part, Query, Team
from asyncreport.core.outputs import WEEKDAY_HOUR, WHOLE, RollUp
from asyncreport.core.reshape import NamesById
from asyncreport.core.rollups import rollup_columns
from asyncreport.core.table import Column, CsvStyle, Table
from asyncreport.core.timeline import Interval
from asyncreport.formats import Format

_QUEUE = re.compile(rb'"queue_id":(null|"(?:[^"\\]|\\.)*")')


@dataclass(slots=True, frozen=True)
class Source:
    """One connection's parts and names; made by `Source.of`."""

    #: by month, each in order of time
    months: Mapping[str, Sequence[Part]]
    #: by user id
    names: Mapping[str, str | None]
    #: of all names
    names_digest: str
    #: names by queue id; None: the rows have no queue
    queues: Mapping[str, str | None] | None = None
    #: other columns of names: the column of the ids, and the names by id
    others: NamesById = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        parts: Iterable[Part],
        names: Mapping[str, str | None],
        queues: Mapping[str, str | None] | None = None,
        others: NamesById | None = None,
    ) -> Source:
        """Sort parts by month and time."""
        months = defaultdict(list)
        for part in sorted(parts, key=lambda part: part.interval):
            months[part.month].append(part)
        others = others or {}
        return cls(months, names, _names_digest(names, queues, others), queues, others)

    @property
    def names_by_id(self) -> NamesById:
        """Give all columns of names that are not the user's."""
        if self.queues is None:
            return self.others
        return {"queue_name": ("queue_id", self.queues), **self.others}

    def with_queue_names(self, block: bytes) -> bytes:
        """Put a `queue_name` after every `queue_id`, if the rows have queues."""
        queues = self.queues
        if queues is None:
            return block

        def named(match: re.Match[bytes]) -> bytes:
            name = queues.get(orjson.loads(match[1]))
            return b'%b,"queue_name":%b' % (match[0], orjson.dumps(name))

        return _QUEUE.sub(named, block)


def _names_digest(
    names: Mapping[str, str | None],
    queues: Mapping[str, str | None] | None,
    others: NamesById,
) -> str:
    """Hash all names, sorted: the order in which they were looked up must not matter."""
    hashed: list[Any] = [sorted(names.items()), None]
    if queues is not None:
        hashed[1] = sorted(queues.items())
    # Only if there are any: the digests of earlier versions stay right.
    for name, (_, by_id) in sorted(others.items()):
        hashed.append((name, sorted(by_id.items())))
    return sha256(orjson.dumps(hashed)).hexdigest()


@dataclass(slots=True, frozen=True)
class Form:
    """How records become the rows of a file."""

    job: str
    query: Query
    #: of the file
    format: Format
    csv: CsvStyle
    #: None: all columns of a record
    chosen: tuple[Column, ...] | None = None
    #: None: a row is a record
    rollup: RollUp | None = None

    @property
    def table(self) -> Table:
        """Describe the rows to a writer."""
        columns = self.chosen or default_columns(self.query)
        if self.rollup is not None:
            columns = rollup_columns(self.rollup, self.query)
        return Table(columns, self.query.grid.zone, self.csv)

    @property
    def rows(self) -> object:
        """Give what the rows depend on besides the records; None: a record is written as it is."""
        if self.rollup is not None:
            return "rollup", self.rollup
        if self.chosen is not None:
            return "columns", self.job, self.chosen
        return None

    @property
    def has_months(self) -> bool:
        """Tell whether each row is of one month: a week may lie in two."""
        return self.rollup is None or self.rollup.every not in ("P1W", WEEKDAY_HOUR, WHOLE)

    @property
    def style(self) -> object:
        """Give what the bytes depend on besides the rows; None: they are JSON lines."""
        if self.format.convert is None:
            return None
        library = self.format.library
        # Another version of a library may write other bytes for the same rows.
        version = "" if library is None else library.version
        return self.format.name, version, self.csv, str(self.table.zone)


@dataclass(slots=True, frozen=True, kw_only=True)
class Target:
    """One output file: its path and what belongs in it."""

    #: absolute: the file is remembered under this name
    path: Path
    #: the range; rows outside it are left out
    interval: Interval
    #: in order of time
    months: tuple[str, ...]
    #: in the job's order
    teams: tuple[Team, ...]
    #: by the connection's name
    sources: Mapping[str, Source]
    form: Form

    @property
    def content(self) -> object:
        """Give what the rows depend on: files of equal contents differ only in their format."""
        return self.months, tuple(team.name for team in self.teams), self.form.rows

    def parts(self, connection: str, month: str) -> list[Part]:
        """List a connection's parts that overlap the range, in order of time."""
        parts = self.sources[connection].months.get(month, ())
        return [part for part in parts if part.interval.overlaps(self.interval)]

    @property
    def names_by_id(self) -> NamesById:
        """Give the columns of names with the names of all connections; ids are never the same."""
        found: dict[str, tuple[str, dict[str, str | None]]] = {}
        for source in self.sources.values():
            for name, (ids, by_id) in source.names_by_id.items():
                found.setdefault(name, (ids, {}))[1].update(by_id)
        return found

    @property
    def has_data(self) -> bool:
        """Tell whether there is a part that may hold records of this file."""
        for team in self.teams:
            for month in self.months:
                for part in self.parts(team.connection, month):
                    if _may_hold(part, team):
                        return True
        return False


def _may_hold(part: Part, team: Team) -> bool:
    """Tell whether a part may hold records of a team."""
    if part.users is None or team.everyone:
        return True
    return not set(part.users).isdisjoint(team.users)
