"""Pieces tile their chunk exactly, lie on its grid, and stay within what the server answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.config.zones import load_zone
from asyncreport.core.errors import (
    TOO_LARGE,
    AsyncReportError,
    AuthError,
    RejectedError,
    RetriesExhausted,
)
from asyncreport.core.job import Chunk
from asyncreport.core.piece_errors import next_step, with_piece
from asyncreport.core.records import Block
from asyncreport.core.splitting import (
    Bound,
    SplitReason,
    halves,
    join,
    size,
    smallest_piece,
    split_reason,
    tile,
)
from asyncreport.core.timeline import Granularity, Grid, Interval

HOURS = Grid(Granularity.PT1H, load_zone("UTC"))
#: days of 23, 24 and 25 hours
DAYS = Grid(Granularity.P1D, load_zone("Europe/Dublin"))

Cell = tuple[tuple[int, int], str | None]


def chunk(buckets: int, users: int | None, grid: Grid = HOURS) -> Chunk:
    edges = grid.slot(1_711_929_600_000).edges  # April 2024, which Dublin begins in summer time
    ids = None if users is None else tuple(f"u{n:03}" for n in range(users))
    return Chunk(
        connection="c",
        month="2024-04",
        interval=Interval(edges[0], edges[buckets]),
        users=ids,
        replaces=(7,),
    )


def cells(pieces: Iterable[Chunk], grid: Grid) -> Counter[Cell]:
    """Count how often each bucket of each user is requested; fail if a piece is off the grid."""
    found: Counter[Cell] = Counter()
    for piece in pieces:
        edges = grid.edges(piece.interval)
        found.update((span, user) for span in pairwise(edges) for user in piece.users or (None,))
    return found


LIMITS = st.none() | st.integers(1, 700)


@given(
    st.integers(1, 29),
    st.none() | st.integers(1, 20),
    st.sampled_from([HOURS, DAYS]),
    LIMITS,
    LIMITS,
    LIMITS,
    st.booleans(),
)
def test_tiles_cover_the_chunk_once_within_the_bound(
    buckets: int,
    users: int | None,
    grid: Grid,
    most: int | None,
    most_buckets: int | None,
    most_users: int | None,
    single_buckets: bool,
) -> None:
    whole = chunk(buckets, users, grid)
    tiles = tile(
        whole,
        grid,
        Bound(cells=most, buckets=most_buckets, users=most_users),
        single_buckets=single_buckets,
    )
    assert cells(tiles, grid) == cells([whole], grid)
    assert max(cells(tiles, grid).values()) == 1
    assert all(piece.replaces == (7,) for piece in tiles)
    assert [piece.interval for piece in tiles] == sorted(piece.interval for piece in tiles)
    for piece in tiles:
        if users is None:
            assert most_buckets is None or size(piece, grid) <= most_buckets
        else:
            assert most is None or size(piece, grid) <= most
            assert most_users is None or len(piece.users or ()) <= most_users
        assert not single_buckets or len(grid.edges(piece.interval)) == 2


@given(
    st.integers(1, 29),
    st.none() | st.integers(1, 20),
    st.sampled_from([HOURS, DAYS]),
    st.sampled_from(["large", "late", "long"]),
)
def test_halves_cover_their_piece_once_and_are_each_smaller(
    buckets: int, users: int | None, grid: Grid, why: SplitReason
) -> None:
    """Down to one bucket of one user or of everyone, or to one user if a request is too long."""
    whole = chunk(buckets, users, grid)
    parts = halves(whole, grid, why)
    if not parts:
        assert users in {None, 1}
        assert buckets == 1 or why == "long"
        return
    assert cells(parts, grid) == cells([whole], grid)
    assert all(size(part, grid) < size(whole, grid) for part in parts)
    if why == "long":
        assert {part.interval for part in parts} == {whole.interval}
    elif buckets > 1:
        assert {part.users for part in parts} == {whole.users}


def test_the_smallest_piece_is_one_bucket_of_one_user() -> None:
    assert (
        size(smallest_piece(chunk(24, 5), HOURS), HOURS)
        == size(smallest_piece(chunk(24, None), HOURS), HOURS)
        == 1
    )
    assert smallest_piece(chunk(24, 5), HOURS).users == ("u000",)
    assert smallest_piece(chunk(24, None), HOURS).users is None


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RejectedError("", status=400, code=TOO_LARGE), "large"),
        (RejectedError("", code=TOO_LARGE), "large"),
        (RejectedError("", status=413), "long"),
        (RejectedError("", status=400, code="bad.request"), None),
        (AuthError(""), None),
        (RetriesExhausted(""), None),
        (RetriesExhausted("", reason="lane"), None),
        (RetriesExhausted("", reason="late"), "late"),
        (RetriesExhausted("", reason="silent"), "late"),
    ],
)
def test_a_chunk_is_split_only_if_a_smaller_request_may_be_answered(
    error: AsyncReportError, why: SplitReason | None
) -> None:
    assert split_reason(error) == why


def test_a_bound_is_the_largest_answered_piece() -> None:
    bound = Bound()
    bound.learn("large", [chunk(3, 10), chunk(4, 10), chunk(1, 1)], HOURS)
    bound.learn("late", [chunk(9, 10)], HOURS)
    bound.learn("large", [chunk(5, None), chunk(6, None)], HOURS)
    bound.learn("long", [chunk(24, 7), chunk(24, 6)], HOURS)
    assert bound == Bound(cells=40, buckets=6, users=7)


def test_a_bound_rises_after_some_calm() -> None:
    bound = Bound()
    bound.learn("late", [chunk(4, 10)], HOURS)
    for _ in range(15):
        bound.answered()
    assert bound.cells == 40
    bound.answered()
    assert (bound.cells, bound.buckets, bound.users) == (80, None, None)
    for _ in range(15):
        bound.answered()
    bound.learn("late", [chunk(4, 10)], HOURS)
    bound.answered()
    assert bound.cells == 40


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([None, "anna", "bert", "carl"])),
        unique=True,
        max_size=16,
    )
)
def test_joined_blocks_have_every_row_once_by_user_in_order_of_time(
    asked: list[tuple[int, str | None]],
) -> None:
    """Each piece has some users, in order."""
    pieces = [
        [
            Block(user, b"%d\n" % at, 1)
            for _, user in sorted((user or "", user) for when, user in asked if when == at)
        ]
        for at in range(4)
    ]
    joined = join(pieces)
    assert [block.user or "" for block in joined] == sorted({user or "" for _, user in asked})
    for block in joined:
        assert [int(line) for line in block.lines.splitlines()] == sorted(
            when for when, who in asked if who == block.user
        )
        assert block.count == sum(who == block.user for _, who in asked)


def test_a_piece_that_cannot_be_split_is_reported_with_interval_users_and_next_step() -> None:
    error = RejectedError("POST /x [correlation id id]: 400 too large", status=400, code=TOO_LARGE)
    everyone, anna = chunk(1, None), chunk(1, 1)
    end = with_piece(error, everyone, next_step(everyone, "large"))
    span = "2024-04-01T00:00:00.000Z/2024-04-01T01:00:00.000Z"
    assert str(end) == (
        f"POST /x: 400 too large; the request was for {span} of everyone, "
        "which cannot be split further: "
        "list users or teams, or set contract: query-jobs [correlation id id]"
    )
    assert isinstance(end, RejectedError)
    assert (end.status, end.code, end.correlation_id) == (400, TOO_LARGE, "id")
    assert str(with_piece(error, anna, next_step(anna, "large"))).endswith(
        f"; the request was for {span} of user u000, which cannot be split further "
        "[correlation id id]"
    )
    late = with_piece(RetriesExhausted("late"), chunk(1, 3), "so")
    assert isinstance(late, RetriesExhausted)
    assert str(late) == f"late; the request was for {span} of 3 users from u000 to u002, so"
    assert late.correlation_id is None
