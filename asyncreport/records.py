"""From counts and sums per bucket to rows: the accumulator and the arithmetic. Pure.

Everything is added per key (user, split values, bucket), because an answer may name a key several times: media types
arrive unasked, a group may come in several containers and a bucket in several entries. Ratios are made last, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from asyncreport.errors import RejectedError
from asyncreport.job import Query
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
    #: the status, of routing-status times
    qualifier: str | None = None


class Datum(Struct):
    """One bucket of one group."""

    #: `start/end`, any offset
    interval: str
    metrics: list[Measure] | None = None


#: the largest count or sum that a float holds exactly, and a million years of ms
MOST = 2**53

#: bucket, how the split values sort, their columns, sums and counts
_Cell = tuple[int, tuple[tuple[bool, str], ...], Mapping[str, object], list[int]]

#: what every query asks for; per session, not per segment: https://help.mypurecloud.com/glossary/average-handle-time-aht/
METRICS = ("tTalkComplete", "tHeldComplete", "tAcw", "tHandle")
_TALK, _HELD, _ACW, _HANDLE = range(0, 8, 2)  # a metric's sum; its count follows
_HANDLED = _HANDLE + 1

#: routing statuses in the order of their columns: https://help.mypurecloud.com/glossary/agent-status/
STATUSES = ("INTERACTING", "COMMUNICATING", "IDLE", "NOT_RESPONDING", "OFF_QUEUE")
_TIMES = tuple(f"{status.lower()}_sec" for status in STATUSES)


class Accumulator:
    """Add up what the answers of one chunk report, and give it back as sorted rows."""

    def __init__(self, edges: Sequence[int], query: Query) -> None:
        texts = [iso(edge) for edge in edges]
        self._spans = list(pairwise(texts))
        # The strings that the vendor prints for these buckets: nearly every look-up ends here, without parsing a date.
        self._buckets = {f"{start}/{end}": n for n, (start, end) in enumerate(self._spans)}
        self._begins = {interval[: len(texts[0])]: interval for interval in self._buckets}
        self._query = query
        self._columns = tuple(column(dimension) for dimension in query.split_by)
        self._places = {metric: 2 * n for n, metric in enumerate(metrics_of(query))}
        self._extra = [(column(metric), self._places[metric]) for metric in query.metrics]
        self._cells: dict[str | None, dict[Split, dict[int, list[int]]]] = {}
        self._statuses: dict[str | None, dict[int, list[int]]] = {}

    def beginning(self, start: str | None) -> str:
        """Give the bucket, `start/end`, that begins at an instant of any offset; raise RejectedError where none does."""
        found = self._begins.get(_canonical(start or ""))
        if found is None:
            raise self._foreign(start or "")
        return found

    def fits(self, interval: str) -> bool:
        """Tell whether a returned interval is a bucket of the grid."""
        return self._find(interval) is not None

    def add(self, user: str | None, split: Split, data: Iterable[Datum]) -> None:
        """Add one group's buckets; raise RejectedError for a bucket that is not on the grid."""
        buckets, places = self._buckets, self._places
        cells = self._cells.setdefault(user, {}).setdefault(split, {})
        for datum in data:
            bucket = buckets.get(datum.interval)
            if bucket is None:
                bucket = self._bucket(datum.interval)
            for measure in datum.metrics or ():
                place = places.get(measure.metric)
                if place is None:
                    continue
                cell = cells.get(bucket)
                if cell is None:
                    cell = cells[bucket] = [0] * (2 * len(places))
                stats = measure.stats
                if stats is not None:
                    cell[place] += round(stats.sum or 0)
                    cell[place + 1] += stats.count or 0

    def add_statuses(self, user: str, data: Iterable[Datum]) -> None:
        """Add one user's routing-status times; raise RejectedError for a bucket that is not on the grid."""
        cells = self._statuses.setdefault(user, {})
        for datum in data:
            bucket = self._bucket(datum.interval)
            for measure in datum.metrics or ():
                if measure.qualifier in STATUSES and measure.stats is not None:
                    cell = cells.setdefault(bucket, [0] * len(STATUSES))
                    cell[STATUSES.index(measure.qualifier)] += round(measure.stats.sum or 0)

    def _bucket(self, interval: str) -> int:
        bucket = self._find(interval)
        if bucket is None:
            raise self._foreign(interval)
        return bucket

    def _foreign(self, bucket: str) -> RejectedError:
        return RejectedError(
            f"the answer holds a bucket {bucket[:80]!r} that was not asked for; "
            f"expected buckets from {self._spans[0][0]} to {self._spans[-1][1]}, the first until {self._spans[0][1]}"
        )

    def _find(self, interval: str) -> int | None:
        found = self._buckets.get(interval)
        if found is None:
            found = self._buckets.get("/".join(map(_canonical, interval.split("/"))))
        return found

    def blocks(self) -> Iterator[Block]:
        """Walk the users, the one that is none first, each with its rows; raise RejectedError for a negative number."""
        for user in sorted(self._cells.keys() | self._statuses.keys(), key=lambda user: user or ""):
            cells: list[_Cell] = [
                (bucket, order, head, cell)
                for split, by_bucket in self._cells.get(user, {}).items()
                for order, head in [(_sortable(split), dict(zip(self._columns, split, strict=True)))]
                for bucket, cell in by_bucket.items()
            ]
            cells += self._idle(user)
            if cells:
                # Bucket and split values are a key, so that a comparison never reaches what follows them.
                cells.sort()
                yield user, list(self._rows(cells, self._statuses.get(user, {})))

    def _idle(self, user: str | None) -> Iterator[_Cell]:
        """Walk the buckets in which a user was on queue and handled nothing; off queue alone is no work."""
        handled = self._cells.get(user, {}).get((), {})
        for bucket, times in self._statuses.get(user, {}).items():
            if bucket not in handled and any(times[:-1]):
                yield bucket, (), {}, [0] * (2 * len(self._places))

    def _rows(self, cells: Iterable[_Cell], statuses: dict[int, list[int]]) -> Iterator[dict[str, object]]:
        spans, further = self._spans, bool(self._extra) or self._query.occupancy
        # The entities contract knows no hold: null, for nobody measured it.
        measured = self._query.contract != "entities"
        for bucket, _, head, cell in cells:
            start, end = spans[bucket]
            if min(cell) < 0 or max(cell) > MOST:
                raise RejectedError(f"the answer counts less than nothing, or beyond all measure, in the bucket {start}")
            row: dict[str, object] = {
                **head,
                "interval_start": start,
                "interval_end": end,
                "handled_count": cell[_HANDLED],
                "total_talk_time_sec": cell[_TALK] / 1000,
                "total_hold_time_sec": cell[_HELD] / 1000 if measured else None,
                "total_wrap_up_sec": cell[_ACW] / 1000,
                "total_handle_time_sec": cell[_HANDLE] / 1000,
                "avg_handle_time_sec": average(cell[_HANDLE], cell[_HANDLED]),
            }
            if further:
                row |= self._further(cell, statuses.get(bucket))
            yield row

    def _further(self, cell: list[int], times: list[int] | None) -> dict[str, object]:
        """Make the columns that a job adds."""
        columns: dict[str, object] = {}
        for name, place in self._extra:
            columns[f"{name}_count"], columns[f"{name}_sum_ms"] = cell[place + 1], cell[place]
        return columns | _routing(times) if self._query.occupancy else columns


