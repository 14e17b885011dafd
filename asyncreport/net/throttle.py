"""The one gate that every request of a lane passes. Owns the lane's rate budget.

A leaky bucket lets `burst + rate x window` through, so that `AsyncLimiter(300, 60)` passes 599 in its first minute. The
bucket here is small and leaks a little slower than the limit allows: what leaves within 61 s, and so may arrive within
60 s where the network holds a request up for at most one, stays within the limit.
"""

from __future__ import annotations

import asyncio

from aiolimiter import AsyncLimiter

from asyncreport.api.problems import Budget
from asyncreport.net.counts import RequestCounts

#: seconds in which requests must leave that may arrive in one minute
_WINDOW = 61.0


class Throttle:
    """Let requests pass at a pace that keeps any 60 s at the server within a limit per minute."""

    def __init__(self, requests_per_minute: int, counts: RequestCounts) -> None:
        self._configured = self._limit = requests_per_minute
        self._limiter: AsyncLimiter | None = _bucket(requests_per_minute)
        self._tally = counts
        self._turn = asyncio.Lock()
        self._opens = 0.0

    @property
    def closed_for(self) -> float:
        """Give the seconds until a pause ends, 0 or less where there is none."""
        return self._opens - asyncio.get_running_loop().time()

    def pause(self, seconds: float) -> None:
        """Close the gate for everybody on the lane; a pause that ends later stands."""
        self._opens = max(self._opens, asyncio.get_running_loop().time() + seconds)

    def observe(self, budget: Budget) -> None:
        """Follow what the server says: wait for a new minute once this one is used up, and keep to a limit below the configured one.

        https://developer.genesys.cloud/organization/organization/limits
        """
        if budget.count >= budget.allowed:
            self.pause(budget.reset)
        limit = min(budget.allowed, self._configured)
        if limit != self._limit:
            self._limit, self._limiter = limit, None

    async def enter(self) -> None:
        """Wait until one more request may leave."""
        # One at a time asks the bucket and the others queue at the lock. So a pause lets nobody out but the one at the
        # gate, who asks the bucket again; and a change of pace leaves at most that one in the bucket of the old pace.
        async with self._turn:
            loop = asyncio.get_running_loop()
            self._tally.stand(loop.time())
            try:
                await self._passed()
            finally:
                self._tally.leave(loop.time())

    async def _passed(self) -> None:
        while True:
            if self._limiter is None:
                self._limiter = _bucket(self._limit)
                # It starts full (which takes no wait): a change of pace earns nobody a burst.
                await self._limiter.acquire(self._limiter.max_rate)
            await self._limiter.acquire()
            if self.closed_for <= 0:
                return
            await asyncio.sleep(self.closed_for)


def pace(limit: int) -> tuple[int, float]:
    """Give the burst, and the requests a second after it, that keep a lane under a limit per minute."""
    burst = max(1, min(2, limit // 10), limit // 100)
    # A limit of 1 leaves nothing beside the burst; a fraction of a request per window lets nobody through too many.
    return burst, max(limit - burst, 0.9) / _WINDOW


def _bucket(limit: int) -> AsyncLimiter:
    burst, rate = pace(limit)
    return AsyncLimiter(burst, burst / rate)
