"""Add up records over longer buckets: from sums and counts, never from averages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from asyncreport.core.outputs import WEEKDAY_HOUR, RollUp
from asyncreport.core.records import Split
from asyncreport.core.reshape import NamesById, name_of
from asyncreport.core.rollup_buckets import Bucket, Buckets, columns_of, ends_by
from asyncreport.core.table import Column, Kind

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
        done = [key for key in self._cells if ends_by(key[0], until)]
        for bucket, split in sorted(done, key=_order):
            values = {**facts, **dict(zip(self._split, split, strict=True))}
            values.update(_names_of(values, names))
            values.update(columns_of(bucket))
            values.update(self._numbers(self._cells.pop((bucket, split))))
            yield {name: values[name] for name in self._columns}

    def _numbers(self, cell: Sequence[int | None]) -> dict[str, object]:
        """Give the numbers of a row; ratios are divided here and nowhere before."""
        sums = dict(zip(self._added, cell, strict=True))
        values: dict[str, object] = {name: _value(name, each) for name, each in sums.items()}
        handled, handle = sums["handled_count"] or 0, sums["total_handle_time_sec"] or 0
        values[_AVERAGE] = average(handle, handled)
        if self._query.occupancy:
            values["occupancy"] = _occupancy([sums[name] for name in STATUS_COLUMNS[:3]])
        return values


def _names_of(values: Mapping[str, object], names: NamesById) -> dict[str, object]:
    """Give the names of the ids in a row, by column."""
    return {name: name_of(values.get(ids), by_id) for name, (ids, by_id) in names.items()}


def _value(name: str, total: int | None) -> float | None:
    """Give the value of a column: times, which are added up in ms, become seconds."""
    if total is None or _is_count(name):
        return total
    return total / 1000


def _occupancy(times: Sequence[int | None]) -> float | None:
    """Divide the times on queue, in ms; None if none was measured."""
    interacting, communicating, idle = (time or 0 for time in times)
    return occupancy(interacting, communicating, idle)


def _order(key: tuple[Bucket, Split]) -> Any:
    """Sort by time, then by split values."""
    bucket, split = key
    return bucket, tuple(map(null_first, split))
