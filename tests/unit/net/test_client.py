"""The lane: one response out of many attempts, with a fake `send` on a virtual clock."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from asyncreport.api.oauth import token_request
from asyncreport.api.wire import Request, Response
from asyncreport.core.errors import (
    AsyncReportError,
    AuthError,
    ConfigError,
    RejectedError,
    RetriesExhausted,
    TransientError,
)
from asyncreport.core.job import Client, Limits
from asyncreport.core.secret import Secret
from asyncreport.net.client import Lane, Send
from asyncreport.net.counts import RequestCounts
from asyncreport.net.throttle import Throttle
from asyncreport.net.tokens import REFUSALS
from tests.clock import run
from tests.unit.net.test_throttle import most_within

CLIENT = Client(client_id="the-client", client_secret=Secret("s3cret"))


def parse(body: bytes) -> object:
    """Decode JSON as a contract does."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise TransientError("the answer is no JSON") from error


QUERY = Request(method="POST", path="/query", body=b"{}", decode=parse)

Answer = Response | AsyncReportError


def ok(body: bytes = b'"data"', **headers: str) -> Response:
    return Response(status=200, headers=headers, body=body)


def refused(status: int, code: str = "x", **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status=status,
        headers=names,
        body=json.dumps({"code": code, "message": "No", "contextId": "c-1"}).encode(),
    )


@dataclass
class Server:
    """A scripted server: it gives its answers in turn, the last one for ever.

    Its tokens are `token-1`, `token-2`, ...
    """

    answers: list[Answer] = field(default_factory=lambda: [ok()])
    #: answers of the token endpoint before it grants
    token_answers: list[Answer] = field(default_factory=list)
    #: seconds that an answer takes
    latency: float = 0.1
    #: tokens that are revoked
    revoked: set[str] = field(default_factory=set)
    #: when each query came
    times: list[float] = field(default_factory=list)
    #: the token of each query
    bearers: list[str] = field(default_factory=list)
    grants: int = 0
    logins: int = 0

    async def send(self, request: Request) -> Response:
        answer = self._login() if request.host == "login" else self._query(request)
        await asyncio.sleep(self.latency)
        if isinstance(answer, AsyncReportError):
            raise answer
        return answer

    def _login(self) -> Answer:
        self.logins += 1
        if self.token_answers:
            return self.token_answers.pop(0)
        self.grants += 1
        return ok(
            json.dumps({"access_token": f"token-{self.grants}", "expires_in": 86_400}).encode()
        )

    def _query(self, request: Request) -> Answer:
        bearer = request.headers["Authorization"].removeprefix("Bearer ")
        self.bearers.append(bearer)
        self.times.append(now())
        if bearer in self.revoked:
            return refused(401, "bad.credentials")
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def now() -> float:
    return asyncio.get_running_loop().time()


def lane_of(
    send: Send,
    *,
    limits: Limits | None = None,
    rate: int = 3000,
    rng: Callable[[], float] | None = None,
) -> tuple[Lane, RequestCounts]:
    counts = RequestCounts()
    one = Lane(
        token_request(CLIENT),
        send,
        limits=limits or Limits(),
        throttle=Throttle(rate, counts),
        counts=counts,
        rng=rng or random.Random(1).random,
    )
    return one, counts


def lane(server: Server, **options: Any) -> tuple[Lane, RequestCounts]:
    return lane_of(server.send, **options)


def asked(server: Server, **options: object) -> object:
    """Send one request on a new lane; give the response, or the error."""

    async def main() -> object:
        try:
            return await lane(server, **options)[0].ask(QUERY)  # type: ignore[arg-type]
        except AsyncReportError as error:
            return error
        finally:
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return run(main())


def test_a_request_goes_with_a_token_and_comes_back_decoded() -> None:
    server = Server()
    assert asked(server) == "data"
    assert server.bearers == ["token-1"]
    assert server.logins == 1


