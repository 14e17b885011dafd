"""The pace against models of servers: ways to count a minute, wrong headers, several lanes."""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.api.oauth import token_request
from asyncreport.api.wire import Request, Response
from asyncreport.core.errors import RetriesExhausted
from asyncreport.core.job import Chunk, Limits
from asyncreport.core.records import Block
from asyncreport.engine.activity import Progress
from asyncreport.engine.scheduler import Work, run
from asyncreport.net.client import Lane
from asyncreport.net.counts import RequestCounts
from asyncreport.net.throttle import Throttle
from tests import clock
from tests.unit.engine.test_scheduler import chunks, save
from tests.unit.net.test_client import CLIENT, QUERY, now, ok, refused
from tests.unit.net.test_throttle import most_within

Kind = Literal["sliding", "fixed", "bucket"]
KINDS: tuple[Kind, ...] = ("sliding", "fixed", "bucket")


@dataclass
class Server:
    """A server that limits one token; the network delays a request by at most a second."""

    kind: Kind
    allowed: int
    seed: int = 0
    #: most seconds from a request to its response
    latency: float = 0.5
    #: seconds that a token lives
    life: float = 86_400.0
    #: send `inin-ratelimit-*` with every response
    told: bool = True
    #: send Retry-After with a 429
    retry_after: bool = True
    #: instead of the true ones
    lies: dict[str, str] | None = None
    #: when each request left, got a 429, or was answered
    left: list[float] = field(default_factory=list)
    limited: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._offset = self._chance.uniform(0, 60)
        self._window: deque[float] = deque()
        self._minute, self._count = -1, 0
        self._level, self._last = float(self.allowed), 0.0

    def _counted(self) -> tuple[int, int]:
        """Count a request; give the number so far, and the seconds until one may pass."""
        if self.kind == "sliding":
            while self._window and self._window[0] <= now() - 60:
                self._window.popleft()
            self._window.append(now())
            first = min(max(0, len(self._window) - self.allowed), len(self._window) - 1)
            return len(self._window), int(60 - (now() - self._window[first])) + 1
        if self.kind == "fixed":
            minute, gone = divmod(now() + self._offset, 60)
            self._count = self._count + 1 if int(minute) == self._minute else 1
            self._minute = int(minute)
            return self._count, int(60 - gone) + 1
        self._level = min(self.allowed, self._level + (now() - self._last) * self.allowed / 60)
        self._last = now()
        if self._level < 1:
            return self.allowed + 1, int(60 / self.allowed) + 1
        self._level -= 1
        return self.allowed - int(self._level), 1

    async def send(self, request: Request) -> Response:
        self.left.append(now())
        await asyncio.sleep(self._chance.uniform(0, 1))
        if request.host == "login":
            return ok(json.dumps({"access_token": "t", "expires_in": self.life}).encode())
        count, reset = self._counted()
        headers = {
            "inin-ratelimit-allowed": self.allowed,
            "inin-ratelimit-count": count,
            "inin-ratelimit-reset": reset,
        }
        said = {name: str(value) for name, value in headers.items()} if self.told else {}
        said = said if self.lies is None else self.lies
        if count > self.allowed:
            self.limited.append(now())
            if self.retry_after:
                said = said | {"retry-after": str(reset)}
            return Response(status=429, headers=said, body=refused(429).body)
        await asyncio.sleep(self._chance.uniform(0, self.latency))
        self.answered.append(now())
        return Response(status=200, headers=said, body=b"1")


def lane(server: Server, rate: int, counts: RequestCounts | None = None) -> Lane:
    counts = counts or RequestCounts()
    throttle = Throttle(rate, counts)
    return Lane(
        token_request(CLIENT),
        server.send,
        limits=Limits(),
        throttle=throttle,
        counts=counts,
        rng=random.Random(server.seed).random,
    )


