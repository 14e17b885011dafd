"""The buckets of a roll-up: where they are on the calendar, and how they are written. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

from asyncreport.core.job import Query
from asyncreport.core.local_time import from_instant
from asyncreport.core.outputs import WEEKDAY_HOUR
from asyncreport.core.timeline import Granularity, Grid, Interval, iso, parse_iso

#: how a bucket is written: start and end, or day of the week and hour; they sort by time
Bucket = tuple[str, str] | tuple[int, int]


class Buckets:
    """The buckets of a roll-up, found by the text of a record's start."""

    def __init__(self, every: str, query: Query, interval: Interval) -> None:
        self._every = every
        self._zone = query.grid.zone
        self._interval = interval
        self._found: dict[str, Bucket] = {}

    def of(self, start: str) -> Bucket:
        """Give the bucket of a record that starts at an instant."""
        bucket = self._found.get(start)
        if bucket is None:
            bucket = self._found[start] = self._find(parse_iso(start))
        return bucket

    def forget(self) -> None:
        """Forget the buckets of a month, before the next one."""
        self._found.clear()

    def _find(self, at: int) -> Bucket:
        """Look up a bucket on the calendar."""
        if self._every == WEEKDAY_HOUR:
            moment = from_instant(at).astimezone(self._zone)
            return moment.isoweekday(), moment.hour
        edges = self._grid.slot(at).edges
        after = bisect_right(edges, at)
        return self._clipped(edges[after - 1], edges[after])

    @property
    def _grid(self) -> Grid:
        granularity = Granularity(self._every)
        if granularity is Granularity.NONE:
            return Grid(granularity, self._zone, self._interval)
        return Grid(granularity, self._zone)

    def _clipped(self, start: int, end: int) -> Bucket:
        """Write a bucket; the range may cut the first and the last one short."""
        return iso(max(start, self._interval.start)), iso(min(end, self._interval.end))

    def within(self, start: int, end: int) -> Iterator[tuple[Bucket, Interval]]:
        """Walk the buckets that end after `start` and not after `end`, and the time of each.

        The hours of a week are not on the timeline: they are of any time.
        """
        if self._every != WEEKDAY_HOUR:
            yield from self._on_timeline(start, end)
        elif start < end:
            for number in range(7 * 24):
                yield (number // 24 + 1, number % 24), Interval(start, end)

    def _on_timeline(self, start: int, end: int) -> Iterator[tuple[Bucket, Interval]]:
        """Walk the buckets between two instants; the range may cut the first and the last one."""
        for first, last in self._edges():
            clipped = Interval(first, last).intersection(self._interval)
            if start < clipped.end <= end:
                yield self._clipped(first, last), clipped

    def _edges(self) -> Iterator[tuple[int, int]]:
        """Walk the start and end of the whole buckets that the range touches."""
        for slot in self._grid.slots(self._interval):
            for first, last in pairwise(slot.edges):
                if Interval(first, last).overlaps(self._interval):
                    yield first, last


def ends_by(bucket: Bucket, until: str | None) -> bool:
    """Tell whether a bucket ends by an instant; the hours of the week only end with the range."""
    _, end = bucket
    return until is None or (isinstance(end, str) and end <= until)


def columns_of(bucket: Bucket) -> dict[str, object]:
    """Give the columns of a bucket."""
    first, second = bucket
    if isinstance(first, int):
        return {"weekday": first, "hour": second}
    return {"interval_start": first, "interval_end": second}
