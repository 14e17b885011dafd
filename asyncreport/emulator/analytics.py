"""The answer to a conversation aggregates query, counted from the world. Pure."""

from __future__ import annotations

from typing import Any

from asyncreport.emulator.containers import Key, refuse_beyond, results
from asyncreport.emulator.query import Query
from asyncreport.emulator.vocabulary import value_of
from asyncreport.emulator.world import World

#: count, sum, min, max; a counter's last three stay 0
Stats = list[int]
#: bucket -> metric -> stats
Cells = dict[int, dict[str, Stats]]


def evaluate(
    query: Query,
    world: World,
    *,
    divisions: frozenset[str] | None = None,
    max_rows: int = 0,
    split_groups: bool = True,
) -> dict[str, Any]:
    """Count what a query asks for within these divisions (None: all); raise Refused beyond `max_rows` rows (0: no bound)."""
    groups = count(query, world, divisions)
    refuse_beyond(max_rows, groups)
    rows = {
        key: {bucket: _metrics(query, cell) for bucket, cell in cells.items()}
        for key, cells in groups.items()
    }
    return results(query, rows, split_groups=split_groups)


def count(query: Query, world: World, divisions: frozenset[str] | None = None) -> dict[Key, Cells]:
    """Add up, by group, bucket and metric, what the sessions of these divisions emit."""
    groups: dict[Key, Cells] = {}
    wanted = frozenset(query.metrics)
    readers = [value_of(dimension) for dimension in query.group_by]
    users = None if query.filter.users is None else sorted(query.filter.users)
    start, end, keep, index = query.start, query.end, query.filter.passes, query.buckets.index
    for session in world.sessions(start, end, users):
        events = [
            event for event in session.events if event[1] in wanted and start <= event[0] < end
        ]
        if (
            not events
            or not keep(session)
            or (divisions is not None and session.division_id not in divisions)
        ):
            continue
        cells = groups.setdefault(tuple([read(session) for read in readers]), {})
        for at, metric, value in events:
            _add(cells.setdefault(index(at), {}), metric, value)
    return groups


def _add(cell: dict[str, Stats], metric: str, value: int | None) -> None:
    ms = value or 0
    stats = cell.get(metric)
    if stats is None:
        cell[metric] = [1, ms, ms, ms]
        return
    stats[0] += 1
    stats[1] += ms
    stats[2] = min(stats[2], ms)
    stats[3] = max(stats[3], ms)


def _metrics(query: Query, cell: dict[str, Stats]) -> list[dict[str, Any]]:
    return [
        {"metric": name, "stats": _stats(name, cell[name])}
        for name in query.metrics
        if name in cell
    ]


def _stats(metric: str, stats: Stats) -> dict[str, Any]:
    count, total, least, most = stats
    if metric.startswith("n"):
        return {"count": count}
    return {"max": float(most), "min": float(least), "count": count, "sum": float(total)}