def test_a_second_request_uses_the_same_token() -> None:
    server = Server()

    async def main() -> None:
        one, counts = lane(server)
        await one.ask(QUERY)
        await one.ask(QUERY)
        assert (counts.requests, counts.retries, counts.throttled) == (3, 0, 0)
        assert counts.sent == 2 * len(b"{}") + len(b"grant_type=client_credentials")
        assert counts.received == 2 * len(b'"data"') + len(
            b'{"access_token": "token-1", "expires_in": 86400}'
        )

    run(main())
    assert server.bearers == ["token-1", "token-1"]
    assert server.grants == 1


@pytest.mark.parametrize(
    "failure",
    [
        TransientError("reset"),
        ok(b"<html>"),
        *(refused(status) for status in (408, 429, 500, 502, 503, 504)),
    ],
    ids=str,
)
def test_a_transient_failure_is_tried_again(failure: Answer) -> None:
    server = Server([failure, failure, ok()])
    assert asked(server) == "data"
    assert len(server.times) == 3


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (refused(400), RejectedError),
        (refused(403), AuthError),
        (refused(404), RejectedError),
        (refused(413), RejectedError),
        (refused(302), ConfigError),
        (refused(401, "ip.not.authorized"), AuthError),
        (ConfigError("certificate"), ConfigError),
    ],
)
def test_a_refusal_is_raised_at_once(refusal: Answer, kind: type[AsyncReportError]) -> None:
    server = Server([refusal])
    assert isinstance(asked(server), kind)
    assert len(server.times) == 1


def test_a_host_that_was_reached_may_have_a_bad_certificate_for_a_while() -> None:
    server = Server([refused(503), ConfigError("certificate"), ok()])
    assert asked(server) == "data"
    assert len(server.times) == 3


def test_attempts_are_bounded_and_the_error_carries_the_last_cause() -> None:
    server = Server([refused(504)])
    error = asked(server, limits=Limits(max_attempts=3))
    assert isinstance(error, RetriesExhausted)
    assert len(server.times) == 3
    assert str(error).startswith("POST /query: 504 x: No; gave up after 3 attempts in ")
    assert "limits.max_attempts" in str(error)
    assert "run it again later" in str(error)
    assert isinstance(error.__cause__, TransientError)
    assert error.__cause__.status == 504


def test_time_is_bounded_waits_included() -> None:
    server = Server([refused(503)], latency=7.0)

    async def main() -> None:
        one, _ = lane(server, limits=Limits(max_attempts=1000, give_up_after=100))
        with pytest.raises(RetriesExhausted, match=r"limits\.give_up_after") as caught:
            await one.ask(QUERY)
        assert 35 < now() <= 100.1
        assert isinstance(caught.value.__cause__, TransientError)

    run(main())


def test_an_attempt_that_takes_longer_than_the_time_left_is_cancelled() -> None:
    server = Server(latency=1000.0)
    error = asked(server, limits=Limits(give_up_after=10))
    assert isinstance(error, RetriesExhausted)
    assert str(error) == (
        "POST /query: it waited for a token and was not sent; gave up after 0 attempts in 10 s: "
        "limits.give_up_after is reached; run it again later"
    )


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "absurd", ["901", "3600", "1e300", "9" * 308, "Tue, 19 Jan 2038 03:14:07 GMT"]
)
def test_a_retry_after_longer_than_a_request_may_take_counts_as_a_minute_for_the_whole_lane(
    status: int, absurd: str
) -> None:
    told = refused(status, retry_after=absurd)
    told = replace(told, headers={**told.headers, "date": "Wed, 21 Oct 2015 07:28:00 GMT"})
    server = Server([ok(), told, told, ok()])

    async def main() -> None:
        one, _ = lane(server)
        assert await asyncio.gather(*(one.ask(QUERY) for _ in range(3))) == ["data"] * 3
        assert await one.ask(QUERY) == "data"

    run(main())
    assert len(server.times) == 6
    assert 60 <= server.times[3] - server.times[2] < 61.2


