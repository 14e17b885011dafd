"""How much may be in memory at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class MemoryBudget:
    """Bytes that several tasks may hold together; a larger piece is held alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def holding(self, size: int) -> AsyncIterator[None]:
        """Wait until there is room for some bytes, and count them until the block ends."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._has_room(size))
            self._held += size
        try:
            yield
        finally:
            self._held -= size
            async with self._freed:
                self._freed.notify_all()

    def _has_room(self, size: int) -> bool:
        """Tell whether some bytes may be held now."""
        return not self._held or self._held + size <= self._most
