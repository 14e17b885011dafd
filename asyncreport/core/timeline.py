"""Compute intervals, buckets and slots on the calendar of a time zone. Pure.

An instant is an `int`: milliseconds since 1970-01-01T00:00Z, so that every time has an offset.
Bucket edges are computed here and never taken from a server: the vendor documents neither where
weeks and months begin nor what happens to a last bucket that the range cuts short.
"""

from __future__ import annotations

import enum
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    """The length of a bucket as an ISO 8601 duration; `none` is one bucket for the whole range."""

    PT15M = "PT15M"
    PT30M = "PT30M"
    PT1H = "PT1H"
    P1D = "P1D"
    P1W = "P1W"
    P1M = "P1M"
    NONE = "none"

    @property
    def step(self) -> int | None:
        """Give the bucket's length in ms; None if it follows the calendar."""
        return {"PT15M": 15 * MINUTE, "PT30M": 30 * MINUTE, "PT1H": HOUR}.get(self.value)


class Interval(Struct, frozen=True, order=True):
    """A half-open span `[start, end)`; raise ValueError if it is empty or reversed."""

    #: the first instant inside
    start: int
    #: the first instant after it
    end: int

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"{iso(self.start)}/{iso(self.end)} is empty or reversed")

    def __str__(self) -> str:
        return f"{iso(self.start)}/{iso(self.end)}"

    def overlaps(self, other: Interval) -> bool:
        """Tell whether the two share an instant."""
        return self.start < other.end and other.start < self.end

    def intersection(self, other: Interval) -> Interval:
        """Give what the two share; raise ValueError if they do not overlap."""
        return Interval(max(self.start, other.start), min(self.end, other.end))


@dataclass(slots=True, frozen=True)
class Slot:
    """A calendar month and the buckets that begin in it; slots tile the timeline."""

    #: `2023-01`
    month: str
    #: ascending instants; bucket i is `[edges[i], edges[i + 1])`
    edges: Sequence[int]

    @property
    def interval(self) -> Interval:
        """Give the span from the first bucket's start to the last bucket's end."""
        return Interval(self.edges[0], self.edges[-1])

    def edges_within(self, interval: Interval) -> Sequence[int]:
        """List the edges from an interval's start to its end, both included."""
        first = bisect_left(self.edges, interval.start)
        last = bisect_right(self.edges, interval.end)
        return self.edges[first:last]


class Grid(Struct, frozen=True):
    """The buckets of a job: a granularity on the calendar of a zone."""

    granularity: Granularity
    #: IANA name
    zone: str
    #: the only bucket if the granularity is `none`, otherwise None
    whole: Interval | None = None

    def slot(self, instant: int) -> Slot:
        """Give the slot of the bucket that holds an instant.

        Raise ValueError if its month is not a whole number of buckets.
        """
        if self.whole is not None:
            return self._whole_slot(self.whole)
        first = _local_date(instant, self.zone).replace(day=1)
        slot = _slot(self.granularity, self.zone, first)
        if instant < slot.edges[0]:
            # The bucket is a week that began in the month before.
            return _slot(self.granularity, self.zone, _month_before(first))
        if instant >= slot.edges[-1]:
            # The clocks were set back over midnight: the next month has begun, but the local date
            # is in the old month again.
            return _slot(self.granularity, self.zone, _month_after(first))
        return slot

    def _whole_slot(self, whole: Interval) -> Slot:
        month = _month(_local_date(whole.start, self.zone))
        return Slot(month, (whole.start, whole.end))

    def slots(self, interval: Interval) -> Iterator[Slot]:
        """Walk the slots that overlap an interval, each as a whole, in order of time."""
        at = interval.start
        while at < interval.end:
            slot = self.slot(at)
            yield slot
            at = slot.edges[-1]

    def edges(self, interval: Interval) -> tuple[int, ...]:
        """List the bucket edges from an interval's start to its end.

        Raise ValueError if its start or its end is not an edge.
        """
        edges: list[int] = []
        for slot in self.slots(interval):
            if edges:
                edges.pop()  # the next slot begins with the same edge
            edges += slot.edges_within(interval)
        if not edges or (edges[0], edges[-1]) != (interval.start, interval.end):
            raise ValueError(
                f"{interval} does not lie on the edges of {self.granularity.value} buckets "
                f"in {self.zone}"
            )
        return tuple(edges)

    def count(self, interval: Interval) -> int:
        """Count the buckets of an interval; raise ValueError as `edges` does."""
        return len(self.edges(interval)) - 1

    def edges_around(self, instant: int) -> tuple[int, int]:
        """Give the last edge at or before an instant and the first edge at or after it."""
        edges = self.slot(instant).edges
        after = bisect_right(edges, instant)
        before = edges[after - 1]
        if before == instant:
            return instant, instant
        return before, edges[after]


