"""Run a plan: lanes at work, finished chunks saved, failed ones noted. Owns the tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from asyncreport.core.errors import AsyncReportError, AuthError, RejectedError, RetriesExhausted
from asyncreport.core.job import Chunk, Part
from asyncreport.core.records import Block

Fetch = Callable[[Chunk], Awaitable[list[Block]]]
Save = Callable[[Chunk, list[Block]], Awaitable[Part]]

#: seconds for which a lane that gets no request through is left alone
_REST = 60.0


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
    #: told of a lane that is lost while others go on: which one, and why
    lost: Callable[[int, AuthError | RetriesExhausted], None] = lambda _, __: None
    #: seconds for which a lane may get no request through
    patience: float = 900.0


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

    A lane that is refused, or cannot get its requests through, gives its chunks to the others of its connection. Raise AuthError where
    the last one is refused, StoreError at once, and RejectedError where no chunk has ever succeeded: the rest would fare no better.
    """
    progress.chunks += sum(len(work.chunks) for work in works)
    trial = FirstSuccess(progress)
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                deal = ChunkQueue(work)
                # Lane by lane in turns, so that few chunks are shared too.
                for _ in range(min(work.concurrency, len(work.chunks))):
                    for lane, fetch in enumerate(work.lanes):
                        group.create_task(_worker(lane, deal, fetch, save, trial))
    except BaseExceptionGroup as group_error:
        error = group_error.exceptions[0]
        raise error from error.__cause__


@dataclass(slots=True)
class LaneState:
    """How a lane is doing."""

    under_way: int = 0
    #: since when it has got no request through, by the loop's clock; None: it works
    ailing: float | None = None
    #: by the loop's clock
    rests_until: float = 0.0
    lost: bool = False

    def fit(self, now: float) -> bool:
        """Tell whether it may have a chunk; one at a time finds out whether an ailing lane is well again."""
        return now >= self.rests_until and (self.ailing is None or not self.under_way)


class ChunkQueue:
    """Deal a connection's chunks to whichever worker is free, and again what comes back. Owns what is left, and the lanes' health."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._left = deque(work.chunks)
        self._lanes = [LaneState() for _ in work.lanes]
        #: why the last lane was lost
        self._end: RetriesExhausted | None = None
        #: a request of some lane's got through
        self._worked = False
        self._change = asyncio.Event()

    async def take(self, lane: int) -> Chunk | None:
        """Give a lane its next chunk, or None where it is lost or all is done; while others are at work, one may come back."""
        mine, now = self._lanes[lane], asyncio.get_running_loop().time
        while not mine.lost and (self._left or any(each.under_way for each in self._lanes)):
            if self._left and mine.fit(now()):
                mine.under_way += 1
                return self._left.popleft()
            self._change.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(
                    mine.rests_until if now() < mine.rests_until else None
                ):
                    await self._change.wait()
        return None

    def finished(self, lane: int) -> None:
        """Note a chunk that will not come back."""
        mine, self._worked = self._lanes[lane], True
        mine.under_way -= 1
        if (
            asyncio.get_running_loop().time() >= mine.rests_until
        ):  # else it was asked for before the trouble began
            mine.ailing = None
        self._change.set()

    def refused(self, lane: int, chunk: Chunk, error: AuthError) -> None:
        """Take a chunk back from a lane that was refused, which is lost; raise that error where no lane is left."""
        self._come_back(lane, chunk)
        self._lose(lane, error)
        if all(each.lost for each in self._lanes):
            raise error

    def stalled(self, lane: int, chunk: Chunk, error: RetriesExhausted) -> list[Gap]:
        """Take a chunk back from a lane that was kept from asking for it; give what nobody is left for, for one reason.

        The lane rests, is tried again from time to time, and is lost once it has got nothing through for as long as it may. Where none
        ever did, a host is not there rather than out for a while, and all are lost at once.
        """
        self._come_back(lane, chunk)
        mine, now = self._lanes[lane], asyncio.get_running_loop().time()
        mine.ailing = now if mine.ailing is None else mine.ailing
        left = mine.ailing + self._work.patience - now
        mine.rests_until = now + min(_REST, left)
        hopeless = not self._worked and all(
            each.lost or each.ailing is not None for each in self._lanes
        )
        for each in range(len(self._lanes)) if hopeless else [lane] * (left <= 0):
            self._lose(each, error)
        if not all(each.lost for each in self._lanes):
            return []
        self._end = self._end or error
        gaps = [Gap(chunk, self._end) for chunk in self._left]
        self._left.clear()
        return gaps

    def _come_back(self, lane: int, chunk: Chunk) -> None:
        self._lanes[lane].under_way -= 1
        self._left.appendleft(chunk)
        self._change.set()

    def _lose(self, lane: int, error: AuthError | RetriesExhausted) -> None:
        first, self._lanes[lane].lost = not self._lanes[lane].lost, True
        if first and not all(each.lost for each in self._lanes):
            self._work.lost(lane, error)


class FirstSuccess:
    """Find out whether the query can be answered at all, while the first chunks are under way. Owns the verdict."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        #: under way, or come back
        self._open: set[Chunk] = set()
        #: come back, and nobody has them
        self._back: set[Chunk] = set()
        self._refusal: AsyncReportError | None = None
        self._decided = progress.proven
        self._news = asyncio.Event()

    def begin(self, chunk: Chunk) -> None:
        """Note a chunk under way."""
        self._open.add(chunk)
        self._back.discard(chunk)

    def succeeded(self, chunk: Chunk, part: Part) -> None:
        """Note a chunk saved: the query is a good one."""
        self._open.discard(chunk)
        self.progress.finished += 1
        self.progress.records += part.count
        self._decided = True
        self._news.set()

    def came_back(self, chunk: Chunk) -> None:
        """Note that a chunk is to be tried by others, who must not wait for its word then."""
        self._back.add(chunk)
        self._news.set()
        self._news = asyncio.Event()

    async def failed(self, gap: Gap) -> None:
        """Note a failed chunk; where the query was refused, wait for the others' word, and raise RejectedError where none succeeds."""
        self._open.discard(gap.chunk)
        self._back.discard(gap.chunk)
        self.progress.gaps.append(gap)
        refused = isinstance(gap.error, RejectedError)
        if refused and self._refusal is None:
            self._refusal = gap.error
        if self._refusal is not None and not self._open and not self._decided:
            raise self._refusal
        if refused and not self._decided and not self._back:
            await self._news.wait()


async def _worker(
    lane: int, deal: ChunkQueue, fetch: Fetch, save: Save, trial: FirstSuccess
) -> None:
    while (chunk := await deal.take(lane)) is not None:
        trial.begin(chunk)
        try:
            part = await save(chunk, await fetch(chunk))
        except AuthError as error:
            trial.came_back(chunk)
            deal.refused(lane, chunk, error)
        except (RetriesExhausted, RejectedError) as error:
            gaps = [Gap(chunk, error)]
            if isinstance(error, RetriesExhausted) and error.reason == "lane":
                trial.came_back(chunk)
                gaps = deal.stalled(lane, chunk, error)
            else:
                deal.finished(lane)
            for gap in gaps:
                await trial.failed(gap)
        else:
            deal.finished(lane)
            trial.succeeded(chunk, part)