@pytest.mark.parametrize(
    ("absurd", "shown"), [("3600", "3600 s"), ("9" * 308, "more than 1000000000 s")]
)
@pytest.mark.parametrize(
    ("limits", "attempts"), [(Limits(give_up_after=200), 4), (Limits(give_up_after=30), 1)]
)
def test_an_ignored_retry_after_is_reported_at_the_end_in_few_digits(
    absurd: str, shown: str, limits: Limits, attempts: int
) -> None:
    server = Server([refused(429, retry_after=absurd)])
    error = asked(server, limits=limits)
    assert isinstance(error, RetriesExhausted)
    assert f"a Retry-After of {shown} was ignored; run it again later" in str(error)
    assert len(str(error)) < 300
    assert len(server.times) == attempts


def test_a_retry_after_longer_than_the_time_left_ends_the_request_at_once() -> None:
    """The reason is the lane. No request waits at the throttle for longer than it may take."""
    server = Server([refused(429, retry_after="80"), ok()])

    async def main() -> None:
        one, _ = lane(server, limits=Limits(give_up_after=100))
        server.latency = 30
        with pytest.raises(
            RetriesExhausted, match=r"its remaining 80 s are longer than limits\.give_up_after"
        ) as caught:
            await one.ask(QUERY)
        assert now() < 61
        assert caught.value.reason == "lane"
        server.latency = 0.1
        assert await one.ask(QUERY) == "data"
        assert 139 < now() < 142

    run(main())


def test_a_retry_after_shorter_than_the_time_left_is_obeyed() -> None:
    server = Server([refused(503, retry_after="40"), ok()])
    assert asked(server) == "data"
    assert 40 <= server.times[1] - server.times[0] < 41.2


def test_a_429_pauses_the_whole_lane() -> None:
    server = Server([ok(), refused(429, retry_after="20"), ok()], latency=0.01)

    async def main() -> None:
        one, counts = lane(server, rate=300)
        await asyncio.gather(*(one.ask(QUERY) for _ in range(16)))
        assert counts.throttled == 1
        assert counts.retries == 1

    run(main())
    limited = server.times[1]
    assert not [time for time in server.times if limited + 0.02 < time < limited + 20]
    assert len(server.times) == 17


def test_a_429_without_a_retry_after_pauses_the_lane_for_the_wait_of_its_request() -> None:
    server = Server([refused(429), ok()], latency=0.001)

    async def main() -> None:
        one, _ = lane(server, rate=300, rng=lambda: 0.999)
        await asyncio.gather(*(one.ask(QUERY) for _ in range(4)))

    run(main())
    assert not [
        time for time in server.times if server.times[0] + 0.002 < time < server.times[0] + 0.49
    ]


def test_the_429_of_a_last_attempt_pauses_the_lane_for_the_others() -> None:
    server = Server([refused(429, retry_after="30"), ok()])

    async def main() -> None:
        one, counts = lane(server, limits=Limits(give_up_after=20))
        with pytest.raises(RetriesExhausted, match="with fewer requests_per_minute"):
            await one.ask(QUERY)
        await asyncio.sleep(15)
        await one.ask(QUERY)
        assert counts.throttled == 1

    run(main())
    assert server.times[1] - server.times[0] >= 20


def test_waits_double_from_attempt_to_attempt() -> None:
    server = Server([refused(500)], latency=0.0)
    asked(server, rng=lambda: 0.999, limits=Limits(max_attempts=5))
    gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    assert gaps == pytest.approx([0.5, 1, 2, 4], rel=0.05)


def test_a_wait_longer_than_the_time_left_is_not_begun() -> None:
    server = Server([refused(500)], latency=0.0)

    async def main() -> None:
        one, _ = lane(server, rng=lambda: 0.999, limits=Limits(give_up_after=5))
        with pytest.raises(
            RetriesExhausted, match=r"a wait of 4 s is longer than limits\.give_up_after"
        ):
            await one.ask(QUERY)
        assert now() < 3.7

    run(main())
    assert len(server.times) == 4


