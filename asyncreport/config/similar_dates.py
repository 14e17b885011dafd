"""Suggest the date that somebody means who writes it as in their country. Pure."""

from __future__ import annotations

import re
from datetime import date

#: a number of days: `30`, `30 days`, `last 30 days`
_DAYS = re.compile(r"(?:last +|-)?(\d{1,3})(?: *d(?:ays?)?)?(?: +ago)?", re.IGNORECASE)

_FORM = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})|(\d{4})(\d\d)(\d\d)")


def similar_date(text: str) -> str:
    """Suggest a date, ` (did you mean '2024-03-01'?)`, or a number of days, `today-P30D`.

    1.3.2024 is a day in March, but 1/3/2024 is another day in the United States than in Europe:
    both are named. Nothing if no date is meant.
    """
    text = text.strip()
    days = _DAYS.fullmatch(text)
    if days is not None:
        return f" (did you mean 'today-P{int(days[1])}D'?)"
    match = _FORM.fullmatch(text)
    if match is None:
        return ""
    return _similar_day(match)


def _similar_day(match: re.Match[str]) -> str:
    """Suggest what a text with three numbers, or eight digits, means."""
    first, separator, second, third, *digits = match.groups()
    if separator is None:
        return _suggestion(*digits)
    if len(first) == 4:
        return _suggestion(first, second, third)
    if separator == "." or int(first) > 12:
        return _suggestion(third, second, first)
    if int(second) > 12 or first == second:
        return _suggestion(third, first, second)
    return _both(_date(third, second, first), _date(third, first, second))


def _both(european: date | None, american: date | None) -> str:
    """Name both dates that a text may mean."""
    if european is None or american is None:
        return ""
    return f" (did you mean {european} or {american}?)"


def _suggestion(year: str, month: str, day: str) -> str:
    """Suggest a date if it exists."""
    meant = _date(year, month, day)
    return "" if meant is None else f" (did you mean '{meant}'?)"


def _date(year: str, month: str, day: str) -> date | None:
    """Give a date if it exists; a year of two digits is not one."""
    if len(year) != 4:
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
