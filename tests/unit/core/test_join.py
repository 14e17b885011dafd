"""Joined chunks tile exactly what the plan tiled, and are as long as `most` allows."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from asyncreport.core.coverage import Users
from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Chunk
from asyncreport.core.plan import Demand, join, plan, remove
from asyncreport.core.timeline import DAY, Granularity, Grid, Interval
from tests.unit.core.test_plan import (
    LATER,
    SETTLED,
    calendars,
    demand,
    ids,
    parts_of,
    ranges,
    span,
)


def taken(
    wanted: Demand, chunks: tuple[Chunk, ...], most: list[int | None], settled_before: int = LATER
) -> list[Chunk]:
    """Take chunk after chunk; `most` is used in turn."""
    left, found = deque(chunks), []
    while left:
        cells = most[len(found) % len(most)]
        found.append(join(left, wanted, lambda _, most=cells: most, settled_before))
        before = len(left)
        assert remove(left, found[-1]) == before - len(left)
    return found


def buckets(grid: Grid, chunks: Iterable[Chunk]) -> Counter[tuple[int, Users]]:
    """Count how often each bucket is asked for each batch of users: `join` must keep batches."""
    return Counter(
        (edge, chunk.users) for chunk in chunks for edge in grid.edges(chunk.interval)[:-1]
    )


@settings(max_examples=100, deadline=None)
@given(
    st.data(),
    calendars,
    st.none() | st.integers(1, 230),
    st.lists(st.none() | st.integers(1, 200_000), min_size=1, max_size=5),
    st.integers(0, 3),
)
def test_any_sequence_of_joins_tiles_exactly_what_the_plan_tiled(
    data: st.DataObject,
    calendar: tuple[Granularity, ZoneInfo],
    users: int | None,
    most: list[int | None],
    stale: int,
) -> None:
    grid = Grid(*calendar)
    interval = data.draw(ranges(grid, 2024))
    wanted = Demand(
        connection="c",
        grid=grid,
        interval=interval,
        users=None if users is None else ids(users),
        population=300,
    )
    done = parts_of(plan(wanted, [], SETTLED).chunks[:stale], fetched_at=interval.start + DAY)
    # Parts that were fetched too early are replaced; their chunks stay as they are.
    freshness = Freshness(settle=5 * DAY, now=interval.start + 20 * DAY)
    planned = plan(wanted, done, freshness).chunks
    settled_before = freshness.now - freshness.settle
    found = taken(wanted, planned, most, settled_before)
    assert buckets(wanted.grid, found) == buckets(wanted.grid, planned)
    assert [chunk for chunk in found if chunk.replaces] == [
        chunk for chunk in planned if chunk.replaces
    ]
    for chunk in found:
        assert wanted.grid.slot(chunk.interval.start).month == chunk.month
        starts = [each for each in planned if chunk.interval.overlaps(each.interval)]
        ages = {each.interval.end <= settled_before for each in starts if each.users == chunk.users}
        assert len(ages) == 1, "settled and unsettled chunks are joined"


def test_a_month_is_shared_among_as_few_answers_as_it_needs() -> None:
    wanted = demand(span("2024-01-01", "2024-02-01"), ids(100))
    planned = plan(wanted, [], SETTLED).chunks
    assert len(planned) == 8
    lengths = [
        wanted.grid.count(chunk.interval) for chunk in taken(wanted, planned, [20_000 * 100 // 24])
    ]
    # 83,333 users x buckets: 1488 buckets take two answers, and both are equally full.
    assert lengths == [744, 744]


def test_nothing_changes_while_nothing_is_known() -> None:
    wanted = demand(span("2024-01-01", "2024-02-01"), ids(230))
    planned = plan(wanted, [], SETTLED).chunks
    assert taken(wanted, planned, [None]) == list(planned)


def test_a_chunk_that_is_too_long_is_cut() -> None:
    wanted = demand(span("2024-01-01", "2024-01-05"), ids(100))
    planned = plan(wanted, [], SETTLED).chunks
    assert len(planned) == 1
    found = taken(wanted, planned, [1_000, 1_000_000])
    assert [wanted.grid.count(chunk.interval) for chunk in found] == [10, 182]


def test_a_single_bucket_is_as_short_as_a_chunk_gets() -> None:
    wanted = demand(span("2024-01-01T00:00", "2024-01-01T01:00"), ids(100))
    found = taken(wanted, plan(wanted, [], SETTLED).chunks, [1])
    assert [wanted.grid.count(chunk.interval) for chunk in found] == [1, 1]


def test_chunks_of_different_users_months_or_with_a_gap_are_not_joined() -> None:
    wanted = demand(span("2024-01-01", "2024-03-01"), ids(200))
    hole = Chunk(
        connection="c",
        month="2024-01",
        interval=span("2024-01-10", "2024-01-11"),
        users=ids(200)[:100],
    )
    planned = plan(wanted, parts_of([hole]), SETTLED).chunks
    found = taken(wanted, planned, [10_000_000])
    assert [(chunk.month, len(chunk.users or ())) for chunk in found] == [
        ("2024-01", 100),
        ("2024-01", 100),
        ("2024-01", 100),
        ("2024-02", 100),
        ("2024-02", 100),
    ]
    assert buckets(wanted.grid, found) == buckets(wanted.grid, planned)


def test_what_is_settled_is_not_joined_with_what_is_fetched_again_soon() -> None:
    wanted = demand(span("2024-01-01", "2024-02-01"), ids(100))
    planned = plan(wanted, [], SETTLED).chunks
    border = planned[3].interval.end
    found = taken(wanted, planned, [10_000_000], border)
    assert [chunk.interval for chunk in found] == [
        Interval(planned[0].interval.start, border),
        Interval(border, planned[-1].interval.end),
    ]


def test_stale_parts_with_many_records_are_not_fetched_as_one() -> None:
    """With split values a bucket of a user may have fifty records."""
    wanted = demand(span("2024-01-01", "2024-01-03"), ids(10))
    days = [span("2024-01-01", "2024-01-02"), span("2024-01-02", "2024-01-03")]
    chunks = [Chunk(connection="c", month="2024-01", interval=day, users=ids(10)) for day in days]
    for records, expected in ((10_000, 1), (10_001, 2)):
        parts = [
            replace(part, count=records) for part in parts_of(chunks, fetched_at=days[0].start)
        ]
        assert len(plan(wanted, parts, SETTLED).chunks) == expected
