"""When a request is given up, and the error that says so. Owns nothing."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass, field

from asyncreport.api.problems import subject
from asyncreport.api.wire import Request
from asyncreport.core.errors import Reason, RetriesExhausted, TransientError
from asyncreport.core.job import Limits
from asyncreport.core.text import counted
from asyncreport.net.tokens import REFUSALS

_LOG = logging.getLogger(__name__)

#: seconds that replace a Retry-After which is longer than a request may take: the vendor counts by
#: the minute, and its own clients wait for 180 s at most
#: (https://developer.genesys.cloud/organization/organization/limits)
_MINUTE = 60.0
#: statuses that are not the request's fault: a revoked token, and the rate limit. Time bounds these
#: attempts, and the number of tokens that are refused in a row
_FREE = frozenset({401, 429})
#: doublings of the wait after a revoked token; more only after many of them
_DOUBLINGS = 4
#: most seconds that a message shows: a Retry-After may have 309 digits
_MAX_SECONDS = 1e9


def now() -> float:
    """Give the time of the event loop's clock."""
    return asyncio.get_running_loop().time()


@dataclass(slots=True)
class Health:
    """What the responses to one client say about its server; shared by the client's requests."""

    #: hosts that have responded, with any status
    reached: set[str] = field(default_factory=set)
    #: when the last valid response of the API came, by method and in the event loop's time
    answered: dict[str, float] = field(default_factory=dict)

    def last_answer(self, request: Request) -> float:
        """Give the time of the last valid response to a request of the same kind."""
        # By method: the servers for queries may be down while look-ups are answered.
        return self.answered.get(request.method, -math.inf)

    def has_answered(self, request: Request) -> bool:
        """Tell whether the server gave a valid response to a request of the same kind before."""
        # A token request is like any request: without a token there would be no response at all.
        if request.host == "login":
            return bool(self.answered)
        return request.method in self.answered


