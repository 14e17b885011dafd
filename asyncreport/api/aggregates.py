"""The `aggregates` contract: what is asked of a chunk, and how the answers are read. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/conversation-query
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.api.wire import Request, Wait, read
from asyncreport.errors import RejectedError
from asyncreport.job import Chunk, Query
from asyncreport.pieces import Bound
from asyncreport.records import Accumulator, Datum, metrics_of
from asyncreport.timeline import Granularity, Grid, Interval

PATH = "/api/v2/analytics/conversations/aggregates/query"

#: the platform's `request.bytes.max`: https://developer.genesys.cloud/organization/organization/limits
REQUEST_BYTES = 512_000


class Container(Struct, gc=False):
    """One group of an answer; a dimension that its interactions lack is absent."""

    group: dict[str, Any] | None = None
    data: list[Datum] | None = None


class Answer(Struct):
    """A whole answer or a page of one; nothing at all may arrive as `{}`, `null` or an empty list."""

    results: list[Container] | None = None
    #: leads to the next page, of a query job's results
    cursor: str | None = None


#: what a contract asks and is sent; it returns what it made of the answers
Steps = Generator[Request | Wait, Any, list[Container]]
#: ask for one interval; True: as one bucket
Ask = Callable[[Interval, bool], Steps]


@dataclass(slots=True)
class Known:
    """What a run knows of a connection beside its plan."""

    #: its server does not cut days at local midnight, so each is asked for by itself
    days_alone: bool = False
    #: everyone's ids, for what cannot be asked without
    everyone: tuple[str, ...] = ()
    #: seconds that a query job may take
    patience: float = 900.0
    #: how much its server answers at once
    bound: Bound = field(default_factory=Bound)
    #: chunks that had to be cut smaller
    cut: int = 0


def decode(body: bytes) -> Answer:
    """Read an answer; raise TransientError for a body that is none: it was cut short or is not the vendor's."""
    return read(_DECODER, body, "aggregates result") or Answer()


_DECODER = msgspec.json.Decoder(Answer | None)


def send(body: dict[str, object]) -> Steps:
    """Ask one query and have its answer at once."""
    answer: Answer = yield request(PATH, body)
    return answer.results or []


def request(path: str, body: dict[str, object], decode: Callable[[bytes], Any] = decode) -> Request:
    """Make a request of a query; raise RejectedError where it is longer than the platform takes."""
    text = msgspec.json.encode(body)
    if len(text) > REQUEST_BYTES:
        raise RejectedError(f"a query of {len(text):,} bytes is over the vendor's {REQUEST_BYTES:,}; name fewer queues in the filter")
    return Request(method="POST", path=path, body=text, headers={"Content-Type": "application/json"}, decode=decode)


def conversations(query: Query, chunk: Chunk, interval: Interval, whole: bool) -> dict[str, object]:
    """Write the body of one query; `whole` leaves the granularity out, so that the interval is the one bucket."""
    body = timed(query.grid, interval, whole)
    # The vendor groups by media type whether asked to or not; asked, the shape is always the same.
    body["groupBy"] = list(dict.fromkeys(("userId", "mediaType", *query.split_by)))
    body["metrics"] = list(metrics_of(query))
    clauses = list(_clauses(query, chunk))
    if clauses:
        body["filter"] = {"type": "and", "clauses": clauses}
    return body


def timed(grid: Grid, interval: Interval, whole: bool) -> dict[str, object]:
    """Begin a body with its interval and how that is cut into buckets."""
    body: dict[str, object] = {"interval": str(interval)}
    if not whole:
        body["granularity"] = grid.granularity.value
    if not whole and grid.granularity is Granularity.P1D:
        body["timeZone"] = grid.zone
    return body


def _clauses(query: Query, chunk: Chunk) -> Iterator[dict[str, object]]:
    wanted: list[tuple[str, Iterable[str]]] = [
        ("userId", chunk.users or ()),
        ("mediaType", query.filter.media_types),
        ("queueId", query.filter.queues),
        ("divisionId", query.filter.divisions),
    ]
    for dimension, values in wanted:
        if clause := one_of(dimension, values):
            yield clause


def one_of(dimension: str, values: Iterable[str]) -> dict[str, object] | None:
    """Write a clause that any of the values fulfils: a predicate holds a single one, so that a list is an `or` of them."""
    predicates = [{"type": "dimension", "dimension": dimension, "operator": "matches", "value": value} for value in values]
    return {"type": "or", "predicates": predicates} if predicates else None


def cut(grid: Grid, interval: Interval, known: Known, fits: Callable[[str], bool], ask: Ask) -> Steps:
    """Ask for an interval in as few queries as its granularity allows."""
    if grid.granularity is Granularity.P1D and not known.days_alone:
        found = yield from ask(interval, False)
        # The vendor leaves open how it cuts the days of a clock change: its edges are checked, not trusted.
        if all(fits(datum.interval) for container in found for datum in container.data or ()):
            return found
        known.days_alone = True
    if grid.granularity.step is not None:
        return (yield from ask(interval, False))
    found = []
    for start, end in pairwise(grid.edges(interval)):
        found += yield from ask(Interval(start, end), True)
    return found


def alone(grid: Grid, known: Known) -> bool:
    """Tell whether `cut` makes a query of each bucket."""
    return grid.granularity.step is None and (grid.granularity is not Granularity.P1D or known.days_alone)


def queries(grid: Grid, interval: Interval) -> int:
    """Count the queries that `cut` makes of an interval while all goes well."""
    if grid.granularity.step is not None or grid.granularity is Granularity.P1D:
        return 1
    return len(grid.edges(interval)) - 1


def add(query: Query, chunk: Chunk, facts: Accumulator, found: Iterable[Container]) -> None:
    """Add what was found; raise RejectedError for a user who was not asked for and a bucket off the grid."""
    asked = None if chunk.users is None else frozenset(chunk.users)
    for container in found:
        group = container.group or {}
        user = text(group, "userId")
        if asked is not None and user is None:
            continue  # of no user, so of none that was asked for
        check_asked(user, asked)
        facts.add(user, tuple(text(group, dimension) for dimension in query.split_by), container.data or ())


def check_asked(user: str | None, asked: frozenset[str] | None) -> None:
    """Raise RejectedError for a user who was not asked for: a server that does not filter would be believed otherwise."""
    if asked is not None and user not in asked:
        raise RejectedError(f"the answer holds a user {str(user)[:80]!r} who was not asked for; the server did not apply the filter")


def text(group: dict[str, Any], dimension: str) -> str | None:
    """Read a group's value; raise RejectedError where it is no text."""
    value = group.get(dimension)
    if value is not None and not isinstance(value, str):
        raise RejectedError(f"the answer groups by a {dimension} that is no text: {str(value)[:80]}")
    return value or None
