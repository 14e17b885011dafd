"""Add up the counts and sums of responses, and make records from them. Pure.

Everything is added per key (user, split values, bucket), because a response may name a key several
times: it splits by media types that were not asked for, a group may have several containers, and a
bucket several entries. Ratios are computed once, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.core.columns import (
    METRICS,
    STATUS_COLUMNS,
    STATUS_METRIC,
    STATUSES,
    average,
    columns,
    metrics_of,
    null_first,
    occupancy,
)
from asyncreport.core.errors import OFF_GRID, RejectedError
from asyncreport.core.job import Query
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.measures import Datum, Measure, Stats, checked_stats
from asyncreport.core.text import shorten
from asyncreport.core.timeline import iso, parse_iso

#: values of the split dimensions, in the order of the columns
Split = tuple[str | None, ...]


class Block(Struct, frozen=True, gc=False):
    """A user's rows as a part stores them, in order of time and split values."""

    #: None: what no user handled
    user: str | None
    #: JSON, one row per line
    lines: bytes
    #: rows
    count: int
    #: ids in the rows' `queue_id`
    queues: frozenset[str] = frozenset()


_HANDLE = METRICS[-1]

#: where a row's values have the hold time
_HOLD = 2

_ENCODER = msgspec.json.Encoder()

#: sums in ms (floats, which hold them exactly) and counts; `_Layout` says where each one is
_Cell = list[Any]
#: makes a row of given split values from the other values
_MakeRow = Callable[..., object]
#: by split values, then by bucket
_BySplit = dict[Split, dict[int, _Cell]]
#: what makes the row of a cell, the bucket, the cell
_Entry = tuple[_MakeRow, int, _Cell]


class Accumulator:
    """Add up what the responses for one chunk report; give it back as sorted rows."""

    def __init__(self, edges: Sequence[int], query: Query) -> None:
        self._buckets = _buckets(tuple(edges))
        self._layout = _layout(query)
        self._rows = _RowMaker(query, self._buckets.spans, self._layout)
        self._cells: dict[str | None, _BySplit] = {}
        self._statuses: dict[str | None, dict[int, list[int]]] = {}
        self._skipped_metrics = False

    def empty_copy(self) -> Accumulator:
        """Make an empty one over the same buckets, for a page that may turn out to be invalid."""
        other: Accumulator = copy(self)
        other._cells = {}
        other._statuses = {}
        other._skipped_metrics = False
        return other

    def absorb(self, other: Accumulator) -> None:
        """Add everything that another one holds; the other one must not be used afterwards."""
        for user, by_split in other._cells.items():
            for split, by_bucket in by_split.items():
                _add_cells(self._cells_of(user, split), by_bucket)
        for user, times in other._statuses.items():
            _add_cells(self._statuses.setdefault(user, {}), times)
        self._skipped_metrics |= other._skipped_metrics

    def skip_ungrouped(self, *, has_metrics: bool) -> None:
        """Skip a group without a user if listed users were asked for; note if it had metrics."""
        self._skipped_metrics |= has_metrics

    @property
    def only_ungrouped(self) -> bool:
        """Tell whether every metric came without a user, although listed users were asked for."""
        return self._skipped_metrics and not self._cells and not self._statuses

    def bucket_starting(self, start: str | None) -> str:
        """Give the bucket that begins at an instant of any offset; raise RejectedError if none."""
        return self._buckets.starting(start or "")

    def off_grid_error(self, bucket: str) -> RejectedError:
        """Make the error for a bucket that was not asked for."""
        return self._buckets.off_grid_error(bucket)

    def add(self, user: str | None, split: Split, data: Iterable[Datum]) -> None:
        """Add the buckets of a group; raise RejectedError if one is off the grid or impossible."""
        self.add_validated(user, split, [self._validated(user, datum) for datum in data])

    def add_validated(self, user: str | None, split: Split, data: Iterable[Any]) -> None:
        """Add the buckets of one group that are known to be valid.

        `data` are like `Datum`s without None. They hold only metrics that were asked for, whole ms
        and numbers up to `MAX_VALUE`. Raise RejectedError for a bucket off the grid.
        """
        # The hot loop of a run: local names, and no call for each measure.
        numbers = self._buckets.numbers
        places = self._layout.places
        first_counted = self._layout.first_counted
        empty = self._layout.empty
        cells = self._cells_of(user, split)
        for datum in data:
            bucket = numbers.get(datum.interval)
            if bucket is None:
                bucket = self._buckets.number(datum.interval)
            cell = cells.get(bucket)
            for measure in datum.metrics:
                if cell is None:
                    cell = cells[bucket] = empty.copy()
                if (stats := measure.stats) is not None:
                    place = places[measure.metric]
                    cell[place] += stats.sum
                    if place >= first_counted:
                        cell[place + 1] += stats.count

    def _cells_of(self, user: str | None, split: Split) -> dict[int, _Cell]:
        """Give the cells of a key, by bucket; they may be empty."""
        return self._cells.setdefault(user, {}).setdefault(split, {})

    def _validated(self, user: str | None, datum: Datum) -> Datum:
        """Drop metrics that were not asked for and round to whole ms; raise RejectedError."""
        measures = []
        for measure in datum.metrics or ():
            name = str(measure.metric)
            if name in self._layout.places:
                stats = checked_stats(measure, user, datum.interval)
                measures.append(Measure(name, _in_whole_ms(stats)))
        return Datum(datum.interval, measures)

    def add_statuses(self, user: str, data: Iterable[Datum]) -> None:
        """Add a user's routing-status times; raise RejectedError as `add` does."""
        by_bucket = self._statuses.setdefault(user, {})
        for datum in data:
            bucket = self._buckets.number(datum.interval)
            for measure in datum.metrics or ():
                if _is_status_time(measure):
                    stats = checked_stats(measure, user, datum.interval)
                    times = by_bucket.setdefault(bucket, [0] * len(STATUSES))
                    times[STATUSES.index(measure.qualifier)] += round(stats.sum)

    def blocks(self) -> Iterator[Block]:
        """Walk the users, null first, each with its rows."""
        users = self._cells.keys() | self._statuses.keys()
        for user in sorted(users, key=null_first):
            block = self._rows.block(user, self._cells.get(user, {}), self._statuses.get(user))
            if block.count:
                yield block


