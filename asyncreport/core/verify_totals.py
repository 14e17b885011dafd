"""Totals of records by user, and where two of them differ. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec
from msgspec import Struct

from asyncreport.core.columns import STATUSES, column, null_first
from asyncreport.core.job import Query
from asyncreport.core.timeline import Granularity, Grid, Interval

#: by user (None: what no user handled), then by column; counts, and ms
Totals = dict[str | None, dict[str, int]]

_OF_ALL = (
    "handled_count",
    "total_talk_time_sec",
    "total_hold_time_sec",
    "total_wrap_up_sec",
    "total_handle_time_sec",
)
#: in handle time beside talk, hold and wrap-up: https://help.mypurecloud.com/glossary/handle-time/
_BESIDE = ("tContacting", "tDialing")
_PIECES = (*_OF_ALL[1:4], *(f"{column(metric)}_sum_ms" for metric in _BESIDE))


class Difference(Struct, frozen=True):
    """What is not the same of one user."""

    user: str | None
    #: column, here, there; counts, and ms
    columns: tuple[tuple[str, int, int], ...]


def compared_columns(query: Query) -> tuple[str, ...]:
    """Name the columns that add up: no averages, and no time off queue, which is lost where nothing else was in the bucket."""
    further = [
        f"{column(metric)}_{what}" for metric in query.metrics for what in ("count", "sum_ms")
    ]
    statuses = (
        [f"{status.lower()}_sec" for status in STATUSES if status != "OFF_QUEUE"]
        if query.occupancy
        else []
    )
    return (*_OF_ALL, *further, *statuses)


def totals_query(query: Query, interval: Interval, *, several: Iterable[str]) -> Query:
    """Ask for the same in one bucket, and for what handle time is made of.

    Of the dimensions that records are split by, those that have `several` values for one interaction stay: the others add up.
    """
    beside = (
        ()
        if query.contract == "entities"
        else tuple(metric for metric in _BESIDE if metric not in query.metrics)
    )
    return msgspec.structs.replace(
        query,
        grid=Grid(Granularity.NONE, "UTC", interval),
        split_by=tuple(dimension for dimension in query.split_by if dimension in set(several)),
        metrics=(*query.metrics, *beside),
    )


def add(
    totals: Totals, user: str | None, rows: Iterable[Mapping[str, object]], columns: Sequence[str]
) -> None:
    """Add one user's rows in whole counts and ms: seconds have 3 places, so that rounding gives back what they were made from."""
    sums = totals.setdefault(user, dict.fromkeys(columns, 0))
    for row in rows:
        for name in columns:
            value = row[name]
            if isinstance(value, (int, float)):
                sums[name] += round(value * 1000) if name.endswith("_sec") else int(value)


def differences(
    ours: Totals,
    theirs: Totals,
    columns: Sequence[str],
    *,
    tolerance: Mapping[str | None, int] = MappingProxyType({}),
) -> list[Difference]:
    """List the users whose totals are not the same, by id, with the columns; who is missing has nothing but zeros.

    `tolerance` is by how many ms a user's seconds may be off.
    """
    found = []
    nothing: dict[str, int] = {}
    for user in sorted(ours.keys() | theirs.keys(), key=null_first):
        here, there = ours.get(user, nothing), theirs.get(user, nothing)
        pairs = [(name, here.get(name, 0), there.get(name, 0)) for name in columns]
        off = tolerance.get(user, 0)
        if unlike := tuple(
            pair
            for pair in pairs
            if abs(pair[1] - pair[2]) > (off if pair[0].endswith("_sec") else 0)
        ):
            found.append(Difference(user, unlike))
    return found


def merge(into: Totals, other: Totals) -> None:
    """Add other totals to these."""
    for user, sums in other.items():
        mine = into.setdefault(user, {})
        for name, value in sums.items():
            mine[name] = mine.get(name, 0) + value


def uneven_handle_times(totals: Totals) -> list[tuple[str | None, int, int]]:
    """List users whose handle time is not what it is made of, with both in ms.

    Each metric is stamped with its own instant, so that of an interaction at either end of the range one may be inside and the
    other outside: two interactions of the user's average length, and 1 % for whatever is emitted twice or late, are let pass.
    """
    found = []
    for user, sums in totals.items():
        handle, pieces = sums["total_handle_time_sec"], sum(sums[name] for name in _PIECES)
        average = handle // max(1, sums["handled_count"])
        if abs(handle - pieces) > 2 * average + handle // 100:
            found.append((user, handle, pieces))
    return sorted(found, key=lambda each: null_first(each[0]))
