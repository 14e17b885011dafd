"""The `entities` contract, of gateways whose queries have select, where and groupBy. Pure.

Its times are in seconds, and it has no hold time.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.api.aggregates import PATH, Page, Reader, Steps, read_pages
from asyncreport.api.intervals import add_response
from asyncreport.api.invalid_text import check_id
from asyncreport.api.queries import query_request
from asyncreport.api.result_groups import check_user, requested_users
from asyncreport.api.wire import Request, Wait, check_empty, read
from asyncreport.core.job import Chunk
from asyncreport.core.measures import Datum, Measure, Stats, checked_stats
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import Granularity, Grid, Interval, iso, parse_iso

_SELECT = (("handledCount", "count"), ("wrapUpTime", "sum"), ("talkTime", "sum"))


class RowUser(Struct):
    """The user of a row."""

    id: str | None = None


class RowInterval(Struct, rename="camel"):
    """The bucket of a row, by its first instant."""

    start_time: str | None = None


class Metrics(Struct, rename="camel"):
    """The three metrics of this contract, not checked yet: `{"count": 2}` or `{"sum": 90.5}`, in s.

    Of a row without a user, which nobody asked for, they may have any shape.
    """

    handled_count: Any = None
    talk_time: Any = None
    wrap_up_time: Any = None

    @property
    def empty(self) -> bool:
        """Tell whether a row says nothing at all."""
        return self.handled_count is self.talk_time is self.wrap_up_time is None


class Row(Struct):
    """One user's bucket; any part of it may be missing."""

    user: RowUser | None = None
    interval: RowInterval | None = None
    metrics: Metrics | None = None

    @property
    def user_id(self) -> str | None:
        """Return the id of the user; an empty id is none."""
        user = self.user or RowUser()
        return user.id or None

    @property
    def start(self) -> str | None:
        """Return the first instant of the bucket, as the server writes it."""
        interval = self.interval or RowInterval()
        return interval.start_time


class EntitiesPage(Struct, rename="camel"):
    """One page; the last one has no `nextPage`."""

    entities: list[Row] | None = None
    next_page: str | None = None


def decode_page(body: bytes) -> EntitiesPage:
    """Decode a page; raise TransientError if the body is something else."""
    page = read(_PAGE, body, _WHAT)
    if page.entities is None:
        check_empty(body, "entities", _WHAT)
    check_id(page.next_page)
    return page


_WHAT = "page of entities"
_PAGE = msgspec.json.Decoder(EntitiesPage)


# Requests ----------------------------------------------------------------------------------------


def steps(grid: Grid, chunk: Chunk, facts: Accumulator) -> Generator[Request | Wait, Any, None]:
    """Fetch a chunk page by page and add the rows to `facts`.

    Raise RejectedError if the pages go in a circle, for a bucket off the grid and for a user who
    was not asked for.
    """
    users = requested_users(chunk)
    for interval, one_bucket in query_intervals(grid, chunk.interval):
        body = _query(grid, chunk.users, interval, one_bucket)
        bucket = interval if one_bucket else None
        pages = _pages(body, page_reader(facts, bucket, users))
        add_response(facts, (yield from pages))


def query_intervals(grid: Grid, interval: Interval) -> list[tuple[Interval, bool]]:
    """Cut an interval into queries; True: the query is one bucket."""
    if not one_bucket_per_query(grid):
        return [(interval, False)]
    edges = grid.edges(interval)
    return [(Interval(start, end), True) for start, end in pairwise(edges)]


def one_bucket_per_query(grid: Grid) -> bool:
    """Tell whether each bucket is a query of its own: the contract has no time zone or calendar."""
    if grid.granularity is Granularity.P1D:
        return grid.zone.key != "UTC"
    return grid.granularity.step is None


