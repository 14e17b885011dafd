"""The hours of the week: what was handled in each, and how long that took. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from asyncreport.core.columns import average
from asyncreport.report.coverage import WeekHour
from asyncreport.report.model import Cell
from asyncreport.report.numbers import ms_of
from asyncreport.report.rollups import Row


def week_of(rows: Iterable[Row], lacking: Set[WeekHour]) -> list[list[Cell]]:
    """Add up rows, and describe each hour of Monday, then of the other days.

    `lacking` are the hours that are not complete.
    """
    sums = _Sums.of(rows)
    return [sums.day(day, lacking) for day in range(1, 8)]


@dataclass(slots=True)
class _Sums:
    """Sums by the hour of the week."""

    handled: Counter[WeekHour] = field(default_factory=Counter)
    #: handle time, in ms
    times: Counter[WeekHour] = field(default_factory=Counter)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> _Sums:
        """Add up the rows of a roll-up."""
        sums = cls()
        for row in rows:
            sums.add(row)
        return sums

    def add(self, row: Row) -> None:
        """Add the row of a roll-up."""
        hour = row["weekday"], row["hour"]
        self.handled[hour] += row["handled_count"]
        self.times[hour] += ms_of(row["total_handle_time_sec"])

    def day(self, day: int, lacking: Set[WeekHour]) -> list[Cell]:
        """Describe the hours of a day."""
        return [self._cell((day, hour), (day, hour) in lacking) for hour in range(24)]

    def _cell(self, hour: WeekHour, incomplete: bool) -> Cell:
        """Describe an hour; without a row nothing was handled, but only if nothing is missing."""
        if incomplete and hour not in self.handled:
            return Cell(handled=None, aht=None, incomplete=True)
        handled = self.handled[hour]
        return Cell(handled=handled, aht=average(self.times[hour], handled), incomplete=incomplete)
