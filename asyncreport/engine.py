"""Run a plan: lanes at work, finished chunks saved, failed ones noted. Owns the tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from asyncreport.errors import AsyncReportError, RejectedError, RetriesExhausted
from asyncreport.job import Chunk, Part
from asyncreport.records import Block

Fetch = Callable[[Chunk], Awaitable[list[Block]]]
Save = Callable[[Chunk, list[Block]], Awaitable[Part]]


@dataclass(frozen=True, slots=True)
class Gap:
    """A chunk that could not be fetched."""

    chunk: Chunk
    error: AsyncReportError


@dataclass(frozen=True, slots=True)
class Work:
    """One connection's chunks and the lanes that share them."""

    chunks: Sequence[Chunk]
    #: one per lane
    lanes: Sequence[Fetch]
    #: workers per lane
    concurrency: int


@dataclass(slots=True)
class Progress:
    """What has been done so far; whoever shows it reads it, the engine alone writes it."""

    #: the server has answered this very query before: parts of it stand
    proven: bool = False
    chunks: int = 0
    #: chunks saved
    finished: int = 0
    #: records saved
    records: int = 0
    gaps: list[Gap] = field(default_factory=list)


async def run(works: Sequence[Work], save: Save, progress: Progress) -> None:
    """Fetch and save every chunk; one that fails is noted in `progress.gaps` and does not stop the others.

    Raise AuthError and StoreError at once, and RejectedError where no chunk has ever succeeded: the rest would fare no better.
    """
    progress.chunks += sum(len(work.chunks) for work in works)
    trial = _Trial(progress)
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                chunks = iter(work.chunks)
                for lane in work.lanes:
                    for _ in range(min(work.concurrency, len(work.chunks))):
                        group.create_task(_worker(lane, chunks, save, trial))
    except BaseExceptionGroup as group_error:
        error = group_error.exceptions[0]
        raise error from error.__cause__


class _Trial:
    """Find out whether the query can be answered at all, while the first chunks are under way. Owns the verdict."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._under_way = 0
        self._refusal: AsyncReportError | None = None
        self._decided = asyncio.Event()
        if progress.proven:
            self._decided.set()

    def begin(self) -> None:
        """Note a chunk under way."""
        self._under_way += 1

    def succeeded(self, part: Part) -> None:
        """Note a chunk saved: the query is a good one."""
        self._under_way -= 1
        self.progress.finished += 1
        self.progress.records += part.count
        self._decided.set()

    async def failed(self, gap: Gap) -> None:
        """Note a failed chunk; where the query was refused, wait for the others' word, and raise RejectedError where none succeeds."""
        self._under_way -= 1
        self.progress.gaps.append(gap)
        refused = isinstance(gap.error, RejectedError)
        if refused and self._refusal is None:
            self._refusal = gap.error
        if self._refusal is not None and not self._under_way and not self._decided.is_set():
            raise self._refusal
        if refused:
            await self._decided.wait()


async def _worker(lane: Fetch, chunks: Iterator[Chunk], save: Save, trial: _Trial) -> None:
    # The iterator is shared: whichever worker is free takes the next chunk, so that no queue and no sentinel is needed.
    for chunk in chunks:
        trial.begin()
        try:
            part = await save(chunk, await lane(chunk))
        except (RetriesExhausted, RejectedError) as error:
            await trial.failed(Gap(chunk, error))
        else:
            trial.succeeded(part)
