"""One OAuth client at work: one answer out of many attempts. Owns the lanes of a connection."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from asyncreport.api.oauth import token_request
from asyncreport.api.problems import budget, problem, subject
from asyncreport.api.redaction import PART, WITHHELD, betrays, credentials, withheld
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
from asyncreport.net.counts import RequestCounts
from asyncreport.net.throttle import Throttle
from asyncreport.net.tokens import REFUSALS, Tokens
from asyncreport.net.transport import Transport, at_once

_LOG = logging.getLogger(__name__)

#: seconds; what a Retry-After counts as that is longer than a request may take: the vendor counts by the minute
#: (https://developer.genesys.cloud/organization/organization/limits), and its own clients wait for 180 s at most
_MINUTE = 60.0
#: doublings of the wait after a dead token, until many were
_DOUBLINGS = 4
#: seconds that a message shows: a Retry-After may have 309 digits
_MOST_SHOWN = 1e9

#: carry a request to its host once; raise TransientError where no whole answer came back
Send = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def open_lanes(
    connection: Connection,
    limits: Limits,
    *,
    rng: Callable[[], float],
    room: Callable[[], Awaitable[None]] = at_once,
) -> AsyncIterator[tuple[list[Lane], RequestCounts]]:
    """Open a connection: one lane for each of its clients, over one transport; `rng` draws from [0, 1)."""
    counts = RequestCounts()
    async with Transport(connection, limits, room) as transport:
        yield (
            [
                Lane(
                    grant,
                    transport.send,
                    limits=limits,
                    throttle=Throttle(connection.requests_per_minute, counts),
                    counts=counts,
                    rng=rng,
                )
                for grant in (
                    token_request(client, in_form=connection.credentials_in_form)
                    for client in connection.clients
                )
            ],
            counts,
        )


class Lane:
    """Ask as one OAuth client, within its rate budget and with its token; `grant` is the request for one."""

    def __init__(
        self,
        grant: Request,
        send: Send,
        *,
        limits: Limits,
        throttle: Throttle,
        counts: RequestCounts,
        rng: Callable[[], float],
    ) -> None:
        self._send = send
        self._limits = limits
        self._throttle = throttle
        self._tally = counts
        self._rng = rng
        # A request for a token is asked like any other; it alone goes without one, so that this ends.
        self._tokens = Tokens(lambda: self.ask(grant))
        #: when the server last gave what was asked for, by the loop's clock
        self._answered = -math.inf

    async def ask(self, request: Request) -> Any:
        """Give what the answer to a request decodes to, after as many attempts as `limits` allow.

        Raise AuthError, RejectedError and ConfigError at once, and RetriesExhausted once attempts or time are used up; its
        cause is the last attempt's TransientError.
        """
        trial = Attempts(request, self._limits, self._answering)
        delay = 0.0
        try:
            async with asyncio.timeout_at(trial.deadline):
                while True:
                    trial.afford(delay, self._throttle.closed_for)
                    await asyncio.sleep(delay)
                    try:
                        return await self._attempt(request, trial)
                    except TransientError as error:
                        delay = self._delay(error, trial)
                        _LOG.info(
                            "%s; attempt %d of %d failed, again in %.1f s",
                            error,
                            trial.attempts,
                            self._limits.max_attempts,
                            delay,
                        )
                        trial.failed(error)
        except TimeoutError:
            raise trial.overdue() from trial.error

    async def _attempt(self, request: Request, trial: Attempts) -> Any:
        token = await self._pass(request, trial)
        trial.waits_for = ""
        if token is not None:
            request = replace(
                request, headers={**request.headers, "Authorization": f"Bearer {token.reveal()}"}
            )
        if (
            token is not None
            and len(token.reveal()) >= PART
            and betrays(request.path, [token.reveal()])
        ):
            # What a path holds beside our own words is an id of the server's, and every message about the request would show it.
            raise RejectedError(
                f"{request.method}: the server gave an id that holds credentials, which is not asked for"
            )
        self._tally.requests += 1
        self._tally.retries += trial.attempts > 0
        self._tally.sent += len(request.body or b"")
        trial.attempts += 1
        response = withheld(await self._send(request), credentials(request))
        # No await from here to the decoded answer: a body that was read is not kept while others wait.
        self._tally.received += len(response.body)
        return self._read(request, response, token)

    async def _pass(self, request: Request, trial: Attempts) -> Secret | None:
        """Wait for a token, where the request needs one, and for the throttle."""
        if request.host == "login":
            trial.waits_for = "its turn"
            await self._throttle.enter()
            return None
        while True:
            # The token first: whoever waited for one behind the gate would leave late, and in a crowd.
            trial.waits_for = "a token"
            await self._tokens.get()
            trial.waits_for = "its turn"
            await self._throttle.enter()
            # It may have been renewed, or refused, while its turn was waited for.
            if (token := self._tokens.usable) is not None:
                return token

    def _read(self, request: Request, response: Response, token: Secret | None) -> Any:
        error = None if request.succeeded(response.status) else problem(request, response)
        # The token endpoint has a budget of its own, which says nothing about the lane's.
        if token is not None:
            self._learn(response, token, error)
        if error is not None:
            raise error
        try:
            decoded = request.decode(response.body)
        except (TransientError, RejectedError) as odd:
            quoting = betrays(str(odd), credentials(request))
            text = f"{subject(request, response.correlation_id)}: {f'the answer is none {WITHHELD}' if quoting else odd}"
            told = (
                TransientError(text, status=response.status)
                if isinstance(odd, TransientError)
                else RejectedError(text, status=odd.status, code=odd.code)
            )
            raise told from (None if quoting else odd)
        if token is not None:
            self._answered = asyncio.get_running_loop().time()
        return decoded

    def _answering(self) -> bool:
        return asyncio.get_running_loop().time() - self._answered <= self._limits.give_up_after

    def _learn(self, response: Response, token: Secret, error: AsyncReportError | None) -> None:
        """Follow what an answer says of the lane: how much of its budget is left, and whether its token is taken."""
        if (said := budget(response.headers)) is not None:
            self._throttle.observe(said)
        if response.status == 401 and isinstance(error, TransientError):
            self._tokens.refuse(token, error)
        else:
            self._tokens.accepted()

    def _delay(self, error: TransientError, trial: Attempts) -> float:
        """Give the seconds to the next attempt, and hold up the whole lane where the server asked for that."""
        longest = self._limits.give_up_after
        asked = min(_MINUTE, longest) if _unbelieved(error, longest) else error.retry_after
        seconds = wait(trial.patience(error), rng=self._rng, retry_after=asked)
        self._tally.throttled += error.status == 429
        if asked is not None or error.status == 429:
            self._throttle.pause(seconds if asked is None else asked)
        return seconds


def _unbelieved(error: TransientError | None, longest: float) -> float | None:
    """Give the seconds that the server asks to wait, where a request may not take as long."""
    asked = None if error is None else error.retry_after
    return asked if asked is not None and asked > longest else None


@dataclass(slots=True)
class Attempts:
    """What one request has cost so far, and what it may cost."""

    request: Request
    limits: Limits
    #: whether the lane had an answer not long ago
    answering: Callable[[], bool]
    attempts: int = 0
    #: attempts that a dead token cost
    dead: int = 0
    #: attempts that timed out
    timeouts: int = 0
    error: TransientError | None = None
    #: what keeps it from being sent, empty while it is under way
    waits_for: str = ""
    #: by the loop's clock
    started: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def deadline(self) -> float:
        return self.started + self.limits.give_up_after

    def failed(self, error: TransientError) -> None:
        """Note an attempt's failure; raise RetriesExhausted where it was the last one."""
        self.error = error
        self.timeouts += error.timed_out
        self.dead += error.status == 401
        # A dead token is no fault of the request's: that is bounded by time, and by how many are refused in a row.
        if self.attempts - self.dead >= self.limits.max_attempts:
            raise self.exhausted("limits.max_attempts is reached") from error
        if error.timed_out and self.timeouts == self.request.max_timeouts:
            raise self.exhausted(f"{self.timeouts} of them timed out") from error

    def patience(self, error: TransientError) -> int:
        """Say how often the wait doubles; it stays short after dead tokens, so that a refused client is soon told, and grows after many."""
        if error.status != 401:
            return self.attempts - 1
        return min(self.dead, _DOUBLINGS) + max(0, self.dead - REFUSALS)

    def afford(self, delay: float, closed_for: float) -> None:
        """Raise RetriesExhausted where a wait is known to outlast the request."""
        left = self.deadline - asyncio.get_running_loop().time()
        if closed_for > left:
            why = f"the server asked for a pause, and the {closed_for:.0f} s of it that are left outlast limits.give_up_after"
            raise self.exhausted(why, reason="lane") from self.error
        if delay > left:
            raise self.exhausted(
                f"a wait of {delay:.0f} s would outlast limits.give_up_after"
            ) from self.error

    def overdue(self) -> RetriesExhausted:
        """Say what its time was spent on."""
        under_way = self.attempts > 0 and not self.waits_for
        self.timeouts += under_way
        never_sent = self.attempts == 0
        return self.exhausted(
            "limits.give_up_after is reached",
            reason="lane" if never_sent else self.reason(timed_out=under_way),
        )

    def reason(self, *, timed_out: bool = False) -> Reason:
        """Tell what may help a request that was sent; `timed_out`: its last attempt did."""
        last = self.error is not None and self.error.timed_out
        if not (timed_out or last or self.timeouts > 1):
            return "busy"
        return "late" if self.answering() else "silent"

    def exhausted(self, why: str, *, reason: Reason | None = None) -> RetriesExhausted:
        """Say what was tried, and why it is over."""
        seconds = asyncio.get_running_loop().time() - self.started
        kept = (
            f"it waited for {self.waits_for} and was not sent"
            if self.waits_for and not self.attempts
            else "no answer"
        )
        fact = self.error or f"{subject(self.request, None)}: {kept}"
        tries = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'}"
        if (asked := _unbelieved(self.error, self.limits.give_up_after)) is not None:
            shown = f"{asked:.0f} s" if asked < _MOST_SHOWN else f"more than {_MOST_SHOWN:.0f} s"
            why += f", and a Retry-After of {shown} was not believed"
        slower = (
            ", with fewer requests_per_minute"
            if self.error is not None and self.error.status == 429
            else ""
        )
        text = (
            f"{fact}; gave up after {tries} in {seconds:.0f} s: {why}; run it again later{slower}"
        )
        return RetriesExhausted(text, reason=reason or self.reason())
