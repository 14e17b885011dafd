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

_INTERVAL_COLUMNS = frozenset({"interval_start", "interval_end"})


def row_checker(query: Query, interval: Interval) -> RowCheck:
    """Make a check for rows of a query in an interval.

    Raise ValueError if the interval does not lie on bucket edges.
    """
    edges = map(iso, query.grid.edges(interval))
    end_of = dict(pairwise(edges))
    decoder = msgspec.json.Decoder(_row_type(query))
    split = _split_columns(query)

    def check(lines: bytes) -> str | None:
        try:
            rows = decoder.decode_lines(lines)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return f"a record cannot be read ({error})"
        return _wrong_order(rows, end_of, split) or _wrong_ratio(rows, query)

    return check


def _split_columns(query: Query) -> list[str]:
    """Name the columns of the dimensions that the records are split by."""
    return [column(dimension) for dimension in query.split_by]


def _row_type(query: Query) -> type[Any]:
    """Make the type of a record with all columns of a query and no other."""
    fields = {name: _column_type(name) for name in columns(query)}
    for name in _split_columns(query):
        fields[name] = str | None
    return msgspec.defstruct(
        "Row",
        fields.items(),
        forbid_unknown_fields=True,
        gc=False,
    )


def _column_type(name: str) -> Any:
    """Give the type of a column that is not a dimension."""
    if name in _INTERVAL_COLUMNS:
        return str
    if name.endswith(("_count", "_sum_ms")):
        return int
    return float | None


def _wrong_order(
    rows: Iterable[Any],
    end_of: dict[str, str],
    split: list[str],
) -> str | None:
    """Say which row is off the grid, repeated or out of order; None: none is.

    `end_of` gives the end of the bucket that begins at an instant.
    """
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
    """Give the place of a row among the rows of its user: by time, then by split values."""
    # Instants in UTC sort in the same way as their texts.
    values = [null_first(getattr(row, name)) for name in split]
    return (row.interval_start, *values)


def _wrong_ratio(rows: Iterable[Any], query: Query) -> str | None:
    """Say which row has a ratio that its other columns do not give; None: none has."""
    for row in rows:
        start = row.interval_start
        if row.avg_handle_time_sec != _average(row):
            return f"avg_handle_time_sec of {start} is not total_handle_time_sec / handled_count"
        if query.occupancy and row.occupancy != _occupancy(row):
            return f"the occupancy of {start} does not match its times"
    return None


def _average(row: Any) -> float | None:
    """Divide the average handle time again."""
    return average(_ms(row.total_handle_time_sec), row.handled_count)


def _occupancy(row: Any) -> float | None:
    """Divide the occupancy again; None if a time is missing."""
    times = [getattr(row, name) for name in _OCCUPANCY_TIMES]
    if None in times:
        return None
    return occupancy(*map(_ms, times))


def _ms(seconds: float | None) -> int:
    """Turn seconds of 3 decimals into whole ms; null counts as 0."""
    return round((seconds or 0) * 1000)
