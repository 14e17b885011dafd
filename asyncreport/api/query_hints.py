"""What a query has beyond a default one: where to look if the server does not say what is wrong.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

import msgspec
from msgspec import Struct, field

from asyncreport.core.columns import METRICS, STATUS_METRIC, column
from asyncreport.core.text import first_items

#: of a query whose job has neither `metrics` nor `split_by`
_DEFAULT_METRICS = frozenset({*METRICS, STATUS_METRIC})
_DEFAULT_DIMENSIONS = frozenset({"user_id", "media_type"})

#: a dimension in a filter, and its key in the job file
_FILTERS = {
    "queueId": "filter.queues",
    "divisionId": "filter.divisions",
    "mediaType": "filter.media_types",
}

#: queues in the filter of one query: an adapter of a third party reports this limit
MAX_QUEUES = 300


class _Predicate(Struct):
    dimension: str = ""


class _Clause(Struct):
    predicates: list[_Predicate] = []


class _Filter(Struct):
    clauses: list[_Clause] = []


class _Body(Struct, rename="camel"):
    """The part of a query that a job file can change."""

    metrics: list[str] = []
    group_by: list[str] = []
    filter: _Filter = field(default_factory=_Filter)


def try_without(body: bytes | None) -> str | None:
    """Say what may be wrong with a query if the server does not; None for a default query."""
    extras = beyond_default(body)
    if not extras:
        return None
    return (
        "the server does not say what is wrong; remove these from the job file, one after "
        f"another, until it accepts the query: {', '.join(extras)}"
    )


def beyond_default(body: bytes | None) -> list[str]:
    """List what a query has beyond a default one, in the order in which to try without.

    First what an organisation may lack, then what may be too much. Empty for any other body.
    """
    try:
        query = msgspec.json.decode(body or b"{}", type=_Body)
    except msgspec.DecodeError:
        return []
    if not query.metrics:
        # Not a query of this kind.
        return []
    return [
        *_named("metrics", query.metrics, _DEFAULT_METRICS),
        *_named("split_by", list(map(column, query.group_by)), _DEFAULT_DIMENSIONS),
        *_filters(query),
    ]


def _filters(query: _Body) -> Iterator[str]:
    """Name the filters, with how many values each has."""
    sizes: Counter[str] = Counter()
    for clause in query.filter.clauses:
        sizes.update(predicate.dimension for predicate in clause.predicates)
    for dimension, key in _FILTERS.items():
        if sizes[dimension]:
            yield f"{key} ({sizes[dimension]})"


def _named(key: str, values: Collection[str], default: Collection[str]) -> Iterator[str]:
    """Name the values of a key of the job file that a default query does not have."""
    more = [value for value in values if value not in default]
    # A job that splits by media type has the same query as one that does not.
    if more:
        yield f"{key} ({first_items(more)})"
