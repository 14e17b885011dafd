"""How many connections may run: as many as the workers have threads. Owns the task that counts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from asyncreport.cluster.board import Board
from asyncreport.terminal.stderr import say_detail

if TYPE_CHECKING:
    from distributed import Client

#: seconds between two looks at the workers: some may have come
_PERIOD = 1.0


class Places:
    """The threads of the workers, each a place for one connection; an async context manager.

    No more tasks are submitted than can run: what waits in the client begins on whichever worker
    is free first, and Dask moves nothing.
    """

    def __init__(self, client: Client, at_once: int, board: Board) -> None:
        self.free = asyncio.Semaphore(0)
        self._client = client
        self._at_once = at_once
        self._board = board
        self._known = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _follow(self) -> None:
        """Add the places of new workers, until the task is cancelled."""
        self._board.phase = "waiting for a worker"
        try:
            await self._count_repeatedly()
        except Exception as error:  # noqa: BLE001 - of Dask, whatever it is
            say_detail(f"dask: {error}")
            # The scheduler is gone: each connection finds that out, and nothing waits.
            self._grow(self._known + self._board.total)

    async def _count_repeatedly(self) -> None:
        """Count the threads of the workers, again and again."""
        while True:
            threads = await self._client.nthreads()
            self._grow(sum(min(each, self._at_once) for each in threads.values()))
            await asyncio.sleep(_PERIOD)

    def _grow(self, places: int) -> None:
        """Add places until there are so many."""
        # Those of a worker that is gone are not taken away: its tasks go on elsewhere, or wait.
        for _ in range(places - self._known):
            self.free.release()
        self._known = max(self._known, places)
