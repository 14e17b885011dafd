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

    chunks: int = 0
    #: chunks saved
    finished: int = 0
    #: records saved
    records: int = 0
    gaps: list[Gap] = field(default_factory=list)


async def run(works: Sequence[Work], save: Save, progress: Progress) -> None:
    """Fetch and save every chunk; one that fails is noted in `progress.gaps` and does not stop the others.

    Raise AuthError and StoreError at once, and RejectedError while no chunk has succeeded: the rest would fare no better.
    """
    progress.chunks = sum(len(work.chunks) for work in works)
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                chunks = iter(work.chunks)
                for lane in work.lanes:
                    for _ in range(min(work.concurrency, len(work.chunks))):
                        group.create_task(_worker(lane, chunks, save, progress))
    except BaseExceptionGroup as group_error:
        error = group_error.exceptions[0]
        raise error from error.__cause__


async def _worker(lane: Fetch, chunks: Iterator[Chunk], save: Save, progress: Progress) -> None:
    # The iterator is shared: whichever worker is free takes the next chunk, so that no queue and no sentinel is needed.
    for chunk in chunks:
        try:
            part = await save(chunk, await lane(chunk))
        except (RetriesExhausted, RejectedError) as error:
            if isinstance(error, RejectedError) and not progress.finished:
                raise
            progress.gaps.append(Gap(chunk, error))
        else:
            progress.finished += 1
            progress.records += part.count
