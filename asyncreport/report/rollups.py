"""Add up the parts of a job for its report, with the roll-ups of the export. Reads parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import orjson
from msgspec.structs import replace

from asyncreport.core.job import Query, Team
from asyncreport.core.outputs import WEEKDAY_HOUR, WHOLE, RollUp
from asyncreport.core.rollups import Buckets, Sums
from asyncreport.core.table import CsvStyle
from asyncreport.core.timeline import Granularity, Interval, parse_iso
from asyncreport.formats import JSONL
from asyncreport.report.facts import Facts
from asyncreport.report.periods import base_length
from asyncreport.store.parts import PartReader
from asyncreport.store.read_lines import read_lines
from asyncreport.store.target import Form, Source, Target

Row = dict[str, Any]

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
        lines = []
        for team in teams:
            for start, line in self.base.get(team, ()):
                if interval.start <= start < interval.end:
                    lines.append(line)
        return _summed(lines, every, self.query, interval)


def _summed(lines: Sequence[bytes], every: str, query: Query, interval: Interval) -> list[Row]:
    """Add up lines."""
    rollup = RollUp(by=(), every=every, paths=())
    sums = Sums(rollup, query, Buckets(every, query, interval))
    sums.add(b"\n".join(lines))
    return list(sums.take({}, {}, until=None))


def read_rollups(facts: Facts, interval: Interval, stopped: Event) -> RollUps:
    """Read the parts once and add them up in each way.

    Raise StoreError, and Interrupted once `stopped` is set.
    """
    # Without the split and the job's own metrics: the report shows neither.
    query = replace(facts.job.query, split_by=(), metrics=())
    found = _read(facts, _Frame(query, interval), stopped)
    has_hours = "week_hours" in found
    return RollUps(
        query=query,
        base=_base_lines(found["base"]),
        week_hours=_rows(found["week_hours"]) if has_hours else None,
        agents=_rows(found["agents"]),
    )


class _Frame(NamedTuple):
    """What is added up."""

    query: Query
    interval: Interval

    def rollups(self) -> dict[str, RollUp]:
        """List the roll-ups that the report needs, by the field of RollUps."""
        granularity = self.query.grid.granularity
        found = {
            "base": RollUp(by=("team",), every=base_length(self.query), paths=()),
            "agents": RollUp(by=("team", "user"), every=WHOLE, paths=()),
        }
        if granularity in _WITHIN_HOUR:
            found["week_hours"] = RollUp(by=("team",), every=WEEKDAY_HOUR, paths=())
        return found


def _read(facts: Facts, frame: _Frame, stopped: Event) -> dict[str, bytes]:
    """Read the parts once, and give the lines of each roll-up."""
    rollups = frame.rollups()
    targets = [_target(facts, frame, rollup) for rollup in rollups.values()]
    with PartReader(facts.job.parts_folder) as reader:
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
    for line in lines.splitlines():
        row = orjson.loads(line)
        rows[row["team"]].append(row)
    return rows


def _base_lines(lines: bytes) -> dict[str, list[BaseLine]]:
    """Sort lines by the team's name."""
    found: defaultdict[str, list[BaseLine]] = defaultdict(list)
    for line in lines.splitlines():
        row = orjson.loads(line)
        found[row["team"]].append(BaseLine(parse_iso(row["interval_start"]), line))
    return found


def members_of(teams: Sequence[Team], rollups: RollUps) -> dict[tuple[str, str], Row]:
    """Give the row of each agent of some teams once, by connection and id; not of work by nobody.

    The records of an agent are the same in each team.
    """
    found: dict[tuple[str, str], Row] = {}
    for team in teams:
        for row in rollups.agents.get(team.name, ()):
            if row["user_id"] is not None:
                found[team.connection, row["user_id"]] = row
    return found
