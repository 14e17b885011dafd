"""What the report says about one team, or about all of them together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from zoneinfo import ZoneInfo

from asyncreport.core.job import Team
from asyncreport.core.outputs import WHOLE
from asyncreport.core.timeline import Interval, parse_iso
from asyncreport.report.coverage import Missing
from asyncreport.report.distribution import Distribution, distribution
from asyncreport.report.model import Cell, Change, Scope, Step
from asyncreport.report.numbers import NOTHING, Numbers, numbers_of
from asyncreport.report.periods import Halves
from asyncreport.report.restated import Restated
from asyncreport.report.rollups import Agent, RollUps, Row
from asyncreport.report.week import week_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All that the scopes are made from; mappings are by the team's name."""

    rollups: RollUps
    interval: Interval
    every: str
    steps: Sequence[Interval]
    halves: Halves | None
    missing: Mapping[str, Missing]
    restated: Mapping[str, Restated]

    def scope(self, teams: Sequence[Team]) -> Scope:
        """Describe a team, or several together."""
        return _ScopeMaker(self, teams).make()


@dataclass(frozen=True, slots=True)
class _ScopeMaker:
    """The material of some teams."""

    material: Material
    teams: Sequence[Team]

    def make(self) -> Scope:
        """Describe the teams."""
        missing = self._missing
        name, connection = self._identity
        return Scope(
            team=name,
            connection=connection,
            agents=len(self._agents),
            total=self._numbers(self.material.interval),
            missing=missing.share(self.material.interval),
            change=self._change(missing),
            steps=self._steps(missing),
            week=self._week(missing),
            distribution=self._distribution(),
        )

    @property
    def _identity(self) -> tuple[str, str] | tuple[None, None]:
        """Give the name and the connection of the team; None: there are several."""
        if len(self.teams) > 1:
            return None, None
        return self.teams[0].name, self.teams[0].connection

    @property
    def _agents(self) -> dict[Agent, Row]:
        """Give the row of each agent once; the records are the same in each team."""
        return dict(self.material.rollups.agents_of(self.teams))

    @property
    def _names(self) -> list[str]:
        return [team.name for team in self.teams]

    @property
    def _zone(self) -> ZoneInfo:
        return self.material.rollups.query.grid.zone

    @property
    def _missing(self) -> Missing:
        """Join what is missing of the teams."""
        return sum((self.material.missing[name] for name in self._names), Missing())

    def _numbers(self, interval: Interval) -> Numbers:
        """Add up an interval."""
        rows = self.material.rollups.add_up(self._names, WHOLE, interval)
        if not rows:
            return NOTHING
        return numbers_of(rows[0])

    def _change(self, missing: Missing) -> Change | None:
        """Compare the halves of the range, unless something is missing in one of them."""
        halves = self.material.halves
        if halves is None or any(map(missing.share, halves)):
            return None
        return change(*map(self._numbers, halves))

    def _steps(self, missing: Missing) -> list[Step]:
        """Describe each step of the time axes."""
        rows = self._rows_of_steps()
        restated = sum((self.material.restated[name] for name in self._names), Restated())
        return [
            _step(rows.get(step.start), missing.share(step), restated.steps[number])
            for number, step in enumerate(self.material.steps)
        ]

    def _rows_of_steps(self) -> dict[int, Row]:
        """Add up each step with records, by its start."""
        material = self.material
        rows = material.rollups.add_up(self._names, material.every, material.interval)
        return {parse_iso(row["interval_start"]): row for row in rows}

    def _week(self, missing: Missing) -> list[list[Cell]] | None:
        """Describe each hour of the week."""
        rows = self.material.rollups.week_hours
        if rows is None:
            return None
        of_teams = chain.from_iterable(rows.get(name, ()) for name in self._names)
        return week_of(of_teams, missing.week_hours(self._zone))

    def _distribution(self) -> Distribution | None:
        """Describe the AHT of the agents."""
        times = [row["avg_handle_time_sec"] for row in self._agents.values()]
        return distribution([time for time in times if time is not None])


def _step(row: Row | None, missing: float, restated: int) -> Step:
    """Describe a step; without a row nothing was done, but only if nothing is missing."""
    numbers: Numbers | None = NOTHING
    if row is not None:
        numbers = numbers_of(row)
    elif missing:
        numbers = None
    return Step(numbers=numbers, missing=missing, restated=restated)


def change(earlier: Numbers, later: Numbers) -> Change:
    """Compare two halves of a range."""
    return Change(
        earlier=earlier,
        later=later,
        handled=_growth(earlier.handled, later.handled),
        aht=_growth(earlier.aht, later.aht),
        occupancy=_difference(earlier.occupancy, later.occupancy),
    )


def _difference(before: float | None, after: float | None) -> float | None:
    """Give the difference of two shares, 4 decimals; None if one is not known."""
    if before is None or after is None:
        return None
    return round(after - before, 4)


def _growth(before: float | None, after: float | None) -> float | None:
    """Give the growth as a share, 4 decimals; None if it cannot be divided."""
    if not before or after is None:
        return None
    return round(after / before - 1, 4)
