"""The bodies of the vendor's aggregate queries: interval, groups, metrics, filter. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/conversation-query
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from asyncreport.api.wire import Request
from asyncreport.core.columns import metrics_of
from asyncreport.core.errors import RejectedError
from asyncreport.core.job import Chunk, Query
from asyncreport.core.timeline import Granularity, Grid, Interval

#: the platform's `request.bytes.max`:
#: https://developer.genesys.cloud/organization/organization/limits
MAX_REQUEST_BYTES = 512_000


def query_request(
    path: str,
    body: dict[str, object],
    decode: Callable[[bytes], Any],
    *,
    asynchronous: bool = False,
) -> Request:
    """Make the request of a query; raise RejectedError if it is longer than the platform allows."""
    encoded = msgspec.json.encode(body)
    if len(encoded) > MAX_REQUEST_BYTES:
        raise _too_long(len(encoded))
    return Request(
        method="POST",
        path=path,
        body=encoded,
        headers={"Content-Type": "application/json"},
        decode=decode,
        asynchronous=asynchronous,
    )


def _too_long(length: int) -> RejectedError:
    """Make the error for a body of so many bytes; the platform would answer with a 413."""
    return RejectedError(
        f"the query is {length:,} bytes long, but the vendor allows "
        f"{MAX_REQUEST_BYTES:,}; use fewer queues in the filter"
    )


def conversation_query(
    query: Query,
    chunk: Chunk,
    interval: Interval,
    one_bucket: bool,
) -> dict[str, object]:
    """Write the body of a query; `one_bucket` makes the whole interval one bucket."""
    body = query_base(query.grid, interval, one_bucket)
    # The vendor groups by media type in any case; named here, the response always has one shape.
    dimensions = ("userId", "mediaType", *query.split_by)
    body["groupBy"] = list(dict.fromkeys(dimensions))
    body["metrics"] = list(metrics_of(query))
    clauses = _clauses(query, chunk)
    if clauses:
        body["filter"] = {"type": "and", "clauses": clauses}
    return body


def _clauses(query: Query, chunk: Chunk) -> list[dict[str, object]]:
    """Write one clause for each dimension that the chunk or the job's filter narrows."""
    wanted = {
        "userId": chunk.users or (),
        "mediaType": query.filter.media_types,
        "queueId": query.filter.queues,
        "divisionId": query.filter.divisions,
    }
    return [matches_any(dimension, values) for dimension, values in wanted.items() if values]


def query_base(grid: Grid, interval: Interval, one_bucket: bool) -> dict[str, object]:
    """Write the interval of a query, and how it is cut into buckets."""
    body: dict[str, object] = {"interval": str(interval)}
    if one_bucket:
        return body
    body["granularity"] = grid.granularity.value
    if grid.granularity is Granularity.P1D:
        body["timeZone"] = grid.zone.key
    return body


def matches_any(dimension: str, values: Iterable[str]) -> dict[str, object]:
    """Write a clause that any of the values fulfils: an `or`, because a predicate has one value."""
    predicates = [_matches(dimension, value) for value in values]
    return {"type": "or", "predicates": predicates}


def _matches(dimension: str, value: str) -> dict[str, str]:
    """Write the predicate that a dimension has exactly this value."""
    return {
        "type": "dimension",
        "dimension": dimension,
        "operator": "matches",
        "value": value,
    }
