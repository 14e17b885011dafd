"""Intervals, granularities, buckets and slots on the calendar of a time zone. Pure.

An instant is an `int`: milliseconds since 1970-01-01T00:00Z. Nothing here can be naive about its offset.
Bucket edges are computed here and never taken from a server: the vendor documents neither how weeks and months
are anchored nor what becomes of a last bucket that is cut short.
"""

from __future__ import annotations

import calendar
import enum
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Granularity(enum.Enum):
    """The length of a bucket, as ISO 8601 writes it; `none` is one bucket for the whole range."""

    PT15M = "PT15M"
    PT30M = "PT30M"
    PT1H = "PT1H"
    P1D = "P1D"
    P1W = "P1W"
    P1M = "P1M"
    NONE = "none"

    @property
    def step(self) -> int | None:
        """Give the bucket's length in ms, or None where it follows the calendar."""
        return {"PT15M": 15 * MINUTE, "PT30M": 30 * MINUTE, "PT1H": HOUR}.get(self.value)


class Interval(Struct, frozen=True, order=True):
    """A half-open span `[start, end)`; raise ValueError where it would be empty or reversed."""

    #: first instant inside, ms since the epoch
    start: int
    #: first instant after it
    end: int

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"{iso(self.start)}/{iso(self.end)} holds no time")

    def __str__(self) -> str:
        return f"{iso(self.start)}/{iso(self.end)}"

    def overlaps(self, other: Interval) -> bool:
        """Tell whether the two share an instant."""
        return self.start < other.end and other.start < self.end


class Slot(Struct, frozen=True):
    """A calendar month and the edges of the buckets that begin in it, first edge to last; slots tile the time line."""

    #: the month, `2023-01`
    month: str
    #: ascending instants; bucket i is `[edges[i], edges[i + 1])`
    edges: Sequence[int]

    @property
    def interval(self) -> Interval:
        """Give the span from the first bucket's start to the last bucket's end."""
        return Interval(self.edges[0], self.edges[-1])


class Grid(Struct, frozen=True):
    """The buckets of a job: a granularity on the calendar of a zone."""

    granularity: Granularity
    #: IANA name
    zone: str
    #: the one bucket where the granularity is `none`, else None
    whole: Interval | None = None

    def slot(self, instant: int) -> Slot:
        """Give the slot of the bucket that holds an instant; raise ValueError where the slot is no whole number of steps."""
        if self.whole is not None:
            return Slot(
                _month(_local_date(self.whole.start, self.zone)), (self.whole.start, self.whole.end)
            )
        first = _local_date(instant, self.zone).replace(day=1)
        slot = _slot(self.granularity, self.zone, first)
        if instant < slot.edges[0]:  # a week that began in the month before
            return _slot(self.granularity, self.zone, _month_before(first))
        if (
            instant >= slot.edges[-1]
        ):  # clocks set back over midnight: this month has begun, and the local date is the old one again
            return _slot(self.granularity, self.zone, _month_after(first))
        return slot

    def slots(self, interval: Interval) -> Iterator[Slot]:
        """Walk the slots that overlap an interval, whole, in order of time."""
        at = interval.start
        while at < interval.end:
            slot = self.slot(at)
            yield slot
            at = slot.edges[-1]

    def edges(self, interval: Interval) -> tuple[int, ...]:
        """List the bucket edges from an interval's start to its end; raise ValueError where either is no edge."""
        found: list[int] = []
        for slot in self.slots(interval):
            low = bisect_left(slot.edges, interval.start)
            high = bisect_right(slot.edges, interval.end)
            found += slot.edges[low + (1 if found else 0) : high]
        if not found or found[0] != interval.start or found[-1] != interval.end:
            raise ValueError(
                f"{interval} does not lie on the edges of {self.granularity.value} buckets in {self.zone}"
            )
        return tuple(found)

    def edges_around(self, instant: int) -> tuple[int, int]:
        """Give the bucket edges at or before an instant and at or after it."""
        edges = self.slot(instant).edges
        before = edges[bisect_right(edges, instant) - 1]
        return before, before if before == instant else edges[bisect_right(edges, instant)]


