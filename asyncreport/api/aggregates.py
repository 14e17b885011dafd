"""The `aggregates` contract: what is asked of a chunk, and how the answers are read. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/conversation-query
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.api.wire import Request
from asyncreport.errors import RejectedError, TransientError
from asyncreport.job import Chunk, Query
from asyncreport.records import METRICS, Accumulator, Datum
from asyncreport.timeline import Granularity, Grid, Interval

PATH = "/api/v2/analytics/conversations/aggregates/query"

#: the platform's `request.bytes.max`: https://developer.genesys.cloud/organization/organization/limits
REQUEST_BYTES = 512_000


class Container(Struct):
    """One group of an answer; a dimension that its interactions lack is absent."""

    group: dict[str, Any] | None = None
    data: list[Datum] | None = None


class Answer(Struct):
    """A whole answer; nothing at all may arrive as `{}`, `null` or an empty list."""

    results: list[Container] | None = None


@dataclass(slots=True)
class Learned:
    """What a run has found out about a connection's server."""

    #: its days are not cut at local midnight, so each day is asked for by itself
    days_alone: bool = False


def decode(body: bytes) -> Answer:
    """Read an answer; raise TransientError for a body that is none: it was cut short or is not the vendor's."""
    try:
        return _DECODER.decode(body) or Answer()
    except (msgspec.DecodeError, RecursionError) as error:
        raise TransientError(f"the answer is no aggregates result ({error})") from error


_DECODER = msgspec.json.Decoder(Answer | None)


def steps(query: Query, chunk: Chunk, facts: Accumulator, learned: Learned) -> Generator[Request, Answer, None]:
    """Ask for a chunk, request by request, and add the answers to `facts`.

    Raise RejectedError for a request over 512,000 bytes and for an answer with a bucket off the grid or a foreign user.
    """
    if query.grid.granularity is Granularity.P1D and not learned.days_alone:
        answer = yield request(query, chunk, chunk.interval, whole=False)
        # The vendor leaves open how it cuts the days of a clock change: its edges are checked, not trusted.
        if all(facts.fits(datum.interval) for container in answer.results or () for datum in container.data or ()):
            _add(query, chunk, facts, answer)
            return
        learned.days_alone = True
    if query.grid.granularity.step is not None:
        _add(query, chunk, facts, (yield request(query, chunk, chunk.interval, whole=False)))
        return
    for bucket in _buckets(query.grid, chunk.interval):
        _add(query, chunk, facts, (yield request(query, chunk, bucket, whole=True)))


def requests(grid: Grid, interval: Interval) -> int:
    """Count the requests that a chunk costs while all goes well."""
    if grid.granularity.step is not None or grid.granularity is Granularity.P1D:
        return 1
    return len(grid.edges(interval)) - 1


def request(query: Query, chunk: Chunk, interval: Interval, *, whole: bool) -> Request:
    """Build one query; `whole` leaves the granularity out, so that the interval is the one bucket."""
    body: dict[str, object] = {"interval": str(interval)}
    if not whole:
        body["granularity"] = query.grid.granularity.value
    if not whole and query.grid.granularity is Granularity.P1D:
        body["timeZone"] = query.grid.zone
    # The vendor groups by media type whether asked to or not; asked, the shape is always the same.
    body["groupBy"] = list(dict.fromkeys(("userId", "mediaType", *query.split_by)))
    body["metrics"] = list(METRICS)
    clauses = list(_clauses(query, chunk))
    if clauses:
        body["filter"] = {"type": "and", "clauses": clauses}
    text = msgspec.json.encode(body)
    if len(text) > REQUEST_BYTES:
        raise RejectedError(f"a query of {len(text):,} bytes is over the vendor's {REQUEST_BYTES:,}; name fewer queues in the filter")
    return Request(method="POST", path=PATH, body=text, headers={"Content-Type": "application/json"}, decode=decode)


def _clauses(query: Query, chunk: Chunk) -> Iterator[dict[str, object]]:
    wanted: list[tuple[str, Iterable[str]]] = [
        ("userId", chunk.users or ()),
        ("mediaType", query.filter.media_types),
        ("queueId", query.filter.queues),
    ]
    for dimension, values in wanted:
        # A predicate holds a single value: a list of them is an `or` clause.
        predicates = [{"type": "dimension", "dimension": dimension, "operator": "matches", "value": value} for value in values]
        if predicates:
            yield {"type": "or", "predicates": predicates}


def _buckets(grid: Grid, interval: Interval) -> list[Interval]:
    return [Interval(start, end) for start, end in pairwise(grid.edges(interval))]


def _add(query: Query, chunk: Chunk, facts: Accumulator, answer: Answer) -> None:
    asked = None if chunk.users is None else frozenset(chunk.users)
    for container in answer.results or ():
        group = container.group or {}
        user = _text(group, "userId")
        if asked is not None and user is None:
            continue  # of no user, so of none that was asked for
        if asked is not None and user not in asked:
            raise RejectedError(f"the answer holds a user {user!r} who was not asked for; the server did not apply the filter")
        facts.add(user, tuple(_text(group, dimension) for dimension in query.split_by), container.data or ())


def _text(group: dict[str, Any], dimension: str) -> str | None:
    value = group.get(dimension)
    if value is not None and not isinstance(value, str):
        raise RejectedError(f"the answer groups by a {dimension} that is no text: {str(value)[:80]}")
    return value or None
