"""The progress display of a run."""

from __future__ import annotations

import asyncio
import io
import logging

import pytest
from rich.console import Console

from asyncreport.core.errors import RetriesExhausted
from asyncreport.core.job import Chunk
from asyncreport.core.text import duration
from asyncreport.core.timeline import DAY, Interval
from asyncreport.engine.scheduler import Gap, Progress
from asyncreport.terminal.progress import Screen, describe
from asyncreport.terminal.stderr import LogHandler, say
from tests import clock

GAP = Gap(
    Chunk(connection="c", month="1970-01", interval=Interval(0, DAY), users=None),
    RetriesExhausted("late"),
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (42.4, "42 s"),
        (60, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_have_one_or_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_line_has_chunks_failures_time_left_records_rate_and_waiting() -> None:
    progress = Progress(chunks=40, finished=9, records=12_345, gaps=[GAP])
    assert (
        describe(progress, 50, 3.2, 10.0)
        == "10/40 chunks, 1 failed, 30 s left, 12,345 records, 5.0 requests/s, waited 3 s"
    )
    assert (
        describe(Progress(chunks=40), 0, 0.0, 0.0)
        == "0/40 chunks, 0 records, 0.0 requests/s, waited 0 s"
    )


def test_without_a_terminal_a_line_comes_every_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(chunks=4)

    async def main() -> None:
        async with Screen(Console(file=io.StringIO())).watching(
            progress, lambda: (progress.finished, 0.0)
        ):
            for _ in range(3):
                await asyncio.sleep(9)
                progress.finished += 1

    clock.run(main())
    assert capsys.readouterr().err.splitlines() == [
        "1/4 chunks, 30 s left, 0 records, 0.1 requests/s, waited 0 s",
        "2/4 chunks, 20 s left, 0 records, 0.1 requests/s, waited 0 s",
    ]


def test_on_a_terminal_a_bar_moves_and_lines_appear_above_it() -> None:
    out = io.StringIO()
    progress = Progress(chunks=4)
    screen = Screen(Console(file=out, width=120, force_terminal=True))

    async def main() -> None:
        async with screen.watching(progress, lambda: (progress.finished, 0.0)):
            await asyncio.sleep(0.5)
            progress.finished = 2
            say("a [warning] of one line")
            LogHandler().emit(logging.LogRecord("x", logging.INFO, "x.py", 1, "a log", (), None))
            await asyncio.sleep(0.5)
        assert len(asyncio.all_tasks()) == 1

    clock.run(main())
    assert "2/4 chunks" in out.getvalue()
    # The bar's line is erased first, and drawn again below.
    assert "\r\x1b[2Ka [warning] of one line\n" in out.getvalue()
    assert "\r\x1b[2Ka log\n" in out.getvalue()


def test_a_stop_shows_the_cursor_before_the_run_ends(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=120, force_terminal=True))

    async def main() -> None:
        async with screen.watching(Progress(chunks=4), lambda: (0, 0.0)):
            await asyncio.sleep(0.5)
            assert out.getvalue().rfind("\x1b[?25l") > out.getvalue().rfind("\x1b[?25h")
            screen.stopping()
            await asyncio.sleep(0.5)
            assert out.getvalue().rfind("\x1b[?25h") > out.getvalue().rfind("\x1b[?25l")

    clock.run(main())
    assert capsys.readouterr().err == (
        "stopping: requests are cancelled, writes finished; press Ctrl-C again to stop at once\n"
    )


def test_a_narrow_terminal_shows_failures_and_time_left() -> None:
    out = io.StringIO()
    progress = Progress(chunks=40, finished=9, records=12_345, gaps=[GAP])
    screen = Screen(Console(file=out, width=40, force_terminal=True))

    async def main() -> None:
        async with screen.watching(progress, lambda: (50, 3.2)):
            await asyncio.sleep(10.1)

    clock.run(main())
    assert "10/40 chunks, 1 failed, 30 s left" in out.getvalue()
