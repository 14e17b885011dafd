"""A virtual clock for asyncio: time jumps to the next timer whenever nothing else can run. Owns its loop."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: each turn of the loop takes this long: a clock that stands still makes AsyncLimiter re-arm a timer of no length for ever
CREEP = 1e-6


class _Selector(selectors.DefaultSelector):
    """Select without waiting and hand the wait to the clock."""

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
    """A loop whose `time()` is virtual; threads and real sockets have no place on it."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a virtual clock that starts at 0 s."""
    # Debug mode times every callback, which on this clock says nothing and takes ten times as long.
    with asyncio.Runner(loop_factory=VirtualLoop, debug=False) as runner:
        return runner.run(main)
