"""The lane pool: a question goes to another lane if its lane fails, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asyncreport.core.errors import AuthError, RejectedError, RetriesExhausted
from asyncreport.engine.lane_pool import LaneError, LanePool, is_lane_error
from tests import clock

REFUSED = AuthError("refused")
NO_TOKEN = RetriesExhausted("no token", reason="lane")


class Lanes:
    """Answer with the lane's number, or raise its error."""

    def __init__(self, errors: dict[int, Exception]) -> None:
        self.errors = errors
        self.asked: list[int] = []
        self.lost: list[tuple[int, LaneError]] = []

    async def question(self, lane: int) -> int:
        self.asked.append(lane)
        await asyncio.sleep(1)
        if lane in self.errors:
            raise self.errors[lane]
        return lane

    def report(self, lane: int, error: LaneError) -> None:
        self.lost.append((lane, error))


@pytest.mark.parametrize("error", [REFUSED, NO_TOKEN])
def test_a_question_goes_to_the_next_lane_in_the_order_given(error: LaneError) -> None:
    lanes = Lanes({2: error})
    pool = LanePool([2, 0, 1], lanes.report)
    assert clock.run(pool.ask(lanes.question)) == 0
    assert lanes.asked == [2, 0]
    assert lanes.lost == [(2, error)]
    assert pool.left == [0, 1]


def test_the_own_lane_is_asked_first_and_never_again_once_it_is_lost() -> None:
    lanes = Lanes({1: REFUSED})
    pool = LanePool(range(3), lanes.report)

    async def main() -> list[int]:
        return [await pool.ask(lanes.question, own=own) for own in (2, 1, 1)]

    assert clock.run(main()) == [2, 0, 0]
    assert lanes.asked == [2, 1, 0, 0]
    assert lanes.lost == [(1, REFUSED)]


def test_the_error_of_the_last_lane_is_raised_and_not_reported() -> None:
    last = AuthError("last")
    lanes = Lanes({0: NO_TOKEN, 1: last})
    pool = LanePool(range(2), lanes.report)
    with pytest.raises(AuthError, match="last"):
        clock.run(pool.ask(lanes.question))
    assert lanes.lost == [(0, NO_TOKEN)]


@pytest.mark.parametrize(
    "error",
    [
        RejectedError("400"),
        RetriesExhausted("503"),
        RetriesExhausted("504", reason="late"),
        RetriesExhausted("504", reason="silent"),
    ],
)
def test_an_error_of_the_request_is_raised_and_costs_no_lane(error: Exception) -> None:
    lanes = Lanes({0: error})
    pool = LanePool(range(2), lanes.report)
    with pytest.raises(type(error), match=str(error)):
        clock.run(pool.ask(lanes.question))
    assert (lanes.asked, lanes.lost, pool.left) == ([0], [], [0, 1])


def test_a_lane_that_fails_several_questions_at_once_is_reported_once() -> None:
    lanes = Lanes({0: REFUSED})
    pool = LanePool(range(2), lanes.report)

    async def main() -> list[int]:
        return await asyncio.gather(*(pool.ask(lanes.question, own=0) for _ in range(3)))

    assert clock.run(main()) == [1, 1, 1]
    assert lanes.lost == [(0, REFUSED)]


def test_a_question_that_loses_its_lane_after_all_others_were_lost_ends() -> None:
    """Two tasks with a lane each: lane 1 is lost while the question to lane 0 is in progress."""
    lanes = Lanes({0: REFUSED, 1: NO_TOKEN})
    pool = LanePool(range(2), lanes.report)

    def after(seconds: float) -> Callable[[int], Awaitable[int]]:
        async def question(lane: int) -> int:
            await asyncio.sleep(seconds)
            return await lanes.question(lane)

        return question

    async def main() -> list[object]:
        return await asyncio.gather(
            pool.ask(after(5), own=0), pool.ask(after(0), own=1), return_exceptions=True
        )

    # The second question goes on to lane 0, where both end with that lane's error.
    assert clock.run(main()) == [REFUSED, REFUSED]
    assert lanes.lost == [(1, NO_TOKEN)]


@pytest.mark.parametrize(("seconds", "works"), [(5, False), (60, True)])
def test_a_chunk_that_ends_during_the_rest_does_not_show_that_the_lane_works(
    seconds: float, works: bool
) -> None:
    """It was sent before the lane stalled. After the rest, one chunk at a time is tried."""
    pool = LanePool([0], Lanes({}).report)

    async def main() -> None:
        pool.start(0)
        pool.start(0)
        pool.fail(0, NO_TOKEN)
        assert not pool.ready(0)
        await asyncio.sleep(seconds)
        pool.finish(0)
        await asyncio.sleep(60)
        assert pool.ready(0)
        pool.start(0)
        assert pool.ready(0) == works

    clock.run(main())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (REFUSED, True),
        (NO_TOKEN, True),
        (RetriesExhausted("503"), False),
        (RejectedError("400"), False),
    ],
)
def test_only_a_refused_client_and_an_unsent_request_are_faults_of_a_lane(
    error: AuthError | RetriesExhausted | RejectedError, expected: bool
) -> None:
    assert is_lane_error(error) == expected
