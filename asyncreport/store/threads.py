"""Work in threads: it ends before its task does, and it knows when it was stopped. Owns nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextvars import ContextVar, copy_context
from threading import Event
from typing import TypeVar

from asyncreport.core.errors import Interrupted

T = TypeVar("T")
U = TypeVar("U")

#: the event of the work in progress. Any function that reads a part may download it, and without
#: this variable each of them would need the event as an argument.
_STOPPED: ContextVar[Event] = ContextVar("stopped")


async def run_in_thread(work: Callable[[Event], T], executor: Executor | None = None) -> T:
    """Run work in a thread of `executor`, or in one of the event loop's own.

    If the task is cancelled, set the event that the work was given, and wait until it has ended.
    `check_stopped` looks at this event too.
    """
    stopped = Event()
    context = copy_context()
    context.run(_STOPPED.set, stopped)
    future = asyncio.get_running_loop().run_in_executor(executor, context.run, work, stopped)
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


def map_in_threads(work: Callable[[T], U], items: Iterable[T], executor: Executor) -> list[U]:
    """Work on items in the threads of `executor`; give the results in the order of the items.

    `check_stopped` works in these threads as in the caller's. An error ends the work: what was not
    begun is left out.
    """
    context = copy_context()
    # A copy for each: a context can be in use in one thread only.
    return list(executor.map(lambda item: context.copy().run(work, item), items))


def check_stopped() -> None:
    """Raise Interrupted if the work in progress was stopped; see `run_in_thread`."""
    stopped = _STOPPED.get(None)
    if stopped is not None and stopped.is_set():
        raise Interrupted
