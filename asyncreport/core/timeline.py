"""Compute intervals, buckets and slots on the calendar of a time zone. Pure.

An instant is an `int`: milliseconds since 1970-01-01T00:00Z, so that every time has an offset.
Bucket edges are computed here and never taken from a server: the vendor documents neither where
weeks and months begin nor what happens to a last bucket that the range cuts short.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from msgspec import Struct

from asyncreport.core.local_time import day_start, from_instant, local_date, to_instant

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

#: lengths in ms of the buckets that do not follow the calendar
_STEPS = {
    "PT15M": 15 * MINUTE,
    "PT30M": 30 * MINUTE,
    "PT1H": HOUR,
}


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
        return _STEPS.get(self.value)


class Interval(Struct, frozen=True, order=True):
    """A half-open span `[start, end)`; raise ValueError if it is empty or reversed."""

    #: the first instant inside
    start: int
    #: the first instant after it
    end: int

    def __post_init__(self) -> None:
        """Refuse an interval without length."""
        if self.end <= self.start:
            raise ValueError(f"{self} is empty or reversed")

    def __str__(self) -> str:
        """Write it as in requests: `start/end`, UTC."""
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
    #: with its rules, so that nothing depends on the machine; `str` of it is the IANA name
    zone: ZoneInfo
    #: the only bucket if the granularity is `none`, otherwise None
    whole: Interval | None = None

    def slot(self, instant: int) -> Slot:
        """Give the slot of the bucket that holds an instant.

        Raise ValueError if its month is not a whole number of buckets.
        """
        if self.whole is not None:
            return self._whole_slot(self.whole)
        first = local_date(instant, self.zone).replace(day=1)
        slot = self._month_slot(first)
        if instant < slot.edges[0]:
            # The bucket is a week that began in the month before.
            return self._month_slot(_month_before(first))
        if instant >= slot.edges[-1]:
            # The clocks were set back over midnight: the next month has begun, but the local date
            # is in the old month again.
            return self._month_slot(_month_after(first))
        return slot

    def _month_slot(self, first: date) -> Slot:
        """Give the slot of the month that begins on a local day."""
        return _slot(self.granularity, self.zone, first)

    def _whole_slot(self, whole: Interval) -> Slot:
        """Give the slot of the only bucket: the month that the bucket begins in."""
        month = _month(local_date(whole.start, self.zone))
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
            raise self._off_edges(interval)
        return tuple(edges)

    def _off_edges(self, interval: Interval) -> ValueError:
        """Make the error for an interval that begins or ends inside a bucket."""
        return ValueError(
            f"{interval} does not lie on the edges of {self.granularity.value} buckets "
            f"in {self.zone}"
        )

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
def _slot(granularity: Granularity, zone: ZoneInfo, first: date) -> Slot:
    """Give the slot of the month that begins on a local day."""
    return Slot(_month(first), _edges(granularity, zone, first))


def _edges(granularity: Granularity, zone: ZoneInfo, first: date) -> Sequence[int]:
    """List the edges of the buckets that begin in the month of a first day."""
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
        raise _uneven_month(_month(first), zone, granularity)
    return range(start, end + 1, step)


def _uneven_month(month: str, zone: ZoneInfo, granularity: Granularity) -> ValueError:
    """Make the error for a zone whose clocks change by less than a bucket, such as Lord Howe."""
    return ValueError(
        f"{month} in {zone} is not a whole number of {granularity.value} buckets, "
        "because its clock change is shorter; use PT30M"
    )


def _day_edges(first: date, following: date, zone: ZoneInfo) -> list[int]:
    """List the starts of the days of a month, and of the day after it."""
    # A dict drops days without length: Samoa had no 30 December 2011.
    edges: dict[int, None] = {}
    day = first
    while day <= following:
        edges[day_start(day, zone)] = None
        day += timedelta(days=1)
    return list(edges)


def _week_edges(first: date, following: date, zone: ZoneInfo) -> list[int]:
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
    """Name the month of a day: `2023-01`."""
    return f"{day.year:04}-{day.month:02}"


def _month_after(first: date) -> date:
    """Give the first day of the month after the one that begins on a day."""
    return (first + timedelta(days=31)).replace(day=1)


def _month_before(first: date) -> date:
    """Give the first day of the month before the one that begins on a day."""
    return (first - timedelta(days=1)).replace(day=1)


def iso(at: int) -> str:
    """Write an instant as in requests and records: `2023-10-01T10:00:00.000Z`."""
    return from_instant(at).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_iso(text: str) -> int:
    """Read an instant with any offset (or `Z`); raise ValueError for one without."""
    return to_instant(datetime.fromisoformat(text))
