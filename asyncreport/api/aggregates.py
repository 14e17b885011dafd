"""The `aggregates` contract: one query per interval, and how its response is read. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/conversation-query
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from asyncreport.api.invalid_text import check_id
from asyncreport.api.queries import query_request
from asyncreport.api.result_groups import KeyReader, key_reader
from asyncreport.api.wire import Request, Wait, check_empty, follow, read, read_nested
from asyncreport.core.answer_sizes import AnswerSizes
from asyncreport.core.columns import metrics_of
from asyncreport.core.errors import RejectedError, TransientError
from asyncreport.core.job import Chunk, Query
from asyncreport.core.measures import MAX_VALUE, Datum
from asyncreport.core.records import Accumulator
from asyncreport.core.splitting import Bound

PATH = "/api/v2/analytics/conversations/aggregates/query"


@dataclass(slots=True)
class ConnectionState:
    """What a run learns about a connection, shared by its chunks."""

    #: the server does not cut days at local midnight, so that each day is a query of its own
    separate_days: bool = False
    #: the ids of all users, for a query that must name its users; None: not looked up
    all_users: tuple[str, ...] | None = None
    #: seconds that a query job may take
    query_job_timeout: float = 900.0
    #: how much the server returns in one response
    bound: Bound = field(default_factory=Bound)
    #: what answers held; None: the job gives the length of chunks, so that it must not change
    sizes: AnswerSizes | None = None
    #: users of a chunk of everyone
    population: int = 1
    #: chunks that were fetched in pieces
    chunks_split: int = 0
    #: reports what changes how the connection is queried
    say: Callable[[str], None] = lambda _: None

    def separate_the_days(self, error: RejectedError) -> None:
        """Query each day on its own from now on; say so once."""
        if not self.separate_days:
            self.separate_days = True
            self.say(f"from now on each day is a query of its own, because of this: {error}")


@dataclass(slots=True, frozen=True)
class Page:
    """What a response, or one page of it, reports."""

    facts: Accumulator
    #: leads to the next page; None on the last one
    cursor: str | None = None


#: decodes a body; raises TransientError if the body is something else, RejectedError if it breaks
#: the contract
Reader = Callable[[bytes], Page]
#: decodes one group of a response and adds it
Adder = Callable[[Accumulator, msgspec.Raw], None]
#: the requests of one query; returns what all pages report
Steps = Generator[Request | Wait, Any, Accumulator]


# Requests ----------------------------------------------------------------------------------------


def send(body: dict[str, object], reader: Reader) -> Steps:
    """Send one query; its response has one page."""
    page: Page = yield query_request(PATH, body, reader)
    return page.facts


def read_pages(first: Request, with_cursor: Callable[[str], Request]) -> Steps:
    """Follow cursors to the last page; return what all pages report.

    An empty page is not the end.
    """
    total: Accumulator | None = None

    def next_request(page: Page) -> Request | None:
        nonlocal total
        # The first page is the total, because most responses have only one.
        if total is None:
            total = page.facts
        else:
            total.absorb(page.facts)
        return with_cursor(page.cursor) if page.cursor else None

    yield from follow(first, next_request)
    assert total is not None
    return total


# Responses ---------------------------------------------------------------------------------------


class AggregatesResponse(Struct):
    """A response or one page of it. No results may arrive as `{}`, or as `null` or `[]` in it."""

    #: the containers, not decoded
    results: list[msgspec.Raw] | None = None
    #: leads to the next page of a query job's results
    cursor: str | None = None


class Container(Struct, gc=False):
    """One group of a response; a dimension that its interactions lack is absent."""

    group: dict[str, Any] | None = None
    #: not decoded: of a group that nobody asked for it may have any shape
    data: msgspec.Raw = msgspec.Raw(b"null")


_WHAT = "aggregates result"
_RESPONSE = msgspec.json.Decoder(AggregatesResponse)
_CONTAINER = msgspec.json.Decoder(Container)
_DATA = msgspec.json.Decoder(list[Datum] | None)


def page_reader(facts: Accumulator, add: Adder) -> Reader:
    """Make a reader of pages; `add` decodes one container and adds it.

    So only one container of a large response is in memory at a time. Each page gets an
    accumulator of its own, because a page that turns out to be invalid must leave nothing behind.
    """

    def decode(body: bytes) -> Page:
        response = _decode_response(body)
        page = facts.empty_copy()
        for raw in response.results or ():
            add(page, raw)
        return Page(page, response.cursor)

    return decode


def _decode_response(body: bytes) -> AggregatesResponse:
    """Decode a page without its containers; raise TransientError if it is something else."""
    response = read(_RESPONSE, body, _WHAT)
    if response.results is None:
        check_empty(body, "results", _WHAT)
    check_id(response.cursor)
    return response


def decode_container(raw: msgspec.Raw) -> Container:
    """Decode one group without its data; raise RejectedError if it is something else."""
    return read_nested(_CONTAINER, raw, "group")


def decode_data(raw: msgspec.Raw, user: str | None) -> Sequence[Datum]:
    """Decode the data of one group; raise RejectedError if they are something else."""
    return read_nested(_DATA, raw, f"group of user {user}") or ()


def may_have_metrics(raw: msgspec.Raw) -> bool:
    """Tell whether a group that is skipped may have had metrics; it is not rejected for its shape.

    Data that cannot be decoded count as metrics.
    """
    try:
        return has_metrics(decode_data(raw, None))
    except (RejectedError, TransientError):
        return True


def has_metrics(data: Iterable[Any]) -> bool:
    """Tell whether one of a group's buckets has metrics."""
    return any(datum.metrics for datum in data)


