"""Whether the rows of a part are what a fetch makes: on the grid, in order, once each, with the ratios of their own sums. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import msgspec

from asyncreport.core.columns import STATUSES, average, column, columns, null_first, occupancy
from asyncreport.core.job import Query
from asyncreport.core.timeline import Interval, iso

#: say what is wrong with one user's rows, JSON lines; None: nothing
Check = Callable[[bytes], str | None]

_TIMES = tuple(f"{status.lower()}_sec" for status in STATUSES[:3])


def row_checker(query: Query, interval: Interval) -> Check:
    """Make the check of rows that a query gives in an interval; raise ValueError where its ends are no edges of buckets."""
    spans = dict(pairwise(map(iso, query.grid.edges(interval))))
    decoder = msgspec.json.Decoder(_row(query))
    split = tuple(map(column, query.split_by))

    def check(lines: bytes) -> str | None:
        try:
            rows = decoder.decode_lines(lines)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return f"a record cannot be read ({error})"
        return _disorder(rows, spans, split) or _miscalculation(rows, routing=query.occupancy)

    return check


def _row(query: Query) -> type[Any]:
    """Type a record of all columns of a query, and of no other."""
    kinds: dict[str, object] = dict.fromkeys(columns(query), float | None)
    kinds |= dict.fromkeys(map(column, query.split_by), str | None)
    kinds |= dict.fromkeys(("interval_start", "interval_end"), str)
    kinds |= {name: int for name in kinds if name.endswith(("_count", "_sum_ms"))}
    return msgspec.defstruct("Row", list(kinds.items()), forbid_unknown_fields=True, gc=False)


def _disorder(rows: Iterable[Any], spans: dict[str, str], split: tuple[str, ...]) -> str | None:
    before: tuple[object, ...] = ("",)
    for row in rows:
        if spans.get(row.interval_start) != row.interval_end:
            return f"{row.interval_start}/{row.interval_end} is none of its buckets"
        values = tuple(getattr(row, name) for name in split)
        # Instants in UTC sort as their texts do; null comes first.
        place = (row.interval_start, *map(null_first, values))
        if place <= before:
            return f"the record of {row.interval_start} {'comes twice' if place == before else 'is out of order'}"
        before = place
    return None


def _miscalculation(rows: Iterable[Any], *, routing: bool) -> str | None:
    for row in rows:
        if row.avg_handle_time_sec != average(_ms(row.total_handle_time_sec), row.handled_count):
            return f"avg_handle_time_sec of {row.interval_start} is not its handle time by its number handled"
        if routing:
            times = [getattr(row, name) for name in _TIMES]
            if row.occupancy != (None if None in times else occupancy(*map(_ms, times))):
                return f"the occupancy of {row.interval_start} is not that of its times"
    return None


def _ms(seconds: float | None) -> int:
    return round((seconds or 0) * 1000)
