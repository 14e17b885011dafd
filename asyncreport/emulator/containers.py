"""Write counts as the vendor's analytics responses do: groups with entries for buckets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from asyncreport.emulator.messages import ApiError
from asyncreport.emulator.query import Query

_DAY = 86_400_000

#: the values of a group's dimensions, in the order of `Query.group_by`
Key = tuple[str | None, ...]
#: bucket -> its metrics as they are written
Row = Mapping[int, Sequence[dict[str, Any]]]
#: an object's place in a response, and the object
Placed = tuple[int, dict[str, Any]]


def refuse_large(max_rows: int, groups: Mapping[Key, Mapping[int, Any]]) -> None:
    """Raise ApiError for more than `max_rows` rows (0: no limit); a row is a group's bucket."""
    if max_rows and sum(map(len, groups.values())) > max_rows:
        raise ApiError(
            400,
            "response.entity.too.large",
            "The response is over the size limit. Reduce pageSize or expand list to reduce "
            "response size if applicable",
        )


def refuse_slow(limit: int, query: Query, population: int) -> None:
    """Raise ApiError for a query about more users x buckets than the limit (0: no limit).

    A query without a filter on users is about all of them.
    """
    users = population if query.filter.users is None else len(query.filter.users)
    buckets = len(query.buckets.edges) - 1
    if limit and users * buckets > limit:
        raise ApiError(504, "request.timeout", "The request timed out")


def results(query: Query, groups: Mapping[Key, Row]) -> dict[str, Any]:
    """Write a response; its order of groups is fixed and has no meaning.

    Some groups come as several containers and some buckets as several entries, so that a client
    must add them up.
    """
    if not groups:
        # Both forms have been seen.
        return {} if query.start // _DAY % 2 else {"results": []}
    texts = _Texts(query)
    placed: list[Placed] = []
    for key, row in groups.items():
        placed += _containers(query, key, row, texts)
    return {"results": in_place(placed)}


def in_place(placed: list[Placed]) -> list[dict[str, Any]]:
    """Put objects into the order of their places."""
    return [found for _, found in sorted(placed, key=lambda pair: pair[0])]


class _Texts(dict[int, str]):
    """The written form of each bucket; each is made once."""

    def __init__(self, query: Query) -> None:
        super().__init__()
        self._query = query

    def __missing__(self, index: int) -> str:
        text = self[index] = self._query.buckets.text(index, self._query.end)
        return text


def _containers(query: Query, key: Key, row: Row, texts: _Texts) -> Iterator[Placed]:
    """Write a group as one container or two, each with its place in the response."""
    named = zip(query.group_by, key, strict=True)
    group = {dimension: value for dimension, value in named if value is not None}
    place = _place(key)
    entries = _halved_entries if place % 4 == 1 else _entries
    for part, buckets in enumerate(_bucket_parts(row, place)):
        data: list[dict[str, Any]] = []
        for bucket in buckets:
            data += entries(texts[bucket], row[bucket])
        if data:
            yield _place((place, part)), {"group": group, "data": data}


def _place(of: object) -> int:
    """Return a number for sorting: always the same, and without a meaning."""
    return crc32(repr(of).encode())


def _bucket_parts(row: Row, place: int) -> tuple[list[int], list[int]]:
    """Split the buckets of one group in four; the later ones come first."""
    buckets = sorted(row)
    middle = len(buckets) // 2 if place % 4 == 0 else 0
    return buckets[middle:], buckets[:middle]


def _entries(interval: str, metrics: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Write one bucket of a group."""
    if metrics:
        yield {"interval": interval, "metrics": metrics}


def _halved_entries(interval: str, metrics: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Write one bucket of a group as two entries, if it has two metrics."""
    middle = len(metrics) // 2
    yield from _entries(interval, metrics[middle:])
    yield from _entries(interval, metrics[:middle])
