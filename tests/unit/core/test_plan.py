"""The planner: chunks tile exactly what no current part covers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.config.zones import load_zone
from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Chunk, ChunkLength, Part
from asyncreport.core.local_time import local_instant
from asyncreport.core.plan import MAX_CELLS, Demand, plan
from asyncreport.core.timeline import DAY, Granularity, Grid, Interval
from tests.unit.core.test_timeline import ZONES

#: a run after every range of these tests
LATER = 9_000_000_000_000
SETTLED = Freshness(settle=0, now=LATER)


def span(start: str, end: str, zone: str = "UTC") -> Interval:
    return Interval(
        local_instant(datetime.fromisoformat(start), load_zone(zone)),
        local_instant(datetime.fromisoformat(end), load_zone(zone)),
    )


def ids(count: int) -> tuple[str, ...]:
    return tuple(f"user-{n:04}" for n in range(count))


def demand(
    interval: Interval,
    users: tuple[str, ...] | None,
    *,
    zone: str = "UTC",
    granularity: Granularity = Granularity.PT30M,
    **rest: object,
) -> Demand:
    return Demand(
        connection="c",
        grid=Grid(granularity, load_zone(zone)),
        interval=interval,
        users=users,
        **rest,
    )  # type: ignore[arg-type]


def parts_of(chunks: Iterable[Chunk], *, first: int = 1, fetched_at: int = LATER) -> list[Part]:
    """Pretend that chunks were fetched."""
    return [
        Part(
            connection="default",
            number=number,
            fingerprint="f",
            month=chunk.month,
            interval=chunk.interval,
            users=chunk.users,
            fetched_at=fetched_at,
            count=0,
            size=0,
            index_at=0,
            sha256="",
        )
        for number, chunk in enumerate(chunks, first)
    ]


def cells(grid: Grid, chunks: Iterable[Chunk | Part]) -> Counter[tuple[int, str | None]]:
    """Count how often each (bucket, user) is asked for."""
    return Counter(
        (edge, user)
        for chunk in chunks
        for edge in grid.edges(chunk.interval)[:-1]
        for user in chunk.users or (None,)
    )


@st.composite
def ranges(draw: st.DrawFn, grid: Grid, year: int) -> Interval:
    """Draw a range on the grid, up to about three months long, often over a clock change.

    The ranges of one example share their year, so that they often overlap.
    """
    month = draw(st.sampled_from([1, 3, 4, 9, 10, 11]))
    day = draw(st.integers(1, 28))
    start = grid.edges_around(local_instant(datetime(year, month, day, 12), grid.zone))[0]
    end = grid.edges_around(
        start + draw(st.integers(0, 95 if grid.granularity.step is None else 40)) * DAY + DAY // 2
    )[1]
    return Interval(start, end if end > start else grid.slot(start).edges[-1])


years = st.integers(2000, 2099)
lengths = st.one_of(
    st.none(),
    st.just(ChunkLength()),
    st.integers(1, 31).map(lambda days: ChunkLength(days=days)),
    st.sampled_from([6, 8, 12, 24]).map(lambda hours: ChunkLength(hours=hours)),
)
calendars = st.tuples(
    st.sampled_from(
        [
            Granularity.PT15M,
            Granularity.PT30M,
            Granularity.PT1H,
            Granularity.P1D,
            Granularity.P1W,
            Granularity.P1M,
        ]
    ),
    st.sampled_from(
        [zone for zone in ZONES if zone not in {"Australia/Lord_Howe", "Antarctica/Troll"}]
    ).map(load_zone),
)


@settings(max_examples=60, deadline=None)
@given(st.data(), calendars, lengths, st.integers(0, 3))
def test_chunks_tile_exactly_what_no_current_part_covers(
    data: st.DataObject,
    calendar: tuple[Granularity, ZoneInfo],
    length: ChunkLength | None,
    users: int,
) -> None:
    """Parts may come from any ranges, users and lengths; each bucket of a user is covered once."""
    grid = Grid(*calendar)
    year = data.draw(years)
    current: list[Part] = []
    for _ in range(data.draw(st.integers(0, 2))):
        earlier = data.draw(ranges(grid, year))
        some = tuple(sorted(data.draw(st.sets(st.sampled_from(ids(4)), min_size=1))))
        asked = Demand(
            connection="c", grid=grid, interval=earlier, users=some, length=data.draw(lengths)
        )
        done = [chunk for chunk in plan(asked, current, SETTLED).chunks if data.draw(st.booleans())]
        current += parts_of(done, first=len(current) + 1)
    interval = data.draw(ranges(grid, year))
    demanded = ids(4)[: users + 1]
    planned = plan(
        Demand(connection="c", grid=grid, interval=interval, users=demanded, length=length),
        current,
        SETTLED,
    )
    covered = cells(grid, [*planned.chunks, *current])
    assert {
        (edge, user) for edge in grid.edges(interval)[:-1] for user in demanded
    } <= covered.keys()
    assert set(covered.values()) == {1}
    asked_for = cells(grid, planned.chunks)
    assert all(
        interval.start <= edge < interval.end and user in demanded for edge, user in asked_for
    )
    assert not planned.stale


@settings(max_examples=40, deadline=None)
@given(st.data(), calendars, lengths)
def test_chunks_of_everyone_tile_the_range_and_replace_parts_of_listed_users(
    data: st.DataObject, calendar: tuple[Granularity, ZoneInfo], length: ChunkLength | None
) -> None:
    grid = Grid(*calendar)
    interval = data.draw(ranges(grid, data.draw(years)))
    listed = parts_of(
        plan(
            Demand(connection="c", grid=grid, interval=interval, users=ids(2), length=length),
            [],
            SETTLED,
        ).chunks
    )
    planned = plan(
        Demand(
            connection="c", grid=grid, interval=interval, users=None, population=5, length=length
        ),
        listed,
        SETTLED,
    )
    assert cells(grid, planned.chunks) == Counter(
        (edge, None) for edge in grid.edges(interval)[:-1]
    )
    assert {number for chunk in planned.chunks for number in chunk.replaces} == {
        part.number for part in listed
    }
    again = parts_of(planned.chunks)
    assert (
        plan(
            Demand(connection="c", grid=grid, interval=interval, users=ids(2)), again, SETTLED
        ).chunks
        == ()
    )


def test_chunks_of_a_slot_begin_in_it_and_at_its_own_edges() -> None:
    """Chunks are counted from the slot's first bucket: a range that grows keeps its chunks."""
    january = demand(span("2024-01-10", "2024-01-20"), ids(1), length=ChunkLength(days=7))
    longer = demand(span("2024-01-10", "2024-02-20"), ids(1), length=ChunkLength(days=7))
    first, second = plan(january, [], SETTLED).chunks, plan(longer, [], SETTLED).chunks
    assert [chunk.interval for chunk in first] == [
        span("2024-01-10", "2024-01-15"),
        span("2024-01-15", "2024-01-20"),
    ]
    assert [chunk.month for chunk in second] == ["2024-01"] * 4 + ["2024-02"] * 3
    grown = plan(longer, parts_of(first), SETTLED).chunks
    assert grown[0].interval == span("2024-01-20", "2024-01-22")


