"""How long to wait before the next attempt of one request: full jitter, and the server's word as a floor. Pure."""

from __future__ import annotations

from collections.abc import Callable

#: seconds; the longest wait of our own choosing
CAP = 60.0

#: seconds; the most that is waited before the second attempt
FIRST = 0.5

#: doublings that certainly reach the cap: more of them would only overflow
_DOUBLINGS = 7


def wait(attempt: int, *, rng: Callable[[], float], retry_after: float | None = None) -> float:
    """Give the seconds to wait after attempt number `attempt`, counted from 0; `rng` draws from [0, 1).

    Retry-After is a floor, never cut, with up to a second on top: workers that were sent away together come back apart.
    """
    share = rng()
    jittered = share * min(CAP, FIRST * 2.0 ** min(attempt, _DOUBLINGS))
    return jittered if retry_after is None else max(jittered, retry_after + share)
