"""From counts and sums per bucket to rows: the accumulator and the arithmetic. Pure.

Everything is added per key (user, split values, bucket), because an answer may name a key several times: media types
arrive unasked, a group may come in several containers and a bucket in several entries. Ratios are made last, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise, repeat
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.core.columns import (
    METRICS,
    STATUS_COLUMNS,
    STATUSES,
    average,
    columns,
    metrics_of,
    null_first,
    occupancy,
)
from asyncreport.core.errors import OFF_GRID, RejectedError
from asyncreport.core.job import Query
from asyncreport.core.timeline import iso, parse_iso

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


#: the largest count, or sum in ms, of one measure: 278 years; a thousand of them still add up exactly in a float
MAX_VALUE = 2**43

_HANDLE = METRICS[-1]

_ENCODER = msgspec.json.Encoder()


#: sums in ms as floats, which hold them exactly, and counts; `_places` says which is where
_Cell = list[Any]
#: make a row of a split's values from what follows them
_Make = Callable[..., object]


class Accumulator:
    """Add up what the answers of one chunk report, and give it back as sorted rows."""

    def __init__(self, edges: Sequence[int], query: Query) -> None:
        texts = [iso(edge) for edge in edges]
        self._spans = list(pairwise(texts))
        # The strings that the vendor prints for these buckets: nearly every look-up ends here, without parsing a date.
        self._buckets = {f"{start}/{end}": n for n, (start, end) in enumerate(self._spans)}
        self._begins = {interval[: len(texts[0])]: interval for interval in self._buckets}
        self._query = query
        self._places, self._counted = _places(query)
        self._nothing: _Cell = [0.0] * self._counted + [0.0, 0] * (
            len(self._places) - self._counted
        )
        # A row of known columns is made and encoded in half the time that a dict takes.
        self._row = msgspec.defstruct("Row", columns(query), gc=False)
        self._queue = query.split_by.index("queueId") if "queueId" in query.split_by else None
        self._cells: dict[str | None, dict[Split, dict[int, _Cell]]] = {}
        self._statuses: dict[str | None, dict[int, list[int]]] = {}
        self._passed_over = False

    def empty_copy(self) -> Accumulator:
        """Give one over the same buckets in which nothing is yet: for an answer that may turn out to be none."""
        other = object.__new__(Accumulator)
        other.__dict__.update(self.__dict__, _cells={}, _statuses={}, _passed_over=False)
        return other

    def absorb(self, other: Accumulator) -> None:
        """Add all that was added to another, which is used up by that."""
        for user, by_split in other._cells.items():
            mine = self._cells.setdefault(user, {})
            for split, by_bucket in by_split.items():
                _add_cells(mine.setdefault(split, {}), by_bucket)
        for user, times in other._statuses.items():
            _add_cells(self._statuses.setdefault(user, {}), times)
        self._passed_over |= other._passed_over

    def skip_ungrouped(self, data: Iterable[Any]) -> None:
        """Leave out a group's buckets, of no user, where certain users were asked for."""
        self._passed_over |= any(datum.metrics for datum in data)

    @property
    def only_ungrouped(self) -> bool:
        """Tell whether all that was reported was of no user, where certain users were asked for."""
        return self._passed_over and not self._cells and not self._statuses

    def bucket_starting(self, start: str | None) -> str:
        """Give the bucket, `start/end`, that begins at an instant of any offset; raise RejectedError where none does."""
        found = self._begins.get(_canonical(start or ""))
        if found is None:
            raise self.off_grid_error(start or "")
        return found

    def add(self, user: str | None, split: Split, data: Iterable[Datum]) -> None:
        """Add one group's buckets, whatever they hold; raise RejectedError for a bucket off the grid, and for what cannot be."""
        self.add_validated(user, split, [self._sound(datum) for datum in data])

    def add_validated(self, user: str | None, split: Split, data: Iterable[Any]) -> None:
        """Add one group's buckets, of which is known that they hold metrics that were asked for, whole ms and counts up to `MAX_VALUE`.

        `data` are like `Datum`s, without None in place of a list or a number. Raise RejectedError for a bucket that is not on the grid.
        """
        # The hot loop: every lookup less shows in the whole run.
        buckets, places, counted, nothing = (
            self._buckets,
            self._places,
            self._counted,
            self._nothing,
        )
        cells = self._cells.setdefault(user, {}).setdefault(split, {})
        for datum in data:
            bucket = buckets.get(datum.interval)
            if bucket is None:
                bucket = self._bucket(datum.interval)
            cell = cells.get(bucket)
            for measure in datum.metrics:
                if cell is None:
                    cell = cells[bucket] = nothing.copy()
                if (stats := measure.stats) is not None:
                    place = places[measure.metric]
                    cell[place] += stats.sum
                    if place >= counted:
                        cell[place + 1] += stats.count

    def _sound(self, datum: Datum) -> Datum:
        """Leave out what was not asked for, and round to whole ms; raise RejectedError for a number that cannot be."""
        measures = []
        for measure in datum.metrics or ():
            if measure.metric in self._places:
                stats = measure.stats or Stats()
                total, count = stats.sum or 0, stats.count or 0
                if not (0 <= total <= MAX_VALUE and 0 <= count <= MAX_VALUE):
                    raise self._beyond(datum.interval)
                measures.append(Measure(measure.metric, Stats(count, float(round(total)))))
        return Datum(datum.interval, measures)

    def _beyond(self, interval: str) -> RejectedError:
        return RejectedError(
            f"the answer counts less than nothing, or beyond all measure, in the bucket {interval[:80]!r}"
        )

    def add_statuses(self, user: str, data: Iterable[Datum]) -> None:
        """Add one user's routing-status times; raise RejectedError for a bucket off the grid, and for a time that cannot be."""
        cells = self._statuses.setdefault(user, {})
        for datum in data:
            bucket = self._bucket(datum.interval)
            for measure in datum.metrics or ():
                if measure.qualifier in STATUSES and measure.stats is not None:
                    total = measure.stats.sum or 0
                    if not 0 <= total <= MAX_VALUE:
                        raise self._beyond(datum.interval)
                    cell = cells.setdefault(bucket, [0] * len(STATUSES))
                    cell[STATUSES.index(measure.qualifier)] += round(total)

    def _bucket(self, interval: str) -> int:
        bucket = self._buckets.get(interval)
        if bucket is None:
            bucket = self._buckets.get("/".join(map(_canonical, interval.split("/"))))
        if bucket is None:
            raise self.off_grid_error(interval)
        return bucket

    def off_grid_error(self, bucket: str) -> RejectedError:
        """Give the error that a bucket is which was not asked for."""
        return RejectedError(
            f"the answer holds a bucket {bucket[:80]!r} that was not asked for; "
            f"expected buckets from {self._spans[0][0]} to {self._spans[-1][1]}, the first until {self._spans[0][1]}",
            code=OFF_GRID,
        )

    def blocks(self) -> Iterator[Block]:
        """Walk the users, the one that is none first, each with its rows."""
        makes: dict[Split, _Make] = {
            split: partial(self._row, *split) if split else self._row
            for by in self._cells.values()
            for split in by
        }
        for user in sorted(self._cells.keys() | self._statuses.keys(), key=null_first):
            by_split = self._cells.get(user, {})
            cells = self._in_order(user, by_split, makes)
            if cells:
                queues = (
                    ()
                    if self._queue is None
                    else (split[self._queue] for split, by_bucket in by_split.items() if by_bucket)
                )
                lines = _ENCODER.encode_lines(self._rows(cells, self._statuses.get(user)))
                yield Block(
                    user,
                    lines,
                    len(cells),
                    frozenset(queue for queue in queues if queue is not None),
                )

    def _in_order(
        self, user: str | None, by_split: dict[Split, dict[int, _Cell]], makes: dict[Split, _Make]
    ) -> list[tuple[_Make, int, _Cell]]:
        """List a user's cells by bucket and split values, each with how its row is made."""
        if len(by_split) == 1 and user not in self._statuses:
            ((split, by_bucket),) = by_split.items()
            return list(
                zip(
                    repeat(makes[split]),
                    (ordered := sorted(by_bucket)),
                    map(by_bucket.__getitem__, ordered),
                    strict=False,
                )
            )
        found = [
            (bucket, order, split, cell)
            for split, by_bucket in by_split.items()
            for order in [_sortable(split)]
            for bucket, cell in by_bucket.items()
        ]
        found += ((bucket, (), (), self._nothing) for bucket in self._idle(user))
        # Bucket and split values are a key, so that a comparison never reaches what follows them.
        return [
            (makes.get(split, self._row), bucket, cell) for bucket, _, split, cell in sorted(found)
        ]

    def _idle(self, user: str | None) -> Iterator[int]:
        """Walk the buckets in which a user was on queue and handled nothing; off queue alone is no work."""
        handled = self._cells.get(user, {}).get((), {})
        for bucket, times in self._statuses.get(user, {}).items():
            if bucket not in handled and any(times[:-1]):
                yield bucket

    def _rows(
        self, cells: Iterable[tuple[_Make, int, _Cell]], statuses: dict[int, list[int]] | None
    ) -> list[object]:
        spans = self._spans
        if self._query.metrics or self._query.occupancy or self._query.contract == "entities":
            return [
                make(*spans[bucket], *self._values(cell, (statuses or {}).get(bucket)))
                for make, bucket, cell in cells
            ]
        # The same at half the price: nothing further, so that a cell holds the sums of `METRICS` and how many were handled.
        return [
            make(
                start,
                end,
                handled,
                talk / 1000,
                held / 1000,
                acw / 1000,
                handle / 1000,
                average(handle, handled),
            )
            for make, bucket, (talk, held, acw, handle, handled) in cells
            for start, end in (spans[bucket],)
        ]

    def _values(self, cell: _Cell, times: list[int] | None) -> Iterator[object]:
        """Walk a row's values after its interval."""
        talk, held, acw, handle = (cell[self._places[metric]] / 1000 for metric in METRICS)
        handled = cell[self._places[_HANDLE] + 1]
        # The entities contract knows no hold: null, for nobody measured it.
        yield from (
            handled,
            talk,
            None if self._query.contract == "entities" else held,
            acw,
            handle,
        )
        yield average(cell[self._places[_HANDLE]], handled)
        for metric in self._query.metrics:
            place = self._places[metric]
            yield from (cell[place + 1], int(cell[place]))
        if self._query.occupancy:
            yield from _routing(times)


def _places(query: Query) -> tuple[dict[str, int], int]:
    """Say where each metric's sum is in a cell, and from which place on its count follows: only some counts are in a record."""
    counted = [
        metric for metric in metrics_of(query) if metric == _HANDLE or metric in query.metrics
    ]
    others = [metric for metric in METRICS if metric not in counted]
    places = {metric: n for n, metric in enumerate(others)}
    return places | {metric: len(others) + 2 * n for n, metric in enumerate(counted)}, len(others)


def _add_cells(into: dict[int, list[Any]], other: dict[int, list[Any]]) -> None:
    if not into:
        into.update(other)
        return
    for bucket, cell in other.items():
        mine = into.get(bucket)
        into[bucket] = (
            cell
            if mine is None
            else [one + another for one, another in zip(mine, cell, strict=True)]
        )


def _routing(times: list[int] | None) -> Iterator[object]:
    """Walk the values of the routing columns; all null where no status was reported."""
    if times is None:
        yield from [None] * (len(STATUS_COLUMNS) + 1)
        return
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
    return tuple(map(null_first, split))
