"""What the report says about one team, or about all of them together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from asyncreport.core.job import Team
from asyncreport.core.outputs import WHOLE
from asyncreport.core.timeline import Interval, iso
from asyncreport.report.coverage import Missing
from asyncreport.report.distribution import Distribution, distribution
from asyncreport.report.model import Cell, Change, Scope, Step
from asyncreport.report.numbers import NOTHING, Numbers, numbers_of
from asyncreport.report.periods import Halves
from asyncreport.report.restated import Restated
from asyncreport.report.rollups import RollUps, Row, members_of
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
        alone = len(self.teams) == 1
        return Scope(
            team=self.teams[0].name if alone else None,
            connection=self.teams[0].connection if alone else None,
            agents=len(members_of(self.teams, self.material.rollups)),
            total=self._numbers(self.material.interval),
            missing=missing.share(self.material.interval),
            change=self._change(missing),
            steps=self._steps(missing),
            week=self._week(missing),
            distribution=self._distribution(),
        )

    @property
    def _names(self) -> list[str]:
        return [team.name for team in self.teams]

    @property
    def _missing(self) -> Missing:
        """Join what is missing of the teams."""
        return sum((self.material.missing[name] for name in self._names), Missing())

    def _numbers(self, interval: Interval) -> Numbers:
        """Add up an interval."""
        rows = self.material.rollups.add_up(self._names, WHOLE, interval)
        return numbers_of(rows[0]) if rows else NOTHING

    def _change(self, missing: Missing) -> Change | None:
        """Compare the halves of the range, unless something is missing in one of them."""
        halves = self.material.halves
        if halves is None:
            return None
        if missing.share(halves.earlier) or missing.share(halves.later):
            return None
        return change(self._numbers(halves.earlier), self._numbers(halves.later))

    def _steps(self, missing: Missing) -> list[Step]:
        """Describe each step of the time axes."""
        material = self.material
        rows = material.rollups.add_up(self._names, material.every, material.interval)
        by_start = {row["interval_start"]: row for row in rows}
        restated = sum((material.restated[name] for name in self._names), Restated())
        found = []
        for number, step in enumerate(material.steps):
            share = missing.share(step)
            numbers = _or_nothing(by_start.get(iso(step.start)), share > 0)
            found.append(Step(numbers=numbers, missing=share, restated=restated.steps[number]))
        return found

    def _week(self, missing: Missing) -> list[list[Cell]] | None:
        """Describe each hour of the week."""
        rows = self.material.rollups.week_hours
        if rows is None:
            return None
        of_teams = chain.from_iterable(rows.get(name, ()) for name in self._names)
        zone = self.material.rollups.query.grid.zone
        return week_of(of_teams, missing.week_hours(zone))

    def _distribution(self) -> Distribution | None:
        """Describe the AHT of the agents."""
        rows = members_of(self.teams, self.material.rollups).values()
        times = [row["avg_handle_time_sec"] for row in rows]
        return distribution([time for time in times if time is not None])


def _or_nothing(row: Row | None, lacking: bool) -> Numbers | None:
    """Read a row; without one nothing was done, but only if nothing is missing."""
    if row is not None:
        return numbers_of(row)
    return None if lacking else NOTHING


def change(earlier: Numbers, later: Numbers) -> Change:
    """Compare two halves of a range."""
    occupancy = None
    if earlier.occupancy is not None and later.occupancy is not None:
        occupancy = round(later.occupancy - earlier.occupancy, 4)
    return Change(
        earlier=earlier,
        later=later,
        handled=_growth(earlier.handled, later.handled),
        aht=_growth(earlier.aht, later.aht),
        occupancy=occupancy,
    )


def _growth(before: float | None, after: float | None) -> float | None:
    """Give the growth as a share, 4 decimals; None if it cannot be divided."""
    if not before or after is None:
        return None
    return round(after / before - 1, 4)
