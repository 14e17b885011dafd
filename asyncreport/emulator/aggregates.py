"""The response to a conversation aggregates query, counted from the world. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asyncreport.emulator.containers import Key, results
from asyncreport.emulator.query import Query
from asyncreport.emulator.sessions import Event, Session
from asyncreport.emulator.vocabulary import reader_of
from asyncreport.emulator.world import World

#: count, sum, min, max; the last three of a counter stay 0
Stats = list[int]
#: bucket -> metric -> stats
Cells = dict[int, dict[str, Stats]]


def count(query: Query, world: World, divisions: frozenset[str] | None = None) -> dict[Key, Cells]:
    """Add up, by group, bucket and metric, what the sessions of these divisions emit."""
    groups: dict[Key, Cells] = {}
    readers = [reader_of(dimension) for dimension in query.group_by]
    index = query.buckets.index
    for session, events in _events(query, world):
        if divisions is not None and session.division_id not in divisions:
            continue
        cells = groups.setdefault(tuple([read(session) for read in readers]), {})
        for at, metric, value in events:
            _add(cells.setdefault(index(at), {}), metric, value or 0)
    return groups


def _events(query: Query, world: World) -> Iterator[tuple[Session, list[Event]]]:
    """Walk the sessions that a query is about, with those of their events that it counts."""
    # A hot loop: tests read months of sessions through it.
    wanted = frozenset(query.metrics)
    start, end, passes = query.start, query.end, query.filter.passes
    users = None if query.filter.users is None else sorted(query.filter.users)
    for session in world.sessions(start, end, users):
        events = [
            event for event in session.events if event[1] in wanted and start <= event[0] < end
        ]
        if events and passes(session):
            yield session, events


def write(query: Query, groups: Mapping[Key, Cells]) -> dict[str, Any]:
    """Write what was counted as the response."""
    rows = {}
    for key, cells in groups.items():
        rows[key] = {bucket: _metrics(query, cell) for bucket, cell in cells.items()}
    return results(query, rows)


def _add(cell: dict[str, Stats], metric: str, value: int) -> None:
    stats = cell.get(metric)
    if stats is None:
        cell[metric] = [1, value, value, value]
        return
    stats[0] += 1
    stats[1] += value
    stats[2] = min(stats[2], value)
    stats[3] = max(stats[3], value)


def _metrics(query: Query, cell: dict[str, Stats]) -> list[dict[str, Any]]:
    names = [name for name in query.metrics if name in cell]
    return [{"metric": name, "stats": _stats(name, cell[name])} for name in names]


def _stats(metric: str, stats: Stats) -> dict[str, Any]:
    number, total, least, most = stats
    if metric.startswith("n"):
        return {"count": number}
    return {"max": float(most), "min": float(least), "count": number, "sum": float(total)}
