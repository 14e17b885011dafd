"""The progress display of a run."""

from __future__ import annotations

import asyncio
import io
import logging
import re

import pytest
from rich.console import Console

from asyncreport.core.errors import RetriesExhausted
from asyncreport.core.job import Chunk
from asyncreport.core.text import duration
from asyncreport.core.timeline import DAY, Interval
from asyncreport.engine.activity import Activity, Count, Gap
from asyncreport.net import RequestCounts
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.progress_lines import BLOCKS, Figures
from asyncreport.terminal.stderr import TextLines, say
from tests import clock
from tests.blocks import texts

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


class Pull:
    """An activity that a test moves on."""

    def __init__(self, *names: str, chunks: int = 40) -> None:
        self.counts = {name: RequestCounts() for name in names}
        self.activity = Activity("demo", requests=lambda: self.counts)
        self.activity.phase = "fetching"
        for name in names:
            self.activity.progress.counts[name] = Count(chunks=chunks)

    @property
    def count(self) -> Count:
        return next(iter(self.activity.progress.counts.values()))


def drawn(figures: Figures, now: float, width: int = 79) -> list[str]:
    lines = figures.lines(now)
    longest = max(len(line.name) for line in lines)
    return [line.drawn(width, longest, BLOCKS) for line in lines]


def halfway(*names: str) -> tuple[Pull, Figures]:
    """Fetch 10 of 40 chunks, one of them in vain, in 10 seconds with 42 requests."""
    pull = Pull(*names)
    figures = Figures(pull.activity, since=0.0)
    figures.lines(0.0)
    pull.count.finished, pull.count.gaps = 9, [GAP]
    next(iter(pull.counts.values())).requests = 42
    return pull, figures


def test_a_line_has_bar_share_chunks_time_left_failures_and_rate() -> None:
    _, figures = halfway("default")
    assert drawn(figures, 10.0) == [
        "demo  ██████░░░░░░░░░░░░░░░░░░   25 %  10/40  0:30 left  1 failed  4.2/s"
    ]
    assert [line.plain() for line in figures.lines(10.0)] == [
        "demo: 25 %, 10/40, 0:30 left, 1 failed, 4.2/s"
    ]


def test_the_line_of_the_page_about_commands_is_one_that_is_drawn() -> None:
    pull = Pull("default", chunks=366)
    figures = Figures(pull.activity, since=0.0)
    figures.lines(0.0)
    pull.count.finished = 209
    pull.counts["default"].requests, pull.counts["default"].waiters = 408, 1
    assert drawn(figures, 97.0) == texts("commands.md", "", "Progress")[0].splitlines()


@pytest.mark.parametrize("width", [8, 20, 30, 49, 79, 119])
def test_a_line_fits_on_every_terminal(width: int) -> None:
    _, figures = halfway("default")
    (line,) = drawn(figures, 10.0, width)
    assert len(line) <= width
    assert line.startswith("demo")


def test_a_narrow_terminal_keeps_the_most_important_figures() -> None:
    _, figures = halfway("default")
    assert drawn(figures, 10.0, 30) == ["demo   25 %  10/40  0:30 left"]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({}, "4.2/s"),
        ({"in_flight": 3}, "4.2/s (server)"),
        ({"in_flight": 3, "waiters": 1}, "4.2/s (pacing)"),
        ({"retrying": ["retry 3 of 8: 503"], "waiters": 1}, "4.2/s (retry 3 of 8: 503)"),
    ],
)
def test_a_line_says_what_is_waited_for(state: dict[str, object], text: str) -> None:
    pull, figures = halfway("default")
    for name, value in state.items():
        setattr(pull.counts["default"], name, value)
    assert drawn(figures, 10.0)[0].endswith(text)


def test_a_slow_disk_is_named() -> None:
    pull, figures = halfway("default")
    pull.activity.saving = lambda: 2
    assert drawn(figures, 10.0)[0].endswith("4.2/s (disk)")


def test_each_of_several_connections_has_a_line() -> None:
    _, figures = halfway("east", "far-west")
    east, west = drawn(figures, 10.0)
    assert east.startswith("east      ██████░")
    assert "10/40" in east
    assert west.startswith("far-west  ░░░░░░░")
    assert "0/40" in west


def test_a_connection_without_chunks_has_no_line() -> None:
    """As those that other machines have fetched, while the files of all are written."""
    pull = Pull("east", "west", chunks=0)
    pull.activity.phase = "writing"
    (line,) = Figures(pull.activity, since=0.0).lines(1.0)
    assert line.plain() == "demo: writing, 0:00"


