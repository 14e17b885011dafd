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
    trial = FirstSuccess(progress, sum(_share(work) * len(work.lanes) for work in works))
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                deal = ChunkQueue(work)
                # Lane by lane in turns, so that few chunks are shared too.
                for _ in range(_share(work)):
                    for lane, fetch in enumerate(work.lanes):
                        group.create_task(_worker(lane, deal, fetch, save, trial))
    except BaseExceptionGroup as group_error:
        error = group_error.exceptions[0]
        raise error from error.__cause__
    # With fewer chunks than workers, the last chunk decides.
    trial.check()


def _share(work: Work) -> int:
    """Give the number of workers of each lane."""
    return min(work.concurrency, len(work.chunks))


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
    """Stop the run if the server refuses the query itself. Owns the progress.

    A single chunk can be refused for a reason of its own. The query is to blame if no chunk has ever
    succeeded and as many were refused as there are workers, or as many as there are chunks.
    """

    def __init__(self, progress: Progress, workers: int) -> None:
        self._progress = progress
        self._workers = workers
        self._refusals: list[RejectedError] = []

    def succeeded(self, part: Part) -> None:
        """Note a saved chunk."""
        self._progress.finished += 1
        self._progress.records += part.count

    def failed(self, gap: Gap) -> None:
        """Note a chunk that could not be fetched; raise RejectedError if the query is refused."""
        self._progress.gaps.append(gap)
        if isinstance(gap.error, RejectedError):
            self._refusals.append(gap.error)
            # No worker waits for the chunks of the others: a chunk that is put back may have no
            # worker, and who waits for it would wait for ever. One more chunk each costs little.
            if len(self._refusals) >= self._workers:
                self.check()

    def check(self) -> None:
        """Raise the first refusal if no chunk has ever succeeded."""
        succeeded = self._progress.proven or self._progress.finished > 0
        if self._refusals and not succeeded:
            raise self._refusals[0]


async def _worker(
    lane: int, deal: ChunkQueue, fetch: Fetch, save: Save, trial: FirstSuccess
) -> None:
    while (chunk := await deal.take(lane)) is not None:
        try:
            part = await save(chunk, await fetch(chunk))
        except AuthError as error:
            deal.refused(lane, chunk, error)
        except (RetriesExhausted, RejectedError) as error:
            gaps = [Gap(chunk, error)]
            if isinstance(error, RetriesExhausted) and error.reason == "lane":
                gaps = deal.stalled(lane, chunk, error)
            else:
                deal.finished(lane)
            for gap in gaps:
                trial.failed(gap)
        else:
            deal.finished(lane)
            trial.succeeded(part)
