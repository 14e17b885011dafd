"""Add up records over longer buckets: from sums and counts, never from averages. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from asyncreport.core.columns import (
    NAMES,
    STATUS_COLUMNS,
    average,
    columns,
    null_first,
    occupancy,
)
from asyncreport.core.job import Query
from asyncreport.core.local_time import from_instant
from asyncreport.core.outputs import WEEKDAY_HOUR, RollUp
from asyncreport.core.records import Split
from asyncreport.core.reshape import NamesById, name_of
from asyncreport.core.table import Column, Kind
from asyncreport.core.timeline import Granularity, Grid, Interval, iso, parse_iso

#: how a bucket is written: start and end, or day of the week and hour; they sort by time
Bucket = tuple[str, str] | tuple[int, int]

_AVERAGE = "avg_handle_time_sec"
_RATIOS = (_AVERAGE, "occupancy")

#: columns that are null if nothing was measured, also in a bucket without records
_MEASURED = (*STATUS_COLUMNS, "occupancy")


def rollup_columns(rollup: RollUp, query: Query) -> tuple[Column, ...]:
    """List the columns of a roll-up: what a row is of, the bucket, the numbers of a record."""
    found: list[tuple[str, Kind]] = []
    for name in rollup.by:
        found += [(each, "text") for each in _of(name)]
    if rollup.every == WEEKDAY_HOUR:
        found += [("weekday", "integer"), ("hour", "integer")]
    else:
        found += [("interval_start", "instant"), ("interval_end", "instant")]
    for name in _numbers(query):
        found.append((name, "integer" if _is_count(name) else "number"))
    return tuple(Column(name, name, kind) for name, kind in found)


def _of(name: str) -> list[str]:
    """Give the columns of what a row is of: an id comes with its name."""
    if name == "user":
        return ["user_id", "user_name"]
    return [name, *(each for each, ids in NAMES.items() if name in ids)]


def _numbers(query: Query) -> list[str]:
    """List the columns with numbers: all that follow the bucket."""
    names = columns(query)
    return names[names.index("interval_end") + 1 :]


def _is_count(name: str) -> bool:
    """Tell whether a column has whole numbers."""
    return name.endswith(("_count", "_sum_ms"))


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
        if self._every == WEEKDAY_HOUR:
            if start < end:
                for number in range(7 * 24):
                    yield (number // 24 + 1, number % 24), Interval(start, end)
            return
        for slot in self._grid.slots(self._interval):
            for first, last in pairwise(slot.edges):
                span = Interval(first, last)
                if span.overlaps(self._interval):
                    clipped = span.intersection(self._interval)
                    if start < clipped.end <= end:
                        yield self._clipped(first, last), clipped


class Sums:
    """The sums of the records of one team or user: per bucket and split values."""

    def __init__(self, rollup: RollUp, query: Query, buckets: Buckets) -> None:
        self._columns = [each.name for each in rollup_columns(rollup, query)]
        self._split = [name for name in rollup.by if name not in ("team", "user")]
        self._query = query
        self._buckets = buckets
        self._added = [name for name in _numbers(query) if name not in _RATIOS]
        self._is_count = [_is_count(name) for name in self._added]
        self._decoder = msgspec.json.Decoder(self._row_type())
        self._cells: dict[tuple[Bucket, Split], list[Any]] = {}

    @property
    def is_empty(self) -> bool:
        """Tell whether no rows are left."""
        return not self._cells

    def _row_type(self) -> Any:
        """Make a struct of the columns that are needed; the others are skipped."""
        names = ["interval_start", *self._split, *self._added]
        return msgspec.defstruct("Row", names, gc=False)

    def empty_copy(self) -> Sums:
        """Make an empty one over the same buckets."""
        other = object.__new__(Sums)
        other.__dict__.update(self.__dict__)
        other._cells = {}
        return other

    def add(self, block: bytes, times: int = 1) -> None:
        """Add rows of parts, each so many times."""
        first = 1 + len(self._split)
        for row in self._decoder.decode_lines(block):
            values = msgspec.structs.astuple(row)
            key = self._buckets.of(values[0]), values[1:first]
            self._add(key, values[first:], times)

    def _add(self, key: tuple[Bucket, Split], values: Sequence[Any], times: int) -> None:
        """Add the numbers of a row; times become whole ms."""
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = [None] * len(values)
        for number, value in enumerate(values):
            if value is not None:
                whole = value if self._is_count[number] else round(value * 1000)
                cell[number] = (cell[number] or 0) + times * whole

    def fill(self, buckets: Iterable[Bucket]) -> None:
        """Add the buckets that have no records, for the split values that were seen."""
        splits = {split for _, split in self._cells}
        if not self._split:
            splits = {()}
        for bucket in buckets:
            for split in splits:
                self._cells.setdefault((bucket, split), self._zeros())

    def _zeros(self) -> list[Any]:
        """Make the sums for a bucket without records: null where nothing can have been measured."""
        unknown = set(_MEASURED)
        if self._query.contract == "entities":
            unknown.add("total_hold_time_sec")
        return [None if name in unknown else 0 for name in self._added]

    def take(
        self,
        facts: Mapping[str, object],
        names: NamesById,
        *,
        until: str | None,
    ) -> Iterator[dict[str, object]]:
        """Walk the rows of buckets that end by an instant, and forget them; None: all rows.

        `facts` are the same for all rows, such as the team. The rows are in order of time and split
        values.
        """
        done = [key for key in self._cells if _ends_by(key[0], until)]
        for bucket, split in sorted(done, key=_order):
            values = {**facts, **dict(zip(self._split, split, strict=True))}
            for name, (ids, by_id) in names.items():
                values[name] = name_of(values.get(ids), by_id)
            values.update(_described(bucket))
            values.update(self._numbers(self._cells.pop((bucket, split))))
            yield {name: values[name] for name in self._columns}

    def _numbers(self, cell: Sequence[int | None]) -> dict[str, object]:
        """Give the numbers of a row; ratios are divided here and nowhere before."""
        whole = dict(zip(self._added, cell, strict=True))
        values: dict[str, object] = dict(whole)
        for name, value in whole.items():
            if value is not None and not _is_count(name):
                values[name] = value / 1000
        handled, handle = whole["handled_count"] or 0, whole["total_handle_time_sec"] or 0
        values[_AVERAGE] = average(handle, handled)
        if self._query.occupancy:
            values["occupancy"] = _occupancy([whole[name] for name in STATUS_COLUMNS[:3]])
        return values


def _ends_by(bucket: Bucket, until: str | None) -> bool:
    """Tell whether a bucket ends by an instant; the hours of the week only end with the range."""
    _, end = bucket
    return until is None or (isinstance(end, str) and end <= until)


def _occupancy(times: Sequence[int | None]) -> float | None:
    """Divide the times on queue, in ms; None if none was measured."""
    interacting, communicating, idle = (time or 0 for time in times)
    return occupancy(interacting, communicating, idle)


def _described(bucket: Bucket) -> dict[str, object]:
    """Give the columns of a bucket."""
    first, second = bucket
    if isinstance(first, int):
        return {"weekday": first, "hour": second}
    return {"interval_start": first, "interval_end": second}


def _order(key: tuple[Bucket, Split]) -> Any:
    """Sort by time, then by split values."""
    bucket, split = key
    return bucket, tuple(map(null_first, split))