def _query(
    grid: Grid,
    users: Sequence[str] | None,
    interval: Interval,
    one_bucket: bool,
) -> dict[str, object]:
    """Write the body of a query; `one_bucket` makes the whole interval one bucket."""
    body: dict[str, object] = {
        "select": [{"name": name, "type": kind} for name, kind in _SELECT],
        "groupBy": ["user"],
        "where": {"predicates": _predicates(users, interval)},
    }
    if not one_bucket:
        body["interval"] = grid.granularity.value
    return body


def _predicates(users: Sequence[str] | None, interval: Interval) -> list[dict[str, object]]:
    """Write the conditions of a query: its interval and its users, unless everyone."""
    predicates = [_date("gte", interval.start), _date("lt", interval.end)]
    if users is not None:
        predicates.append(_is_one_of(users))
    return predicates


def _is_one_of(users: Sequence[str]) -> dict[str, object]:
    """Write the condition that one of these users handled the conversation."""
    return {
        "type": "in",
        "path": "conversation.user.id",
        "value": list(users),
    }


def _date(operator: str, instant: int) -> dict[str, object]:
    """Write the condition on the start of a conversation; the instant is in ms."""
    return {
        "type": "date",
        "path": "conversation.startTime",
        "operator": operator,
        "value": iso(instant),
    }


def _pages(body: dict[str, object], reader: Reader) -> Steps:
    """Follow `nextPage` to the last page."""

    def request_page(token: str) -> Request:
        return query_request(PATH, {**body, "pageToken": token}, reader)

    return read_pages(query_request(PATH, body, reader), request_page)


# Responses ---------------------------------------------------------------------------------------


def page_reader(
    facts: Accumulator,
    bucket: Interval | None,
    users: frozenset[str] | None,
) -> Reader:
    """Make a reader of pages; `bucket`: the one bucket of the query, if it has only one."""

    def decode(body: bytes) -> Page:
        page = decode_page(body)
        found = facts.empty_copy()
        for row in page.entities or ():
            _add(row, bucket, users, found)
        return Page(found, page.next_page)

    return decode


def _add(
    row: Row,
    bucket: Interval | None,
    users: frozenset[str] | None,
    facts: Accumulator,
) -> None:
    """Add a row; raise RejectedError for a bucket or a user that was not asked for."""
    user = row.user_id
    check_id(user)
    metrics = row.metrics or Metrics()
    if user is None and users is not None:
        facts.skip_ungrouped(has_metrics=not metrics.empty)
        return
    check_user(user, users)
    if not metrics.empty:
        interval = _bucket(row.start, bucket, facts)
        datum = Datum(interval, _measures(metrics, user, interval))
        facts.add(user, (), [datum])


def _bucket(start: str | None, bucket: Interval | None, facts: Accumulator) -> str:
    """Return the bucket of a row; raise RejectedError if it was not asked for."""
    if bucket is None:
        return facts.bucket_starting(start)
    # Of a query of one bucket, a row need not say its bucket.
    if start and not _within(start, bucket):
        raise facts.off_grid_error(start)
    return str(bucket)


def _within(moment: str, interval: Interval) -> bool:
    """Tell whether a text is an instant of any offset within an interval."""
    try:
        return interval.start <= parse_iso(moment) < interval.end
    except (ValueError, OverflowError):
        return False


def _measures(metrics: Metrics, user: str | None, bucket: str) -> list[Measure]:
    """Write the metrics as the platform does; handle time is talk and wrap-up, without hold.

    Raise RejectedError for a wrong type or an impossible number.
    """

    def stats(name: str, value: object) -> Stats:
        return checked_stats(Measure(name, value), user, bucket)

    talk = _ms(stats("talkTime", metrics.talk_time))
    wrap_up = _ms(stats("wrapUpTime", metrics.wrap_up_time))
    handled = stats("handledCount", metrics.handled_count).count
    return [
        Measure("tTalkComplete", {"sum": talk}),
        Measure("tAcw", {"sum": wrap_up}),
        Measure("tHandle", {"count": handled, "sum": talk + wrap_up}),
    ]


def _ms(stats: Stats) -> int:
    """Turn seconds into whole ms."""
    return round(stats.sum * 1000)
