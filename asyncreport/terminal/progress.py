"""What people see while a run is under way: a bar on a terminal, plain lines elsewhere. Owns stderr."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from asyncreport.core.text import duration, printable
from asyncreport.engine.scheduler import Progress

#: seconds between two looks at the figures
_BAR, _LINE = 0.2, 10.0
#: columns of a terminal that has room for a bar beside the figures
_WIDE = 80


class Screen:
    """Where people read: lines, and under them the state of the run."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, soft_wrap=True)
        self._bar: Bar | None = None

    def say(self, text: str) -> None:
        """Print a line as it is, but for what would move the cursor: a server's words may be in it."""
        self._console.print(printable(text), markup=False, highlight=False, emoji=False)

    def stopping(self) -> None:
        """Give the cursor back, whatever comes next, and say what a second signal does."""
        if self._bar is not None:
            self._bar.stop()
        self.say("stopping: what is under way is finished; again kills at once")

    @asynccontextmanager
    async def watching(
        self, progress: Progress, wire: Callable[[], tuple[int, float]]
    ) -> AsyncIterator[None]:
        """Show progress while the body runs; `wire` tells requests so far and the seconds that all workers waited."""
        show = self._draw if self._console.is_terminal else self._print
        task = asyncio.create_task(show(progress, wire))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _draw(self, progress: Progress, wire: Callable[[], tuple[int, float]]) -> None:
        start = asyncio.get_running_loop().time()
        bars = [BarColumn()] if self._console.width >= _WIDE else []
        with Bar(
            *bars, TextColumn("{task.description}"), console=self._console, transient=True
        ) as bar:
            self._bar = bar
            task = bar.add_task("starting", total=None)
            while True:
                await asyncio.sleep(_BAR)
                elapsed = asyncio.get_running_loop().time() - start
                bar.update(
                    task,
                    total=progress.chunks,
                    completed=progress.finished,
                    description=describe(progress, *wire(), elapsed),
                )

    async def _print(self, progress: Progress, wire: Callable[[], tuple[int, float]]) -> None:
        start = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(_LINE)
            self.say(describe(progress, *wire(), asyncio.get_running_loop().time() - start))


def describe(progress: Progress, requests: int, waited: float, elapsed: float) -> str:
    """Put the state of a run into one line; `waited` and `elapsed` are in seconds."""
    done = progress.finished + len(progress.gaps)
    pieces = [f"{done:,}/{progress.chunks:,} chunks"]
    # A narrow terminal cuts what comes last.
    if progress.gaps:
        pieces.append(f"{len(progress.gaps):,} failed")
    if done:
        pieces.append(f"{duration(elapsed / done * (progress.chunks - done))} left")
    pieces += [
        f"{progress.records:,} records",
        f"{requests / elapsed if elapsed else 0:.1f} requests/s",
        f"waited {waited:,.0f} s",
    ]
    return ", ".join(pieces)
