"""The throttle that every request of a lane passes. Owns the lane's rate budget.

A leaky bucket lets `burst + rate x window` through: `AsyncLimiter(300, 60)` passes 599 requests in
its first minute. The bucket here is small and leaks a little slower than the limit allows. At most
the limit leaves within 61 s, so at most the limit arrives within 60 s, if the network delays a
request by at most one second.
"""

from __future__ import annotations

import asyncio

from aiolimiter import AsyncLimiter

from asyncreport.api.headers import Budget
from asyncreport.net.counts import RequestCounts

#: seconds in which requests must leave that may arrive within one minute
_WINDOW = 61.0
#: seconds for which a limit of the server holds after the last response that named it
_MEMORY = 120.0


class Throttle:
    """Let requests pass at a pace that keeps any 60 s at the server within a limit per minute."""

    def __init__(self, requests_per_minute: int, counts: RequestCounts) -> None:
        self._configured = requests_per_minute
        #: the limit in use: the configured one, or a lower one of the server
        self._limit = requests_per_minute
        #: when the server's limit ends if no response names it again, by the event loop's clock
        self._limit_ends = 0.0
        #: None: to be made for a new limit
        self._bucket: AsyncLimiter | None = _new_bucket(requests_per_minute)
        self._counts = counts
        #: held by the one request that may ask the bucket
        self._turn = asyncio.Lock()
        #: end of the pause, by the event loop's clock
        self._paused_until = 0.0

    @property
    def closed_for(self) -> float:
        """Give the seconds until a pause ends, 0 or less if there is none."""
        return self._paused_until - asyncio.get_running_loop().time()

    def pause(self, seconds: float) -> None:
        """Let no request of the lane pass for some seconds."""
        # A shorter pause does not end a longer one: each came from a response that must be obeyed.
        until = asyncio.get_running_loop().time() + seconds
        self._paused_until = max(self._paused_until, until)

    def observe(self, budget: Budget) -> None:
        """Follow the server's budget: pause until the next minute if this one is used up.

        A limit below the configured one sets the pace, until two minutes after the last response
        that names it: otherwise one odd header would slow down the rest of a run.
        https://developer.genesys.cloud/organization/organization/limits
        """
        if budget.count >= budget.allowed:
            self.pause(budget.reset)
        self._limit_ends = asyncio.get_running_loop().time() + _MEMORY
        self._set_limit(min(budget.allowed, self._configured))

    def _set_limit(self, limit: int) -> None:
        """Let requests pass at the pace of a limit from now on."""
        if limit != self._limit:
            self._limit = limit
            # Made by the next request that passes: filling a bucket takes an await.
            self._bucket = None

    def lower(self, requests_per_minute: int) -> None:
        """Keep within a limit too, that of another job with the same client."""
        self._configured = min(self._configured, requests_per_minute)
        self._set_limit(min(self._limit, self._configured))

    async def enter(self, counts: RequestCounts | None = None) -> None:
        """Wait until one more request may leave; the wait is added to `counts`.

        Without `counts`, to those of the throttle.
        """
        counts = counts or self._counts
        # One request at a time asks the bucket, the others queue at the lock. So the end of a pause
        # lets out only the request at the front, and not one for each that waited; and after a
        # change of pace at most that one still waits in the old bucket.
        async with self._turn:
            loop = asyncio.get_running_loop()
            counts.begin_wait(loop.time())
            # A request that is cancelled while it waits must not count as waiting for ever.
            try:
                await self._pass()
            finally:
                counts.end_wait(loop.time())

    async def _pass(self) -> None:
        """Wait for one turn."""
        while True:
            if asyncio.get_running_loop().time() >= self._limit_ends:
                self._set_limit(self._configured)
            bucket = self._bucket
            if bucket is None:
                bucket = self._bucket = _new_bucket(self._limit)
                # A new bucket starts full, which takes no wait: a change of pace allows no burst.
                await bucket.acquire(bucket.max_rate)
            await bucket.acquire()
            # The pause is checked after the bucket: it may have begun while the request waited.
            if self.closed_for <= 0:
                return
            # Then the bucket is asked again, as it leaked during the pause: otherwise this request
            # and a full burst would leave together.
            await asyncio.sleep(self.closed_for)


def pace(limit: int) -> tuple[int, float]:
    """Give the burst, and the requests per second after it, that keep a lane within a limit."""
    burst = max(1, min(2, limit // 10), limit // 100)
    # With a limit of 1 nothing is left after the burst; a rate of 0 would let no request pass, and
    # a fraction of a request per window lets none pass too many.
    rate = max(limit - burst, 0.9) / _WINDOW
    return burst, rate


def _new_bucket(limit: int) -> AsyncLimiter:
    """Make the bucket of a limit."""
    burst, rate = pace(limit)
    return AsyncLimiter(burst, burst / rate)
