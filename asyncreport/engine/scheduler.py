"""Run a plan: share the chunks among lanes and workers, save what they fetch, note the gaps.

Owns the tasks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from asyncreport.core.errors import AuthError, RejectedError, RetriesExhausted
from asyncreport.core.job import Chunk, Part
from asyncreport.core.records import Block
from asyncreport.core.splitting import SplitChunk
from asyncreport.engine.activity import Count, Gap, Progress
from asyncreport.engine.lane_pool import LaneError, LanePool, Report, is_lane_error, is_unsent
from asyncreport.engine.refusal import GiveUp, raise_refusal

#: fetch a chunk with one lane
Fetch = Callable[[Chunk], Awaitable[list[Block]]]
#: remove the chunk to fetch next from the head of those that are left
Take = Callable[[deque[Chunk]], Chunk]
#: write a chunk's rows as a part
Save = Callable[[Chunk, list[Block]], Awaitable[Part]]


@dataclass(frozen=True, slots=True)
class Work:
    """One connection's chunks and the lanes that share them."""

    chunks: Sequence[Chunk]
    #: one per lane
    lanes: Sequence[Fetch]
    #: most workers per lane
    concurrency: int
    #: called for a lane that is lost while others remain
    lost: Report = lambda _, __: None
    #: called when the last lane is lost, before its chunks become gaps
    give_up: GiveUp = raise_refusal
    #: seconds for which a lane may fail to send a request
    patience: float = 900.0
    #: may give a longer or a shorter chunk than was planned
    take: Take = deque.popleft
    #: of the connection
    name: str = ""

    @property
    def workers(self) -> int:
        """Give the number of workers per lane: no more than there are chunks."""
        return min(self.concurrency, len(self.chunks))


async def run(works: Sequence[Work], save: Save, progress: Progress) -> None:
    """Fetch and save every chunk; one that fails becomes a gap and does not stop the others.

    A lane that is refused, or cannot send its requests, leaves its chunks to the other lanes of its
    connection. Raise AuthError if a work gives up with one, RejectedError if the query is refused
    before any chunk has succeeded, StoreError at once.
    """
    for work in works:
        progress.of(work.name).chunks += len(work.chunks)
    workers = sum(work.workers * len(work.lanes) for work in works)
    first_success = FirstSuccess(progress, workers)
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                _start_workers(group, ChunkQueue(work, progress.of(work.name)), save, first_success)
    except BaseExceptionGroup as errors:
        # The first error cancelled the other workers, and is the one to report.
        error = errors.exceptions[0]
        raise error from error.__cause__
    # With fewer chunks than workers, only the end shows that none succeeded.
    first_success.check()


def _start_workers(
    group: asyncio.TaskGroup, queue: ChunkQueue, save: Save, first_success: FirstSuccess
) -> None:
    """Start the workers of a connection."""
    # Workers take the first chunks in the order in which they are made here. The lanes take turns,
    # so that they share few chunks too.
    for _ in range(queue.work.workers):
        for lane in range(len(queue.work.lanes)):
            group.create_task(_worker(lane, queue, save, first_success))


async def _worker(lane: int, queue: ChunkQueue, save: Save, first_success: FirstSuccess) -> None:
    """Fetch and save chunks with a lane until there are none."""
    fetch = queue.work.lanes[lane]
    while (chunk := await queue.take(lane)) is not None:
        try:
            part = await save(chunk, await fetch(chunk))
        except SplitChunk as split:
            queue.split(lane, split.halves)
        except (AuthError, RejectedError, RetriesExhausted) as error:
            for gap in queue.failed(lane, chunk, error):
                queue.count.gaps.append(gap)
                first_success.failed(gap)
        else:
            # Not before the save: until then idle workers must wait, as the chunk may be put back.
            queue.finish(lane, part)


