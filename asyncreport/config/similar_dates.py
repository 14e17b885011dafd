"""Suggest the date that somebody means who writes it as in their country. Pure."""

from __future__ import annotations

import re
from datetime import date

_FORM = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})|(\d{4})(\d\d)(\d\d)")


def similar_date(text: str) -> str:
    """Suggest a date, ` (did you mean '2024-03-01'?)`; nothing if it may be another one.

    1.3.2024 is a day in March, but 1/3/2024 is another day in the United States than in Europe.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        return ""
    first, separator, second, third, *digits = match.groups()
    if separator is None:
        return _suggestion(*digits)
    if len(first) == 4:
        return _suggestion(first, second, third)
    if separator == "." or int(first) > 12:
        return _suggestion(third, second, first)
    if int(second) > 12:
        return _suggestion(third, first, second)
    return ""


def _suggestion(year: str, month: str, day: str) -> str:
    """Suggest a date if it exists; a year of two digits is not one."""
    if len(year) != 4:
        return ""
    try:
        meant = date(int(year), int(month), int(day))
    except ValueError:
        return ""
    return f" (did you mean '{meant}'?)"
