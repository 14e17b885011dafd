"""The `entities` contract: the dialect of gateways that speak select, where and groupBy; times in seconds, no hold. Pure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.api import aggregates
from asyncreport.api.aggregates import PATH, Reader, Steps, check_asked, read_pages, request, take
from asyncreport.api.wire import Request, Wait, check_empty, read
from asyncreport.core.errors import RejectedError
from asyncreport.core.job import Chunk
from asyncreport.core.records import MAX_VALUE, Accumulator, Datum, Measure, Stats
from asyncreport.core.timeline import Granularity, Grid, Interval, iso, parse_iso

_SELECT = (("handledCount", "count"), ("wrapUpTime", "sum"), ("talkTime", "sum"))


class Named(Struct):
    """A user, as a row has it."""

    id: str | None = None


class Begun(Struct, rename="camel"):
    """A bucket, by its first instant."""

    start_time: str | None = None


class Value(Struct):
    """A number of one metric; seconds where it is a sum."""

    count: int | float | None = None
    sum: int | float | None = None


class Metrics(Struct, rename="camel"):
    """The three numbers of this contract."""

    handled_count: Value | None = None
    talk_time: Value | None = None
    wrap_up_time: Value | None = None


class Row(Struct):
    """One user's bucket; any part of it may be missing."""

    user: Named | None = None
    interval: Begun | None = None
    metrics: Metrics | None = None


class Page(Struct, rename="camel"):
    """One page; the last one names no next."""

    entities: list[Row] | None = None
    next_page: str | None = None


def decode(body: bytes) -> Page:
    """Read a page; raise TransientError for a body that is none."""
    page = read(_DECODER, body, _WHAT) or Page()
    if page.entities is None:
        check_empty(body, "entities", _WHAT)
    return page


_WHAT = "page of entities"
_DECODER = msgspec.json.Decoder(Page | None)


def steps(grid: Grid, chunk: Chunk, facts: Accumulator) -> Generator[Request | Wait, Any, None]:
    """Ask for a chunk page by page and add the rows to `facts`.

    Raise RejectedError for a page that leads back to an earlier one, a bucket off the grid and a foreign user.
    """
    users = None if chunk.users is None else frozenset(chunk.users)
    for interval, whole in asked(grid, chunk.interval):
        reads = reader(facts, interval if whole else None, users)
        take(facts, (yield from _pages(_body(grid, chunk.users, interval, whole), reads)))


def reader(facts: Accumulator, whole: Interval | None, users: frozenset[str] | None) -> Reader:
    """Make a reader of pages; `whole`: the interval that was asked for is one bucket."""

    def read_page(body: bytes) -> aggregates.Page:
        page, found = decode(body), facts.empty_copy()
        for row in page.entities or ():
            _add(row, whole, users, found)
        return aggregates.Page(found, page.next_page)

    return read_page


def asked(grid: Grid, interval: Interval) -> list[tuple[Interval, bool]]:
    """Cut an interval into queries; True: one that is one bucket."""
    if not one_bucket_per_query(grid):
        return [(interval, False)]
    return [(Interval(start, end), True) for start, end in pairwise(grid.edges(interval))]


def one_bucket_per_query(grid: Grid) -> bool:
    """Tell whether each bucket is a query of its own: the contract knows no zone and no calendar."""
    return grid.granularity.step is None and (
        grid.granularity is not Granularity.P1D or grid.zone != "UTC"
    )


def _body(
    grid: Grid, users: Sequence[str] | None, interval: Interval, whole: bool
) -> dict[str, object]:
    predicates: list[dict[str, object]] = [
        {"type": "date", "path": "conversation.startTime", "operator": operator, "value": iso(at)}
        for operator, at in (("gte", interval.start), ("lt", interval.end))
    ]
    if users is not None:
        predicates.append({"type": "in", "path": "conversation.user.id", "value": list(users)})
    body: dict[str, object] = {
        "select": [{"name": name, "type": kind} for name, kind in _SELECT],
        "groupBy": ["user"],
        "where": {"predicates": predicates},
    }
    return body if whole else {**body, "interval": grid.granularity.value}


def _pages(body: dict[str, object], reads: Reader) -> Steps:
    """Follow `nextPage` to the last page."""
    first = request(PATH, body, reads)
    return read_pages(first, lambda token: request(PATH, {**body, "pageToken": token}, reads))


def _add(
    row: Row, whole: Interval | None, asked: frozenset[str] | None, facts: Accumulator
) -> None:
    user = (row.user.id if row.user else None) or None
    measures = _measures(row.metrics or Metrics())
    if asked is not None and user is None:
        facts.skip_ungrouped((Datum("", measures),))  # of no user, so of none that was asked for
        return
    check_asked(user, asked)
    if measures:
        facts.add(user, (), (Datum(_bucket(row, whole, facts), measures),))


def _bucket(row: Row, whole: Interval | None, facts: Accumulator) -> str:
    """Give the bucket that a row is of; raise RejectedError for one that was not asked for."""
    start = (row.interval.start_time if row.interval else None) or None
    if whole is None:
        return facts.bucket_starting(start)
    if start is not None and not _within(start, whole):
        raise facts.off_grid_error(start)
    return str(whole)


def _within(moment: str, interval: Interval) -> bool:
    try:
        return interval.start <= parse_iso(moment) < interval.end
    except (ValueError, OverflowError):
        return False


def _measures(metrics: Metrics) -> list[Measure]:
    """Say it as the platform would: handle time is talk and wrap-up, for this contract has no hold."""
    talk, wrap_up = _ms(metrics.talk_time), _ms(metrics.wrap_up_time)
    handled = metrics.handled_count
    if handled is None and talk is None and wrap_up is None:
        return []
    total = (talk or 0) + (wrap_up or 0)
    return [
        Measure("tTalkComplete", Stats(sum=talk)),
        Measure("tAcw", Stats(sum=wrap_up)),
        Measure("tHandle", Stats(_whole(handled.count or 0) if handled else None, total)),
    ]


def _whole(count: int | float) -> int:
    if count % 1:
        raise RejectedError(
            "the answer counts interactions by fractions; its handledCount is no count"
        )
    return int(count)


def _ms(value: Value | None) -> int | None:
    """Turn seconds into ms; what is beyond all measure stays so, for the accumulator to refuse."""
    return None if value is None else round(max(-MAX_VALUE, min(value.sum or 0, MAX_VALUE)) * 1000)
