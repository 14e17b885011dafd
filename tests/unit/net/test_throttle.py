"""The throttle: never more than the limit in 60 seconds, nearly all of it used, fair pauses."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Awaitable, Callable

import pytest

from asyncreport.api.headers import Budget
from asyncreport.net.counts import RequestCounts
from asyncreport.net.throttle import Throttle, pace
from tests.clock import run

#: seconds that the network holds a request up, at most
JITTER = 1.0


def departures(limit: int, count: int, *, workers: int = 16) -> list[float]:
    """Let workers pass a throttle as fast as it allows; give the times."""
    times: list[float] = []

    async def worker(throttle: Throttle) -> None:
        while len(times) < count:
            await throttle.enter()
            times.append(now())

    async def main() -> None:
        throttle = Throttle(limit, RequestCounts())
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker(throttle))

    run(main())
    return times


def now() -> float:
    return asyncio.get_running_loop().time()


def arrivals(times: list[float], seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return sorted(time + chance.uniform(0, JITTER) for time in times)


def most_within(times: list[float], window: float) -> int:
    """Count the requests in the fullest half-open window, as a strict sliding server does."""
    return max(n - bisect_left(times, time - window + 1e-9) + 1 for n, time in enumerate(times))


def most_in_fixed(times: list[float], offset: float) -> int:
    """Count the requests in the fullest minute of a server whose minutes begin at an offset."""
    minutes = [int((time + offset) // 60) for time in times]
    return max(minutes.count(minute) for minute in set(minutes))


def lowest_level(times: list[float], limit: int) -> float:
    """Follow a token bucket with `limit` tokens, `limit` a minute; give its lowest level."""
    level, last, lowest = float(limit), 0.0, float(limit)
    for time in times:
        level = min(limit, level + (time - last) * limit / 60) - 1
        last, lowest = time, min(lowest, level)
    return lowest


@pytest.mark.parametrize("limit", [60, 180, 300, 1000, 3000])
def test_no_server_counts_more_than_the_limit_in_any_minute(limit: int) -> None:
    left = departures(limit, max(3000, 3 * limit))
    for seed in range(3):
        came = arrivals(left, seed)
        assert most_within(came, 60) <= limit
        assert max(most_in_fixed(came, offset) for offset in range(0, 60, 7)) <= limit
        assert lowest_level(came, limit) >= 0
    # The worst of all networks: what left first comes late and what left last at once.
    assert most_within(left, 60 + JITTER) <= limit


def test_the_pace_uses_the_whole_limit_in_61_seconds() -> None:
    """Whatever the limit; 1 is the exception, see `pace`."""
    for limit in range(2, 3001):
        burst, rate = pace(limit)
        assert burst + 61 * rate == pytest.approx(limit)
        assert burst <= max(2, limit / 100)


def test_nearly_all_of_three_hundred_is_used() -> None:
    left = departures(300, 3000)
    assert len(left) / (left[-1] / 60) >= 0.97 * 300


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 10])
def test_small_limits_are_kept_and_let_requests_through(limit: int) -> None:
    left = departures(limit, 12 * limit, workers=3)
    assert most_within(left, 60 + JITTER + 0.01) <= limit
    assert len(left) / (left[-1] / 60) >= 0.4 * limit


def test_workers_leave_in_the_order_in_which_they_came() -> None:
    order: list[int] = []

    async def main() -> None:
        throttle = Throttle(60, RequestCounts())

        async def worker(number: int) -> None:
            await throttle.enter()
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(worker(number))

    run(main())
    assert order == list(range(20))


def passing(
    act: Callable[[Throttle], Awaitable[None]], *, limit: int = 300, until: float = 300.0
) -> list[float]:
    """Keep 16 workers at a throttle until a time, while `act` changes it; give when they passed."""
    times: list[float] = []

    async def main() -> None:
        throttle = Throttle(limit, RequestCounts())

        async def worker() -> None:
            while True:
                await throttle.enter()
                times.append(now())

        workers = [asyncio.create_task(worker()) for _ in range(16)]
        await act(throttle)
        await asyncio.sleep(until - now())
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    run(main())
    return times


def test_a_pause_stops_all_workers_and_they_go_on_at_the_pace_of_the_bucket() -> None:
    async def pause(throttle: Throttle) -> None:
        await asyncio.sleep(30)
        throttle.pause(42)

    times = passing(pause)
    assert not [time for time in times if 30.01 < time < 72]
    after = [time for time in times if time >= 72]
    assert after[0] == pytest.approx(72, abs=0.01)
    assert len([time for time in after if time < 73]) <= 3 + 5, (
        "a burst of 3 and not the 16 who waited"
    )
    assert most_within(times, 60 + JITTER) <= 300


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    async def pause(throttle: Throttle) -> None:
        await asyncio.sleep(10)
        throttle.pause(40)
        await asyncio.sleep(5)
        throttle.pause(1)
        assert 34 < throttle.closed_for <= 35

    assert not [time for time in passing(pause) if 10.01 < time < 50]


def test_a_pause_that_is_extended_also_stops_the_request_that_waited_for_the_first_end() -> None:
    async def pause(throttle: Throttle) -> None:
        await asyncio.sleep(10)
        throttle.pause(5)
        await asyncio.sleep(4)
        throttle.pause(20)

    assert not [time for time in passing(pause) if 10.01 < time < 34]


def test_a_used_up_budget_waits_for_the_next_minute() -> None:
    async def tell(throttle: Throttle) -> None:
        await asyncio.sleep(10)
        throttle.observe(Budget(allowed=300, count=299, reset=25))
        await asyncio.sleep(10)
        throttle.observe(Budget(allowed=300, count=300, reset=25))

    times = passing(tell)
    assert [time for time in times if 10.5 < time < 20]
    assert not [time for time in times if 20.01 < time < 45]


def test_a_lower_limit_of_the_server_holds_while_responses_name_it() -> None:
    async def tell(throttle: Throttle) -> None:
        await asyncio.sleep(120)
        for _ in range(5):
            throttle.observe(Budget(allowed=60, count=10, reset=30))
            await asyncio.sleep(100)

    times = passing(tell, until=600)
    after = [time for time in times if time > 120]
    assert most_within(after, 60 + JITTER) <= 60
    assert len(after) / 480 * 60 >= 0.9 * 60
    assert len([time for time in after if time < 122]) <= 3, (
        "the new bucket starts full, and one at most was in the old one"
    )


@pytest.mark.parametrize("allowed", [1, 60])
def test_a_lower_limit_ends_two_minutes_after_the_last_response_that_named_it(
    allowed: int,
) -> None:
    """One odd header must not slow down the rest of a run."""

    async def tell(throttle: Throttle) -> None:
        throttle.observe(Budget(allowed=allowed, count=0, reset=0))

    times = passing(tell, until=600)
    assert most_within([time for time in times if time < 120], 60 + JITTER) <= allowed + 1
    assert most_within(times, 60 + JITTER) <= 300
    # The request at the front may still wait at the old pace.
    assert len([time for time in times if time > 200]) / 400 * 60 >= 0.96 * 300


def test_a_higher_limit_of_the_server_raises_the_pace_only_up_to_the_configured_one() -> None:
    async def tell(throttle: Throttle) -> None:
        throttle.observe(Budget(allowed=60, count=0, reset=0))
        await asyncio.sleep(120)
        throttle.observe(Budget(allowed=3000, count=0, reset=0))

    times = passing(tell, until=600)
    assert most_within([time for time in times if time < 120], 60 + JITTER) <= 60
    assert most_within(times, 60 + JITTER) <= 300
    assert len([time for time in times if time > 180]) / 420 * 60 >= 0.96 * 300


def test_a_limit_that_changes_with_every_response_keeps_the_lane_going_and_not_too_fast() -> None:
    async def tell(throttle: Throttle) -> None:
        for n in range(3000):
            throttle.observe(Budget(allowed=180 if n % 2 else 300, count=0, reset=0))
            await asyncio.sleep(0.1)

    times = passing(tell)
    assert most_within(times, 60 + JITTER) <= 300
    assert len(times) / 300 * 60 >= 100


def test_the_time_at_the_throttle_is_counted_once_however_many_requests_wait() -> None:
    counts = RequestCounts()

    async def main() -> None:
        throttle = Throttle(300, counts)
        await throttle.enter()
        assert counts.waiting == pytest.approx(0, abs=1e-3)
        throttle.pause(10)
        await asyncio.gather(*(throttle.enter() for _ in range(2)))

    run(main())
    assert counts.waiting == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize("turns", range(12))
def test_a_cancelled_request_does_not_block_the_next(turns: int) -> None:
    """Cancel one after some turns of the loop, at the lock, in the bucket or in a pause.

    The others pass as if it had never existed.
    """

    async def main() -> None:
        throttle = Throttle(60, RequestCounts())
        throttle.pause(5)
        waiters = [asyncio.create_task(throttle.enter()) for _ in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0.6)
        cancelled = waiters[turns % 4]
        cancelled.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        assert now() < 12
        since = now()
        await throttle.enter()
        assert now() - since < 1.1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())
