"""Which queries an interval takes; what happens if the server cuts days differently. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import pairwise
from typing import Any

from asyncreport.api.aggregates import ConnectionState, Steps
from asyncreport.api.wire import Request, Wait
from asyncreport.core.errors import OFF_GRID, RejectedError
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import Granularity, Grid, Interval

#: queries an interval; True: as one bucket
QueryInterval = Callable[[Interval, bool], Steps]


def fetch_interval(
    grid: Grid,
    interval: Interval,
    state: ConnectionState,
    facts: Accumulator,
    query_interval: QueryInterval,
) -> Generator[Request | Wait, Any, None]:
    """Fetch an interval with as few queries as its granularity allows; add it to `facts`."""
    if not one_bucket_per_query(grid, state):
        off_grid = yield from _add_interval(grid, interval, facts, query_interval)
        # One odd response may be an accident of a gateway. Only the same query shows that it is
        # not.
        if off_grid:
            off_grid = yield from _add_interval(grid, interval, facts, query_interval)
        if not off_grid:
            return
        state.separate_the_days(off_grid)
    for start, end in pairwise(grid.edges(interval)):
        add_response(facts, (yield from query_interval(Interval(start, end), True)))


def _add_interval(
    grid: Grid,
    interval: Interval,
    facts: Accumulator,
    query_interval: QueryInterval,
) -> Generator[Request | Wait, Any, RejectedError | None]:
    """Fetch an interval with one query; give the error if its days are off the grid.

    The vendor does not document how it cuts the days of a clock change, so its buckets are checked.
    """
    try:
        add_response(facts, (yield from query_interval(interval, False)))
    except RejectedError as error:
        if grid.granularity is Granularity.P1D and error.code == OFF_GRID:
            return error
        raise
    return None


def one_bucket_per_query(grid: Grid, state: ConnectionState) -> bool:
    """Tell whether each bucket is a query of its own."""
    if grid.granularity is Granularity.P1D:
        return state.separate_days
    return grid.granularity.step is None


def count_queries(grid: Grid, interval: Interval) -> int:
    """Count the queries of an interval, if the server cuts days at local midnight."""
    if one_bucket_per_query(grid, ConnectionState()):
        return len(grid.edges(interval)) - 1
    return 1


def add_response(facts: Accumulator, response: Accumulator) -> None:
    """Add what a whole response reports.

    Raise RejectedError if nothing in it names a user, although certain users were asked for.
    """
    if response.only_ungrouped:
        raise RejectedError(
            "the response has results, but none names a user; the server did not group by user"
        )
    facts.absorb(response)
