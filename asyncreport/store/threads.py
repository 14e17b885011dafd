"""Work in a thread that ends before its task does. Owns nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from threading import Event
from typing import TypeVar

T = TypeVar("T")


async def run_in_thread(work: Callable[[Event], T], executor: Executor | None = None) -> T:
    """Run work in a thread of `executor`, or in one of the event loop's own.

    If the task is cancelled, set the event that the work was given, and wait until it has ended.
    """
    stopped = Event()
    future = asyncio.get_running_loop().run_in_executor(executor, work, stopped)
    try:
        # Shielded: a cancelled future would leave its thread running, and nobody could wait for it.
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # The caller closes files and releases the lock next, and the thread still uses them.
        stopped.set()
        await asyncio.wait([future])
        if not future.cancelled():
            # Retrieved, so that asyncio does not log it.
            future.exception()
        raise
