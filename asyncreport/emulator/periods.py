"""ISO 8601 intervals and periods, and the buckets that an aggregate has. Pure.

Buckets are anchored at the start of the interval; days, weeks and months follow the local calendar
of the query's time zone; the last bucket ends with the interval. Believed if the vendor does not
say. A period has one unit, from minutes to months.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from asyncreport.emulator.messages import ApiError, bad_request

#: a query with more buckets is refused, so that one request cannot block the emulator
MAX_BUCKETS = 500_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_MINUTE = 60_000
#: no interval ends later; its last bucket may
_LAST = (datetime(3000, 1, 1, tzinfo=UTC) - _EPOCH) // _MS
_LAST_YEAR = 3001
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.]\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?")
_MONTHS_PERIOD = re.compile(r"P(\d{1,5})M")
_DAYS_PERIOD = re.compile(r"P(\d{1,5})([DW])")
_CLOCK_PERIOD = re.compile(r"PT(\d{1,7})([HM])")


class Period(Struct, frozen=True):
    """A length of time: months or days of the calendar, or ms of the clock."""

    months: int = 0
    days: int = 0
    ms: int = 0

    @property
    def shortest_ms(self) -> int:
        """Return the ms that the period has at least."""
        return self.months * 28 * 1440 * _MINUTE + self.days * 22 * 60 * _MINUTE + self.ms


class Buckets(Struct, frozen=True):
    """The buckets of a query: their edges, from the start of the interval to its end or later."""

    edges: Sequence[int]

    def index(self, at: int) -> int:
        """Return the number of the bucket that contains an instant of the interval."""
        if isinstance(self.edges, range):
            return (at - self.edges.start) // self.edges.step
        return bisect_right(self.edges, at) - 1

    def text(self, index: int, end: int) -> str:
        """Write one bucket's interval; the last one ends with the query's interval."""
        return f"{utc_text(self.edges[index])}/{utc_text(min(self.edges[index + 1], end))}"


def parse_interval(text: object) -> tuple[int, int]:
    """Read `start/end` into ms; without an offset they are UTC; raise ApiError if that fails."""
    parts = text.split("/") if isinstance(text, str) else []
    if len(parts) != 2:
        raise _bad_interval(text, "is not an ISO-8601 interval")
    try:
        start, end = map(_parse_instant, parts)
    except (ValueError, OverflowError) as error:
        raise _bad_interval(text, "contains an instant that is not valid") from error
    if start < 0 or end > _LAST:
        raise _bad_interval(text, "is outside 1970 to 2999")
    if end <= start:
        raise _bad_interval(text, "ends before it begins")
    return start, end


def _bad_interval(text: object, problem: str) -> ApiError:
    template = "The value [{value}] of {field} " + problem
    return bad_request(template, field="interval", value=str(text))


def parse_period(text: object, field: str = "granularity") -> Period:
    """Read an ISO 8601 period such as `PT30M` or `P1M`; raise ApiError if that fails."""
    period = _period(text) if isinstance(text, str) else None
    if period is None or period == Period():
        template = "The value [{value}] of {field} is not an ISO-8601 period"
        raise bad_request(template, field=field, value=str(text))
    return period


def _period(text: str) -> Period | None:
    if match := _CLOCK_PERIOD.fullmatch(text):
        minutes = {"H": 60, "M": 1}[match[2]]
        return Period(ms=int(match[1]) * minutes * _MINUTE)
    if match := _DAYS_PERIOD.fullmatch(text):
        days = {"D": 1, "W": 7}[match[2]]
        return Period(days=int(match[1]) * days)
    if match := _MONTHS_PERIOD.fullmatch(text):
        return Period(months=int(match[1]))
    return None


def split(start: int, end: int, period: Period | None, zone: ZoneInfo) -> Buckets:
    """Cut an interval into buckets; raise ApiError for more than `MAX_BUCKETS`."""
    if period is None:
        return Buckets((start, end))
    if (end - start) // period.shortest_ms > MAX_BUCKETS:
        template = "The {field} makes more than {max} buckets"
        raise bad_request(template, field="granularity", max=str(MAX_BUCKETS))
    if period.ms:
        return Buckets(range(start, end + period.ms, period.ms))
    return Buckets(_calendar_edges(start, end, period, zone))


def _calendar_edges(start: int, end: int, period: Period, zone: ZoneInfo) -> list[int]:
    local = (_EPOCH + start * _MS).astimezone(zone).replace(tzinfo=None)
    # Steps are counted from the start, not from the last edge: after a first February a 31st would
    # stay a 28th.
    edges = [start]
    while edges[-1] < end:
        edges.append(_step(local, period, len(edges), zone))
    return edges


def utc_text(at: int) -> str:
    """Write an instant as the vendor's responses do."""
    moment = _EPOCH + at * _MS
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03}Z"


def _step(local: datetime, period: Period, times: int, zone: ZoneInfo) -> int:
    """Move a local time on by a number of periods.

    A local time that a clock change skips moves on by as much; one that it repeats is the first.
    """
    moment = _months_later(local, period.months * times) + timedelta(days=period.days * times)
    return (moment.replace(tzinfo=zone) - _EPOCH) // _MS


def _months_later(local: datetime, months: int) -> datetime:
    """Move on by months; a day that the month does not have is its last one."""
    years, month = divmod(local.month - 1 + months, 12)
    year = min(local.year + years, _LAST_YEAR)
    day = min(local.day, monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day)


def _parse_instant(text: str) -> int:
    if _INSTANT.fullmatch(text) is None:
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MS
