"""Routing-status times of users, for occupancy: the second query of a chunk. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/user-query
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import msgspec

from asyncreport.api.aggregates import (
    ConnectionState,
    Page,
    Reader,
    Steps,
    check_asked,
    container,
    cut,
    one_of,
    reader,
    request,
    text,
    timed,
)
from asyncreport.api.wire import Request, Wait
from asyncreport.core.errors import TOO_LARGE, RejectedError
from asyncreport.core.job import Query, batches
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import Granularity, Interval

PATH = "/api/v2/analytics/users/aggregates/query"


def steps(
    query: Query,
    interval: Interval,
    users: Sequence[str],
    facts: Accumulator,
    known: ConnectionState,
) -> Generator[Request | Wait, Any, None]:
    """Ask for the routing statuses of users, 100 a query as the vendor demands, and add them to `facts`.

    Raise RejectedError for a bucket off the grid, a foreign user, and, naming PT30M, for quarter hours where those are refused.
    """
    for batch in batches(users):
        reads = reader(facts, _adder(frozenset(batch)))

        def ask(
            part: Interval, whole: bool, batch: Sequence[str] = batch, reads: Reader = reads
        ) -> Steps:
            body = timed(query.grid, part, whole)
            body |= {
                "groupBy": ["userId"],
                "metrics": ["tAgentRoutingStatus"],
                "filter": one_of("userId", batch),
            }
            try:
                answer: Page = yield request(PATH, body, reads)
            except RejectedError as error:
                raise _explained(error, query) from error
            return answer.facts

        yield from cut(query.grid, interval, known, facts, ask)


def _adder(asked: frozenset[str]) -> Callable[[Accumulator, msgspec.Raw], None]:
    def add(facts: Accumulator, raw: msgspec.Raw) -> None:
        found = container(raw)
        user = text(found.group or {}, "userId")
        if user is None:
            facts.skip_ungrouped(found.data or ())
            return
        check_asked(user, asked)
        facts.add_statuses(user, found.data or ())

    return add


def _explained(error: RejectedError, query: Query) -> RejectedError:
    # Two pages of the vendor's disagree on whether quarter hours are allowed here.
    if (
        error.status == 400
        and error.code != TOO_LARGE
        and query.grid.granularity is Granularity.PT15M
    ):
        text = f"{error}; routing statuses may be had by the half hour only: set range.granularity to PT30M, or occupancy to false"
        return RejectedError(text, status=error.status, code=error.code)
    return error
