"""Convert between instants (ms since 1970 in UTC) and the local time of a zone. Pure.

Clock changes are decided here: local times that are skipped or repeated, and days that do not begin
at midnight.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# What is quoted was sent or received, and is shown as it was. The second lookbehind keeps the end
# of a quoted interval.
_INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z"
_INSTANTS = re.compile(rf"(?<![\"'/\w]){_INSTANT}(?:/{_INSTANT})?")


def to_instant(moment: datetime) -> int:
    """Convert an aware datetime; drop what is below a millisecond.

    Raise ValueError for a naive one.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no offset")
    return (moment - _EPOCH) // _MILLISECOND


def from_instant(at: int) -> datetime:
    """Convert an instant to an aware datetime in UTC."""
    return _EPOCH + at * _MILLISECOND


def local_date(at: int, zone: ZoneInfo) -> date:
    """Give the calendar day that a zone has at an instant."""
    return _local(at, zone).date()


def day_start(day: date, zone: ZoneInfo) -> int:
    """Give the first instant of a local day: midnight, or later if the clocks skip midnight."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    start = _read(midnight, zone)
    if _shows(start, midnight, zone):
        return start
    # The clocks jumped over midnight: the day begins at the jump, which lies between the two
    # instants that the skipped time may mean.
    return _jump(_read(midnight, zone, fold=1), start, zone)


def _shows(at: int, moment: datetime, zone: ZoneInfo) -> bool:
    """Tell whether the local clocks show a time at an instant."""
    return _local(at, zone).replace(tzinfo=None) == moment.replace(tzinfo=None)


def _jump(low: int, high: int, zone: ZoneInfo) -> int:
    """Find the clock change between two instants: the first instant with the new offset."""
    before = _offset(low, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(at: int, zone: ZoneInfo) -> timedelta | None:
    """Give the offset of a zone at an instant."""
    return _local(at, zone).utcoffset()


def local_instant(moment: datetime, zone: ZoneInfo) -> int:
    """Convert a naive local time; raise ValueError if a clock change skips or repeats it."""
    first = _read(moment, zone)
    second = _read(moment, zone, fold=1)
    if first == second:
        return first
    verb = "repeats"
    if first > second:
        verb = "skips"
    raise ValueError(
        f"a clock change in {zone} {verb} it; write it with an offset: "
        f"{_readings(first, second, zone)}"
    )


def _readings(first: int, second: int, zone: ZoneInfo) -> str:
    """Write the two instants that a local time may mean, each with its offset."""
    earlier, later = sorted((first, second))
    return f"{_local(earlier, zone).isoformat()} or {_local(later, zone).isoformat()}"


def _read(moment: datetime, zone: ZoneInfo, *, fold: int = 0) -> int:
    """Read a local time; `fold` 1 is the second reading of a time that a clock change repeats."""
    return to_instant(moment.replace(tzinfo=zone, fold=fold))


def _local(at: int, zone: ZoneInfo) -> datetime:
    """Convert an instant to an aware local time."""
    return from_instant(at).astimezone(zone)


def localized(text: str, zone: ZoneInfo) -> str:
    """Write the instants of a message in local time: `2023-10-01T00:00+01:00`, or `...T00:00Z`.

    Milliseconds are dropped, and seconds if they are zero. Instants in quotes stay as they are.
    """
    return _INSTANTS.sub(lambda found: _localized(found[0], zone), text)


def _localized(instants: str, zone: ZoneInfo) -> str:
    """Write an instant or an interval in local time."""
    return "/".join(_with_offset(instant, zone) for instant in instants.split("/"))


def _with_offset(instant: str, zone: ZoneInfo) -> str:
    """Write an instant in local time with its offset; one that no calendar has stays as it is."""
    try:
        local = datetime.fromisoformat(instant).astimezone(zone)
    except (ValueError, OverflowError):
        return instant
    text = local.isoformat(timespec=_precision(local))
    if zone.key == "UTC":
        return text.replace("+00:00", "Z")
    return text


def _precision(moment: datetime) -> str:
    """Give the last field that a time needs."""
    if moment.second:
        return "seconds"
    return "minutes"
