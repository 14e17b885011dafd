"""Fetch what the plans of a job list, and save it as parts. Owns nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from asyncreport.api import directory
from asyncreport.api.aggregates import ConnectionState
from asyncreport.core.job import Chunk, Job, Part
from asyncreport.core.plan import Plan
from asyncreport.core.records import Block
from asyncreport.engine.fetch import drive, fetch
from asyncreport.engine.scheduler import Gap, Progress, Work, run
from asyncreport.export.lanes import Connections
from asyncreport.store.state import State

#: requests sent so far, and the seconds that all workers have waited at the throttle
RequestStats = Callable[[], tuple[int, float]]
#: show progress while a block runs
Watch = Callable[[Progress, RequestStats], AbstractAsyncContextManager[None]]


def unwatched(_: Progress, __: RequestStats) -> AbstractAsyncContextManager[None]:
    """Show no progress."""
    return nullcontext()


@dataclass(slots=True)
class Pull:
    """What the pulls of one run need, and what they have done so far."""

    job: Job
    state: State
    connections: Connections
    #: the instant at which the run began
    now: int
    watch: Watch
    progress: Progress = field(default_factory=Progress)
    #: of each connection that something was pulled from
    connection_states: list[ConnectionState] = field(default_factory=list)

    @property
    def gaps(self) -> list[Gap]:
        """Give the chunks that could not be fetched."""
        return self.progress.gaps

    @property
    def chunks_split(self) -> int:
        """Count the chunks that were fetched in pieces."""
        return sum(state.chunks_split for state in self.connection_states)

    async def run(self, plans: Mapping[str, Plan]) -> None:
        """Fetch what the plans list, from all connections at the same time.

        Raise AuthError, RejectedError or StoreError; other errors become gaps in `progress`.
        """
        self.progress.begin_again()
        works = [await self._work(name, plan) for name, plan in plans.items() if plan.chunks]
        if not works:
            return
        # Parts prove that the server accepts this query: a refusal is then only a gap.
        has_parts = any(plan.reused or plan.stale for plan in plans.values())
        self.progress.proven = has_parts or self.progress.finished > 0
        async with self.watch(self.progress, self._request_stats):
            await run(works, self._save, self.progress)

    async def _work(self, name: str, plan: Plan) -> Work:
        """Open the lanes of a connection, and make a fetch function for each."""
        limits = self.job.limits
        state = await self._new_state(name, plan)
        lanes = await self.connections.lanes(name)
        # More workers than requests in a minute would wait at the throttle for longer than
        # `give_up_after`.
        per_minute = self.job.connection(name).requests_per_minute
        return Work(
            plan.chunks,
            [partial(fetch, query=self.job.query, ask=lane.ask, state=state) for lane in lanes],
            min(limits.concurrency, per_minute),
            partial(self.connections.lost, name),
            limits.give_up_after,
        )

    async def _new_state(self, name: str, plan: Plan) -> ConnectionState:
        state = ConnectionState(
            query_job_timeout=self.job.limits.give_up_after,
            say=partial(self.connections.warn, name),
        )
        self.connection_states.append(state)
        if self.job.query.occupancy and any(chunk.users is None for chunk in plan.chunks):
            # The query for routing statuses cannot ask for everyone without their ids.
            ask = partial(self.connections.ask, name)
            state.all_users = await drive(directory.all_user_ids(), ask)
        return state

    async def _save(self, chunk: Chunk, blocks: list[Block]) -> Part:
        fingerprint = self.job.query.fingerprint(self.job.connection(chunk.connection).identity)
        return await self.state.save(chunk, blocks, fingerprint=fingerprint, fetched_at=self.now)

    def _request_stats(self) -> tuple[int, float]:
        counts = self.connections.counts
        return counts.requests, counts.waited(asyncio.get_running_loop().time())
