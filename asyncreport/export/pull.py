"""Fetch what the plans of a job list, and save it as parts. Owns nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from asyncreport.api import directory
from asyncreport.api.aggregates import ConnectionState
from asyncreport.core.answer_sizes import AnswerSizes
from asyncreport.core.apart import is_single
from asyncreport.core.errors import AuthError, RetriesExhausted, StoreError
from asyncreport.core.job import Chunk, Part
from asyncreport.core.plan import Plan
from asyncreport.core.records import Block
from asyncreport.engine.activity import Gap, Progress
from asyncreport.engine.fetch import drive, fetch
from asyncreport.engine.lane_pool import LaneError
from asyncreport.engine.next_chunk import NextChunk
from asyncreport.engine.refusal import raise_refusal
from asyncreport.engine.scheduler import Fetch, Work, run
from asyncreport.export.early_merge import EarlyMerge
from asyncreport.export.run_context import RunContext
from asyncreport.export.summary_gaps import NOT_FETCHED
from asyncreport.store.drafts import Drafts

_REFUSED = "the OAuth client was refused, so that its data is missing; the others are fetched"


@dataclass(slots=True)
class Pull:
    """What the pulls of one run need, and what they have done so far."""

    context: RunContext
    #: the output files that are begun while the pull goes on
    drafts: Drafts
    #: of each connection that something was pulled from, with the connection's name
    connection_states: list[tuple[str, ConnectionState]] = field(default_factory=list)

    @property
    def progress(self) -> Progress:
        """Give what the engine has done."""
        return self.context.activity.progress

    @property
    def gaps(self) -> list[Gap]:
        """Give the chunks that could not be fetched."""
        return self.progress.gaps

    @property
    def failed_chunks(self) -> list[Chunk]:
        """Give the chunks of the gaps."""
        return [gap.chunk for gap in self.gaps]

    @property
    def chunks_fetched(self) -> int:
        """Count the chunks that were saved."""
        return self.progress.finished

    @property
    def records_fetched(self) -> int:
        """Count the records in these chunks."""
        return self.progress.records

    @property
    def chunks_split(self) -> int:
        """Count the chunks that were fetched in pieces."""
        return sum(state.chunks_split for _, state in self.connection_states)

    async def run(self, plans: Mapping[str, Plan]) -> None:
        """Fetch what the plans list, from all connections at the same time.

        Raise AuthError, RejectedError or StoreError; other errors become gaps in `progress`.
        """
        self.progress.begin_again()
        if not self.context.choices.fetch:
            self._fetch_nothing(plans)
            return
        works = await self._works(plans)
        if works:
            # Parts prove that the server accepts this query: a refusal is then only a gap.
            self.progress.proven = self.chunks_fetched > 0 or _has_parts(plans)
            await self._run(works, EarlyMerge(self.context, plans, self.drafts))

    async def _works(self, plans: Mapping[str, Plan]) -> list[Work]:
        """Make the work of each connection; one that is refused before becomes gaps."""
        works = []
        for name, plan in plans.items():
            if not plan.chunks:
                continue
            try:
                works.append(await self._work(name, plan))
            except AuthError as error:
                self._give_up(name, error)
                count = self.progress.of(name)
                count.chunks += len(plan.chunks)
                count.gaps += [Gap(chunk, error) for chunk in plan.chunks]
        return works

    def _give_up(self, name: str, error: LaneError) -> None:
        """Raise the refusal of the only connection; warn about that of one of several."""
        if is_single(self.context.job):
            raise_refusal(error)
        elif isinstance(error, AuthError):
            self.context.connections.warn(name, f"{_REFUSED}: {error}")

    def _fetch_nothing(self, plans: Mapping[str, Plan]) -> None:
        """Count what is missing as gaps."""
        for name, plan in plans.items():
            error = RetriesExhausted(NOT_FETCHED)
            self.progress.of(name).gaps += [Gap(chunk, error) for chunk in plan.chunks]

    async def _run(self, works: Sequence[Work], early: EarlyMerge) -> None:
        """Run the scheduler, and merge what is complete meanwhile."""
        self.context.activity.phase = "fetching"
        try:
            async with early.beside():
                await run(works, partial(self._save, early), self.progress)
        finally:
            await self._keep_answer_totals()

    async def _keep_answer_totals(self) -> None:
        """Keep what the answers held; the next run needs it for its first chunks."""
        for name, state in self.connection_states:
            if state.sizes is not None:
                connection = self.context.job.connection(name)
                # Not worth the run: the disk may be full, and the run has an error for that.
                with suppress(StoreError):
                    await self.context.state.keep_answer_totals(connection, state.sizes.totals)

    async def _work(self, name: str, plan: Plan) -> Work:
        """Make the work of a connection for the scheduler."""
        state = await self._new_state(name, plan)
        freshness = self.context.freshness
        next_chunk = NextChunk(
            plan.demand,
            self.context.job.query,
            state,
            freshness.now - freshness.settle,
        )
        return Work(
            plan.chunks,
            await self._fetchers(name, state),
            self._concurrency(name),
            partial(self.context.connections.lost, name),
            partial(self._give_up, name),
            self.context.job.limits.give_up_after,
            next_chunk.take,
            name,
        )

    def _concurrency(self, name: str) -> int:
        """Give the most workers of a lane.

        More workers than requests in a minute would wait at the throttle for longer than
        `give_up_after`.
        """
        job = self.context.job
        per_minute = job.connection(name).requests_per_minute
        return min(job.limits.concurrency, per_minute)

    async def _fetchers(self, name: str, state: ConnectionState) -> list[Fetch]:
        """Open the lanes of a connection, and make a fetch function for each."""
        fetch_chunk = partial(fetch, query=self.context.job.query, state=state)
        lanes = await self.context.connections.lanes(name)
        return [partial(fetch_chunk, ask=lane.ask) for lane in lanes]

    async def _new_state(self, name: str, plan: Plan) -> ConnectionState:
        """Make what the requests of a connection share."""
        connections = self.context.connections
        state = ConnectionState(
            query_job_timeout=self.context.job.limits.give_up_after,
            say=partial(connections.warn, name),
            sizes=self._answer_sizes(name),
            population=plan.demand.population,
        )
        self.connection_states.append((name, state))
        if self._needs_all_users(plan):
            ask = partial(connections.ask, name)
            state.all_users = await drive(directory.all_user_ids(), ask)
        return state

    def _answer_sizes(self, name: str) -> AnswerSizes | None:
        """Say what answers held so far; None if the job gives the length of chunks."""
        job = self.context.job
        if job.chunk is not None:
            return None
        return AnswerSizes(self.context.state.answer_totals(job.connection(name)))

    def _needs_all_users(self, plan: Plan) -> bool:
        """Tell whether a chunk is of everyone and asks for routing statuses.

        That query cannot ask for everyone without their ids.
        """
        if not self.context.job.query.occupancy:
            return False
        return any(chunk.users is None for chunk in plan.chunks)

    async def _save(self, early: EarlyMerge, chunk: Chunk, blocks: list[Block]) -> Part:
        """Save a fetched chunk; raise StoreError."""
        part = await self.context.state.save(chunk, blocks, fetched_at=self.context.now)
        early.saved(chunk, part)
        return part


def _has_parts(plans: Mapping[str, Plan]) -> bool:
    """Tell whether a part of the same query exists."""
    return any(plan.reused or plan.stale for plan in plans.values())
