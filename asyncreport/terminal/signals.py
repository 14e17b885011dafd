"""Run a command until it ends or a signal stops it. Owns SIGINT and SIGTERM meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """Carry the signal that ended a command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def drive(command: Coroutine[Any, Any, T], stopping: Callable[[], None] = lambda: None) -> T:
    """Run a coroutine; the first SIGINT or SIGTERM cancels it, as `stopping` is told, and a second one kills the process. Raise Stopped."""
    caught: list[int] = []
    before = {each: signal.getsignal(each) for each in _SIGNALS}

    async def guarded() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def stop(number: int, _: FrameType | None) -> None:
            # Not by the loop, which a write that hangs may be holding up: the second signal must find its default all the same.
            for each in _SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            caught.append(number)
            if not loop.is_closed():
                loop.call_soon_threadsafe(cancel)  # wakes a loop that sleeps

        def cancel() -> None:
            task.cancel()
            stopping()

        for each in _SIGNALS:
            signal.signal(each, stop)
        return await command

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise Stopped(caught[0]) from None
    finally:
        if not caught:
            for each, handler in before.items():
                signal.signal(each, handler)
