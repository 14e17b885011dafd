"""ISO 8601 intervals and periods, and how an aggregate steps through them. Pure.

Buckets are anchored at the interval's start; days, weeks and months step on the local calendar of the query's zone; the last
bucket ends with the interval. Believed where the vendor does not say.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from asyncreport.emulator.answers import bad_request

#: a query of more buckets is refused, so that one request cannot occupy the emulator for ever
MOST_BUCKETS = 500_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
#: no interval ends later; its last bucket may
_LAST = (datetime(3000, 1, 1, tzinfo=UTC) - _EPOCH) // _MS
_LAST_YEAR = 3001
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.]\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?")
_PERIOD = re.compile(
    r"P(?=.)(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,6})D)?(?:T(?=.)(?:(\d{1,7})H)?(?:(\d{1,8})M)?(?:(\d{1,9})S)?)?"
)


class Period(Struct, frozen=True):
    """A length of time that is partly calendar (months, days) and partly clock (ms)."""

    months: int = 0
    days: int = 0
    ms: int = 0

    @property
    def shortest(self) -> int:
        """Give the ms that the period never falls short of."""
        return self.months * 28 * 86_400_000 + self.days * 22 * 3_600_000 + self.ms


class Buckets(Struct, frozen=True):
    """The buckets of a query: their edges, start to end of the interval."""

    edges: Sequence[int]

    def index(self, at: int) -> int:
        """Give the number of the bucket that holds an instant inside the interval."""
        if isinstance(self.edges, range):
            return (at - self.edges.start) // self.edges.step
        return bisect_right(self.edges, at) - 1

    def text(self, index: int, end: int) -> str:
        """Write one bucket's interval, cut where the query's interval ends."""
        return f"{written(self.edges[index])}/{written(min(self.edges[index + 1], end))}"


def parse_interval(text: object) -> tuple[int, int]:
    """Read `start/end` into ms; an instant without offset is UTC; raise Refused for anything else or an empty one."""
    parts = text.split("/") if isinstance(text, str) else []
    if len(parts) != 2 or not all(_INSTANT.fullmatch(part) for part in parts):
        raise bad_request(
            "The value [{value}] of {field} is not an ISO-8601 interval",
            field="interval",
            value=str(text),
        )
    try:
        start, end = (_parse_instant(part) for part in parts)
    except (ValueError, OverflowError) as error:
        raise bad_request(
            "The value [{value}] of {field} holds no such day or time",
            field="interval",
            value=str(text),
        ) from error
    if start < 0 or end > _LAST:
        raise bad_request(
            "The value [{value}] of {field} is outside 1970 to 2999",
            field="interval",
            value=str(text),
        )
    if end <= start:
        raise bad_request(
            "The {field} [{value}] ends before it begins", field="interval", value=str(text)
        )
    return start, end


def parse_period(text: object, field: str = "granularity") -> Period:
    """Read an ISO 8601 period such as `PT30M`, `P1DT12H` or `P1M`; raise Refused for anything else or an empty one."""
    match = _PERIOD.fullmatch(text) if isinstance(text, str) else None
    if match is not None:
        years, months, weeks, days, hours, minutes, seconds = (
            int(part or 0) for part in match.groups()
        )
        period = Period(
            years * 12 + months, weeks * 7 + days, ((hours * 60 + minutes) * 60 + seconds) * 1000
        )
        if period.shortest:
            return period
    raise bad_request(
        "The value [{value}] of {field} is not an ISO-8601 period", field=field, value=str(text)
    )


def split(start: int, end: int, period: Period | None, zone: ZoneInfo) -> Buckets:
    """Cut an interval into buckets; raise Refused where there would be more than `MOST_BUCKETS`."""
    if period is None:
        return Buckets((start, end))
    if (end - start) // period.shortest > MOST_BUCKETS:
        raise bad_request(
            "The {field} makes more than {most} buckets",
            field="granularity",
            most=str(MOST_BUCKETS),
        )
    if not period.months and not period.days:
        return Buckets(range(start, end + period.ms, period.ms))
    local = (_EPOCH + start * _MS).astimezone(zone).replace(tzinfo=None)
    # Steps are counted from the start, never from the edge before: a 31st would stay a 28th after its first February.
    edges = [start]
    while edges[-1] < end:
        edges.append(_stepped(local, period, len(edges), zone))
    return Buckets(edges)


def written(at: int) -> str:
    """Write an instant the way the vendor's answers do."""
    moment = _EPOCH + at * _MS
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03}Z"


def _stepped(local: datetime, period: Period, times: int, zone: ZoneInfo) -> int:
    """Step a local time; one that a clock change skips moves on by as much, one that it repeats is the first."""
    month = local.month - 1 + period.months * times
    year, month = min(local.year + month // 12, _LAST_YEAR), month % 12 + 1
    day = min(local.day, monthrange(year, month)[1])
    moment = local.replace(year=year, month=month, day=day) + timedelta(days=period.days * times)
    return (moment.replace(tzinfo=zone) - _EPOCH) // _MS + period.ms * times


def _parse_instant(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MS
