"""What was counted, written as the vendor's analytics answers are: containers of groups, entries of buckets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from asyncreport.emulator.answers import Refused
from asyncreport.emulator.query import Query

#: the values of a group's dimensions, in the order of `Query.group_by`
Key = tuple[str | None, ...]
#: bucket -> its metrics as they are written
Row = Mapping[int, Sequence[dict[str, Any]]]


def refuse_beyond(most: int, groups: Mapping[Key, Mapping[int, Any]]) -> None:
    """Raise Refused beyond so many rows (0: no bound), a row being a group's bucket."""
    if most and sum(map(len, groups.values())) > most:
        raise Refused(
            400,
            "response.entity.too.large",
            "The response is over the size limit, reduce pageSize or the interval",
        )


def refuse_late(most: int, query: Query, population: int) -> None:
    """Raise Refused where a query is about more users x buckets than these (0: no bound); without a filter it is about everyone."""
    users = population if query.filter.users is None else len(query.filter.users)
    if most and users * (len(query.buckets.edges) - 1) > most:
        raise Refused(504, "request.timeout", "The request timed out")


def results(query: Query, groups: Mapping[Key, Row], *, split_groups: bool) -> dict[str, Any]:
    """Write an answer, whose order of groups is fixed but means nothing.

    With `split_groups` some groups come as several containers and some buckets as several entries: who reads must add up.
    """
    if not groups:
        return {} if query.start // 86_400_000 % 2 else {"results": []}  # both have been seen
    texts = _Texts(query)
    containers = [
        part
        for key, row in groups.items()
        for part in _containers(query, key, row, texts, split_groups=split_groups)
    ]
    return {"results": [container for _, container in sorted(containers, key=lambda part: part[0])]}


class _Texts(dict[int, str]):
    """The written form of each bucket, made once."""

    def __init__(self, query: Query) -> None:
        super().__init__()
        self._query = query

    def __missing__(self, index: int) -> str:
        text = self[index] = self._query.buckets.text(index, self._query.end)
        return text


def _containers(
    query: Query, key: Key, row: Row, texts: _Texts, *, split_groups: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Write a group as one container or two, each with its place in the answer."""
    group = {
        dimension: value
        for dimension, value in zip(query.group_by, key, strict=True)
        if value is not None
    }
    place = crc32(repr(key).encode())
    buckets = sorted(row)
    cut = len(buckets) // 2 if split_groups and place % 4 == 0 else 0
    halved = split_groups and place % 4 == 1
    for part, indexes in enumerate((buckets[cut:], buckets[:cut])):
        data = [
            entry
            for index in indexes
            for entry in _entries(texts[index], row[index], halved=halved)
        ]
        if data:
            yield crc32(repr((place, part)).encode()), {"group": group, "data": data}


def _entries(
    interval: str, metrics: Sequence[dict[str, Any]], *, halved: bool
) -> Iterator[dict[str, Any]]:
    """Write one bucket of a group, in two entries where it is to be halved."""
    middle = len(metrics) // 2 if halved else 0
    for part in (metrics[middle:], metrics[:middle]):
        if part:
            yield {"interval": interval, "metrics": part}
