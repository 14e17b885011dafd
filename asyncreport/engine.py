"""Run a plan: lanes at work, finished chunks saved, failed ones noted. Owns the tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from asyncreport.errors import AsyncReportError, AuthError, RejectedError, RetriesExhausted
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
    #: told of a lane that is refused while others go on: which one, and why
    lost: Callable[[int, AuthError], None] = lambda _, __: None


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

    def begin_again(self) -> None:
        """Forget the gaps: another plan asks for them once more, or has no need of them."""
        self.chunks -= len(self.gaps)
        self.gaps.clear()


async def run(works: Sequence[Work], save: Save, progress: Progress) -> None:
    """Fetch and save every chunk; one that fails is noted in `progress.gaps` and does not stop the others.

    A lane that is refused gives its chunks to the others of its connection. Raise AuthError where none is left, StoreError at
    once, and RejectedError where no chunk has ever succeeded: the rest would fare no better.
    """
    progress.chunks += sum(len(work.chunks) for work in works)
    trial = _Trial(progress)
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                deal = _Deal(work)
                # Lane by lane in turns, so that few chunks are shared too.
                for _ in range(min(work.concurrency, len(work.chunks))):
                    for lane in range(len(work.lanes)):
                        group.create_task(_worker(lane, deal, save, trial))
    except BaseExceptionGroup as group_error:
        error = group_error.exceptions[0]
        raise error from error.__cause__


class _Deal:
    """Deal a connection's chunks to whichever worker is free, and again what a lost lane gives back. Owns the chunks that are left."""

    def __init__(self, work: Work) -> None:
        self.lanes = work.lanes
        self._tell = work.lost
        self._left = deque(work.chunks)
        self._under_way = 0
        self._lost: set[int] = set()
        self._change = asyncio.Event()

    async def take(self, lane: int) -> Chunk | None:
        """Give a lane its next chunk, or None where it is lost or all is done; while others are at work, one may come back."""
        while lane not in self._lost and (self._left or self._under_way):
            if self._left:
                self._under_way += 1
                return self._left.popleft()
            self._change.clear()
            await self._change.wait()
        return None

    def settled(self) -> None:
        """Note a chunk that will not come back."""
        self._under_way -= 1
        self._change.set()

    def give_back(self, lane: int, chunk: Chunk, error: AuthError) -> None:
        """Take a chunk back from a lane that was refused; raise that error where no lane is left."""
        self._under_way -= 1
        self._left.appendleft(chunk)
        if lane not in self._lost:
            self._lost.add(lane)
            if len(self._lost) == len(self.lanes):
                raise error
            self._tell(lane, error)
        self._change.set()


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

    def given_back(self) -> None:
        """Note that a chunk is no longer under way; raise RejectedError where all others were refused."""
        self._under_way -= 1
        self._decide()

    async def failed(self, gap: Gap) -> None:
        """Note a failed chunk; where the query was refused, wait for the others' word, and raise RejectedError where none succeeds."""
        self._under_way -= 1
        self.progress.gaps.append(gap)
        refused = isinstance(gap.error, RejectedError)
        if refused and self._refusal is None:
            self._refusal = gap.error
        self._decide()
        if refused:
            await self._decided.wait()

    def _decide(self) -> None:
        if self._refusal is not None and not self._under_way and not self._decided.is_set():
            raise self._refusal


async def _worker(lane: int, deal: _Deal, save: Save, trial: _Trial) -> None:
    while (chunk := await deal.take(lane)) is not None:
        trial.begin()
        try:
            part = await save(chunk, await deal.lanes[lane](chunk))
        except AuthError as error:
            deal.give_back(lane, chunk, error)
            trial.given_back()
        except (RetriesExhausted, RejectedError) as error:
            deal.settled()
            await trial.failed(Gap(chunk, error))
        else:
            deal.settled()
            trial.succeeded(part)
