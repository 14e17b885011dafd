"""Run exports until they end or a signal stops them. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stderr import say

T = TypeVar("T")


def run_resumable(exports: Coroutine[Any, Any, T], on_stop: Callable[[], None]) -> T:
    """Run a coroutine; raise Stopped at a signal, after a line that says what is kept.

    `on_stop` is called as soon as the signal comes.
    """
    try:
        return run_until_signal(exports, on_stop)
    except Stopped:
        say("finished chunks are kept; run again to continue")
        raise