def test_a_used_up_budget_in_the_headers_of_a_response_pauses_the_lane() -> None:
    headers = {
        "inin-ratelimit-allowed": "300",
        "inin-ratelimit-count": "300",
        "inin-ratelimit-reset": "17",
    }
    server = Server([Response(status=200, headers=headers, body=b"1"), ok()])

    async def main() -> None:
        one, _ = lane(server)
        assert await one.ask(QUERY) == 1
        await one.ask(QUERY)

    run(main())
    assert server.times[1] - server.times[0] > 17


def test_the_budget_of_the_token_endpoint_is_not_that_of_the_lane() -> None:
    headers = {
        "inin-ratelimit-allowed": "1",
        "inin-ratelimit-count": "1",
        "inin-ratelimit-reset": "60",
    }
    grant = Response(status=200, headers=headers, body=b'{"access_token": "t", "expires_in": 300}')
    server = Server(token_answers=[grant])
    assert asked(server) == "data"
    assert server.times[0] < 1


def test_every_attempt_passes_the_throttle() -> None:
    server = Server([refused(500)], latency=0.0)

    async def main() -> None:
        one, counts = lane(
            server, rate=60, limits=Limits(max_attempts=50, give_up_after=1e6), rng=lambda: 0.0
        )
        errors = await asyncio.gather(*(one.ask(QUERY) for _ in range(6)), return_exceptions=True)
        assert {type(error) for error in errors} == {RetriesExhausted}
        assert counts.requests == 301
        assert counts.retries == 6 * 49

    run(main())
    assert len(server.times) == 300
    assert most_within(server.times, 61) <= 60


def test_a_strict_server_behind_an_uneven_network_never_says_429_and_its_budget_is_used() -> None:
    """Count 300 in any sliding 60 s.

    3000 requests of 16 workers take at most 1.03 times the ten minutes, and one latency.
    """
    chance = random.Random(7)
    came: deque[float] = deque()

    async def send(request: Request) -> Response:
        await asyncio.sleep(chance.uniform(0, 1))
        while came and came[0] <= now() - 60:
            came.popleft()
        came.append(now())
        full = len(came) > 300
        await asyncio.sleep(chance.uniform(0, 2))
        if full:
            return refused(429, retry_after="5")
        return ok(
            b'{"access_token": "t", "expires_in": 86400}' if request.host == "login" else b"1"
        )

    async def main() -> None:
        one, counts = lane_of(send, rate=300, rng=chance.random)
        left = iter(range(3000))

        async def worker() -> None:
            for _ in left:
                await one.ask(QUERY)

        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(worker())
        assert (counts.requests, counts.throttled) == (3001, 0)
        assert now() <= 1.03 * 600 + 3
        assert counts.waiting >= 0.9 * now()

    run(main())


def test_sixteen_workers_whose_token_was_revoked_fetch_one_new_token() -> None:
    server = Server()

    async def main() -> None:
        one, _ = lane(server)
        await one.ask(QUERY)
        server.revoked = {"token-1"}
        assert await asyncio.gather(*(one.ask(QUERY) for _ in range(16))) == ["data"] * 16

    run(main())
    assert server.grants == 2


@pytest.mark.parametrize("attempts", [1, 8])
def test_a_client_whose_tokens_are_all_refused_is_an_auth_error_after_ten(attempts: int) -> None:
    server = Server([refused(401, "bad.credentials")])

    async def main() -> None:
        with pytest.raises(AuthError, match="10 tokens in a row were refused"):
            await lane(server, limits=Limits(max_attempts=attempts))[0].ask(QUERY)
        assert now() < 60

    run(main())
    assert server.bearers == [f"token-{n}" for n in range(1, REFUSALS + 1)]


def test_another_response_between_two_refused_tokens_keeps_the_client_alive() -> None:
    server = Server([refused(401), refused(503), refused(401), refused(503), ok()])
    assert asked(server) == "data"
    assert server.bearers == ["token-1", "token-2", "token-2", "token-3", "token-3"]


