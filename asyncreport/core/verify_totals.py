"""Add up records by user, and compare two such totals. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from msgspec.structs import replace

from asyncreport.core.columns import STATUS_COLUMNS, column, metric_columns, null_first
from asyncreport.core.job import Query
from asyncreport.core.timeline import Granularity, Interval

#: by user (None: what no user handled), then by column; counts, and ms
Totals = dict[str | None, dict[str, int]]

#: columns of every record that can be added up
_BASE_COLUMNS = (
    "handled_count",
    "total_talk_time_sec",
    "total_hold_time_sec",
    "total_wrap_up_sec",
    "total_handle_time_sec",
)

#: metrics that are also part of handle time:
#: https://help.mypurecloud.com/glossary/handle-time/
_OTHER_COMPONENTS = ("tContacting", "tDialing")

#: columns that add up to handle time
_COMPONENTS = (
    "total_talk_time_sec",
    "total_hold_time_sec",
    "total_wrap_up_sec",
    *(f"{column(metric)}_sum_ms" for metric in _OTHER_COMPONENTS),
)


@dataclass(slots=True, frozen=True)
class Difference:
    """What differs for one user."""

    user: str | None
    #: column, our value, the other value; counts, and ms
    columns: tuple[tuple[str, int, int], ...]


def compared_columns(query: Query) -> tuple[str, ...]:
    """List the columns that can be added up.

    These are not the averages, and not the time off queue: a part does not have it for buckets in
    which nothing else happened.
    """
    names = [*_BASE_COLUMNS, *metric_columns(query)]
    if query.occupancy:
        names += [name for name in STATUS_COLUMNS if name != "off_queue_sec"]
    return tuple(names)


def totals_query(query: Query, interval: Interval, *, several: Iterable[str]) -> Query:
    """Make the query for the same data in one bucket, with all components of handle time.

    Records stay split by a dimension only if it is in `several`: one interaction may have several
    values of it, so that its records do not add up.
    """
    kept = set(several)
    split_by = [dimension for dimension in query.split_by if dimension in kept]
    return replace(
        query,
        grid=replace(query.grid, granularity=Granularity.NONE, whole=interval),
        split_by=tuple(split_by),
        metrics=_with_components(query),
    )


def _with_components(query: Query) -> tuple[str, ...]:
    """List the added metrics with all components of handle time that the contract has."""
    if query.contract == "entities":
        return query.metrics
    return tuple(dict.fromkeys((*query.metrics, *_OTHER_COMPONENTS)))


def add(
    totals: Totals,
    user: str | None,
    rows: Iterable[Mapping[str, object]],
    columns: Sequence[str],
) -> None:
    """Add one user's rows in whole counts and ms.

    Seconds have 3 decimals, so that rounding gives the exact ms.
    """
    sums = totals.setdefault(user, dict.fromkeys(columns, 0))
    for row in rows:
        for name in columns:
            sums[name] += _whole(name, row[name])


def _whole(name: str, value: object) -> int:
    """Turn a column's value into a whole count or ms; null counts as 0."""
    if not isinstance(value, (int, float)):
        return 0
    if name.endswith("_sec"):
        return round(value * 1000)
    return int(value)


def differences(
    ours: Totals,
    theirs: Totals,
    columns: Sequence[str],
    *,
    tolerance: Mapping[str | None, int] = MappingProxyType({}),
) -> list[Difference]:
    """List the users whose totals differ, null first, with the columns.

    A user who is missing on one side counts as all zero there. `tolerance` is the number of ms that
    a user's times may differ by.
    """
    found = []
    for user in sorted(ours.keys() | theirs.keys(), key=null_first):
        pairs = _pairs(ours.get(user, {}), theirs.get(user, {}), columns)
        differing = _differing(pairs, tolerance.get(user, 0))
        if differing:
            found.append(Difference(user, differing))
    return found


def _pairs(
    ours: Mapping[str, int],
    theirs: Mapping[str, int],
    columns: Sequence[str],
) -> Iterator[tuple[str, int, int]]:
    """Walk the columns of one user: name, our value, the other value."""
    for name in columns:
        yield name, ours.get(name, 0), theirs.get(name, 0)


def _differing(
    pairs: Iterable[tuple[str, int, int]],
    allowed: int,
) -> tuple[tuple[str, int, int], ...]:
    """Keep the columns that differ by more than is allowed."""
    return tuple(pair for pair in pairs if _differs(*pair, allowed))


def _differs(name: str, ours: int, theirs: int, allowed: int) -> bool:
    """Tell whether two values differ; only times may differ a little."""
    if not name.endswith("_sec"):
        return ours != theirs
    return abs(ours - theirs) > allowed


def merge(into: Totals, other: Totals) -> None:
    """Add other totals to these."""
    for user, sums in other.items():
        mine = into.setdefault(user, {})
        for name, value in sums.items():
            mine[name] = mine.get(name, 0) + value


def uneven_handle_times(totals: Totals) -> list[tuple[str | None, int, int]]:
    """List users whose handle time is not the sum of its components, with both in ms."""
    found = []
    for user in sorted(totals, key=null_first):
        sums = totals[user]
        handle = sums["total_handle_time_sec"]
        components = sum(sums[name] for name in _COMPONENTS)
        if abs(handle - components) > _allowance(handle, sums["handled_count"]):
            found.append((user, handle, components))
    return found


def _allowance(handle: int, count: int) -> int:
    """Give the ms by which handle time may differ from its components.

    Each metric has its own timestamp, so that of an interaction at the start or the end of the
    range one metric may be inside and another outside. Two interactions of the user's average
    length are allowed for this, and 1 % for what is reported twice or late.
    """
    average = handle // max(1, count)
    return 2 * average + handle // 100