@dataclass(slots=True)
class Attempts:
    """What one request has cost so far, and what it may cost."""

    request: Request
    limits: Limits
    health: Health
    #: attempts sent
    sent: int = 0
    #: attempts whose token was refused
    refused: int = 0
    #: attempts that failed while other requests of the client succeeded
    blamed: int = 0
    #: attempts in a row that failed while no other request succeeded
    in_vain: int = 0
    #: no other request succeeded between the last two failures
    alone: bool = True
    #: attempts that timed out
    timeouts: int = 0
    #: of the last attempt
    error: TransientError | None = None
    #: what delays the next attempt; empty while one is in progress
    waits_for: str = ""
    #: by the event loop's clock
    started: float = field(default_factory=now)
    #: when the last attempt failed; at first, when the request started
    failed_at: float = field(default_factory=now)

    @property
    def deadline(self) -> float:
        """Give the end of the request's time, by the event loop's clock."""
        return self.started + self.limits.give_up_after

    @property
    def left(self) -> float:
        """Give the seconds of the request's time that are left."""
        return self.deadline - now()

    def credible(self, retry_after: float | None) -> float | None:
        """Replace a Retry-After that is longer than a request may take."""
        if retry_after is not None and self._is_absurd(retry_after):
            return min(_MINUTE, self.limits.give_up_after)
        return retry_after

    def _is_absurd(self, retry_after: float) -> bool:
        """Tell whether a Retry-After is longer than a request may take."""
        return retry_after > self.limits.give_up_after

    def failed(self, error: TransientError) -> None:
        """Note a failed attempt; raise RetriesExhausted if it was the last one."""
        self.error = error
        self.timeouts += error.timed_out
        self.refused += error.status == 401
        self._look_at_others()
        if error.status not in _FREE:
            self._count()
        if max(self.blamed, self.in_vain) >= self._most:
            raise self._ended(self._too_many) from error
        if error.timed_out and self.timeouts == self.request.max_timeouts:
            raise self._ended(f"{self.timeouts} of them timed out") from error

    @property
    def _most(self) -> int:
        """Give how many attempts may fail."""
        to_reach = self.limits.to_reach
        if to_reach is None or self.request.host in self.health.reached:
            return self.limits.max_attempts
        return min(to_reach, self.limits.max_attempts)

    @property
    def _too_many(self) -> str:
        """Say that so many attempts have failed."""
        if self._most < self.limits.max_attempts:
            return "the host has never answered"
        return "limits.max_attempts is reached"

    def _look_at_others(self) -> None:
        """Note whether other requests of the client succeeded since the last failure."""
        self.alone = self.health.last_answer(self.request) <= self.failed_at
        self.failed_at = now()

    def _count(self) -> None:
        """Count a failed attempt as the request's fault, or as one that every request meets."""
        # Two counts, because a server that is down for a minute must not use up the attempts of the
        # requests that it meets: see `down`.
        if self.alone:
            self.in_vain += 1
        else:
            self.blamed += 1
            self.in_vain = 0

    def log(self, error: TransientError, delay: float) -> None:
        """Log a failed attempt."""
        _LOG.debug(
            "%s; attempt %d of %d failed, next one in %.1f s",
            error,
            self.sent,
            self._most,
            delay,
        )

    def next_attempt(self, error: TransientError) -> str:
        """Describe the next attempt in a few words: `retry 3 of 8: 503`."""
        return f"retry {self.sent + 1} of {self._most}: {_briefly(error)}"

    def doublings(self, error: TransientError) -> int:
        """Say how often the wait doubles."""
        if error.status != 401:
            return self.sent - 1
        # Short waits after the first refused tokens, so that a refused client is soon reported.
        # After more than `REFUSALS` it is this request alone that is refused: it may wait.
        return min(self.refused, _DOUBLINGS) + max(0, self.refused - REFUSALS)

    def check_wait(self, delay: float, closed_for: float) -> None:
        """Raise RetriesExhausted if a wait lasts longer than the time that is left."""
        # The lane's pause first: it is a reason to give the chunk to another lane.
        if closed_for > self.left:
            raise self._exhausted(_pause(closed_for), "lane") from self.error
        if delay > self.left:
            why = f"a wait of {delay:.0f} s is longer than limits.give_up_after allows"
            raise self._ended(why) from self.error

    def out_of_time(self) -> RetriesExhausted:
        """Give the error of a request whose time is used up."""
        # An attempt in progress has timed out; a wait before the next attempt has not.
        in_progress = not self.waits_for
        if in_progress:
            self.timeouts += 1
            self._look_at_others()
        return self._exhausted(
            "limits.give_up_after is reached", self._reason(timed_out=in_progress)
        )

    def _ended(self, why: str) -> RetriesExhausted:
        """Give the error of a request between two attempts."""
        return self._exhausted(why, self._reason(timed_out=False))

    def _reason(self, *, timed_out: bool) -> Reason:
        """Say what may help; `timed_out`: so did the last attempt."""
        if timed_out or self._was_late or self.timeouts > 1:
            return self._alone_or_not("silent", "late")
        if self.sent == 0:
            return "lane"
        if self.request.host not in self.health.reached:
            return "unreachable"
        return self._alone_or_not("down", "busy")

    def _alone_or_not(self, alone: Reason, not_alone: Reason) -> Reason:
        """Choose by whether the server answered other requests of the client."""
        if self.alone:
            return alone
        return not_alone

    @property
    def _was_late(self) -> bool:
        """Tell whether the last attempt that failed has timed out."""
        return self.error is not None and self.error.timed_out

    def _exhausted(self, why: str, reason: Reason) -> RetriesExhausted:
        """Give the error that says what was tried, why it ended and what to do next."""
        tries = counted(self.sent, "attempt")
        seconds = now() - self.started
        text = f"{self._fact()}; gave up after {tries} in {seconds:.0f} s: {why}"
        return RetriesExhausted(
            f"{text}{self._ignored()}; {self._next_step()}",
            reason=reason,
            lasted=now() - max(self.started, self.health.last_answer(self.request)),
        )

    def _fact(self) -> str:
        """Say how the last attempt failed."""
        if self.error is not None:
            return str(self.error)
        named = subject(self.request, None)
        if self.sent == 0 and self.waits_for:
            return f"{named}: it waited for {self.waits_for} and was not sent"
        return f"{named}: no response"

    def _ignored(self) -> str:
        """Name a Retry-After that was longer than a request may take."""
        asked = None
        if self.error is not None:
            asked = self.error.retry_after
        if asked is None or not self._is_absurd(asked):
            return ""
        return f", and a Retry-After of {_seconds(asked)} was ignored"

    def _next_step(self) -> str:
        """Say what the person may do."""
        if self.error is not None and self.error.status == 429:
            return "run it again later, with fewer requests_per_minute"
        return "run it again later"


def _briefly(error: TransientError) -> str:
    """Say in a word or two why an attempt failed."""
    if error.status is not None:
        return str(error.status)
    return "time-out" if error.timed_out else "no connection"


def _pause(seconds: float) -> str:
    """Say that the lane is closed for too long."""
    return (
        "the server asked for a pause, and its remaining "
        f"{seconds:.0f} s are longer than limits.give_up_after allows"
    )


def _seconds(number: float) -> str:
    """Write seconds with few digits."""
    if number >= _MAX_SECONDS:
        return f"more than {_MAX_SECONDS:.0f} s"
    return f"{number:.0f} s"
