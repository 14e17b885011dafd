"""One OAuth client at work: one response out of many attempts. Owns the lanes of a connection."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from asyncreport.api.headers import budget
from asyncreport.api.oauth import token_request
from asyncreport.api.problems import problem, subject, undecodable
from asyncreport.api.redaction import holds_secret, proxy_credentials
from asyncreport.api.wire import Request, Response
from asyncreport.core.backoff import wait
from asyncreport.core.errors import (
    AsyncReportError,
    Reason,
    RejectedError,
    RetriesExhausted,
    TransientError,
)
from asyncreport.core.job import Connection, Limits, Secret
from asyncreport.core.text import counted
from asyncreport.net.counts import RequestCounts
from asyncreport.net.throttle import Throttle
from asyncreport.net.tokens import REFUSALS, Tokens
from asyncreport.net.transport import Transport, at_once

_LOG = logging.getLogger(__name__)

#: seconds that replace a Retry-After which is longer than a request may take: the vendor counts by
#: the minute, and its own clients wait for 180 s at most
#: (https://developer.genesys.cloud/organization/organization/limits)
_MINUTE = 60.0
#: characters; a shorter token also occurs in ordinary paths
_SHORTEST_TOKEN = 12
#: doublings of the wait after a revoked token; more only after many of them
_DOUBLINGS = 4
#: most seconds that a message shows: a Retry-After may have 309 digits
_MAX_SECONDS = 1e9

#: send a request to its host once; raise TransientError if no complete response came back
Send = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def open_lanes(
    connection: Connection,
    limits: Limits,
    *,
    rng: Callable[[], float],
    room: Callable[[], Awaitable[None]] = at_once,
) -> AsyncIterator[tuple[list[Lane], RequestCounts]]:
    """Open a connection: one lane per client, all with one transport; `rng` draws from [0, 1)."""
    counts = RequestCounts()
    async with Transport(connection, limits, room) as transport:
        lanes = []
        for client in connection.clients:
            grant = token_request(client, in_form=connection.credentials_in_form)
            # A throttle per lane: the vendor's limit is per token, which is per client here.
            throttle = Throttle(connection.requests_per_minute, counts)
            lane = Lane(
                grant,
                transport.send,
                limits=limits,
                throttle=throttle,
                counts=counts,
                rng=rng,
                proxy_secrets=_proxy_secrets(connection),
            )
            lanes.append(lane)
        yield lanes, counts


def _proxy_secrets(connection: Connection) -> frozenset[str]:
    if connection.proxy is None:
        return frozenset()
    return proxy_credentials(connection.proxy.reveal())


def _now() -> float:
    return asyncio.get_running_loop().time()


class Lane:
    """Send requests as one OAuth client, within its rate limit; `grant` is its token request."""

    def __init__(
        self,
        grant: Request,
        send: Send,
        *,
        limits: Limits,
        throttle: Throttle,
        counts: RequestCounts,
        rng: Callable[[], float],
        proxy_secrets: frozenset[str] = frozenset(),
    ) -> None:
        self._send = send
        self._limits = limits
        self._throttle = throttle
        self._counts = counts
        self._rng = rng
        self._proxy_secrets = proxy_secrets
        # A token request takes the same road, attempts and throttle included. It needs no token
        # itself, so this does not recur.
        self._tokens = Tokens(lambda: self.ask(grant))
        #: when the server last gave a valid response, by the event loop's clock
        self._responded = -math.inf

    async def ask(self, request: Request) -> Any:
        """Give the decoded response to a request, after as many attempts as `limits` allow.

        Raise AuthError, RejectedError and ConfigError at once. Raise RetriesExhausted when attempts
        or time are used up; its cause is the TransientError of the last attempt.
        """
        attempts = Attempts(request, self._limits, self._responsive)
        delay = 0.0
        try:
            async with asyncio.timeout_at(attempts.deadline):
                while True:
                    # Before the wait: a request that cannot be sent in time ends now, so that
                    # another lane can have its chunk.
                    attempts.check_wait(delay, self._throttle.closed_for)
                    # The wait is outside the throttle, so that the turns go to others meanwhile.
                    await asyncio.sleep(delay)
                    try:
                        return await self._attempt(request, attempts)
                    except TransientError as error:
                        # First the lane's pause, then the end of this request: the 429 of a last
                        # attempt holds for the other requests too.
                        delay = self._delay(error, attempts)
                        attempts.log(error, delay)
                        attempts.failed(error)
        except TimeoutError:
            raise attempts.out_of_time() from attempts.error

    async def _attempt(self, request: Request, attempts: Attempts) -> Any:
        token = await self._turn(request, attempts)
        # From here on time is spent on the server, which decides what a time-out means.
        attempts.waits_for = ""
        if token is not None:
            request = _with_token(request, token)
        # Counted before the send: an attempt that fails or is cancelled was sent all the same.
        self._counts.add_attempt(len(request.body or b""), retry=attempts.sent > 0)
        attempts.sent += 1
        response = await self._send(request)
        # No await from here to the decoded response: each await would keep one more body in memory.
        self._counts.received += len(response.body)
        return self._read(request, response, token)

    async def _turn(self, request: Request, attempts: Attempts) -> Secret | None:
        """Wait for the throttle, and for a token if the request needs one."""
        if request.host == "login":
            attempts.waits_for = "its turn"
            await self._throttle.enter()
            return None
        while True:
            # The token first. Requests that passed the throttle and then waited for a token would
            # leave later, all at once, and break the pace.
            attempts.waits_for = "a token"
            await self._tokens.get()
            attempts.waits_for = "its turn"
            await self._throttle.enter()
            # Read after the throttle: the token may have been renewed or refused in the meantime.
            token = self._tokens.usable
            if token is not None:
                return token

    def _read(self, request: Request, response: Response, token: Secret | None) -> Any:
        """Give the decoded body; raise the error that the response means."""
        error = None
        if not request.succeeded(response.status):
            error = problem(request, response, self._proxy_secrets)
        # Before the error is raised: it may carry the budget or refuse the token. The token
        # endpoint has a budget of its own, which says nothing about the lane's.
        if token is not None:
            self._learn(response, token, error)
        if error is not None:
            raise error
        try:
            decoded = request.decode(response.body)
        except (TransientError, RejectedError) as invalid:
            # Without its cause: the decoder's own error may quote a secret that the body holds.
            raise undecodable(request, response, invalid, self._proxy_secrets) from None
        # After decoding: an invalid response does not show that the server works.
        if token is not None:
            self._responded = _now()
        return decoded

    def _responsive(self) -> bool:
        """Tell whether the server gave this client a valid response not long ago."""
        return _now() - self._responded <= self._limits.give_up_after

    def _learn(self, response: Response, token: Secret, error: AsyncReportError | None) -> None:
        """Note what a response says about the lane: its budget, and whether its token works."""
        server_budget = budget(response.headers)
        if server_budget is not None:
            self._throttle.observe(server_budget)
        if response.status == 401 and isinstance(error, TransientError):
            self._tokens.refuse(token, error)
        else:
            self._tokens.accept()

    def _delay(self, error: TransientError, attempts: Attempts) -> float:
        """Give the seconds until the next attempt; pause the lane if the server asked for it."""
        retry_after = attempts.credible(error.retry_after)
        doublings = attempts.doublings(error)
        seconds = wait(doublings, rng=self._rng, retry_after=retry_after)
        if error.status == 429:
            self._counts.throttled += 1
        # The lane pauses for as long as the server asked, without the jitter of this request: the
        # throttle spreads the others anyway.
        if retry_after is not None:
            self._throttle.pause(retry_after)
        elif error.status == 429:
            self._throttle.pause(seconds)
        return seconds


def _with_token(request: Request, token: Secret) -> Request:
    """Add the token; raise RejectedError if the path contains it."""
    text = token.reveal()
    # A path contains ids of the server. Every message about the request shows the path.
    if len(text) >= _SHORTEST_TOKEN and holds_secret(request.path.encode(), [text]):
        raise RejectedError(
            f"{request.method}: the server gave an id that contains credentials; not requested"
        )
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {text}"})


@dataclass(slots=True)
class Attempts:
    """What one request has cost so far, and what it may cost."""

    request: Request
    limits: Limits
    #: tell whether the server gave this client a valid response not long ago
    responsive: Callable[[], bool]
    #: attempts sent
    sent: int = 0
    #: attempts whose token was refused
    refused: int = 0
    #: attempts that timed out
    timeouts: int = 0
    #: of the last attempt
    error: TransientError | None = None
    #: what delays the next attempt; empty while one is in progress
    waits_for: str = ""
    #: by the event loop's clock
    started: float = field(default_factory=_now)

    @property
    def deadline(self) -> float:
        """Give the end of the request's time, by the event loop's clock."""
        return self.started + self.limits.give_up_after

    def credible(self, retry_after: float | None) -> float | None:
        """Replace a Retry-After that is longer than a request may take."""
        if retry_after is None or retry_after <= self.limits.give_up_after:
            return retry_after
        return min(_MINUTE, self.limits.give_up_after)

    def log(self, error: TransientError, delay: float) -> None:
        """Log a failed attempt."""
        message = "%s; attempt %d of %d failed, next one in %.1f s"
        _LOG.info(message, error, self.sent, self.limits.max_attempts, delay)

    def failed(self, error: TransientError) -> None:
        """Note a failed attempt; raise RetriesExhausted if it was the last one."""
        self.error = error
        self.timeouts += error.timed_out
        self.refused += error.status == 401
        # A refused token is not the request's fault. Time bounds these attempts, and the number of
        # tokens that are refused in a row.
        if self.sent - self.refused >= self.limits.max_attempts:
            raise self.exhausted("limits.max_attempts is reached") from error
        if error.timed_out and self.timeouts == self.request.max_timeouts:
            raise self.exhausted(f"{self.timeouts} of them timed out") from error

    def doublings(self, error: TransientError) -> int:
        """Say how often the wait doubles."""
        if error.status != 401:
            return self.sent - 1
        # Short waits after the first refused tokens, so that a refused client is soon reported.
        # After more than `REFUSALS` it is this request alone that is refused: it may wait.
        return min(self.refused, _DOUBLINGS) + max(0, self.refused - REFUSALS)

    def check_wait(self, delay: float, closed_for: float) -> None:
        """Raise RetriesExhausted if a wait lasts longer than the time that is left."""
        left = self.deadline - _now()
        # The lane's pause first: it is a reason to give the chunk to another lane.
        if closed_for > left:
            why = (
                "the server asked for a pause, and its remaining "
                f"{closed_for:.0f} s are longer than limits.give_up_after allows"
            )
            raise self.exhausted(why, reason="lane") from self.error
        if delay > left:
            why = f"a wait of {delay:.0f} s is longer than limits.give_up_after allows"
            raise self.exhausted(why) from self.error

    def out_of_time(self) -> RetriesExhausted:
        """Give the error of a request whose time is used up."""
        why = "limits.give_up_after is reached"
        if self.sent == 0:
            return self.exhausted(why, reason="lane")
        # An attempt in progress has timed out; a wait before the next attempt has not.
        in_progress = not self.waits_for
        self.timeouts += in_progress
        return self.exhausted(why, reason=self.reason(timed_out=in_progress))

    def reason(self, *, timed_out: bool = False) -> Reason:
        """Give the reason of a request that was sent; `timed_out`: its last attempt did."""
        last = self.error is not None and self.error.timed_out
        if not (timed_out or last or self.timeouts > 1):
            return "busy"
        return "late" if self.responsive() else "silent"

    def exhausted(self, why: str, *, reason: Reason | None = None) -> RetriesExhausted:
        """Give the error that says what was tried, why it ended and what to do next."""
        tries = counted(self.sent, "attempt")
        seconds = _now() - self.started
        text = f"{self._fact()}; gave up after {tries} in {seconds:.0f} s: {why}"
        text += f"{self._ignored()}; run it again later"
        if self.error is not None and self.error.status == 429:
            text += ", with fewer requests_per_minute"
        return RetriesExhausted(text, reason=reason or self.reason())

    def _fact(self) -> str:
        if self.error is not None:
            return str(self.error)
        named = subject(self.request, None)
        if self.sent == 0 and self.waits_for:
            return f"{named}: it waited for {self.waits_for} and was not sent"
        return f"{named}: no response"

    def _ignored(self) -> str:
        """Name a Retry-After that was longer than a request may take."""
        asked = None if self.error is None else self.error.retry_after
        if asked is None or asked <= self.limits.give_up_after:
            return ""
        if asked >= _MAX_SECONDS:
            return f", and a Retry-After of more than {_MAX_SECONDS:.0f} s was ignored"
        return f", and a Retry-After of {asked:.0f} s was ignored"