@lru_cache(maxsize=1024)
def _slot(granularity: Granularity, zone: str, first: date) -> Slot:
    """Give the slot of the month that begins on a local day."""
    return Slot(_month(first), _edges(granularity, zone, first))


def _edges(granularity: Granularity, zone: str, first: date) -> Sequence[int]:
    following = _month_after(first)
    if granularity is Granularity.P1D:
        return _day_edges(first, following, zone)
    if granularity is Granularity.P1W:
        return _week_edges(first, following, zone)
    start = day_start(first, zone)
    end = day_start(following, zone)
    step = granularity.step
    if step is None:
        return (start, end)
    if (end - start) % step:
        raise ValueError(
            f"{_month(first)} in {zone} is not a whole number of {granularity.value} buckets, "
            "because its clock change is shorter; use PT30M"
        )
    return range(start, end + 1, step)


def _day_edges(first: date, following: date, zone: str) -> list[int]:
    # A dict drops days without length: Samoa had no 30 December 2011.
    edges: dict[int, None] = {}
    for n in range((following - first).days + 1):
        edges[day_start(first + timedelta(days=n), zone)] = None
    return list(edges)


def _week_edges(first: date, following: date, zone: str) -> list[int]:
    """List the starts of the weeks whose Monday lies in the month, and the end of the last one."""
    edges = []
    monday = _next_monday(first)
    last = _next_monday(following)
    while monday <= last:
        edges.append(day_start(monday, zone))
        monday += timedelta(days=7)
    return edges


def _next_monday(day: date) -> date:
    """Give the first Monday on or after a day."""
    return day + timedelta(days=-day.weekday() % 7)


def _month(day: date) -> str:
    return f"{day.year:04}-{day.month:02}"


def _month_after(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _month_before(first: date) -> date:
    return (first - timedelta(days=1)).replace(day=1)


def _local_date(instant: int, zone: str) -> date:
    return from_instant(instant).astimezone(ZoneInfo(zone)).date()


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


def iso(at: int) -> str:
    """Write an instant as in requests and records: `2023-10-01T10:00:00.000Z`."""
    return from_instant(at).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at % 1000:03}Z"


def parse_iso(text: str) -> int:
    """Read an instant with any offset (or `Z`); raise ValueError for one without."""
    return to_instant(datetime.fromisoformat(text))


def day_start(day: date, zone: str) -> int:
    """Give the first instant of a local day: midnight, or later if the clocks skip midnight."""
    info = ZoneInfo(zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=info)
    start = _read(midnight, info)
    if _local(start, info).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return start
    # The clocks jumped over midnight: the day begins at the jump, which lies between the two
    # instants that the skipped time may mean.
    return _jump(_read(midnight, info, fold=1), start, info)


def _jump(low: int, high: int, info: ZoneInfo) -> int:
    """Find the clock change between two instants: the first instant with the new offset."""
    before = _local(low, info).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if _local(middle, info).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def local_instant(moment: datetime, zone: str) -> int:
    """Convert a naive local time; raise ValueError if a clock change skips or repeats it."""
    info = ZoneInfo(zone)
    first = _read(moment, info)
    second = _read(moment, info, fold=1)
    if first == second:
        return first
    verb = "skips" if first > second else "repeats"
    readings = [_local(at, info).isoformat() for at in sorted((first, second))]
    raise ValueError(
        f"a clock change in {zone} {verb} it; write it with an offset: {' or '.join(readings)}"
    )


def _read(moment: datetime, info: ZoneInfo, *, fold: int = 0) -> int:
    """Read a local time; `fold` 1 is the second reading of a time that a clock change repeats."""
    return to_instant(moment.replace(tzinfo=info, fold=fold))


def _local(at: int, info: ZoneInfo) -> datetime:
    return from_instant(at).astimezone(info)


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
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (weeks * 7 + days) * DAY + hours * HOUR + minutes * MINUTE + seconds * 1000