def test_the_phase_after_the_pull_has_a_line_below_the_bars() -> None:
    pull, figures = halfway("default")
    pull.activity.phase = "writing"
    bar, phase = drawn(figures, 72.0)
    assert "10/40" in bar
    assert "left" not in bar
    assert phase == "demo  writing  0:00"
    assert drawn(figures, 75.0)[1] == "demo  writing  0:03"


def test_the_last_lines_say_how_long_it_took() -> None:
    pull, figures = halfway("default")
    pull.count.finished = 39
    (line,) = figures.last_lines(3723.0)
    assert line.drawn(79, 4, BLOCKS).endswith(" 100 %  40/40  in 1:02:03  1 failed  0.0/s")
    assert Figures(Activity("demo"), since=0.0).last_lines(1.0) == []


def test_without_a_terminal_a_line_comes_every_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pull = Pull("default", chunks=4)

    async def main() -> None:
        async with Screen(Console(file=io.StringIO())).watching(pull.activity):
            for _ in range(3):
                await asyncio.sleep(9)
                pull.count.finished += 1
                pull.counts["default"].requests += 1

    clock.run(main())
    assert capsys.readouterr().err.splitlines() == [
        "demo: 25 %, 1/4, 0:30 left, 0.1/s",
        "demo: 50 %, 2/4, 0:20 left, 0.1/s",
    ]


def test_on_a_terminal_a_bar_moves_and_lines_appear_above_it() -> None:
    out = io.StringIO()
    pull = Pull("default", chunks=4)
    screen = Screen(Console(file=out, width=120, force_terminal=True))

    async def main() -> None:
        async with screen.watching(pull.activity):
            await asyncio.sleep(0.5)
            pull.count.finished = 2
            say("a [warning] of one line")
            TextLines().emit(logging.LogRecord("x", logging.INFO, "x.py", 1, "a log", (), None))
            await asyncio.sleep(0.5)
        assert len(asyncio.all_tasks()) == 1

    clock.run(main())
    # The bar's line is erased first, and drawn again below.
    assert "\r\x1b[2Ka [warning] of one line\n" in out.getvalue()
    assert "\r\x1b[2Ka log\n" in out.getvalue()
    # The finished bar stays.
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue()).split("\r")[-1]
    assert last.startswith("demo  ████████████░░░░░░░░░░░░   50 %  2/4  in 0:01")


def test_a_display_without_chunks_leaves_nothing_behind() -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=80, force_terminal=True))

    async def main() -> None:
        async with screen.watching(Activity("demo", "checking")):
            await asyncio.sleep(1.1)

    clock.run(main())
    assert "demo  checking  0:01" in out.getvalue()
    assert out.getvalue().rstrip("\x1b[?25h").endswith(("\x1b[2K", "\x1b[1A\x1b[2K"))


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_command_shows_at_once_what_it_does(seconds: float) -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=80, force_terminal=True))

    async def main() -> None:
        async with screen.watching(Activity("demo", "looking up teams")):
            await asyncio.sleep(seconds)
            await asyncio.sleep(0)
            assert "demo  looking up teams  0:00" in out.getvalue()

    clock.run(main())


def test_a_terminal_without_utf_8_gets_a_bar_of_ascii() -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    pull = Pull("default", chunks=4)
    screen = Screen(Console(file=raw, width=80, force_terminal=True))

    async def main() -> None:
        async with screen.watching(pull.activity):
            pull.count.finished = 1
            await asyncio.sleep(0.5)

    clock.run(main())
    raw.seek(0)
    assert "demo  ######..................   25 %  1/4" in raw.read()


def test_a_stop_shows_the_cursor_before_the_run_ends(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=120, force_terminal=True))

    async def main() -> None:
        async with screen.watching(Activity("demo")):
            await asyncio.sleep(0.5)
            assert out.getvalue().rfind("\x1b[?25l") > out.getvalue().rfind("\x1b[?25h")
            screen.stopping()
            await asyncio.sleep(0.5)
            assert out.getvalue().rfind("\x1b[?25h") > out.getvalue().rfind("\x1b[?25l")

    clock.run(main())
    assert capsys.readouterr().err == (
        "stopping: requests are cancelled, writes finished; press Ctrl-C again to stop at once\n"
    )