def pull(
    server: Server,
    rate: int,
    *,
    seconds: float,
    workers: int = 16,
    events: dict[float, Callable[[], None]] | None = None,
) -> None:
    """Let workers send requests for some time; `events` change the server at their times."""

    async def main() -> None:
        one = lane(server, rate)

        async def worker() -> None:
            while True:
                try:
                    await one.ask(QUERY)
                except RetriesExhausted:
                    continue

        for time, event in (events or {}).items():
            asyncio.get_running_loop().call_at(time, event)
        tasks = [asyncio.create_task(worker()) for _ in range(workers)]
        await asyncio.sleep(seconds - now())
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    clock.run(main())


def fair(limit: int) -> float:
    """Give the requests a minute that a lane must reach: 97 % of its limit.

    Of a small limit, all except two in 61 s.
    """
    return min(0.97 * limit, (limit - 2) * 60 / 61)


@pytest.mark.model
@settings(deadline=None, max_examples=24)
@given(
    kind=st.sampled_from(KINDS),
    limit=st.integers(20, 3000),
    seed=st.integers(0, 999),
    extra=st.integers(2, 32),
    latency=st.floats(0, 5),
    told=st.booleans(),
)
def test_no_server_ever_says_429_and_the_budget_is_used(
    kind: Kind, limit: int, seed: int, extra: int, latency: float, told: bool
) -> None:
    server = Server(kind, limit, seed, latency, told=told)
    # Ten minutes, or of large limits what shows the same in a moment of ours.
    seconds = min(600.0, max(90.0, 4000 / limit * 60))
    workers = int(limit / 60 * (latency / 2 + 0.5) * 1.5) + int(latency) + extra
    pull(server, limit, seconds=seconds, workers=workers)
    assert server.limited == []
    assert most_within(server.left, 61) <= limit
    if seconds == 600:
        assert len(server.left) >= fair(limit) * 10 - 1


@pytest.mark.parametrize("kind", KINDS)
def test_ten_minutes_of_three_hundred_use_97_percent(kind: Kind) -> None:
    server = Server(kind, 300, 3)
    pull(server, 300, seconds=600)
    assert server.limited == []
    assert len(server.left) >= 0.97 * 3000


