"""Check the rows of a part: on the grid, in order, each once, with correct ratios. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import msgspec

from asyncreport.core.columns import (
    STATUS_COLUMNS,
    average,
    column,
    columns,
    null_first,
    occupancy,
)
from asyncreport.core.job import Query
from asyncreport.core.timeline import Interval, iso

#: say what is wrong with the rows of one user (JSON lines); None: nothing
RowCheck = Callable[[bytes], str | None]

#: the times that an occupancy is computed from
_OCCUPANCY_TIMES = STATUS_COLUMNS[:3]


def row_checker(query: Query, interval: Interval) -> RowCheck:
    """Make a check for rows of a query in an interval.

    Raise ValueError if the interval does not lie on bucket edges.
    """
    edges = map(iso, query.grid.edges(interval))
    end_of = dict(pairwise(edges))
    decoder = msgspec.json.Decoder(_row_type(query))
    split = [column(dimension) for dimension in query.split_by]

    def check(lines: bytes) -> str | None:
        try:
            rows = decoder.decode_lines(lines)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return f"a record cannot be read ({error})"
        return _wrong_order(rows, end_of, split) or _wrong_ratio(rows, occupancy=query.occupancy)

    return check


def _row_type(query: Query) -> type[Any]:
    """Make the type of a record with all columns of a query and no other."""
    split = set(map(column, query.split_by))
    fields = [(name, _column_type(name, split)) for name in columns(query)]
    return msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)


def _column_type(name: str, split: set[str]) -> Any:
    if name in split:
        return str | None
    if name in {"interval_start", "interval_end"}:
        return str
    if name.endswith(("_count", "_sum_ms")):
        return int
    return float | None


def _wrong_order(rows: Iterable[Any], end_of: dict[str, str], split: list[str]) -> str | None:
    previous: tuple[object, ...] = ("",)
    for row in rows:
        start = row.interval_start
        if end_of.get(start) != row.interval_end:
            return f"{start}/{row.interval_end} is not a bucket of this part"
        key = _sort_key(row, split)
        if key == previous:
            return f"the record of {start} is repeated"
        if key < previous:
            return f"the record of {start} is out of order"
        previous = key
    return None


def _sort_key(row: Any, split: list[str]) -> tuple[object, ...]:
    # Instants in UTC sort in the same way as their texts.
    return (row.interval_start, *(null_first(getattr(row, name)) for name in split))


def _wrong_ratio(rows: Iterable[Any], *, occupancy: bool) -> str | None:
    for row in rows:
        start = row.interval_start
        if row.avg_handle_time_sec != average(_ms(row.total_handle_time_sec), row.handled_count):
            return f"avg_handle_time_sec of {start} is not total_handle_time_sec / handled_count"
        if occupancy and row.occupancy != _occupancy(row):
            return f"the occupancy of {start} does not match its times"
    return None


def _occupancy(row: Any) -> float | None:
    times = [getattr(row, name) for name in _OCCUPANCY_TIMES]
    if None in times:
        return None
    return occupancy(*map(_ms, times))


def _ms(seconds: float | None) -> int:
    return round((seconds or 0) * 1000)