def test_a_refused_token_costs_no_attempt() -> None:
    server = Server([refused(401), refused(503), refused(401), refused(401), refused(503), ok()])
    assert isinstance(asked(server, limits=Limits(max_attempts=2)), RetriesExhausted)
    assert len(server.times) == 5


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("revoked", ["every second", "every third", "a fifth", "a third"])
def test_tokens_that_are_revoked_every_few_requests_end_no_request(
    revoked: str, workers: int
) -> None:
    """The client is not refused: 1,000 requests succeed, each within the default attempts."""
    chance, server, came = (
        random.Random(f"{revoked} {workers}"),
        Server(latency=0.2),
        itertools.count(1),
    )
    strikes = {
        "every second": lambda: next(came) % 2 == 0,
        "every third": lambda: next(came) % 3 == 0,
        "a fifth": lambda: chance.random() < 0.2,
        "a third": lambda: chance.random() < 1 / 3,
    }[revoked]

    async def send(request: Request) -> Response:
        if request.host != "login" and strikes():
            server.revoked = {f"token-{n}" for n in range(server.grants + 1)}
        return await server.send(request)

    async def main() -> None:
        one, _ = lane_of(send, rate=30_000, rng=chance.random)
        left = iter(range(1000))

        async def worker() -> None:
            for _ in left:
                assert await one.ask(QUERY) == "data"

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())

    run(main())
    assert server.grants > 50


def test_a_request_whose_tokens_are_refused_while_others_succeed_is_given_up() -> None:
    """The client is not refused, because its tokens are accepted for other requests."""
    server, odd = Server(), replace(QUERY, path="/odd")

    async def send(request: Request) -> Response:
        answer = await server.send(request)
        return refused(401) if request.path == odd.path else answer

    async def main() -> None:
        one, _ = lane_of(send, limits=Limits(max_attempts=3))

        async def others() -> None:
            while True:
                await one.ask(QUERY)

        going = asyncio.create_task(others())
        with pytest.raises(
            RetriesExhausted, match=r"/odd: 401 .* is longer than limits\.give_up_after"
        ):
            await one.ask(odd)
        assert server.grants < 60
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)

    run(main())


def test_a_token_that_ends_while_the_lane_is_paused_is_renewed_before_it_is_sent() -> None:
    grant = ok(b'{"access_token": "short", "expires_in": 300}')
    server = Server([refused(429, retry_after="400"), ok()], token_answers=[grant])

    async def main() -> None:
        one, _ = lane(server, rate=60)
        await asyncio.gather(*(one.ask(QUERY) for _ in range(8)))

    run(main())
    assert "short" not in [
        bearer for bearer, time in zip(server.bearers, server.times, strict=True) if time > 300
    ]
    assert server.grants == 1


def test_the_token_request_is_tried_again_like_any_other() -> None:
    throttled = Response(
        status=400,
        headers={},
        body=b'{"error": "invalid_request", "error_description": "rate limit exceeded; wait"}',
    )
    server = Server(token_answers=[TransientError("reset"), throttled, refused(503), ok(b"<html>")])
    assert asked(server) == "data"
    assert server.logins == 5


def test_a_token_request_passes_the_throttle() -> None:
    server = Server()
    asked(server, rate=1)
    assert server.times[0] > 60


def test_the_error_of_a_token_request_is_the_error_of_the_request() -> None:
    refusal = Response(
        status=401,
        headers={},
        body=b'{"error": "invalid_client", "error_description": "authentication failed"}',
    )
    error = asked(Server(token_answers=[refusal]))
    assert isinstance(error, AuthError)
    assert "check the client id and the client secret" in str(error)
    exhausted = asked(Server(token_answers=[refused(503)] * 8))
    assert isinstance(exhausted, RetriesExhausted)
    assert "POST /oauth/token: 503" in str(exhausted)