M = TypeVar("M")


class _ValidStats(Struct, gc=False):
    count: Annotated[int, Meta(ge=0, le=MAX_VALUE)] = 0
    sum: Annotated[float, Meta(ge=0, le=MAX_VALUE, multiple_of=1)] = 0.0


class _ValidMeasure(Struct, Generic[M], gc=False):
    metric: M
    stats: _ValidStats | None = None


class _ValidDatum(Struct, Generic[M], gc=False):
    interval: str
    metrics: list[_ValidMeasure[M]] = []


class _ValidContainer(Struct, Generic[M], gc=False):
    """A group as it nearly always is: requested metrics, whole ms, no null, no impossible number.

    The decoder checks this at next to no cost. Any other group is decoded as a `Container`, whose
    numbers are then checked one by one.
    """

    group: dict[str, str | None] = {}
    data: list[_ValidDatum[M]] = []


@lru_cache(maxsize=16)
def _valid_decoder(metrics: tuple[str, ...]) -> msgspec.json.Decoder[_ValidContainer[str]]:
    # A Literal: the decoder then reuses these strings, and makes no new one for each measure.
    return msgspec.json.Decoder(_ValidContainer[Literal[metrics]])  # type: ignore[valid-type]  # known only at run time


def container_adder(query: Query, chunk: Chunk) -> Adder:
    """Make a function that decodes a group and adds it.

    That function raises RejectedError for a user or a bucket that was not asked for.
    """
    decode_valid = _valid_decoder(metrics_of(query)).decode
    read_key = key_reader(query, chunk)

    # Called once for each group of a response: a part of the hot path.
    def add(facts: Accumulator, raw: msgspec.Raw) -> None:
        try:
            found = decode_valid(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            _add_odd(facts, raw, read_key)
            return
        key = read_key(found.group)
        if key is None:
            facts.skip_ungrouped(has_metrics=has_metrics(found.data))
        else:
            facts.add_validated(*key, found.data)

    return add


def _add_odd(facts: Accumulator, raw: msgspec.Raw, read_key: KeyReader) -> None:
    """Add a group that is not as groups nearly always are: its numbers are checked one by one."""
    found = decode_container(raw)
    key = read_key(found.group or {})
    if key is None:
        facts.skip_ungrouped(has_metrics=may_have_metrics(found.data))
    else:
        facts.add(*key, decode_data(found.data, key[0]))
