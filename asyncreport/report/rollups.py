"""Add up the parts of a job for its report, with the roll-ups of the export. Reads parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import orjson
from msgspec.structs import replace

from asyncreport.core.job import Query, Team
from asyncreport.core.outputs import WEEKDAY_HOUR, WHOLE, RollUp
from asyncreport.core.rollup_buckets import Buckets
from asyncreport.core.rollups import Sums
from asyncreport.core.table import CsvStyle
from asyncreport.core.timeline import Granularity, Interval, parse_iso
from asyncreport.formats import JSONL
from asyncreport.report.facts import Facts
from asyncreport.report.periods import base_length
from asyncreport.store.parts import PartReader
from asyncreport.store.read_lines import read_lines
from asyncreport.store.target import Form, Source, Target

Row = dict[str, Any]

#: a connection's name and the id of one of its users
Agent = tuple[str, str]

#: granularities whose buckets lie in one hour
_WITHIN_HOUR = (Granularity.PT15M, Granularity.PT30M, Granularity.PT1H)


class BaseLine(NamedTuple):
    """A line of a roll-up over days, or over the job's buckets if these are longer."""

    #: an instant
    start: int
    line: bytes


@dataclass(frozen=True, slots=True)
class RollUps:
    """The parts of a job, added up; rows are by the team's name."""

    query: Query
    base: Mapping[str, Sequence[BaseLine]]
    #: None: the job's buckets are longer than an hour
    week_hours: Mapping[str, Sequence[Row]] | None
    #: over the whole range, one for each agent
    agents: Mapping[str, Sequence[Row]]

    def add_up(self, teams: Iterable[str], every: str, interval: Interval) -> list[Row]:
        """Add up the teams over longer buckets, from counts and sums.

        The rows of a roll-up have the columns of records, so they are added up in the same way.
        """
        rollup = RollUp(by=(), every=every, paths=())
        sums = Sums(rollup, self.query, Buckets(every, self.query, interval))
        for team in teams:
            sums.add(self._lines_within(team, interval))
        return list(sums.take({}, {}, until=None))

    def _lines_within(self, team: str, interval: Interval) -> bytes:
        """Join the lines of a team that begin in an interval."""
        lines = self.base.get(team, ())
        return b"\n".join(line for start, line in lines if interval.start <= start < interval.end)

    def agents_of(self, teams: Iterable[Team]) -> Iterator[tuple[Agent, Row]]:
        """Walk the rows of the agents of some teams; not those of work that nobody did."""
        for team in teams:
            for row in self.agents.get(team.name, ()):
                if row["user_id"] is not None:
                    yield (team.connection, row["user_id"]), row


def read_rollups(facts: Facts, interval: Interval, reader: PartReader, stopped: Event) -> RollUps:
    """Read the parts once and add them up in each way.

    Raise StoreError, and Interrupted once `stopped` is set.
    """
    # Without the split and the job's own metrics: the report shows neither.
    query = replace(facts.job.query, split_by=(), metrics=())
    found = _read(facts, _Frame(query, interval), reader, stopped)
    return RollUps(
        query=query,
        base=_base_lines(found["base"]),
        week_hours=_week_hours(found.get("week_hours")),
        agents=_rows(found["agents"]),
    )


def _week_hours(lines: bytes | None) -> dict[str, list[Row]] | None:
    """Decode the lines of the hours of the week, if they are known."""
    if lines is None:
        return None
    return _rows(lines)


class _Frame(NamedTuple):
    """What is added up."""

    query: Query
    interval: Interval

    def rollups(self) -> dict[str, RollUp]:
        """List the roll-ups that the report needs, by the field of RollUps."""
        of_teams = RollUp(by=("team",), every=base_length(self.query), paths=())
        found = {
            "base": of_teams,
            "agents": RollUp(by=("team", "user"), every=WHOLE, paths=()),
        }
        if self.query.grid.granularity in _WITHIN_HOUR:
            found["week_hours"] = replace(of_teams, every=WEEKDAY_HOUR)
        return found


def _read(facts: Facts, frame: _Frame, reader: PartReader, stopped: Event) -> dict[str, bytes]:
    """Read the parts once, and give the lines of each roll-up."""
    rollups = frame.rollups()
    targets = [_target(facts, frame, rollup) for rollup in rollups.values()]
    return dict(zip(rollups, read_lines(targets, reader, stopped), strict=True))


def _target(facts: Facts, frame: _Frame, rollup: RollUp) -> Target:
    """Describe a roll-up as an output file; it is never written."""
    job = facts.job
    query, interval = frame
    return Target(
        path=Path(),
        interval=interval,
        months=tuple(slot.month for slot in query.grid.slots(interval)),
        teams=job.teams,
        sources=_sources(facts),
        form=Form(job=job.name, query=query, format=JSONL, csv=CsvStyle(), rollup=rollup),
    )


def _sources(facts: Facts) -> dict[str, Source]:
    """Give the parts and names of each connection."""
    return {name: Source.of(parts, facts.names[name]) for name, parts in facts.parts.items()}


def _rows(lines: bytes) -> dict[str, list[Row]]:
    """Decode lines, by the team's name."""
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in map(orjson.loads, lines.splitlines()):
        rows[row["team"]].append(row)
    return rows


def _base_lines(lines: bytes) -> dict[str, list[BaseLine]]:
    """Sort lines by the team's name."""
    found: defaultdict[str, list[BaseLine]] = defaultdict(list)
    for line in lines.splitlines():
        row = orjson.loads(line)
        found[row["team"]].append(BaseLine(parse_iso(row["interval_start"]), line))
    return found
