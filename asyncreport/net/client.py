"""One OAuth client at work: one response out of many attempts. Owns the client's lane."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from asyncreport.api.headers import budget
from asyncreport.api.problems import problem, undecodable
from asyncreport.api.redaction import holds_secret
from asyncreport.api.wire import Request, Response
from asyncreport.core.backoff import wait
from asyncreport.core.errors import AsyncReportError, ConfigError, RejectedError, TransientError
from asyncreport.core.job import Limits
from asyncreport.core.secret import Secret
from asyncreport.net.attempts import Attempts, Health, now
from asyncreport.net.counts import RequestCounts
from asyncreport.net.throttle import Throttle
from asyncreport.net.tokens import Tokens

#: characters; a shorter token also occurs in ordinary paths
_SHORTEST_TOKEN = 12

#: send a request to its host once; raise TransientError if no complete response came back
Send = Callable[[Request], Awaitable[Response]]


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
        health: Health | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self._send = send
        self._limits = limits
        self._throttle = throttle
        self._counts = counts
        self._rng = rng
        self._proxy_secrets = proxy_secrets
        # A token request takes the same road, attempts and throttle included. It needs no token
        # itself, so this does not recur.
        self.tokens = tokens or Tokens(lambda: self.ask(grant))
        self._health = health or Health()

    async def ask(self, request: Request) -> Any:
        """Give the decoded response to a request, after as many attempts as `limits` allow.

        Raise AuthError, RejectedError and ConfigError at once. Raise RetriesExhausted when attempts
        or time are used up; its cause is the TransientError of the last attempt.
        """
        attempts = Attempts(request, self._limits, self._health)
        try:
            async with asyncio.timeout_at(attempts.deadline):
                return await self._retry(attempts)
        except TimeoutError:
            raise attempts.out_of_time() from attempts.error

    async def _retry(self, attempts: Attempts) -> Any:
        """Send a request until it succeeds or `attempts` ends it."""
        delay = 0.0
        while True:
            # Before the wait: a request that cannot be sent in time ends now, so that another lane
            # can have its chunk.
            attempts.check_wait(delay, self._throttle.closed_for)
            await self._wait(delay, attempts)
            try:
                return await self._attempt(attempts)
            except TransientError as error:
                # First the lane's pause, then the end of this request: the 429 of a last attempt
                # holds for the other requests too.
                delay = self._delay(error, attempts)
                attempts.log(error, delay)
                attempts.failed(error)

    async def _wait(self, delay: float, attempts: Attempts) -> None:
        """Wait before the next attempt: outside the throttle, so that others get the turns."""
        if attempts.error is None:
            # The first attempt waits for nothing, but lets the tasks run that are ready.
            await asyncio.sleep(0)
            return
        with self._counts.retry(attempts.next_attempt(attempts.error)):
            await asyncio.sleep(delay)

    async def _attempt(self, attempts: Attempts) -> Any:
        """Send a request once."""
        if attempts.request.host == "login":
            # A token request needs no token.
            await self._turn(attempts)
            return await self._exchange(attempts.request, attempts, None)
        token = await self._turn_with_token(attempts)
        request = _with_token(attempts.request, token)
        return await self._exchange(request, attempts, token)

    async def _turn_with_token(self, attempts: Attempts) -> Secret:
        """Wait for a token and for the throttle."""
        while True:
            # The token first. Requests that passed the throttle and then waited for a token would
            # leave later, all at once, and break the pace.
            attempts.waits_for = "a token"
            await self.tokens.get()
            await self._turn(attempts)
            # Read after the throttle: the token may have been renewed or refused in the meantime.
            token = self.tokens.usable
            if token is not None:
                return token

    async def _turn(self, attempts: Attempts) -> None:
        """Wait for the throttle."""
        attempts.waits_for = "its turn"
        await self._throttle.enter(self._counts)

    async def _exchange(self, request: Request, attempts: Attempts, token: Secret | None) -> Any:
        """Send a request with its token, and read the response."""
        # From here on time is spent on the server, which decides what a time-out means.
        attempts.waits_for = ""
        # Counted before the send: an attempt that fails or is cancelled was sent too.
        self._counts.add_attempt(len(request.body or b""), retry=attempts.sent > 0)
        attempts.sent += 1
        with self._counts.sending():
            response = await self._send_once(request)
        self._health.reached.add(request.host)
        # No await from here to the decoded response: each await would keep one more body in memory.
        self._counts.received += len(response.body)
        if token is None:
            # The token endpoint has a budget of its own, which says nothing about the lane's.
            return self._read(request, response, self._problem(request, response))
        return self._read_and_learn(request, response, token)

    async def _send_once(self, request: Request) -> Response:
        """Send a request; raise ConfigError only if its host was never reached.

        A host that was reached has the right address: what is wrong with it now may pass.
        """
        try:
            return await self._send(request)
        except ConfigError as error:
            if request.host in self._health.reached:
                raise TransientError(str(error)) from error
            raise

    def _read_and_learn(self, request: Request, response: Response, token: Secret) -> Any:
        """Read a response of the API, and note what it says about the lane."""
        error = self._problem(request, response)
        # Before the error is raised: it may carry the budget or refuse the token.
        self._learn_budget(response)
        self._learn_token(token, response, error)
        decoded = self._read(request, response, error)
        # After decoding: an invalid response does not show that the server works.
        self._health.answered[request.method] = now()
        request.measure(len(response.body), response.seconds)
        return decoded

    def _problem(self, request: Request, response: Response) -> AsyncReportError | None:
        """Give the error that a status means, None for a success."""
        if request.succeeded(response.status):
            return None
        return problem(
            request,
            response,
            self._proxy_secrets,
            has_answered=self._health.has_answered(request),
        )

    def _read(self, request: Request, response: Response, error: AsyncReportError | None) -> Any:
        """Give the decoded body; raise the error that the response means."""
        if error is not None:
            raise error
        try:
            return request.decode(response.body)
        except (TransientError, RejectedError) as invalid:
            # Without its cause: the decoder's own error may quote a secret that the body holds.
            raise undecodable(request, response, invalid, self._proxy_secrets) from None

    def _learn_budget(self, response: Response) -> None:
        """Follow the rate limit that a response names."""
        server_budget = budget(response.headers)
        if server_budget is not None:
            self._throttle.observe(server_budget)

    def _learn_token(
        self,
        token: Secret,
        response: Response,
        error: AsyncReportError | None,
    ) -> None:
        """Note whether the server accepted a token."""
        if response.status == 401 and isinstance(error, TransientError):
            self.tokens.refuse(token, error)
        else:
            self.tokens.accept()

    def _delay(self, error: TransientError, attempts: Attempts) -> float:
        """Give the seconds until the next attempt; pause the lane if the server asked for it."""
        retry_after = attempts.credible(error.retry_after)
        seconds = wait(attempts.doublings(error), rng=self._rng, retry_after=retry_after)
        # The lane pauses for as long as the server asked, without the jitter of this request: the
        # throttle spreads the others anyway.
        if retry_after is not None:
            self._throttle.pause(retry_after)
        elif error.status == 429:
            self._throttle.pause(seconds)
        self._counts.throttled += error.status == 429
        return seconds


def _with_token(request: Request, token: Secret) -> Request:
    """Add the token; raise RejectedError if the path contains it."""
    text = token.reveal()
    if _shows(request, text):
        raise RejectedError(
            f"{request.method}: the server gave an id that contains credentials; not requested"
        )
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {text}"})


def _shows(request: Request, token: str) -> bool:
    """Tell whether messages about a request would show its token.

    They show the path, and a path contains ids of the server.
    """
    return len(token) >= _SHORTEST_TOKEN and holds_secret(request.path.encode(), [token])
