"""Show the progress of a run: a bar on a terminal, a line every 10 seconds elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bar

from asyncreport.core.text import duration
from asyncreport.engine.scheduler import Progress
from asyncreport.terminal.stderr import say

#: give the requests sent so far, and the seconds that all workers waited for the rate limit
Wire = Callable[[], tuple[int, float]]

#: seconds between two updates of the bar, and between two lines
_BAR_PERIOD = 0.2
_LINE_PERIOD = 10.0

#: columns of a terminal that has room for a bar next to the figures
_WIDE = 80


class Screen:
    """The progress display of one run."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, soft_wrap=True)
        self._bar: Bar | None = None

    def stopping(self) -> None:
        """Remove the bar and report what a second signal does."""
        # Now, not at the end of the run: a second signal kills the process, and the bar hides
        # the terminal's cursor.
        if self._bar is not None:
            self._bar.stop()
        say("stopping: work in progress is finished first; press Ctrl-C again to stop at once")

    @asynccontextmanager
    async def watching(self, progress: Progress, wire: Wire) -> AsyncIterator[None]:
        """Show progress while the body runs."""
        show = self._draw if self._console.is_terminal else self._print
        task = asyncio.create_task(show(progress, wire))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _draw(self, progress: Progress, wire: Wire) -> None:
        """Update the bar until the task is cancelled."""
        clock = asyncio.get_running_loop().time
        start = clock()
        with self._make_bar() as bar:
            self._bar = bar
            task = bar.add_task("starting", total=None)
            while True:
                await asyncio.sleep(_BAR_PERIOD)
                text = describe(progress, *wire(), clock() - start)
                bar.update(
                    task, total=progress.chunks, completed=progress.finished, description=text
                )

    def _make_bar(self) -> Bar:
        """Make a bar that disappears at its end."""
        columns: list[ProgressColumn] = [TextColumn("{task.description}")]
        if self._console.width >= _WIDE:
            columns.insert(0, BarColumn())
        return Bar(*columns, console=self._console, transient=True)

    async def _print(self, progress: Progress, wire: Wire) -> None:
        """Write lines until the task is cancelled."""
        clock = asyncio.get_running_loop().time
        start = clock()
        while True:
            await asyncio.sleep(_LINE_PERIOD)
            say(describe(progress, *wire(), clock() - start))


def describe(progress: Progress, requests: int, waited: float, elapsed: float) -> str:
    """Describe the state of a run in one line; `waited` and `elapsed` are in seconds."""
    # A narrow terminal cuts the end, so the most important figures come first.
    figures = _chunk_figures(progress, elapsed)
    rate = requests / elapsed if elapsed else 0.0
    figures.append(f"{progress.records:,} records")
    figures.append(f"{rate:.1f} requests/s")
    figures.append(f"waited {waited:,.0f} s")
    return ", ".join(figures)


def _chunk_figures(progress: Progress, elapsed: float) -> list[str]:
    """Count chunks that are done and failed; estimate the time left."""
    done = progress.finished + len(progress.gaps)
    figures = [f"{done:,}/{progress.chunks:,} chunks"]
    if progress.gaps:
        figures.append(f"{len(progress.gaps):,} failed")
    if done:
        left = elapsed / done * (progress.chunks - done)
        figures.append(f"{duration(left)} left")
    return figures
