"""The `aggregates` contract: what is asked of a chunk, and how the answers are read. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/conversation-query
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from asyncreport.api.wire import Request, Wait, check_empty, follow, read
from asyncreport.core.columns import metrics_of
from asyncreport.core.errors import OFF_GRID, RejectedError
from asyncreport.core.job import Chunk, Query
from asyncreport.core.records import MAX_VALUE, Accumulator, Datum
from asyncreport.core.splitting import Bound
from asyncreport.core.timeline import Granularity, Grid, Interval

PATH = "/api/v2/analytics/conversations/aggregates/query"

#: the platform's `request.bytes.max`: https://developer.genesys.cloud/organization/organization/limits
REQUEST_BYTES = 512_000


class Container(Struct, gc=False):
    """One group of an answer; a dimension that its interactions lack is absent."""

    group: dict[str, Any] | None = None
    data: list[Datum] | None = None


class Answer(Struct):
    """A whole answer or a page of one, its containers unread; nothing at all may arrive as `{}`, `null` or an empty list."""

    results: list[msgspec.Raw] | None = None
    #: leads to the next page, of a query job's results
    cursor: str | None = None


class Page(Struct, frozen=True):
    """What an answer, or a page of one, reports."""

    facts: Accumulator
    cursor: str | None = None


#: read an answer; raise TransientError for a body that is none, RejectedError for one that must not be believed
Reader = Callable[[bytes], Page]
#: what a contract asks and is sent; it returns what the answers report
Steps = Generator[Request | Wait, Any, Accumulator]
#: ask for one interval; True: as one bucket
Ask = Callable[[Interval, bool], Steps]


@dataclass(slots=True)
class ConnectionState:
    """What a run knows of a connection beside its plan."""

    #: its server does not cut days at local midnight, so each is asked for by itself
    separate_days: bool = False
    #: everyone's ids, for what cannot be asked without
    all_users: tuple[str, ...] = ()
    #: seconds that a query job may take
    query_job_timeout: float = 900.0
    #: how much its server answers at once
    bound: Bound = field(default_factory=Bound)
    #: chunks that had to be cut smaller
    chunks_split: int = 0


def reader(facts: Accumulator, add: Callable[[Accumulator, msgspec.Raw], None]) -> Reader:
    """Make a reader: `add` reads one container and adds it, so that of a large answer no more than one is in memory at a time."""

    def decode(body: bytes) -> Page:
        answer = read(_ANSWER, body, _WHAT) or Answer()
        if answer.results is None:
            check_empty(body, "results", _WHAT)
        page = facts.empty_copy()
        for raw in answer.results or ():
            add(page, raw)
        return Page(page, answer.cursor)

    return decode


_WHAT = "aggregates result"
_ANSWER = msgspec.json.Decoder(Answer | None)
_CONTAINER = msgspec.json.Decoder(Container)


def container(raw: msgspec.Raw) -> Container:
    """Read one group; raise TransientError for what is none."""
    return read(_CONTAINER, raw, _WHAT)


M = TypeVar("M")


class _Stats(Struct, gc=False):
    count: Annotated[int, Meta(ge=0, le=MAX_VALUE)] = 0
    sum: Annotated[float, Meta(ge=0, le=MAX_VALUE, multiple_of=1)] = 0.0


class _Measure(Struct, Generic[M], gc=False):
    metric: M
    stats: _Stats | None = None


class _Datum(Struct, Generic[M], gc=False):
    interval: str
    metrics: list[_Measure[M]] = []


class _Sound(Struct, Generic[M], gc=False):
    """A group in which all is as it nearly always is: metrics that were asked for, whole ms, nothing null, nothing absurd.

    That this is so is found out while decoding, at next to no cost; what is not is read by `container` and looked at piece by piece.
    """

    group: dict[str, str | None] = {}
    data: list[_Datum[M]] = []


@lru_cache(maxsize=16)
def _sound(metrics: tuple[str, ...]) -> msgspec.json.Decoder[_Sound[str]]:
    return msgspec.json.Decoder(_Sound[Literal[metrics]])  # type: ignore[valid-type]  # known only now: it spares a text for each


def send(body: dict[str, object], reader: Reader) -> Steps:
    """Ask one query and have its answer at once."""
    answer: Page = yield request(PATH, body, reader)
    return answer.facts


def read_pages(first: Request, with_cursor: Callable[[str], Request]) -> Steps:
    """Follow cursors to the last page, and return what all pages report. An empty page is not the end."""
    total: Accumulator | None = None

    def next_request(page: Page) -> Request | None:
        nonlocal total
        if total is None:
            total = page.facts
        else:
            total.absorb(page.facts)
        return with_cursor(page.cursor) if page.cursor else None

    yield from follow(first, next_request)
    assert total is not None
    return total


def request(
    path: str,
    body: dict[str, object],
    decode: Callable[[bytes], Any],
    *,
    asynchronous: bool = False,
) -> Request:
    """Make a request of a query; raise RejectedError where it is longer than the platform takes."""
    text = msgspec.json.encode(body)
    if len(text) > REQUEST_BYTES:
        raise RejectedError(
            f"a query of {len(text):,} bytes is over the vendor's {REQUEST_BYTES:,}; name fewer queues in the filter"
        )
    headers = {"Content-Type": "application/json"}
    return Request(
        method="POST",
        path=path,
        body=text,
        headers=headers,
        decode=decode,
        asynchronous=asynchronous,
    )


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
    predicates = [
        {"type": "dimension", "dimension": dimension, "operator": "matches", "value": value}
        for value in values
    ]
    return {"type": "or", "predicates": predicates} if predicates else None


def cut(
    grid: Grid, interval: Interval, known: ConnectionState, facts: Accumulator, ask: Ask
) -> Generator[Request | Wait, Any, None]:
    """Ask for an interval in as few queries as its granularity allows, and add what they report to `facts`."""
    if grid.granularity is Granularity.P1D and not known.separate_days:
        try:
            take(facts, (yield from ask(interval, False)))
        except RejectedError as error:
            # The vendor leaves open how it cuts the days of a clock change: its edges are checked, not trusted.
            if error.code != OFF_GRID:
                raise
            known.separate_days = True
        else:
            return
    if grid.granularity.step is not None:
        take(facts, (yield from ask(interval, False)))
        return
    for start, end in pairwise(grid.edges(interval)):
        take(facts, (yield from ask(Interval(start, end), True)))


def take(facts: Accumulator, answer: Accumulator) -> None:
    """Add what a whole answer reports; raise RejectedError where all of it is of no user though users were asked for."""
    if answer.only_ungrouped:
        raise RejectedError(
            "the answer reports something and names no user; the server did not group by user, so that whose it is nobody knows"
        )
    facts.absorb(answer)


def one_bucket_per_query(grid: Grid, known: ConnectionState) -> bool:
    """Tell whether `cut` makes a query of each bucket."""
    return grid.granularity.step is None and (
        grid.granularity is not Granularity.P1D or known.separate_days
    )


def queries(grid: Grid, interval: Interval) -> int:
    """Count the queries that `cut` makes of an interval while all goes well."""
    if grid.granularity.step is not None or grid.granularity is Granularity.P1D:
        return 1
    return len(grid.edges(interval)) - 1


def adder(query: Query, chunk: Chunk) -> Callable[[Accumulator, msgspec.Raw], None]:
    """Make what reads a group and adds it; that raises RejectedError for a user who was not asked for and a bucket off the grid."""
    asked = None if chunk.users is None else frozenset(chunk.users)
    sound, split_by, wanted = _sound(metrics_of(query)), query.split_by, _wanted(query)

    def add(facts: Accumulator, raw: msgspec.Raw) -> None:
        found: _Sound[str] | Container
        try:
            found, fill = sound.decode(raw), facts.add_validated
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found, fill = container(raw), facts.add
        group = found.group or {}
        user = text(group, "userId")
        if asked is not None and user is None:
            facts.skip_ungrouped(found.data or ())  # of no user, so of none that was asked for
            return
        check_asked(user, asked)
        for dimension, values in wanted:
            _check_wanted(dimension, text(group, dimension), values)
        fill(user, tuple(text(group, dimension) for dimension in split_by), found.data or ())

    return add


def _wanted(query: Query) -> list[tuple[str, frozenset[str]]]:
    """List what each group tells of the job's own filter; a division is told of no group, for an interaction has several."""
    found = [("mediaType", frozenset(query.filter.media_types))]
    if "queueId" in query.split_by:
        found.append(("queueId", frozenset(query.filter.queues)))
    return [(dimension, values) for dimension, values in found if values]


def _check_wanted(dimension: str, value: str | None, values: frozenset[str]) -> None:
    # A group that does not tell is believed: a gateway may leave out a dimension, and nothing says that it is another.
    if value is not None and value not in values:
        raise RejectedError(
            f"the answer holds a {dimension} {value[:80]!r} that was not asked for; the server did not apply the filter"
        )


def check_asked(user: str | None, asked: frozenset[str] | None) -> None:
    """Raise RejectedError for a user who was not asked for: a server that does not filter would be believed otherwise."""
    if asked is not None and user not in asked:
        raise RejectedError(
            f"the answer holds a user {str(user)[:80]!r} who was not asked for; the server did not apply the filter"
        )


def text(group: dict[str, Any], dimension: str) -> str | None:
    """Read a group's value; raise RejectedError where it is no text."""
    value = group.get(dimension)
    if value is not None and not isinstance(value, str):
        raise RejectedError(
            f"the answer groups by a {dimension} that is no text: {str(value)[:80]}"
        )
    return value or None
