"""Compute the delay before a retry: full jitter, at least what Retry-After asks for. Pure."""

from __future__ import annotations

from collections.abc import Callable

#: seconds; the longest delay without Retry-After
CAP = 60.0

#: seconds; the longest delay before the first retry
FIRST = 0.5

#: doublings that reach the cap for certain; more of them would overflow a float
_DOUBLINGS = 7


def wait(attempt: int, *, rng: Callable[[], float], retry_after: float | None = None) -> float:
    """Give the seconds to wait after attempt number `attempt`, counted from 0.

    `rng` draws from [0, 1). Retry-After is never shortened. Up to a second is added to it, so that
    workers that were refused at the same time do not come back at the same time.
    """
    share = rng()
    longest = min(CAP, FIRST * 2.0 ** min(attempt, _DOUBLINGS))
    delay = share * longest
    if retry_after is None:
        return delay
    return max(delay, retry_after + share)
