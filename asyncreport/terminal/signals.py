"""Run a command until it ends or a signal stops it. Owns SIGINT and SIGTERM in the meantime."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """Carry the number of the signal that ended a command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run_until_signal(
    command: Coroutine[Any, Any, T],
    on_stop: Callable[[], None] = lambda: None,
) -> T:
    """Run a coroutine. The first SIGINT or SIGTERM cancels it, the second kills the process.

    `on_stop` is called at the first signal. Raise Stopped if a signal ended the coroutine, and
    CancelledError if something else cancelled it.
    """
    stop = _Stop(on_stop)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        return asyncio.run(stop.guard(command))
    except asyncio.CancelledError:
        if not stop.received:
            raise
        raise Stopped(stop.received[0]) from None
    finally:
        # After a signal the default handlers stay: the next signal kills the process at any time.
        if not stop.received:
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raise Stopped at SIGTERM while a person is asked, as Ctrl-C raises KeyboardInterrupt.

    Without it, a terminal whose echo is off would stay like that.
    """
    before = signal.signal(signal.SIGTERM, _raise_stopped)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ctrl_c_later() -> Iterator[None]:
    """Hold Ctrl-C back while the body runs: two seconds.

    Processes that start meanwhile never get it. A terminal sends it to all of them, and each would
    write a traceback.
    """
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    # It would start with the first process, and then let signals through again.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _raise_stopped(number: int, _: FrameType | None) -> NoReturn:
    """Raise Stopped where the program is."""
    raise Stopped(number)


class _Stop:
    """What the first signal does to a task."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        #: the number of the first signal; empty until it comes
        self.received: list[int] = []
        self._on_stop = on_stop

    async def guard(self, command: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine in a task that the first signal cancels."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        for number in _SIGNALS:
            signal.signal(number, self._handle)
        return await command

    def _handle(self, number: int, _: FrameType | None) -> None:
        """Handle the first signal."""
        # In the signal handler, not in the event loop: a write that hangs may block the loop, and
        # the second signal must kill the process even then.
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self.received.append(number)
        if not self._loop.is_closed():
            # From a signal handler only this call wakes a loop that sleeps.
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        """Cancel the task, then report it."""
        assert self._task is not None
        self._task.cancel()
        self._on_stop()