@lru_cache(maxsize=1024)
def _slot(granularity: Granularity, zone: str, first: date) -> Slot:
    following = _month_after(first)
    start, end = day_start(first, zone), day_start(following, zone)
    edges: Sequence[int]
    if granularity.step is not None:
        if (end - start) % granularity.step:
            raise ValueError(
                f"{_month(first)} in {zone} is no whole number of {granularity.value} buckets (its clock change is shorter); use PT30M"
            )
        edges = range(start, end + 1, granularity.step)
    elif granularity is Granularity.P1D:
        days = calendar.monthrange(first.year, first.month)[1]
        edges = _distinct([day_start(first + timedelta(days=n), zone) for n in range(days + 1)])
    elif granularity is Granularity.P1W:
        monday, last = _monday(first), _monday(following)
        edges = [
            day_start(monday + timedelta(days=n), zone)
            for n in range(0, (last - monday).days + 1, 7)
        ]
    else:
        edges = [start, end]
    return Slot(_month(first), edges)


def _distinct(edges: list[int]) -> list[int]:
    """Drop days of no length: Samoa had no 30 December 2011."""
    return [edge for n, edge in enumerate(edges) if n == 0 or edge > edges[n - 1]]


def _monday(first: date) -> date:
    """Give the first Monday on or after a day."""
    return first + timedelta(days=-first.weekday() % 7)


def _month(day: date) -> str:
    return f"{day.year:04}-{day.month:02}"


def _month_after(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _month_before(first: date) -> date:
    return (first - timedelta(days=1)).replace(day=1)


def _local_date(instant: int, zone: str) -> date:
    return from_instant(instant).astimezone(ZoneInfo(zone)).date()


def to_instant(moment: datetime) -> int:
    """Convert an aware datetime, cutting below the millisecond; raise ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no offset")
    return (moment - _EPOCH) // _MILLISECOND


def from_instant(at: int) -> datetime:
    """Convert an instant to an aware datetime in UTC."""
    return _EPOCH + at * _MILLISECOND


def iso(at: int) -> str:
    """Write an instant as the wire and the records do: `2023-10-01T10:00:00.000Z`."""
    return from_instant(at).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03}Z"


def parse_iso(text: str) -> int:
    """Read an instant with any offset (or `Z`); raise ValueError for one without."""
    return to_instant(datetime.fromisoformat(text))


def day_start(day: date, zone: str) -> int:
    """Give the first instant of a local day, which is not always a midnight that a clock showed."""
    info = ZoneInfo(zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=info)
    at = to_instant(midnight)
    if from_instant(at).astimezone(info).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return at
    # The clocks jumped over midnight: the day begins at the jump, which lies between the two readings of the skipped time.
    low, high = to_instant(midnight.replace(fold=1)), at
    before = from_instant(low).astimezone(info).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if from_instant(middle).astimezone(info).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def local_instant(moment: datetime, zone: str) -> int:
    """Convert a naive local time; raise ValueError where a clock change skips or repeats it."""
    info = ZoneInfo(zone)
    first, second = (
        to_instant(moment.replace(tzinfo=info, fold=0)),
        to_instant(moment.replace(tzinfo=info, fold=1)),
    )
    if first == second:
        return first
    verb = "skips" if first > second else "repeats"
    early, late = sorted((first, second))
    readings = " or ".join(from_instant(at).astimezone(info).isoformat() for at in (early, late))
    raise ValueError(f"a clock change in {zone} {verb} it; write it with an offset: {readings}")


_DURATION = re.compile(
    r"P(?!$)(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,8})S)?)?"
)


def parse_duration(text: str) -> int:
    """Read an ISO 8601 duration of weeks, days, hours, minutes and seconds into ms; raise ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no ISO 8601 duration such as PT30M, PT12H or P4D")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (weeks * 7 + days) * DAY + hours * HOUR + minutes * MINUTE + seconds * 1000
