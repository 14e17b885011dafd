"""From counts and sums per bucket to rows: the accumulator and the arithmetic. Pure.

Everything is added per key (user, split values, bucket), because an answer may name a key several times: media types
arrive unasked, a group may come in several containers and a bucket in several entries. Ratios are made last, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec
from msgspec import Struct

from asyncreport.errors import RejectedError
from asyncreport.job import Query
from asyncreport.timeline import iso, parse_iso

#: values of the split dimensions, in the order of the columns
Split = tuple[str | None, ...]


class Block(Struct, frozen=True, gc=False):
    """A user's rows, in order of time and split values, as they will stand in a part."""

    #: None: what no user handled
    user: str | None
    #: JSON, one row a line
    lines: bytes
    #: rows
    count: int
    #: ids in the rows' `queue_id`
    queues: frozenset[str] = frozenset()


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


class Datum(Struct, gc=False):
    """One bucket of one group."""

    #: `start/end`, any offset
    interval: str
    metrics: list[Measure] | None = None


#: the largest count or sum that a float holds exactly, and a million years of ms
MOST = 2**53

#: bucket, how the split values sort, the values, sums and counts
_Cell = tuple[int, tuple[tuple[bool, str], ...], Split, list[int]]

#: what every query asks for; per session, not per segment: https://help.mypurecloud.com/glossary/average-handle-time-aht/
METRICS = ("tTalkComplete", "tHeldComplete", "tAcw", "tHandle")
_TALK, _HELD, _ACW, _HANDLE = range(0, 8, 2)  # a metric's sum; its count follows
_HANDLED = _HANDLE + 1
#: the columns of every record, after those of the split
_COLUMNS = (
    *("interval_start", "interval_end", "handled_count", "total_talk_time_sec", "total_hold_time_sec"),
    *("total_wrap_up_sec", "total_handle_time_sec", "avg_handle_time_sec"),
)

#: routing statuses in the order of their columns: https://help.mypurecloud.com/glossary/agent-status/
STATUSES = ("INTERACTING", "COMMUNICATING", "IDLE", "NOT_RESPONDING", "OFF_QUEUE")
_TIMES = tuple(f"{status.lower()}_sec" for status in STATUSES)

_ENCODER = msgspec.json.Encoder()


class Accumulator:
    """Add up what the answers of one chunk report, and give it back as sorted rows."""

    def __init__(self, edges: Sequence[int], query: Query) -> None:
        texts = [iso(edge) for edge in edges]
        self._spans = list(pairwise(texts))
        # The strings that the vendor prints for these buckets: nearly every look-up ends here, without parsing a date.
        self._buckets = {f"{start}/{end}": n for n, (start, end) in enumerate(self._spans)}
        self._begins = {interval[: len(texts[0])]: interval for interval in self._buckets}
        self._query = query
        self._places = {metric: 2 * n for n, metric in enumerate(metrics_of(query))}
        self._extra = [self._places[metric] for metric in query.metrics]
        # A row of known columns is made and encoded in half the time that a dict takes.
        self._row = msgspec.defstruct("Row", columns(query), gc=False)
        self._queue = query.split_by.index("queueId") if "queueId" in query.split_by else None
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
        nothing = [0] * (2 * len(places))
        cells = self._cells.setdefault(user, {}).setdefault(split, {})
        for datum in data:
            bucket = buckets.get(datum.interval)
            if bucket is None:
                bucket = self._bucket(datum.interval)
            cell = cells.get(bucket)
            for measure in datum.metrics or ():
                place = places.get(measure.metric)
                if place is None:
                    continue
                if cell is None:
                    cell = cells[bucket] = nothing.copy()
                stats = measure.stats
                if stats is not None:
                    if total := stats.sum:
                        cell[place] += round(total)
                    if count := stats.count:
                        cell[place + 1] += count

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
            by_split = self._cells.get(user, {})
            cells: list[_Cell] = [
                (bucket, order, split, cell)
                for split, by_bucket in by_split.items()
                for order in [_sortable(split)]
                for bucket, cell in by_bucket.items()
            ]
            cells += self._idle(user)
            if cells:
                # Bucket and split values are a key, so that a comparison never reaches what follows them.
                cells.sort()
                _check(cells, self._spans)
                queues = () if self._queue is None else (split[self._queue] for split, by_bucket in by_split.items() if by_bucket)
                lines = _ENCODER.encode_lines(self._rows(cells, self._statuses.get(user, {})))
                yield Block(user, lines, len(cells), frozenset(queue for queue in queues if queue is not None))

    def _idle(self, user: str | None) -> Iterator[_Cell]:
        """Walk the buckets in which a user was on queue and handled nothing; off queue alone is no work."""
        handled = self._cells.get(user, {}).get((), {})
        for bucket, times in self._statuses.get(user, {}).items():
            if bucket not in handled and any(times[:-1]):
                yield bucket, (), (), [0] * (2 * len(self._places))

    def _rows(self, cells: Iterable[_Cell], statuses: dict[int, list[int]]) -> list[object]:
        row, spans = self._row, self._spans
        further = self._further if self._extra or self._query.occupancy else None
        # The entities contract knows no hold: null, for nobody measured it.
        measured = self._query.contract != "entities"
        return [
            row(
                *split,
                *spans[bucket],
                cell[_HANDLED],
                cell[_TALK] / 1000,
                cell[_HELD] / 1000 if measured else None,
                cell[_ACW] / 1000,
                cell[_HANDLE] / 1000,
                average(cell[_HANDLE], cell[_HANDLED]),
                *(further(cell, statuses.get(bucket)) if further else ()),
            )
            for bucket, _, split, cell in cells
        ]

    def _further(self, cell: list[int], times: list[int] | None) -> Iterator[object]:
        """Walk the values of the columns that a job adds."""
        for place in self._extra:
            yield cell[place + 1]
            yield cell[place]
        if self._query.occupancy:
            yield from _routing(times)


def columns(query: Query) -> list[str]:
    """List the columns that a part's rows have, in their order."""
    found = [*map(column, query.split_by), *_COLUMNS]
    found += [f"{column(metric)}_{what}" for metric in query.metrics for what in ("count", "sum_ms")]
    return [*found, *_TIMES, "occupancy"] if query.occupancy else found


def _check(cells: Iterable[_Cell], spans: Sequence[tuple[str, str]]) -> None:
    # At one go, for nearly every block is good; only a bad one is searched for its bucket.
    numbers = [number for _, _, _, cell in cells for number in cell]
    if min(numbers) >= 0 and max(numbers) <= MOST:
        return
    for bucket, _, _, cell in cells:
        if min(cell) < 0 or max(cell) > MOST:
            raise RejectedError(f"the answer counts less than nothing, or beyond all measure, in the bucket {spans[bucket][0]}")


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


def _routing(times: list[int] | None) -> Iterator[object]:
    """Walk the values of the routing columns; all null where no status was reported."""
    if times is None:
        yield from [None] * (len(_TIMES) + 1)
        return
    if min(times) < 0 or max(times) > MOST:
        raise RejectedError("the answer holds a routing status that lasted less than nothing, or beyond all measure")
    for time in times:
        yield time / 1000
    yield occupancy(*times[:3])


def _canonical(moment: str) -> str:
    """Rewrite an instant of any offset as the grid spells it; give it back as it was where it is none."""
    try:
        return iso(parse_iso(moment))
    except (ValueError, OverflowError):
        return moment


def _sortable(split: Split) -> tuple[tuple[bool, str], ...]:
    return tuple((value is not None, value or "") for value in split)