def test_batches_hold_at_most_a_hundred_sorted_users() -> None:
    chunks = plan(
        demand(span("2024-01-01", "2024-01-02"), ids(230), length=ChunkLength()), [], SETTLED
    ).chunks
    assert [len(chunk.users or ()) for chunk in chunks] == [100, 100, 30]
    assert [user for chunk in chunks for user in chunk.users or ()] == list(ids(230))


def test_the_default_length_fills_a_response_and_stays_in_the_month() -> None:
    hundred = plan(demand(span("2024-01-01", "2024-02-01"), ids(100)), [], SETTLED).chunks
    assert {
        len(Grid(Granularity.PT30M, load_zone("UTC")).edges(chunk.interval)) - 1
        for chunk in hundred[:-1]
    } == {MAX_CELLS // 100}
    few = plan(demand(span("2024-01-01", "2024-03-01"), ids(3)), [], SETTLED).chunks
    assert [chunk.interval for chunk in few] == [
        span("2024-01-01", "2024-02-01"),
        span("2024-02-01", "2024-03-01"),
    ]
    everyone = plan(
        demand(span("2024-01-01", "2024-02-01"), None, population=40_000), [], SETTLED
    ).chunks
    assert len(everyone) == 31 * 48


def test_a_new_user_costs_requests_for_that_user_only() -> None:
    done = parts_of(plan(demand(span("2024-01-01", "2024-03-01"), ids(100)), [], SETTLED).chunks)
    planned = plan(
        demand(span("2024-01-01", "2024-03-01"), (*ids(100), "zoe")), done, SETTLED
    ).chunks
    assert [chunk.users for chunk in planned] == [("zoe",), ("zoe",)]
    assert plan(demand(span("2024-01-01", "2024-03-01"), ids(60)), done, SETTLED).chunks == ()


def test_a_part_fetched_before_it_settled_is_fetched_again_as_a_whole() -> None:
    """The chunk has the part's interval and users, although range and team are smaller now."""
    done = parts_of(
        plan(
            demand(span("2024-01-01", "2024-01-31"), ids(2), length=ChunkLength(days=10)),
            [],
            SETTLED,
        ).chunks
    )
    fresh = done[:2]
    early = parts_of(
        [Chunk(connection="c", month="2024-01", interval=done[2].interval, users=ids(2))],
        first=3,
        fetched_at=done[2].interval.end + DAY,
    )
    planned = plan(
        demand(span("2024-01-05", "2024-01-25"), ids(1)),
        [*fresh, *early],
        Freshness(settle=4 * DAY, now=LATER),
    )
    assert [(chunk.interval, chunk.users, chunk.replaces) for chunk in planned.chunks] == [
        (done[2].interval, ids(2), (3,))
    ]
    assert [part.number for part in planned.stale] == [3]
    assert [part.number for part in planned.reused] == [1, 2]


def test_parts_of_other_users_are_neither_reused_nor_stale() -> None:
    done = parts_of(
        plan(demand(span("2024-01-01", "2024-02-01"), ("anna",)), [], SETTLED).chunks, fetched_at=0
    )
    planned = plan(
        demand(span("2024-01-01", "2024-02-01"), ("bert",)), done, Freshness(settle=DAY, now=LATER)
    )
    assert [chunk.users for chunk in planned.chunks] == [("bert",)]
    assert planned.stale == planned.reused == ()


def test_a_stale_part_outside_the_range_is_neither_reused_nor_fetched_again() -> None:
    done = parts_of(
        plan(demand(span("2024-01-01", "2024-01-05"), ids(1)), [], SETTLED).chunks, fetched_at=0
    )
    planned = plan(
        demand(span("2024-01-10", "2024-01-20"), ids(1)), done, Freshness(settle=DAY, now=LATER)
    )
    assert [chunk.interval for chunk in planned.chunks] == [span("2024-01-10", "2024-01-20")]
    assert planned.stale == planned.reused == ()


def test_a_part_is_stale_until_it_was_fetched_late_enough() -> None:
    """A part settles exactly `settle` after its end."""
    asked = demand(span("2024-01-01", "2024-01-03"), ids(1))
    chunks = plan(asked, [], SETTLED).chunks
    settled_at = asked.interval.end + DAY
    freshness = Freshness(settle=DAY, now=LATER)
    (early,) = parts_of(chunks, fetched_at=settled_at - 1)
    (settled,) = parts_of(chunks, fetched_at=settled_at)
    reason = "fetched while numbers could still change (output.settle)"
    assert freshness.stale_reason(early) == reason
    assert freshness.stale_reason(settled) is None


@pytest.mark.parametrize(
    ("granularity", "length", "expected"),
    [
        (Granularity.P1W, ChunkLength(days=15), [14, 14]),
        (Granularity.P1W, ChunkLength(days=1), [7, 7, 7, 7]),
        (Granularity.P1D, ChunkLength(hours=6), [1] * 28),
        (Granularity.P1D, ChunkLength(days=10), [10, 10, 8]),
        (Granularity.PT1H, ChunkLength(hours=12), [0.5] * 56),
        (Granularity.P1M, None, [28]),
    ],
)
def test_a_chunk_length_is_rounded_down_to_whole_buckets(
    granularity: Granularity, length: ChunkLength | None, expected: list[float]
) -> None:
    """February 2021 begins on a Monday and has four weeks."""
    chunks = plan(
        demand(span("2021-02-01", "2021-03-01"), ids(1), granularity=granularity, length=length),
        [],
        SETTLED,
    ).chunks
    assert [(chunk.interval.end - chunk.interval.start) / DAY for chunk in chunks] == expected


def test_ten_thousand_parts_do_not_each_walk_their_users() -> None:
    """The users of one batch are walked once a month, not once a part."""
    demanded = demand(span("2014-01-01", "2024-01-01"), ids(1000), length=ChunkLength(days=4))
    first = plan(demanded, [], SETTLED).chunks
    done = parts_of(first)
    assert len(done) > 9000
    assert plan(demanded, done, SETTLED).chunks == ()


def test_adjacent_stale_parts_become_one_chunk_of_at_most_the_chunk_length() -> None:
    hourly = parts_of(
        plan(
            demand(span("2024-01-01", "2024-01-03"), ids(2), length=ChunkLength(hours=1)),
            [],
            SETTLED,
        ).chunks
    )
    grown = demand(span("2024-01-01", "2024-01-03"), ids(2), length=ChunkLength(days=1))
    planned = plan(
        grown,
        hourly[:10] + hourly[11:],
        Freshness(settle=0, refresh=span("2024-01-01", "2024-01-03"), now=LATER + 1),
    )
    found = [(str(chunk.interval)[8:13], len(chunk.replaces)) for chunk in planned.chunks]
    assert found == [
        ("01T00", 10),
        ("01T10", 0),
        ("01T11", 24),
        ("02T11", 13),
    ]
    replaced = {part.number: part for part in hourly}
    for chunk in planned.chunks:
        inside = [replaced[number].interval for number in chunk.replaces]
        assert all(
            chunk.interval.start <= each.start and each.end <= chunk.interval.end for each in inside
        )
    assert planned.reused == ()


def test_a_part_of_the_same_run_is_fresh() -> None:
    demanded = demand(span("2024-01-01", "2024-01-03"), ids(2))
    now = demanded.interval.end
    done = parts_of(plan(demanded, [], SETTLED).chunks, fetched_at=now)
    assert plan(demanded, done, Freshness(settle=DAY, now=now)).chunks == ()
    assert len(plan(demanded, done, Freshness(settle=DAY, now=now + 1)).chunks) == 1


def test_chunks_that_lie_completely_in_the_future_are_not_requested() -> None:
    """A chunk that has begun is requested as a whole, so that later runs keep its edges."""
    demanded = demand(span("2024-01-01", "2024-04-01"), ids(2), length=ChunkLength(days=10))
    everything = plan(demanded, [], SETTLED).chunks
    for now in (everything[3].interval.start, everything[3].interval.start + 1):
        begun = [chunk for chunk in everything if chunk.interval.start < now]
        found = plan(demanded, [], Freshness(settle=DAY, now=now))
        assert found.chunks == tuple(begun)
    assert plan(demanded, [], Freshness(settle=DAY, now=demanded.interval.start)).chunks == ()


@pytest.mark.parametrize("early", [DAY, -DAY])
def test_a_part_that_lies_completely_in_the_future_is_kept_until_its_time_comes(early: int) -> None:
    """An earlier version requested such chunks, or a clock was wrong; then it is fetched again."""
    demanded = demand(span("2024-01-01", "2024-01-03"), ids(2))
    start = demanded.interval.start
    done = parts_of(plan(demanded, [], SETTLED).chunks, fetched_at=start - early)
    before = plan(demanded, done, Freshness(settle=DAY, now=start - 1))
    assert (before.chunks, before.reused, before.stale) == ((), tuple(done), ())
    after = plan(demanded, done, Freshness(settle=DAY, now=start + 1))
    assert (len(after.chunks), after.reused, after.stale) == (1, (), tuple(done))


def test_a_part_fetched_in_the_future_is_stale() -> None:
    demanded = demand(span("2024-01-01", "2024-01-03"), ids(2))
    done = parts_of(plan(demanded, [], SETTLED).chunks, fetched_at=LATER)
    planned = plan(demanded, done, Freshness(settle=0, now=LATER - 1))
    assert (len(planned.chunks), planned.reused, planned.stale) == (1, (), tuple(done))


def test_a_part_marked_for_a_refresh_is_stale_until_it_is_replaced() -> None:
    demanded = demand(span("2024-01-01", "2024-01-03"), ids(2))
    done = [
        msgspec.structs.replace(part, refresh_pending=True)
        for part in parts_of(plan(demanded, [], SETTLED).chunks, fetched_at=LATER - 1)
    ]
    assert plan(demanded, done, SETTLED).chunks[0].replaces == (1,)