@pytest.mark.parametrize("retry_after", [True, pytest.param(False, marks=pytest.mark.model)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "lowered",
    [
        pytest.param(30, marks=pytest.mark.model),
        120,
        pytest.param(250, marks=pytest.mark.model),
    ],
)
def test_the_pace_settles_on_what_the_server_grants_and_recovers(
    kind: Kind, lowered: int, retry_after: bool
) -> None:
    server = Server(kind, 300, 5, retry_after=retry_after)

    def allow(limit: int) -> Callable[[], None]:
        return lambda: setattr(server, "allowed", limit)

    pull(server, 300, seconds=1200, events={120: allow(lowered), 600: allow(300)})
    assert len(server.limited) <= 32, "those under way when it was lowered, and little more"
    assert not [time for time in server.limited if time > 240]
    slow = len([time for time in server.answered if 300 < time <= 600]) / 5
    assert fair(lowered) * 0.97 <= slow <= lowered
    assert len([time for time in server.answered if time > 900]) / 5 >= 0.97 * 300 - 3, (
        "and all of it again"
    )


@pytest.mark.parametrize(
    ("lies", "least"),
    [
        ({}, 2900),
        (
            {
                "inin-ratelimit-allowed": "0",
                "inin-ratelimit-count": "1",
                "inin-ratelimit-reset": "60",
            },
            2900,
        ),
        (
            {
                "inin-ratelimit-allowed": "-5",
                "inin-ratelimit-count": "9",
                "inin-ratelimit-reset": "60",
            },
            2900,
        ),
        (
            {
                "inin-ratelimit-allowed": "soon",
                "inin-ratelimit-count": "x",
                "inin-ratelimit-reset": "",
            },
            2900,
        ),
        (
            {
                "inin-ratelimit-allowed": "9" * 15,
                "inin-ratelimit-count": "1",
                "inin-ratelimit-reset": "1",
            },
            2900,
        ),
        (
            {
                "inin-ratelimit-allowed": "300",
                "inin-ratelimit-count": "-1",
                "inin-ratelimit-reset": "1700000000",
            },
            2900,
        ),
        ({"inin-ratelimit-allowed": "300"}, 2900),
        # Every response says that the minute is used up: the lane tries again at the end of each.
        (
            {
                "inin-ratelimit-allowed": "300",
                "inin-ratelimit-count": "301",
                "inin-ratelimit-reset": "1700000000",
            },
            10,
        ),
        (
            {
                "inin-ratelimit-allowed": "300",
                "inin-ratelimit-count": "301",
                "inin-ratelimit-reset": "0",
            },
            2900,
        ),
        (
            {
                "inin-ratelimit-allowed": "1",
                "inin-ratelimit-count": "0",
                "inin-ratelimit-reset": "1",
            },
            9,
        ),
    ],
    ids=str,
)
def test_wrong_headers_neither_stop_a_lane_nor_make_it_too_fast(
    lies: dict[str, str], least: int
) -> None:
    server = Server("sliding", 10**6, 1, lies=lies)
    pull(server, 300, seconds=600)
    assert least <= len(server.left)
    assert most_within(server.left, 61) <= 300


def test_a_token_that_ends_costs_one_renewal_and_not_the_turn_of_each_request() -> None:
    server = Server("sliding", 300, 2, life=100.0)
    pull(server, 300, seconds=1200)
    assert len(server.left) >= 0.97 * 300 * 20 - 3 * 1200 / 90


def test_a_lane_that_obeys_a_retry_after_leaves_the_work_to_the_other_at_full_pace() -> None:
    """The first responses pause lane one for a minute; two lanes share 200 chunks."""
    paused, free = Server("sliding", 0, told=False), Server("sliding", 300)
    progress, counts = Progress(), RequestCounts()

    def fetch(one: Lane) -> Callable[[Chunk], object]:
        async def ask(_: Chunk) -> list[Block]:
            await one.ask(QUERY)
            return []

        return ask

    async def main() -> float:
        asyncio.get_running_loop().call_at(50, setattr, paused, "allowed", 300)
        lanes = [lane(paused, 300, counts), lane(free, 300, counts)]
        await run([Work(chunks(200), [fetch(one) for one in lanes], 8)], save, progress)  # type: ignore[misc]
        return now()

    took = clock.run(main())
    sent = [time for time in free.left if time < 39]
    assert len(sent) >= 38 * 297 / 61, "as if it were alone"
    assert (progress.finished, progress.gaps) == (200, [])
    assert len(free.answered) >= 190
    assert most_within(free.left, 61) <= 300
    assert 59 < took < 65


def test_the_seconds_of_a_wait_in_progress_are_counted() -> None:
    counts = RequestCounts()

    async def main() -> None:
        one, other = Throttle(300, counts), Throttle(300, counts)
        for throttle, pause in ((one, 60.0), (other, 20.0)):
            throttle.pause(pause)
        tasks = [asyncio.create_task(throttle.enter()) for throttle in (one, one, other)]
        await asyncio.sleep(10)
        assert counts.waited(now()) == pytest.approx(20, abs=0.1), "once for each lane"
        await asyncio.sleep(20)
        assert counts.waited(now()) == pytest.approx(50, abs=0.1)
        await asyncio.gather(*tasks)
        assert (counts.waited(now() + 99), counts.waiters) == (pytest.approx(80, abs=0.5), 0)

    clock.run(main())


def test_a_request_cancelled_at_the_throttle_no_longer_counts_as_waiting() -> None:
    counts = RequestCounts()

    async def main() -> None:
        throttle = Throttle(300, counts)
        throttle.pause(60)
        task = asyncio.create_task(throttle.enter())
        await asyncio.sleep(10)
        task.cancel()
        await asyncio.wait([task])
        assert counts.waited(now() + 99) == pytest.approx(10, abs=0.1)

    clock.run(main())
