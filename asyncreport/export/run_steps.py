"""The steps of a run: plan, pull, clean up, merge; once more if parts were lost or damaged.

Owns what the steps have done so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from asyncreport.core.errors import DamagedPartError, StoreError
from asyncreport.core.job import Part, PartKey
from asyncreport.core.plan import Plan
from asyncreport.core.text import counted, plural
from asyncreport.core.timeline import iso
from asyncreport.export.damaged_parts import delete_damaged, delete_lost
from asyncreport.export.lost_parts import LostPartsError, plan_again, unexplained
from asyncreport.export.names import unknown_users, unknown_users_message
from asyncreport.export.organizations import check_organizations
from asyncreport.export.plans import make_plans
from asyncreport.export.pull import Pull
from asyncreport.export.row_limits import check_row_limits
from asyncreport.export.run_context import RunContext
from asyncreport.export.summary_gaps import MissingChunk
from asyncreport.export.teams import UnknownTeam
from asyncreport.export.update_outputs import OutputUpdate
from asyncreport.store.drafts import Drafts
from asyncreport.store.restatements import Restatements
from asyncreport.store.written_outputs import WrittenFile

#: the parts that the merge uses, by the connection's name
_Parts = Mapping[str, Sequence[Part]]
#: output files that are up to date, by path
Files = dict[Path, WrittenFile]


@dataclass(slots=True)
class Steps:
    """What the steps of one run share, and what they have done so far."""

    context: RunContext
    #: teams that are not in the job because they could not be looked up
    unknown_teams: list[UnknownTeam]
    pull: Pull = field(init=False)
    #: output files that the pull begins and the merge goes on with
    drafts: Drafts = field(default_factory=Drafts)
    #: parts of earlier runs that are used as they are
    parts_reused: int = 0
    #: a plan was made: this is the second round
    planned: bool = False
    #: the parts that this run should have replaced and that still exist
    stale: frozenset[PartKey] = frozenset()
    #: output files whose content changed, each with the months that have new rows
    changed: Mapping[Path, Sequence[str]] = field(default_factory=dict)
    restatements: Restatements = field(default_factory=Restatements)

    def __post_init__(self) -> None:
        """Prepare the pull: it counts over all rounds."""
        self.pull = Pull(self.context, self.drafts)

    async def bring_up_to_date(self) -> Files:
        """Fetch what is missing, then write the output files; list the files that are up to date.

        If a team is unknown or a chunk failed, no file is written unless the choices allow it.
        Parts that are damaged, or that disappear while the run is under way, are fetched once more.
        Raise StoreError if that does not help.
        """
        with self.drafts:
            try:
                return await self._update()
            except DamagedPartError as error:
                await delete_damaged(self.context, error)
            except LostPartsError as error:
                self.context.warn(f"{error.fact}; they are fetched again")
            return await self._last_update()

    async def _last_update(self) -> Files:
        """Do each step once more; a second loss ends the run."""
        try:
            return await self._update()
        except (DamagedPartError, LostPartsError) as error:
            raise self._lost_twice(error.fact) from error

    def _lost_twice(self, fact: str) -> StoreError:
        """Make the error for a second loss."""
        return StoreError(
            f"{fact}; this happened twice, so check the disk, and what else changes "
            f"{self.context.state.folder}; then run again: existing parts are reused"
        )

    async def _update(self) -> Files:
        """Do each step once; raise DamagedPartError or LostPartsError."""
        plans = await self._plan()
        # Before the first query: nothing of another organisation may become a part, and nobody
        # waits an hour for files that cannot be written.
        await check_row_limits(self.context, plans)
        await check_organizations(self.context, plans)
        await self.pull.run(plans)
        await self._delete_replaced()
        parts = self.context.all_parts()
        self._check_coverage(plans, parts)
        if not self._may_write:
            return {}
        files = await self._write_outputs(parts)
        await self._warn_of_unknown_users(parts)
        return files

    async def _plan(self) -> dict[str, Plan]:
        """Plan what to fetch, by the connection's name."""
        context = self.context
        context.activity.phase = "planning"
        plans = await make_plans(
            context.job,
            context.state.current_parts,
            context.connections,
            context.freshness,
        )
        if not self.planned:
            # Only before the first round: what is lost later has a message already.
            delete_lost(context, plans)
            self.planned = True
        self.parts_reused = self._count_reused(plans)
        await self._prepare_refresh(plans)
        return plans

    def _count_reused(self, plans: Mapping[str, Plan]) -> int:
        """Count the parts of earlier runs that are used as they are."""
        reused = chain.from_iterable(plan.reused for plan in plans.values())
        return sum(map(self._is_of_earlier_run, reused))

    def _is_of_earlier_run(self, part: Part) -> bool:
        """Tell whether another run fetched a part.

        A second plan reuses parts that this run fetched itself; these are counted as fetched.
        """
        return part.fetched_at != self.context.now

    async def _prepare_refresh(self, plans: Mapping[str, Plan]) -> None:
        """Note which parts are to be replaced; warn about parts from the future."""
        stale = _stale_parts(plans)
        await self._mark_for_refresh(stale)
        self._warn_of_future_parts(stale)

    def _warn_of_future_parts(self, stale: Sequence[Part]) -> None:
        """Warn about parts that were fetched later than now."""
        now = self.context.now
        number = sum(part.fetched_at > now for part in stale)
        if number:
            self.context.warn(_future_parts(number, now))

    async def _mark_for_refresh(self, stale: Sequence[Part]) -> None:
        """Note on disk which parts the person asked to fetch again."""
        refreshes = self.context.freshness.refreshes
        # Before the first response: if the refresh is interrupted, the next run finishes it.
        parts = [part for part in stale if refreshes(part)]
        await self.context.state.mark_for_refresh(parts)

    def _check_coverage(self, plans: Mapping[str, Plan], parts: _Parts) -> None:
        """Check that the parts are all that the plans wanted, except the gaps.

        A part may disappear at any time, also one that this run saved: what counts is the list
        that the merge uses. Raise LostPartsError.
        """
        found = plan_again(plans, parts, self.context.freshness)
        # A part that should have been replaced, and is lost, leaves a gap in the output.
        self.stale = frozenset(part.key for part in _stale_parts(found))
        lost = unexplained(found.values(), self.pull.failed_chunks)
        if lost:
            raise LostPartsError(lost)

    async def _delete_replaced(self) -> None:
        """List what changed in replaced parts, and delete them."""
        state, now = self.context.state, self.context.now
        # Before the merge, and also if no file is written: while a gap lasts, perhaps for weeks,
        # each run would leave more replaced parts on disk.
        self.restatements += await state.run_in_writer(
            lambda stopped: state.delete_replaced(stopped, at=now)
        )

    @property
    def complete(self) -> bool:
        """Tell whether every team and every chunk is there, and no part is stale."""
        return not self.unknown_teams and not self.pull.gaps

    @property
    def gaps(self) -> list[MissingChunk]:
        """Describe the gaps, in order of time."""
        return MissingChunk.of_all(self.pull.gaps, stale=self.stale)

    @property
    def partial(self) -> bool:
        """Tell whether records are missing; with only stale parts the files have all records."""
        if self.unknown_teams:
            return True
        return not all(chunk.stale for chunk in self.gaps)

    @property
    def _may_write(self) -> bool:
        """Tell whether to write output files."""
        if self.complete:
            return True
        # Without any team the files would be empty.
        return self.context.choices.allow_partial and bool(self.context.job.teams)

    async def _write_outputs(self, parts: _Parts) -> Files:
        """Write the output files that changed."""
        update = OutputUpdate(
            self.context,
            parts,
            self.drafts,
            partial=self.partial,
            gaps=bool(self.pull.gaps),
        )
        files = await update.run()
        self.changed = update.changed
        return files

    async def _warn_of_unknown_users(self, parts: _Parts) -> None:
        """Warn about listed users that the directory does not know."""
        unknown = await self.context.state.run_in_writer(lambda _: self._unknown_users(parts))
        for name, users in unknown.items():
            if users:
                message = unknown_users_message(users)
                self.context.warn(f"{name}: {message}; none has records in the range")

    def _unknown_users(self, parts: _Parts) -> dict[str, list[str]]:
        """List the listed users without a name and without records, by connection."""
        job = self.context.job
        with self.context.files.reader() as reader:
            return {
                connection.name: unknown_users(job, connection, parts[connection.name], reader)
                for connection in job.connections
            }


def _stale_parts(plans: Mapping[str, Plan]) -> list[Part]:
    """List the parts that a run should replace."""
    return list(chain.from_iterable(plan.stale for plan in plans.values()))


def _future_parts(number: int, now: int) -> str:
    """Say that parts were fetched after `now`, an instant."""
    return (
        f"{counted(number, 'part')} {plural(number, 'has', 'have')} a fetch time "
        f"in the future: now is {iso(now)}, so the clock was or is wrong; "
        f"{plural(number, 'this part is', 'these parts are')} fetched again"
    )
