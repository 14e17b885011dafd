"""Routing-status times of users, for occupancy: the second query of a chunk. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/user-query
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from typing import Any

import msgspec

from asyncreport.api.aggregates import (
    Adder,
    ConnectionState,
    Page,
    Steps,
    decode_container,
    decode_data,
    may_have_metrics,
    page_reader,
)
from asyncreport.api.intervals import fetch_interval
from asyncreport.api.queries import matches_any, query_base, query_request
from asyncreport.api.result_groups import check_user, dimension_value
from asyncreport.api.wire import Request, Wait
from asyncreport.core.columns import STATUS_METRIC
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
    state: ConnectionState,
) -> Generator[Request | Wait, Any, None]:
    """Fetch the routing statuses of users and add them to `facts`.

    One query names 100 users, the vendor's limit. Raise RejectedError for a bucket off the grid
    and for a user who was not asked for; and, with PT30M as the next step, if the server refuses
    quarter hours.
    """
    for batch in batches(users):
        query_interval = partial(_send, query, batch, facts)
        yield from fetch_interval(query.grid, interval, state, facts, query_interval)


def _send(
    query: Query,
    users: Sequence[str],
    facts: Accumulator,
    interval: Interval,
    one_bucket: bool,
) -> Steps:
    """Send one query; `one_bucket` makes the whole interval one bucket."""
    reader = page_reader(facts, _container_adder(frozenset(users)))
    body = _body(query, users, interval, one_bucket)
    try:
        page: Page = yield query_request(PATH, body, reader)
    except RejectedError as error:
        if _refuses_quarter_hours(error, query):
            raise _with_half_hours(error) from error
        raise
    return page.facts


def _body(
    query: Query,
    users: Sequence[str],
    interval: Interval,
    one_bucket: bool,
) -> dict[str, object]:
    """Write the body of a query, which names at most 100 users."""
    body = query_base(query.grid, interval, one_bucket)
    body["groupBy"] = ["userId"]
    body["metrics"] = [STATUS_METRIC]
    body["filter"] = matches_any("userId", users)
    return body


def _container_adder(users: frozenset[str]) -> Adder:
    """Make a function that adds one user's statuses.

    That function raises RejectedError for a user who was not asked for.
    """

    def add(facts: Accumulator, raw: msgspec.Raw) -> None:
        found = decode_container(raw)
        user = dimension_value(found.group or {}, "userId")
        if user is None:
            facts.skip_ungrouped(has_metrics=may_have_metrics(found.data))
            return
        check_user(user, users)
        facts.add_statuses(user, decode_data(found.data, user))

    return add


def _refuses_quarter_hours(error: RejectedError, query: Query) -> bool:
    """Tell whether the next step is PT30M: two pages of the vendor disagree on quarter hours."""
    if query.grid.granularity is not Granularity.PT15M:
        return False
    return error.status == 400 and error.code != TOO_LARGE


def _with_half_hours(error: RejectedError) -> RejectedError:
    """Add to a refusal what to change in the job file."""
    message = (
        f"{error}; the server may not have routing statuses by quarter hour: "
        "set range.granularity to PT30M, or occupancy to false"
    )
    return RejectedError(message, status=error.status, code=error.code)