def test_the_error_of_an_undecodable_response_names_its_request() -> None:
    cut = Response(status=200, headers={"inin-correlation-id": "c-7"}, body=b'{"results": [')
    error = asked(Server([cut]), limits=Limits(max_attempts=2))
    assert str(error).startswith("POST /query: the answer is no JSON; gave up after 2 attempts")


@pytest.mark.parametrize("status", [202, 206])
def test_a_202_or_206_is_not_a_response_to_a_query_that_is_answered_at_once(
    status: int,
) -> None:
    server = Server([Response(status=status, headers={}, body=b'"half"'), ok()])
    assert asked(server) == "data"
    error = asked(
        Server([Response(status=status, headers={}, body=b'"half"')]), limits=Limits(max_attempts=2)
    )
    assert str(error).startswith(
        f"POST /query: {status} is not a complete response; gave up after 2 attempts"
    )


def test_no_error_shows_a_secret() -> None:
    echo = Response(
        status=400, headers={}, body=b'{"message": "got Authorization: Bearer token-1"}'
    )
    error = asked(Server([echo]))
    assert "token-1" not in str(error)
    assert "token-1" not in repr(error)


@pytest.mark.parametrize("turns", range(40))
@pytest.mark.parametrize("script", ["fresh", "revoked", "paused"])
def test_a_request_cancelled_at_any_await_leaves_nothing_behind(turns: int, script: str) -> None:
    """Cancel one of three requests after some turns of the loop; the others are answered."""
    server = Server(
        [refused(429, retry_after="5"), ok()] if script == "paused" else [ok()], latency=0.0
    )

    async def main() -> None:
        one, _ = lane(server)
        if script == "revoked":
            await one.ask(QUERY)
            server.revoked = {"token-1"}
        asking = [asyncio.create_task(one.ask(QUERY)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        asking[turns % 3].cancel()
        done = await asyncio.gather(*asking, return_exceptions=True)
        assert done.count("data") >= 2
        assert all(
            answer == "data" or isinstance(answer, asyncio.CancelledError) for answer in done
        )
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await one.ask(QUERY) == "data"

    run(main())
    assert server.grants <= 3


def test_the_time_outs_of_a_request_are_limited_apart_from_its_other_failures() -> None:
    """The limit is for requests that can be split; the error says that it was reached."""
    brief = replace(QUERY, max_timeouts=2)
    server = Server([refused(503), refused(504), refused(502), refused(503), refused(504), ok()])

    async def main() -> None:
        one, _ = lane(server)
        with pytest.raises(
            RetriesExhausted,
            match=r"gave up after 5 attempts in .*: 2 of them timed out; run it again later",
        ) as caught:
            await one.ask(brief)
        assert isinstance(caught.value.__cause__, TransientError)
        assert caught.value.__cause__.timed_out
        assert await one.ask(brief) == "data"

    run(main())


@pytest.mark.parametrize(
    ("answers", "late"),
    [
        ([refused(503), refused(504), refused(503)], False),
        ([refused(504), refused(503), refused(408), refused(503)], True),
        ([refused(503), refused(504)], True),
        ([refused(500), refused(503)], False),
        (
            [
                refused(504),
                TransientError("reset"),
                ok(b"<html>"),
                refused(504),
                refused(503),
                ok(b"<html>"),
            ],
            True,
        ),
    ],
)
def test_an_exhausted_request_that_timed_out_twice_or_last_may_be_split(
    answers: list[Answer], late: bool
) -> None:
    """Whatever the last attempt failed with."""
    error = asked(Server([*answers, ok()]), limits=Limits(max_attempts=len(answers)))
    assert isinstance(error, RetriesExhausted)
    assert (error.reason == "silent") == late


@pytest.mark.parametrize(
    ("spent_on", "reason"), [("an answer", "silent"), ("a token", "lane"), ("a turn", "lane")]
)
def test_an_attempt_in_progress_when_time_is_up_has_timed_out(spent_on: str, reason: str) -> None:
    async def main() -> None:
        server = Server()
        one, _ = lane(
            server, limits=Limits(give_up_after=10), rate=1 if spent_on == "a turn" else 3000
        )
        if spent_on == "an answer":
            await one.ask(QUERY)
        server.latency = 0.0 if spent_on == "a turn" else 1000.0
        with pytest.raises(RetriesExhausted, match=r"limits\.give_up_after is reached") as caught:
            await one.ask(QUERY)
        assert caught.value.reason == reason

    run(main())


def test_a_time_out_of_the_transport_counts_as_one() -> None:
    mine = TransientError("slow")
    mine.__cause__ = TimeoutError()
    error = asked(Server([mine]), limits=Limits(max_attempts=1))
    assert isinstance(error, RetriesExhausted)
    assert error.reason == "silent"


OTHER = Request(method="POST", path="/other", body=b"{}", decode=parse)
LOOK_UP = replace(OTHER, method="GET", body=None)


@dataclass
class Broken(Server):
    """Answer the queries with a script, and each other request with `other`."""

    other: Answer = field(default_factory=ok)

    def _query(self, request: Request) -> Answer:
        if request.path == OTHER.path:
            return self.other
        return super()._query(request)


@pytest.mark.parametrize(
    ("answer", "other", "reason"),
    [
        (refused(504), ok(), "late"),
        (refused(504), refused(504), "silent"),
        (refused(504), ok(b"<html>"), "silent"),
        (refused(503), ok(), "busy"),
        (refused(503), refused(503), "down"),
        (refused(500), ok(b"<html>"), "down"),
    ],
)
def test_the_reason_says_whether_the_server_answered_other_requests_meanwhile(
    answer: Response, other: Response, reason: str
) -> None:
    """Responses of the token endpoint, invalid responses and look-ups do not count."""
    server = Broken([answer], other=other)

    async def main() -> None:
        one, _ = lane(server, limits=Limits(max_attempts=4))

        async def others() -> None:
            while True:
                await asyncio.sleep(0.2)
                with suppress(RetriesExhausted):
                    await one.ask(OTHER)

        task = asyncio.create_task(others())
        with pytest.raises(RetriesExhausted, match=r"[45] attempts .*max_attempts") as caught:
            await one.ask(QUERY)
        task.cancel()
        assert caught.value.reason == reason
        assert (caught.value.lasted > 1) == (reason in {"silent", "down"})

    run(main())


def test_attempts_count_against_a_request_only_while_others_succeed() -> None:
    """After three failures that every request met, it has all of its attempts again."""
    server = Broken([refused(500)], other=refused(500))

    async def main() -> None:
        one, _ = lane(server, limits=Limits(max_attempts=4), rng=lambda: 0.5)

        async def others() -> None:
            while True:
                await asyncio.sleep(0.05)
                with suppress(RetriesExhausted):
                    await one.ask(OTHER)

        task = asyncio.create_task(others())
        query = asyncio.create_task(one.ask(QUERY))
        while len(server.times) < 3:  # noqa: ASYNC110  # on the virtual clock this takes no time
            await asyncio.sleep(0.05)
        server.other = ok()
        with pytest.raises(RetriesExhausted, match="max_attempts") as caught:
            await query
        task.cancel()
        assert caught.value.reason == "busy"

    run(main())
    assert len(server.times) in {6, 7}


def test_a_429_costs_no_attempt() -> None:
    server = Server([*[refused(429, retry_after="1")] * 20, ok()])
    assert asked(server, limits=Limits(max_attempts=2)) == "data"


def test_a_host_that_never_responded_is_unreachable() -> None:
    error = asked(Server([TransientError("cannot connect")]), limits=Limits(max_attempts=2))
    assert isinstance(error, RetriesExhausted)
    assert error.reason == "unreachable"
    error = asked(Server(token_answers=[TransientError("cannot connect")] * 8))
    assert isinstance(error, RetriesExhausted)
    assert error.reason == "unreachable"


HTML = b"<html>blocked</html>"


@pytest.mark.parametrize("status", [302, 400, 403, 404, 405, 421, 425, 460, 499, 501, 520, 529])
@pytest.mark.parametrize("body", [HTML, b"", b'{"error": "no"}'])
def test_a_foreign_response_in_the_middle_of_a_run_is_tried_again(status: int, body: bytes) -> None:
    """A captive portal, a firewall or a gateway; at the very start it ends the run at once."""
    portal = Response(status=status, headers={"location": "http://portal/"}, body=body)

    async def main() -> None:
        one, _ = lane(server)
        await one.ask(QUERY)
        assert await one.ask(QUERY) == "data"

    server = Server([ok(), portal, portal, ok()])
    run(main())
    assert len(server.times) == 4
    assert not isinstance(asked(Server([portal])), RetriesExhausted)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(403, "missing.permissions"), AuthError),
        (refused(404, "not.found"), RejectedError),
        (refused(400, "bad.request"), RejectedError),
        (Response(status=407, headers={}, body=HTML), ConfigError),
        (Response(status=413, headers={}, body=HTML), RejectedError),
    ],
)
def test_the_platforms_own_errors_keep_their_meaning_in_the_middle_of_a_run(
    answer: Response, kind: type[AsyncReportError]
) -> None:
    server = Server([ok(), answer])

    async def main() -> None:
        one, _ = lane(server)
        await one.ask(QUERY)
        with pytest.raises(kind):
            await one.ask(QUERY)

    run(main())
    assert len(server.times) == 2


