"""A virtual clock for asyncio: if nothing else can run, time jumps to the next timer.

Owns its loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: each turn of the loop takes so many seconds: on a clock that does not move, AsyncLimiter sets a
#: timer of length zero forever
CREEP = 1e-6


class _Selector(selectors.DefaultSelector):
    """Select without waiting, and let the clock jump instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("deadlock: nothing is ready and no timer is set")
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        self.now += CREEP
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with a virtual `time()`; do not use threads or real sockets on it."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual clock that starts at 0 s, and return its result."""
    # Debug mode times every callback. On this clock that says nothing, and it takes ten times as
    # long.
    with asyncio.Runner(loop_factory=VirtualLoop, debug=False) as runner:
        return runner.run(main)