class ChunkQueue:
    """The chunks of a connection that no worker has: new ones, and those that were put back."""

    def __init__(self, work: Work, count: Count) -> None:
        self.work = work
        self.count = count
        self._left = deque(work.chunks)
        #: chunks that failed and are requested once more, after the others
        self._again = deque[Chunk]()
        self._pool = LanePool(range(len(work.lanes)), work.lost, patience=work.patience)
        #: chunks that have failed once: how many were saved before
        self._failed: dict[Chunk, int] = {}
        #: why the last lane was lost
        self._end: LaneError | None = None
        #: set at each change of what workers wait for
        self._changed = asyncio.Event()

    async def take(self, lane: int) -> Chunk | None:
        """Give a lane its next chunk, None if the lane is lost or everything is done."""
        while not self._ended(lane):
            if self._waiting and self._pool.ready(lane):
                # No await between the check and these two lines, so no other worker gets the chunk.
                chunk = self._next(lane)
                self._pool.start(lane)
                return chunk
            await self._wait(lane)
        return None

    def _ended(self, lane: int) -> bool:
        """Tell whether there will be no more chunks for a lane."""
        # An empty queue is not the end: a chunk that another lane is fetching may be put back.
        may_come = self._waiting or self._pool.active
        return self._pool.lost(lane) or not may_come

    @property
    def _waiting(self) -> bool:
        """Tell whether a chunk waits for a worker."""
        return bool(self._left or self._again)

    def _next(self, lane: int) -> Chunk:
        """Remove the chunk that a lane should fetch now."""
        if not self._left:
            return self._again.popleft()
        # The test of a stalled lane: the neighbours of a chunk that always fails may do so too, and
        # that must not look like a server that is down.
        if self._pool.stalled(lane):
            return self._left.pop()
        before = len(self._left)
        chunk = self.work.take(self._left)
        # Chunks that were joined count as one from now on, and the rest of one that was cut as one
        # more.
        self.count.chunks += 1 + len(self._left) - before
        return chunk

    async def _wait(self, lane: int) -> None:
        """Wait for a change, or for the end of the lane's rest."""
        # Cleared before the wait: each change from now on wakes this worker. A change before now
        # was seen by `take`, and has woken the workers that waited then.
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._pool.rest_ends(lane)):
                await self._changed.wait()

    def finish(self, lane: int, part: Part) -> None:
        """Note a chunk that was saved as a part."""
        self.count.finished += 1
        self.count.records += part.count
        self._pool.finish(lane)
        # Idle workers wait for this: it was the last chunk, or the test of a stalled lane.
        self._changed.set()

    def split(self, lane: int, halves: Sequence[Chunk]) -> None:
        """Put the halves of a chunk in its place: the server answered, but with too much."""
        # At the front, so that chunks stay in order.
        self._left.extendleft(reversed(halves))
        self.count.chunks += len(halves) - 1
        self._pool.finish(lane)
        self._changed.set()

    def failed(
        self, lane: int, chunk: Chunk, error: AuthError | RejectedError | RetriesExhausted
    ) -> list[Gap]:
        """Note a chunk that could not be fetched; give the gaps that follow from it."""
        if isinstance(error, RejectedError):
            self._pool.finish(lane)
            gaps = [Gap(chunk, error)]
        elif self._put_back(chunk, error):
            # After the chunk was put back: if the last lane is lost now, it is a gap too.
            gaps = self._stop(lane, error)
        else:
            self._pool.release(lane)
            gaps = [Gap(chunk, error)]
        self._changed.set()
        return gaps

    def _put_back(self, chunk: Chunk, error: LaneError) -> bool:
        """Requeue a chunk, except one that failed twice while others were fetched."""
        if is_unsent(error):
            # At the front, so that chunks stay in order.
            self._left.appendleft(chunk)
            return True
        if self._is_to_blame(chunk, error):
            return False
        self._again.append(chunk)
        self._failed.setdefault(chunk, self.count.finished)
        return True

    def _is_to_blame(self, chunk: Chunk, error: LaneError) -> bool:
        """Tell whether a chunk failed twice although the server answered others."""
        if chunk not in self._failed:
            return False
        # While the server is down, a chunk may fail again and again: the lane's time is the bound.
        return not _lane_failed(error) or self._failed[chunk] < self.count.finished

    def _stop(self, lane: int, error: LaneError) -> list[Gap]:
        """Note why a lane failed; give all chunks that are left as gaps if no lane is."""
        if not _lane_failed(error):
            self._pool.finish(lane)
            return []
        self._pool.fail(lane, error)
        if self._pool.left:
            return []
        return self._give_up(error)

    def _give_up(self, error: LaneError) -> list[Gap]:
        """Give all chunks that are left as gaps; the work may raise the error instead."""
        # Other workers of this lane come here later with errors of their own. All gaps get the
        # first error, so that the person sees one reason.
        if self._end is None:
            self.work.give_up(error)
            self._end = error
        gaps = [Gap(chunk, self._end) for chunk in (*self._left, *self._again)]
        self._left.clear()
        self._again.clear()
        return gaps


def _lane_failed(error: LaneError) -> bool:
    """Tell whether no request of a lane got a valid response."""
    # Also if all of them timed out: a chunk is split first, so that this was the smallest piece.
    return is_lane_error(error) or (
        isinstance(error, RetriesExhausted) and error.reason == "silent"
    )


class FirstSuccess:
    """Stop the run if the server refuses the query itself.

    A single chunk can be refused for a reason of its own. The query is refused if no chunk has ever
    succeeded, and as many were refused as there are workers, or one was and all chunks are done.
    """

    def __init__(self, progress: Progress, workers: int) -> None:
        self._progress = progress
        self._workers = workers
        self._refusals: list[RejectedError] = []

    def failed(self, gap: Gap) -> None:
        """Note a chunk that could not be fetched; raise RejectedError if the query is refused."""
        if isinstance(gap.error, RejectedError):
            self._refusals.append(gap.error)
            # No worker waits for the chunks of others. Such a chunk may be put back, and then it is
            # the waiting worker that should fetch it. The price: a few more refused requests.
            if len(self._refusals) >= self._workers:
                self.check()

    def check(self) -> None:
        """Raise the first refusal if no chunk has ever succeeded."""
        succeeded = self._progress.proven or self._progress.finished > 0
        if self._refusals and not succeeded:
            raise self._refusals[0]
