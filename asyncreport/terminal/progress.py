"""Show what a command is doing: lines that move on a terminal, a line every 10 s elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from asyncreport.engine.activity import Activity
from asyncreport.terminal.progress_lines import ASCII, BLOCKS, Figures, Line
from asyncreport.terminal.stderr import lost_stderr_ignored, say, shows_progress

#: seconds between two updates of the moving lines, and between two looks of a log
_DRAW_PERIOD = 0.2
_LOOK_PERIOD = 1.0
#: looks between two lines of a log
_LINE_PERIODS = 10


def say_stopping() -> None:
    """Say what the first signal does, and the second one."""
    say("stopping: requests are cancelled, writes finished; press Ctrl-C again to stop at once")


class Shown(Protocol):
    """What has lines to show; times are in seconds of the event loop's clock."""

    def follow(self, now: float) -> None:
        """Note what has begun: called every second, also if no line is shown."""

    def lines(self, now: float) -> list[Line]:
        """Describe what the command is doing."""

    def last_lines(self, now: float) -> list[Line]:
        """Describe what it has done, at its end."""


class Screen:
    """The display of one command; with a `label` it writes a log only, for there are others."""

    def __init__(self, console: Console | None = None, *, label: str = "") -> None:
        self._console = console or Console(stderr=True, soft_wrap=True)
        self._label = label
        self._live: Live | None = None

    def stopping(self) -> None:
        """Leave the lines as they are and report what a second signal does."""
        self.close()
        say_stopping()

    def close(self) -> None:
        """Stop the moving lines and show the terminal's cursor."""
        # At the first signal, not at the end of the command: a second signal kills the process.
        if self._live is not None:
            with lost_stderr_ignored():
                self._live.stop()

    @asynccontextmanager
    async def watching(self, activity: Activity) -> AsyncIterator[None]:
        """Show an activity while the body runs."""
        async with self.showing(Figures(activity, since=_now())):
            yield

    @asynccontextmanager
    async def showing(self, figures: Shown) -> AsyncIterator[None]:
        """Show what lines say while the body runs."""
        task = asyncio.create_task(self._show(figures))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            _ignore_lost_terminal(task)

    async def _show(self, figures: Shown) -> None:
        """Show figures until the task is cancelled."""
        if self._moves:
            await self._draw(figures)
        else:
            await self._log(figures)

    @property
    def _moves(self) -> bool:
        """Tell whether lines may move: on a terminal that only this command uses."""
        terminal = self._console.is_terminal and not self._console.is_dumb_terminal
        return terminal and shows_progress() and not self._label

    async def _draw(self, figures: Shown) -> None:
        """Move the lines until the task is cancelled; what was fetched stays on the terminal."""
        with self._new_live(figures) as live:
            self._live = live
            try:
                while True:
                    await asyncio.sleep(_DRAW_PERIOD)
                    live.update(self._text(figures.lines(_now())), refresh=True)
            finally:
                last = figures.last_lines(_now())
                live.transient = not last
                live.update(self._text(last), refresh=True)

    def _new_live(self, figures: Shown) -> Live:
        """Make the moving lines; they show something at once."""
        return Live(
            self._text(figures.lines(_now())),
            console=self._console,
            auto_refresh=False,
            # What goes to a file or a pipe must go there.
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        )

    def _text(self, lines: Sequence[Line]) -> Text:
        """Write lines as wide as the terminal."""
        # Without the last column: some terminals begin a new line after it.
        width = self._console.width - 1
        name_width = max((cell_len(line.name) for line in lines), default=0)
        blocks = BLOCKS if self._console.encoding.startswith("utf") else ASCII
        drawn = (line.drawn(width, name_width, blocks) for line in lines)
        return Text("\n".join(drawn), no_wrap=True, overflow="crop")

    async def _log(self, figures: Shown) -> None:
        """Write lines until the task is cancelled."""
        while True:
            for _ in range(_LINE_PERIODS):
                figures.follow(_now())
                await asyncio.sleep(_LOOK_PERIOD)
            for line in figures.lines(_now()):
                say(self._with_label(line.plain()), **line.facts)

    def _with_label(self, text: str) -> str:
        """Put the label in front of a line that does not begin with it."""
        if self._label and not text.startswith(f"{self._label}:"):
            return f"{self._label}: {text}"
        return text


def _now() -> float:
    """Give the time of the event loop's clock."""
    return asyncio.get_running_loop().time()


def _ignore_lost_terminal(task: asyncio.Task[None]) -> None:
    """Raise what ended a display, except for a terminal that cannot be written."""
    if not task.cancelled():
        with lost_stderr_ignored():
            task.result()
