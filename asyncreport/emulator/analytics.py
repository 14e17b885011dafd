"""The answer to a conversation aggregates query, counted from the world. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zlib import crc32

from asyncreport.emulator.answers import Refused
from asyncreport.emulator.query import Query
from asyncreport.emulator.vocabulary import value_of
from asyncreport.emulator.world import World

#: the values of a group's dimensions, in the order of `Query.group_by`
Key = tuple[str | None, ...]
#: count, sum, min, max; a counter's last three stay 0
Stats = list[int]
#: bucket -> metric -> stats
Row = dict[int, dict[str, Stats]]


def evaluate(query: Query, world: World, *, max_rows: int = 0, split_groups: bool = True) -> dict[str, Any]:
    """Count what a query asks for, and write it the way the vendor does.

    The order of groups is fixed but means nothing. With `split_groups` some groups come as several containers and some buckets
    as several entries: who reads must add up. Raise Refused beyond `max_rows` rows (0: no bound), a row being a group's bucket.
    """
    groups = _count(query, world)
    if max_rows and sum(map(len, groups.values())) > max_rows:
        raise Refused(400, "response.entity.too.large", "The response is over the size limit, reduce pageSize or the interval")
    if not groups:
        return {} if query.start // 86_400_000 % 2 else {"results": []}  # both have been seen
    texts = _Texts(query)
    containers = [part for key, row in groups.items() for part in _containers(query, key, row, texts, split_groups=split_groups)]
    return {"results": [container for _, container in sorted(containers, key=lambda part: part[0])]}


def _count(query: Query, world: World) -> dict[Key, Row]:
    groups: dict[Key, Row] = {}
    wanted = frozenset(query.metrics)
    readers = [value_of(dimension) for dimension in query.group_by]
    users = None if query.filter.users is None else sorted(query.filter.users)
    start, end, keep, index = query.start, query.end, query.filter.passes, query.buckets.index
    for session in world.sessions(start, end, users):
        events = [event for event in session.events if event[1] in wanted and start <= event[0] < end]
        if not events or not keep(session):
            continue
        row = groups.setdefault(tuple([read(session) for read in readers]), {})
        for at, metric, value in events:
            _add(row.setdefault(index(at), {}), metric, value)
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


class _Texts(dict[int, str]):
    """The written form of each bucket, made once."""

    def __init__(self, query: Query) -> None:
        super().__init__()
        self._query = query

    def __missing__(self, index: int) -> str:
        text = self[index] = self._query.buckets.text(index, self._query.end)
        return text


def _containers(query: Query, key: Key, row: Row, texts: _Texts, *, split_groups: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    """Write a group as one container or two, each with its place in the answer."""
    group = {dimension: value for dimension, value in zip(query.group_by, key, strict=True) if value is not None}
    place = crc32(repr(key).encode())
    buckets = sorted(row)
    cut = len(buckets) // 2 if split_groups and place % 4 == 0 else 0
    halved = split_groups and place % 4 == 1
    for part, indexes in enumerate((buckets[cut:], buckets[:cut])):
        data = [entry for index in indexes for entry in _entries(query, texts[index], row[index], halved=halved)]
        if data:
            yield crc32(repr((place, part)).encode()), {"group": group, "data": data}


def _entries(query: Query, interval: str, cell: dict[str, Stats], *, halved: bool) -> Iterator[dict[str, Any]]:
    """Write one bucket of a group, in two entries where it is to be halved."""
    metrics = [{"metric": name, "stats": _stats(name, cell[name])} for name in query.metrics if name in cell]
    middle = len(metrics) // 2 if halved else 0
    for part in (metrics[middle:], metrics[:middle]):
        if part:
            yield {"interval": interval, "metrics": part}


def _stats(metric: str, stats: Stats) -> dict[str, Any]:
    count, total, least, most = stats
    if metric.startswith("n"):
        return {"count": count}
    return {"max": float(most), "min": float(least), "count": count, "sum": float(total)}
