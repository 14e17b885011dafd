"""Read durations as job files write them. Pure."""

from __future__ import annotations

import re

from asyncreport.core.timeline import DAY, HOUR, MINUTE

_SECOND = 1000

#: ms of each group of the pattern
_UNITS = (7 * DAY, DAY, HOUR, MINUTE, _SECOND)

_DURATION = re.compile(
    r"""P(?!$)
    (?:(\d{1,4})W)?
    (?:(\d{1,5})D)?
    (?:T(?=\d)
        (?:(\d{1,6})H)?
        (?:(\d{1,7})M)?
        (?:(\d{1,8})S)?
    )?""",
    re.VERBOSE,
)


def parse_duration(text: str) -> int:
    """Read an ISO 8601 duration of weeks, days, hours, minutes and seconds into ms.

    Raise ValueError for anything else.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an ISO 8601 duration such as PT30M, PT12H or P4D")
    total = 0
    for number, unit in zip(match.groups("0"), _UNITS, strict=True):
        total += int(number) * unit
    return total
