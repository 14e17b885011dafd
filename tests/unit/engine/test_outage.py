"""A server that is down for a while leaves no gap: scheduler and lanes on a virtual clock."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from functools import partial

import pytest

from asyncreport.api.oauth import token_request
from asyncreport.api.wire import Request, Response
from asyncreport.core.errors import AsyncReportError, TransientError
from asyncreport.core.job import Chunk, Client, Limits, Part
from asyncreport.core.records import Block
from asyncreport.core.secret import Secret
from asyncreport.core.timeline import DAY, Interval
from asyncreport.engine.activity import Progress
from asyncreport.engine.scheduler import Work, run
from asyncreport.net.client import Lane
from asyncreport.net.counts import RequestCounts
from asyncreport.net.throttle import Throttle
from tests import clock
from tests.unit.engine.parts import part_of

CHUNKS = [
    Chunk(connection="c", month="1970-01", interval=Interval(n * DAY, (n + 1) * DAY), users=None)
    for n in range(236)
]

Failure = Callable[[], Response]


def failing(status: int, body: bytes = b"", **headers: str) -> Failure:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: Response(status=status, headers=names, body=body)


def reset() -> Response:
    raise TransientError("the connection was closed before a response came")


class Server:
    """Answer after half a second; fail each request from one time to another."""

    def __init__(self, start: float, end: float, failure: Failure, *, login: bool = True) -> None:
        self.start, self.end, self.failure, self.login = start, end, failure, login
        self.failed = 0

    async def send(self, request: Request) -> Response:
        await asyncio.sleep(0.5)
        down = self.start <= asyncio.get_running_loop().time() < self.end
        if down and (self.login or request.host == "api"):
            self.failed += 1
            return self.failure()
        if request.host == "login":
            body = json.dumps({"access_token": "t" * 20, "expires_in": 86_400}).encode()
            return Response(status=200, headers={}, body=body)
        return Response(status=200, headers={}, body=b"{}")


async def save(chunk: Chunk, _: list[Block]) -> Part:
    return part_of(chunk)


async def fetch(chunk: Chunk, lane: Lane, poison: frozenset[int]) -> list[Block]:
    path = "/poison" if chunk.interval.start // DAY in poison else "/query"
    await lane.ask(Request(method="POST", path=path, body=b"{}"))
    return []


def exported(
    server: Server,
    *,
    lanes: int = 1,
    concurrency: int = 16,
    poison: frozenset[int] = frozenset(),
) -> tuple[Progress, float]:
    """Fetch all chunks; give what was done, and how many seconds that took."""
    progress, limits = Progress(), Limits()

    def lane(number: int) -> Lane:
        counts = RequestCounts()
        return Lane(
            token_request(Client(client_id="c", client_secret=Secret("s3cret"))),
            server.send,
            limits=limits,
            throttle=Throttle(300, counts),
            counts=counts,
            rng=random.Random(number).random,
        )

    async def main() -> float:
        fetches = [partial(fetch, lane=lane(number), poison=poison) for number in range(lanes)]
        work = Work(CHUNKS, fetches, concurrency, patience=limits.give_up_after)
        await run([work], save, progress)
        return asyncio.get_running_loop().time()

    return progress, clock.run(main())


FAILURES: dict[str, Failure] = {
    "503": failing(503),
    "500": failing(500),
    "429": failing(429, retry_after="1"),
    "504": failing(504),
    "captive portal": failing(302, b"<html>", location="http://portal/"),
    "firewall": failing(403, b"<html>"),
    "reset": reset,
}


@pytest.mark.parametrize("start", [5.0, 20.0, 45.0])
@pytest.mark.parametrize("failure", FAILURES)
def test_two_minutes_of_failures_leave_no_gap(failure: str, start: float) -> None:
    server = Server(start, start + 120, FAILURES[failure])
    progress, seconds = exported(server)
    assert (progress.finished, progress.gaps) == (len(CHUNKS), [])
    assert seconds < 320
    # The server is not flooded while it is down.
    assert server.failed < 400


@pytest.mark.parametrize(("lanes", "concurrency"), [(1, 1), (1, 2), (2, 8), (3, 1)])
def test_an_outage_leaves_no_gap_with_any_number_of_workers(lanes: int, concurrency: int) -> None:
    server = Server(10, 130, failing(503))
    progress, _ = exported(server, lanes=lanes, concurrency=concurrency)
    assert (progress.finished, progress.gaps) == (len(CHUNKS), [])


@pytest.mark.parametrize("failure", ["503", "500", "429"])
@pytest.mark.parametrize("login", [False, True])
def test_a_server_that_is_down_when_the_run_starts_leaves_no_gap(failure: str, login: bool) -> None:
    progress, _ = exported(Server(0, 120, FAILURES[failure], login=login))
    assert (progress.finished, progress.gaps) == (len(CHUNKS), [])


@pytest.mark.parametrize("failure", ["503", "429", "reset", "firewall"])
def test_a_server_that_stays_down_ends_the_run_after_give_up_after(failure: str) -> None:
    progress, seconds = exported(Server(20, 1e9, FAILURES[failure]))
    assert len(progress.gaps) == len(CHUNKS) - progress.finished > 100
    # A request that is refused for its whole time may begin shortly before the lane's time is up.
    assert 900 < seconds < 1850


def test_a_host_that_was_never_reached_ends_the_run_within_a_minute_or_two() -> None:
    progress, seconds = exported(Server(0, 1e9, reset))
    assert len(progress.gaps) == len(CHUNKS)
    assert seconds < 120


class Poisoned(Server):
    """Fail some chunks always."""

    async def send(self, request: Request) -> Response:
        if request.path == "/poison":
            await asyncio.sleep(0.5)
            self.failed += 1
            return self.failure()
        return await super().send(request)


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize("numbers", [{7}, {7, 8, 9}, set(range(100, 140))])
def test_chunks_that_always_fail_are_gaps_and_the_others_are_fetched(
    numbers: set[int], concurrency: int
) -> None:
    server = Poisoned(1e9, 1e9, failing(500))
    progress, _ = exported(server, concurrency=concurrency, poison=frozenset(numbers))
    assert {gap.chunk.interval.start // DAY for gap in progress.gaps} == numbers
    assert progress.finished == len(CHUNKS) - len(numbers)
    errors: list[AsyncReportError] = [gap.error for gap in progress.gaps]
    assert all("500" in str(error) for error in errors)
