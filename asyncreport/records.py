"""From counts and sums per bucket to rows: the accumulator and the arithmetic. Pure.

Everything is added per key (user, split values, bucket), because an answer may name a key several times: media types
arrive unasked, a group may come in several containers and a bucket in several entries. Ratios are made last, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from asyncreport.errors import RejectedError
from asyncreport.timeline import iso, parse_iso

#: values of the split dimensions, in the order of the columns
Split = tuple[str | None, ...]
#: a user's rows, in order of time and split values; None for what no user handled
Block = tuple[str | None, list[dict[str, object]]]


class Stats(Struct, gc=False):
    """What was counted and summed; either may be absent."""

    count: int | None = None
    #: ms, integral though the wire types it as a float
    sum: int | float | None = None


class Measure(Struct, gc=False):
    """One metric of one bucket."""

    metric: str
    stats: Stats | None = None


class Datum(Struct):
    """One bucket of one group."""

    #: `start/end`, any offset
    interval: str
    metrics: list[Measure] | None = None


#: metric -> where a cell keeps its sum and its count; the last place takes what nobody asks for
_TALK, _HELD, _ACW, _HANDLE, _HANDLED, _UNUSED = range(6)
_PLACES = {
    "tTalkComplete": (_TALK, _UNUSED),
    "tHeldComplete": (_HELD, _UNUSED),
    "tAcw": (_ACW, _UNUSED),
    "tHandle": (_HANDLE, _HANDLED),
}

#: what an aggregates query must ask for; per session, not per segment: https://help.mypurecloud.com/glossary/average-handle-time-aht/
METRICS = tuple(_PLACES)


class Accumulator:
    """Add up what the answers of one chunk report, and give it back as sorted rows."""

    def __init__(self, edges: Sequence[int], split_by: Sequence[str] = ()) -> None:
        texts = [iso(edge) for edge in edges]
        self._spans = list(pairwise(texts))
        # The strings that the vendor prints for these buckets: nearly every look-up ends here, without parsing a date.
        self._buckets = {f"{start}/{end}": n for n, (start, end) in enumerate(self._spans)}
        self._columns = tuple(column(dimension) for dimension in split_by)
        self._cells: dict[str | None, dict[Split, dict[int, list[int]]]] = {}

    def fits(self, interval: str) -> bool:
        """Tell whether a returned interval is a bucket of the grid."""
        return self._find(interval) is not None

    def add(self, user: str | None, split: Split, data: Iterable[Datum]) -> None:
        """Add one group's buckets; raise RejectedError for a bucket that is not on the grid."""
        buckets = self._buckets
        cells = self._cells.setdefault(user, {}).setdefault(split, {})
        for datum in data:
            bucket = buckets.get(datum.interval)
            if bucket is None:
                bucket = self._bucket(datum.interval)
            for measure in datum.metrics or ():
                place = _PLACES.get(measure.metric)
                if place is None:
                    continue
                cell = cells.get(bucket)
                if cell is None:
                    cell = cells[bucket] = [0] * 6
                stats = measure.stats
                if stats is not None:
                    cell[place[0]] += round(stats.sum or 0)
                    cell[place[1]] += stats.count or 0

    def _bucket(self, interval: str) -> int:
        bucket = self._find(interval)
        if bucket is None:
            raise RejectedError(
                f"the answer holds a bucket {interval[:80]!r} that was not asked for; "
                f"expected buckets from {self._spans[0][0]} to {self._spans[-1][1]}, the first until {self._spans[0][1]}"
            )
        return bucket

    def _find(self, interval: str) -> int | None:
        found = self._buckets.get(interval)
        if found is None:
            found = self._buckets.get(_canonical(interval), None)
        return found

    def blocks(self) -> Iterator[Block]:
        """Walk the users, the one that is none first, each with its rows; raise RejectedError for a negative number."""
        for user in sorted(self._cells, key=lambda user: user or ""):
            by_split = [(_sortable(split), split, cells) for split, cells in self._cells[user].items()]
            rows = sorted((bucket, order, split, cell) for order, split, cells in by_split for bucket, cell in cells.items())
            if rows:
                yield user, [self._row(bucket, split, cell) for bucket, _, split, cell in rows]

    def _row(self, bucket: int, split: Split, cell: list[int]) -> dict[str, object]:
        if min(cell) < 0:
            raise RejectedError(f"the answer counts less than nothing in the bucket {self._spans[bucket][0]}")
        talk, held, acw, handle, handled, _ = cell
        row: dict[str, object] = dict(zip(self._columns, split, strict=True))
        row["interval_start"], row["interval_end"] = self._spans[bucket]
        row["handled_count"] = handled
        row["total_talk_time_sec"] = talk / 1000
        row["total_hold_time_sec"] = held / 1000
        row["total_wrap_up_sec"] = acw / 1000
        row["total_handle_time_sec"] = handle / 1000
        row["avg_handle_time_sec"] = average(handle, handled)
        return row


def average(total_ms: int, count: int) -> float | None:
    """Divide ms by a count into seconds with 2 places, half up; None where nothing was handled."""
    return (total_ms + 5 * count) // (10 * count) / 100 if count else None


def column(dimension: str) -> str:
    """Name a dimension's column: `mediaType` is `media_type`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", dimension).lower()


def _canonical(interval: str) -> str:
    """Rewrite `start/end` of any offset as the grid spells it; give it back as it was where it is no interval."""
    start, _, end = interval.partition("/")
    try:
        return f"{iso(parse_iso(start))}/{iso(parse_iso(end))}"
    except (ValueError, OverflowError):
        return interval


def _sortable(split: Split) -> tuple[tuple[bool, str], ...]:
    return tuple((value is not None, value or "") for value in split)
