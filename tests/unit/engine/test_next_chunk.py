"""A lane's next chunk: as long as the answers and the server's bound allow."""

from __future__ import annotations

from collections import deque

import pytest

from asyncreport.api.aggregates import ConnectionState
from asyncreport.core.answer_sizes import MOST_CELLS, AnswerSizes, Totals
from asyncreport.core.job import Query
from asyncreport.core.plan import Demand, plan
from asyncreport.core.splitting import Bound
from asyncreport.core.timeline import Granularity
from asyncreport.engine.next_chunk import NextChunk
from tests.unit.core.test_plan import LATER, SETTLED, demand, ids, span

MONTH = span("2024-01-01", "2024-02-01")
#: every chunk may be as long as the month
THIN = Totals(cells=1, most=MOST_CELLS)


def lengths(wanted: Demand, state: ConnectionState) -> list[int]:
    """Take all chunks of a plan; give how many buckets each has."""
    left = deque(plan(wanted, [], SETTLED).chunks)
    source = NextChunk(wanted, Query(grid=wanted.grid), state, LATER)
    found = []
    while left:
        found.append(wanted.grid.count(source.take(left).interval))
    return found


def test_chunks_are_joined_up_to_a_month() -> None:
    state = ConnectionState(sizes=AnswerSizes(THIN))
    assert lengths(demand(MONTH, ids(100)), state) == [1_488]


def test_the_length_that_the_job_gives_wins() -> None:
    assert lengths(demand(MONTH, ids(100)), ConnectionState()) == [200] * 7 + [88]


@pytest.mark.parametrize(
    ("users", "bound", "expected"),
    [
        (ids(100), Bound(cells=50_000), [496] * 3),
        (ids(100), Bound(buckets=3), [1_488]),
        (None, Bound(buckets=496), [496] * 3),
        (None, Bound(cells=3), [1_488]),
    ],
)
def test_the_server_bounds_the_length(
    users: tuple[str, ...] | None, bound: Bound, expected: list[int]
) -> None:
    state = ConnectionState(sizes=AnswerSizes(THIN), bound=bound, population=100)
    assert lengths(demand(MONTH, users, population=100), state) == expected


def test_chunks_of_single_queries_stay_as_they_are() -> None:
    """A longer chunk would save no query, and leave other workers without work."""
    wanted = demand(MONTH, None, granularity=Granularity.P1D, population=10_000)
    state = ConnectionState(sizes=AnswerSizes(THIN), population=10_000)
    assert lengths(wanted, state) == [16, 15]
    state.separate_days = True
    assert lengths(wanted, state) == [2] * 15 + [1]