def test_a_firewall_that_blocks_queries_from_the_start_is_reported_at_once() -> None:
    """Although look-ups were answered."""
    server = Broken([Response(status=403, headers={}, body=HTML)])

    async def main() -> None:
        one, _ = lane(server)
        await one.ask(LOOK_UP)
        with pytest.raises(AuthError):
            await one.ask(QUERY)

    run(main())


def test_a_portal_in_front_of_the_token_endpoint_is_waited_for_in_the_middle_of_a_run() -> None:
    server = Server([ok(), refused(401, "bad.credentials"), ok()])

    async def main() -> None:
        one, _ = lane(server)
        await one.ask(QUERY)
        server.token_answers = [Response(status=302, headers={}, body=HTML)] * 2
        assert await one.ask(QUERY) == "data"

    run(main())
    assert server.logins == 4


def test_a_token_request_that_times_out_does_not_split_the_request_that_waits() -> None:
    error = asked(Server(token_answers=[refused(504)] * 8))
    assert isinstance(error, RetriesExhausted)
    assert isinstance(error.__cause__, RetriesExhausted)
    assert error.reason == "lane"


def test_the_reason_is_the_lane_only_if_no_attempt_was_made() -> None:
    """Because there was no token, or because the throttle did not let it pass."""

    async def failure(one: Lane) -> RetriesExhausted:
        with pytest.raises(RetriesExhausted) as caught:
            await one.ask(QUERY)
        return caught.value

    async def main() -> None:
        no_token, _ = lane(Server(token_answers=[refused(503)] * 8))
        assert [(await failure(no_token)).reason for _ in range(2)] == ["lane", "lane"]
        shut, _ = lane(Server([refused(503)]), limits=Limits(give_up_after=10))
        shut._throttle.pause(30)
        assert (await failure(shut)).reason == "lane"
        no_turn, _ = lane(Server(), limits=Limits(give_up_after=10), rate=1)
        error = await failure(no_turn)
        assert error.reason == "lane"
        assert str(error).startswith(
            "POST /query: it waited for its turn and was not sent; gave up after 0 attempts in 10 s"
        )
        for server in Server([refused(503)]), Server([refused(504)]), Server([ok()], latency=9):
            one, _ = lane(server, limits=Limits(give_up_after=10, max_attempts=2))
            assert (await failure(one)).reason != "lane"

    run(main())