class _Buckets:
    """The buckets of a chunk, found by the text of their interval."""

    def __init__(self, edges: Sequence[int]) -> None:
        self.spans = list(pairwise(map(iso, edges)))
        # The vendor writes the buckets exactly so: nearly every look-up ends here, without parsing
        # a date.
        self.numbers = {f"{start}/{end}": n for n, (start, end) in enumerate(self.spans)}
        self._by_start = {start: f"{start}/{end}" for start, end in self.spans}

    def number(self, interval: str) -> int:
        """Look up a bucket of any offset; raise RejectedError if it is off the grid."""
        number = self.numbers.get(interval)
        if number is None:
            number = self.numbers.get("/".join(map(_canonical, interval.split("/"))))
        if number is None:
            raise self.off_grid_error(interval)
        return number

    def starting(self, start: str) -> str:
        """Give the bucket that begins at an instant; raise RejectedError if none does."""
        bucket = self._by_start.get(_canonical(start))
        if bucket is None:
            raise self.off_grid_error(start)
        return bucket

    def off_grid_error(self, bucket: str) -> RejectedError:
        """Make the error for a bucket that was not asked for."""
        (start, first_end), (_, end) = self.spans[0], self.spans[-1]
        return RejectedError(
            f"the response has a bucket {shorten(bucket, 80)!r} that was not asked for; "
            f"expected buckets from {start} to {end}, the first until {first_end}",
            code=OFF_GRID,
        )


#: the chunks of the next users often have the same edges
_buckets = lru_cache(maxsize=8)(_Buckets)


@dataclass(slots=True, frozen=True)
class _Layout:
    """Where a cell holds what: each metric's sum, for some metrics followed by a count."""

    #: of each metric's sum
    places: dict[str, int]
    #: from here on a count follows each sum
    first_counted: int
    empty: _Cell


def _layout(query: Query) -> _Layout:
    """Give a count only to the metrics whose count is in a record."""
    with_count = {_HANDLE, *query.metrics}
    counted = [metric for metric in metrics_of(query) if metric in with_count]
    uncounted = [metric for metric in METRICS if metric not in with_count]
    places = {metric: n for n, metric in enumerate(uncounted)}
    for n, metric in enumerate(counted):
        places[metric] = len(uncounted) + 2 * n
    empty = [0.0] * len(uncounted) + [0.0, 0] * len(counted)
    return _Layout(places, len(uncounted), empty)


def _in_whole_ms(stats: Stats) -> Stats:
    """Round a sum; a float, because the hot loop adds floats."""
    return Stats(stats.count, float(round(stats.sum)))


def _is_status_time(measure: Measure) -> bool:
    """Tell whether a measure has the time of a status that has a column."""
    # Other metrics have qualifiers too: IDLE is also a presence.
    if measure.metric != STATUS_METRIC or measure.stats is None:
        return False
    return measure.qualifier in STATUSES


def _add_cells(into: dict[int, list[Any]], other: dict[int, list[Any]]) -> None:
    """Add the numbers of cells to those of others, by bucket."""
    if not into:
        # Most groups come in one page: nothing to add up.
        into.update(other)
        return
    for bucket, cell in other.items():
        mine = into.get(bucket)
        if mine is None:
            into[bucket] = cell
        else:
            into[bucket] = [one + another for one, another in zip(mine, cell, strict=True)]


def _canonical(moment: str) -> str:
    """Rewrite an instant of any offset as the grid writes it; give back what is not an instant."""
    try:
        return iso(parse_iso(moment))
    except (ValueError, OverflowError):
        return moment


