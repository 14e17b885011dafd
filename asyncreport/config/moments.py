"""Relative bounds of a range: `today`, `last_month`, `today-P35D`. Pure.

Days begin at local midnight, weeks on Monday, months on the 1st.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from asyncreport.core.local_time import day_start, from_instant, local_date, to_instant
from asyncreport.core.timeline import HOUR, MINUTE


def _monday(day: date) -> date:
    """Give the Monday of a day's week."""
    return day - timedelta(days=day.weekday())


def _add_months(day: date, months: int) -> date:
    """Go to the same day of another month, or to its last day; raise ValueError."""
    years, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    first = date(years, month + 1, 1)
    length = (first + timedelta(days=31)).replace(day=1) - first
    return first.replace(day=min(day.day, length.days))


#: the first day of what a name means, by today's date
_DAYS: Mapping[str, Callable[[date], date]] = {
    "today": lambda today: today,
    "yesterday": lambda today: today - timedelta(days=1),
    "this_week": _monday,
    "last_week": lambda today: _monday(today) - timedelta(days=7),
    "this_month": lambda today: today.replace(day=1),
    "last_month": lambda today: _add_months(today.replace(day=1), -1),
}

#: all names of moments
NAMES = ("now", *_DAYS)

_FORM = re.compile(
    r"""(?P<name>[a-z_]+)
    (?:(?P<sign>[+-])P(?!$)
        (?:(?P<years>\d{1,3})Y)?
        (?:(?P<months>\d{1,4})M)?
        (?:(?P<weeks>\d{1,4})W)?
        (?:(?P<days>\d{1,5})D)?
        (?:T(?=\d)
            (?:(?P<hours>\d{1,5})H)?
            (?:(?P<minutes>\d{1,6})M)?
        )?
    )?""",
    re.VERBOSE,
)


def _signed(match: re.Match[str], unit: str) -> int:
    """Give the number of a unit, with the sign of the whole shift; 0 if the unit is missing."""
    number = int(match[unit] or 0)
    if match["sign"] == "-":
        return -number
    return number


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment that depends on the day of the run."""

    name: str
    #: added to the calendar first, in months, then in days
    months: int
    days: int
    #: added to the instant, in ms
    time: int

    @classmethod
    def read(cls, text: str) -> Moment | None:
        """Read a moment such as `today-P35D`; None for any other text."""
        match = _FORM.fullmatch(text)
        if match is None or match["name"] not in NAMES:
            return None
        shift = partial(_signed, match)
        return cls(
            name=match["name"],
            months=12 * shift("years") + shift("months"),
            days=7 * shift("weeks") + shift("days"),
            time=shift("hours") * HOUR + shift("minutes") * MINUTE,
        )

    def at(self, now: int, zone: ZoneInfo) -> int:
        """Give the instant that it means at `now`; raise ValueError or OverflowError.

        A month later or earlier is the same day of that month, or its last day.
        """
        today = local_date(now, zone)
        if self.name == "now":
            local = from_instant(now).astimezone(zone)
            moment = datetime.combine(self._shifted(today), local.time(), tzinfo=zone)
            # The fold decides which of two equal local times is meant: without a shift, this one.
            return to_instant(moment.replace(fold=local.fold)) + self.time
        return day_start(self._shifted(_DAYS[self.name](today)), zone) + self.time

    def _shifted(self, day: date) -> date:
        """Add months and days to a day."""
        return _add_months(day, self.months) + timedelta(days=self.days)
