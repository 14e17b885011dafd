"""Show the progress of a run: a bar on a terminal, a line every 10 seconds elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bar

from asyncreport.core.text import duration
from asyncreport.engine.scheduler import Progress
from asyncreport.terminal.stderr import lost_stderr_ignored, say

#: give the requests sent so far, and the seconds that all workers waited for the rate limit
Wire = Callable[[], tuple[int, float]]

#: seconds between two updates of the bar, and between two lines
_BAR_PERIOD = 0.2
_LINE_PERIOD = 10.0

#: columns of a terminal that has room for a bar next to the figures
_WIDE = 80


def say_stopping() -> None:
    """Say what the first signal does, and the second one."""
    say("stopping: requests are cancelled, writes finished; press Ctrl-C again to stop at once")


class Screen:
    """The progress display of one run; with a `label` it has lines only, for there are others."""

    def __init__(self, console: Console | None = None, *, label: str = "") -> None:
        self._console = console or Console(stderr=True, soft_wrap=True)
        self._label = label
        self._bar: Bar | None = None

    def stopping(self) -> None:
        """Remove the bar and report what a second signal does."""
        # Now, not at the end of the run: a second signal kills the process, and the bar hides
        # the terminal's cursor.
        if self._bar is not None:
            with lost_stderr_ignored():
                self._bar.stop()
        say_stopping()

    @asynccontextmanager
    async def watching(self, progress: Progress, wire: Wire) -> AsyncIterator[None]:
        """Show progress while the body runs."""
        show = self._print
        if self._console.is_terminal and not self._label:
            show = self._draw
        task = asyncio.create_task(show(_Figures(progress, wire)))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            _ignore_lost_terminal(task)

    async def _draw(self, figures: _Figures) -> None:
        """Update the bar until the task is cancelled."""
        with self._make_bar() as bar:
            self._bar = bar
            task = bar.add_task("starting", total=None)
            while True:
                await asyncio.sleep(_BAR_PERIOD)
                bar.update(
                    task,
                    total=figures.progress.chunks,
                    completed=figures.progress.finished,
                    description=str(figures),
                )

    def _make_bar(self) -> Bar:
        """Make a bar that disappears at its end."""
        columns: list[ProgressColumn] = [TextColumn("{task.description}")]
        if self._console.width >= _WIDE:
            columns.insert(0, BarColumn())
        return Bar(*columns, console=self._console, transient=True)

    async def _print(self, figures: _Figures) -> None:
        """Write lines until the task is cancelled."""
        while True:
            await asyncio.sleep(_LINE_PERIOD)
            say(self._with_label(str(figures)))

    def _with_label(self, text: str) -> str:
        """Put the label in front of a line."""
        if self._label:
            return f"{self._label}: {text}"
        return text


def _ignore_lost_terminal(task: asyncio.Task[None]) -> None:
    """Raise what ended a display, except for a terminal that cannot be written."""
    if not task.cancelled():
        with lost_stderr_ignored():
            task.result()


class _Figures:
    """The figures of a run, read again each time they are shown."""

    def __init__(self, progress: Progress, wire: Wire) -> None:
        """Start the clock; call it inside the event loop."""
        self.progress = progress
        self._wire = wire
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()

    def __str__(self) -> str:
        requests, waited = self._wire()
        elapsed = self._clock() - self._start
        return describe(self.progress, requests, waited, elapsed)


def describe(progress: Progress, requests: int, waited: float, elapsed: float) -> str:
    """Describe the state of a run in one line; `waited` and `elapsed` are in seconds."""
    # A narrow terminal cuts the end, so the most important figures come first.
    figures = [
        *_chunk_figures(progress, elapsed),
        f"{progress.records:,} records",
        f"{_rate(requests, elapsed):.1f} requests/s",
        f"waited {waited:,.0f} s",
    ]
    return ", ".join(figures)


def _rate(number: int, seconds: float) -> float:
    """Divide; at the start nothing has happened yet."""
    if not seconds:
        return 0.0
    return number / seconds


def _chunk_figures(progress: Progress, elapsed: float) -> Iterator[str]:
    """Count chunks that are done and failed; estimate the time left."""
    failed = len(progress.gaps)
    done = progress.finished + failed
    yield f"{done:,}/{progress.chunks:,} chunks"
    if failed:
        yield f"{failed:,} failed"
    if done:
        seconds_per_chunk = elapsed / done
        yield f"{duration(seconds_per_chunk * (progress.chunks - done))} left"