def metrics_of(query: Query) -> tuple[str, ...]:
    """List what to ask for: what every record needs, and what the job adds."""
    return tuple(dict.fromkeys((*METRICS, *query.metrics)))


def average(total_ms: int, count: int) -> float | None:
    """Divide ms by a count into seconds with 2 places, half up; None where nothing was handled."""
    return (total_ms + 5 * count) // (10 * count) / 100 if count else None


def occupancy(interacting: int, communicating: int, idle: int) -> float | None:
    """Give the share of the time on queue that was spent interacting, with 4 places, half up; None for no time on queue.

    https://community.genesys.com/discussion/does-occupancy-include-all-busy-time
    """
    on_queue = interacting + communicating + idle
    return (20_000 * interacting + on_queue) // (2 * on_queue) / 10_000 if on_queue else None


def column(name: str) -> str:
    """Name the column of a dimension or a metric: `mediaType` is `media_type`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _routing(times: list[int] | None) -> dict[str, object]:
    """Make the routing columns; all null where no status was reported."""
    if times is None:
        return dict.fromkeys((*_TIMES, "occupancy"))
    if min(times) < 0 or max(times) > MOST:
        raise RejectedError("the answer holds a routing status that lasted less than nothing, or beyond all measure")
    columns: dict[str, object] = {name: time / 1000 for name, time in zip(_TIMES, times, strict=True)}
    columns["occupancy"] = occupancy(*times[:3])
    return columns


def _canonical(moment: str) -> str:
    """Rewrite an instant of any offset as the grid spells it; give it back as it was where it is none."""
    try:
        return iso(parse_iso(moment))
    except (ValueError, OverflowError):
        return moment


def _sortable(split: Split) -> tuple[tuple[bool, str], ...]:
    return tuple((value is not None, value or "") for value in split)
