"""What ends a command: its own end, a signal, or something else."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from asyncreport.terminal.signals import Stopped, run_until_signal


def test_a_command_gives_its_result_and_the_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert run_until_signal(asyncio.sleep(0, "done")) == "done"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_stops_a_command_and_is_named() -> None:
    stopping: list[str] = []
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    async def command() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    try:
        with pytest.raises(Stopped) as caught:
            run_until_signal(command(), lambda: stopping.append("stopping"))
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert caught.value.number == signal.SIGTERM
    assert stopping == ["stopping"]


def test_a_command_that_is_cancelled_without_a_signal_was_not_stopped() -> None:
    async def command() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_until_signal(command())