@lru_cache(maxsize=16)
def _row_type(names: tuple[str, ...]) -> type[Struct]:
    """Make a struct of columns: it is made and encoded in half the time that a dict takes.

    Once for all chunks: making the type takes as long as some hundred rows.
    """
    return msgspec.defstruct("Row", names, gc=False)


class _RowMaker:
    """Make the rows of a user from sums."""

    def __init__(self, query: Query, spans: Sequence[tuple[str, str]], layout: _Layout) -> None:
        self._query = query
        self._spans = spans
        self._layout = layout
        self._row = _row_type(tuple(columns(query)))
        self._plain = not (query.metrics or query.occupancy or query.contract == "entities")

    def block(
        self,
        user: str | None,
        by_split: _BySplit,
        statuses: dict[int, list[int]] | None,
    ) -> Block:
        """Make a user's rows, in order of time and split values."""
        cells = self._in_order(by_split, statuses)
        rows = self._plain_rows(cells) if self._plain else self._full_rows(cells, statuses or {})
        lines = escape_separators(_ENCODER.encode_lines(rows))
        return Block(user, lines, len(rows), self._queues(by_split))

    def _in_order(self, by_split: _BySplit, statuses: dict[int, list[int]] | None) -> list[_Entry]:
        """List cells by bucket and split values, each with what makes its row."""
        if len(by_split) == 1 and statuses is None:
            # Most users of most jobs: there is only one key in each bucket.
            ((split, by_bucket),) = by_split.items()
            make = self._maker(split)
            return [(make, bucket, by_bucket[bucket]) for bucket in sorted(by_bucket)]
        return self._sorted(by_split, statuses or {})

    def _sorted(self, by_split: _BySplit, statuses: dict[int, list[int]]) -> list[_Entry]:
        found: list[tuple[int, Any, _MakeRow, _Cell]] = []
        for split, by_bucket in by_split.items():
            order = tuple(map(null_first, split))
            make = self._maker(split)
            found += [(bucket, order, make, cell) for bucket, cell in by_bucket.items()]
        for bucket in _idle_buckets(by_split.get((), {}), statuses):
            found.append((bucket, (), self._row, self._layout.empty))
        # Bucket and split values are unique, so that no comparison goes on to the functions.
        found.sort()
        return [(make, bucket, cell) for bucket, _, make, cell in found]

    def _maker(self, split: Split) -> _MakeRow:
        """Give what makes rows of given split values."""
        if split:
            return partial(self._row, *split)
        return self._row

    def _plain_rows(self, cells: Iterable[_Entry]) -> list[object]:
        """Make rows of `METRICS` only, in half the time that `_full_rows` takes."""
        rows = []
        for make, bucket, (talk, held, acw, handle, handled) in cells:
            start, end = self._spans[bucket]
            mean = average(handle, handled)
            rows.append(
                make(start, end, handled, talk / 1000, held / 1000, acw / 1000, handle / 1000, mean)
            )
        return rows

    def _full_rows(self, cells: Iterable[_Entry], statuses: dict[int, list[int]]) -> list[object]:
        rows = []
        for make, bucket, cell in cells:
            values = self._values(cell)
            if self._query.occupancy:
                values += _status_values(statuses.get(bucket))
            rows.append(make(*self._spans[bucket], *values))
        return rows

    def _values(self, cell: _Cell) -> list[object]:
        """List a row's values between its interval and its routing statuses."""
        places = self._layout.places
        talk, held, acw, handle = (cell[places[metric]] for metric in METRICS)
        handled = cell[places[_HANDLE] + 1]
        values = [
            handled,
            talk / 1000,
            held / 1000,
            acw / 1000,
            handle / 1000,
            average(handle, handled),
        ]
        if self._query.contract == "entities":
            # This contract does not report hold time: null, because it was not measured.
            values[_HOLD] = None
        return values + self._added_values(cell)

    def _added_values(self, cell: _Cell) -> list[object]:
        """List the count and the sum of each metric that the job adds."""
        values: list[object] = []
        for metric in self._query.metrics:
            place = self._layout.places[metric]
            values += (cell[place + 1], int(cell[place]))
        return values

    def _queues(self, by_split: _BySplit) -> frozenset[str]:
        if "queueId" not in self._query.split_by:
            return frozenset()
        at = self._query.split_by.index("queueId")
        queues = {split[at] for split, by_bucket in by_split.items() if by_bucket}
        return frozenset(queue for queue in queues if queue is not None)


def _idle_buckets(handled: dict[int, _Cell], statuses: dict[int, list[int]]) -> Iterator[int]:
    """Walk the buckets in which a user was on queue and handled nothing.

    A user who was only off queue did not work: no row.
    """
    for bucket, times in statuses.items():
        if bucket not in handled and any(times[:-1]):
            yield bucket


def _status_values(times: list[int] | None) -> list[object]:
    """List the values of the routing columns; all null if no status was reported."""
    if times is None:
        return [None] * (len(STATUS_COLUMNS) + 1)
    return [*(time / 1000 for time in times), occupancy(*times[:3])]
