"""Run a command until it ends or a signal stops it. Owns SIGINT and SIGTERM in the meantime."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """Carry the number of the signal that ended a command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run_until_signal(
    command: Coroutine[Any, Any, T], on_stop: Callable[[], None] = lambda: None
) -> T:
    """Run a coroutine. The first SIGINT or SIGTERM cancels it, the second kills the process.

    `on_stop` is called at the first signal. Raise Stopped if a signal ended the coroutine.
    """
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        return asyncio.run(_guarded(command, on_stop, received))
    except asyncio.CancelledError:
        raise Stopped(received[0]) from None
    finally:
        # After a signal the default handlers stay: the next signal kills, whatever runs then.
        if not received:
            for number, handler in handlers.items():
                signal.signal(number, handler)


async def _guarded(
    command: Coroutine[Any, Any, T], on_stop: Callable[[], None], received: list[int]
) -> T:
    """Await a coroutine; the first signal cancels this task, and its number is `received`."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        task.cancel()
        on_stop()

    def stop(number: int, _: FrameType | None) -> None:
        # In the signal handler, not in the event loop: a write that hangs may block the loop, and
        # the second signal must kill the process even then.
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        received.append(number)
        if not loop.is_closed():
            # From a signal handler only this call wakes a loop that sleeps.
            loop.call_soon_threadsafe(cancel)

    for each in _SIGNALS:
        signal.signal(each, stop)
    return await command
