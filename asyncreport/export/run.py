"""One export from clock to merge: members, plan, engine, names, output files, summary. Owns the order of things and the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

from msgspec import Struct

from asyncreport.api import directory
from asyncreport.api.aggregates import ConnectionState
from asyncreport.core.errors import ConfigError, DamagedPartError, StoreError
from asyncreport.core.job import Chunk, Connection, Job, Part, Team
from asyncreport.core.plan import Freshness, Plan
from asyncreport.core.records import Block
from asyncreport.core.text import counted
from asyncreport.core.timeline import Interval, iso
from asyncreport.engine.fetch import drive, fetch
from asyncreport.engine.scheduler import Progress, Work, run
from asyncreport.export.lanes import Connections
from asyncreport.export.names import NameLookup, unknown_users, unknown_users_message
from asyncreport.export.plans import make_plans
from asyncreport.export.preflight import (
    check_owners,
    other_clients,
    query_warnings,
    remember_clients,
)
from asyncreport.export.summary import MemberChange, MissingChunk, Summary
from asyncreport.export.targets import all_files, main_files, targets
from asyncreport.export.teams import UnknownTeam, look_up_teams
from asyncreport.store.atomic import write_json
from asyncreport.store.lookups import Members
from asyncreport.store.merge import Target, check_targets
from asyncreport.store.parts import PartReader
from asyncreport.store.restatements import Restatements
from asyncreport.store.state import State
from asyncreport.store.written import Outputs, WrittenFile

#: print one line for the person who runs the job
Say = Callable[[str], None]
#: show progress while a block runs; the function gives the requests sent so far and the seconds that all workers waited
Watch = Callable[[Progress, Callable[[], tuple[int, float]]], AbstractAsyncContextManager[None]]


def silent(_: str) -> None:
    """Print nothing."""


def unwatched(
    _: Progress, __: Callable[[], tuple[int, float]]
) -> AbstractAsyncContextManager[None]:
    """Show no progress."""
    return nullcontext()


class Choices(Struct, frozen=True, kw_only=True):
    """What the person who runs a job decides."""

    #: write the output files though something is missing
    allow_partial: bool = False
    #: ask for every name again
    refresh_names: bool = False
    #: send no query where a team cannot be looked up
    strict: bool = False
    #: ask again for the parts that overlap it
    refresh: Interval | None = None


def clock() -> int:
    """Read the wall clock, once per run: an instant."""
    return time.time_ns() // 1_000_000


async def run_job(
    job: Job,
    *,
    now: int,
    say: Say = silent,
    watch: Watch = unwatched,
    choices: Choices | None = None,
) -> Summary:
    """Bring a job's output files up to date; `now` is the run's start.

    Raise AuthError, RejectedError, StoreError and ConfigError where nothing more can be done; chunks that failed and teams
    that are unknown are in the summary, and the output files are left as they were unless `choices.allow_partial`.
    """
    started, choices = time.monotonic(), choices or Choices()
    check_targets(file.path for file in all_files(job))
    check_owners(job)
    for line in query_warnings(job):
        say(line)
    with State.open(job.state_folder) as state:
        strange = other_clients(job, state.current_parts)
        for line in strange.values():
            say(f"warning: {line}")
        remember_clients(job, except_for=strange)
        async with Connections(job, say, room=state.wait_for_writer) as connections:
            known, unknown = await look_up_teams(job, connections)
            members = Members(state.folder)
            # Before the pull, so that whoever looks at what it leaves knows whose parts it was to fetch.
            members.save(known.teams)
            _report(unknown, say, strict=choices.strict)
            going = _Run(known, state, connections, now, say, watch, unknown)
            made = await going.bring_up_to_date(choices)
            summary = going.summarise(
                made, _moved(members, known.teams), elapsed=time.monotonic() - started
            )
            if summary.complete:  # until then each run tells of strangers
                remember_clients(job)
            if made:  # what nobody was shown would be forgotten otherwise
                members.save(known.teams, reported=True)
        write_json(state.folder / "summary.json", summary)
    return summary


def _report(unknown: Sequence[UnknownTeam], say: Say, *, strict: bool) -> None:
    """Tell the teams that are unknown before anything is pulled; raise ConfigError where that is not to be."""
    if unknown and strict:
        raise ConfigError("; ".join(map(str, unknown)))
    for team in unknown:
        say(f"warning: {team}")


def _moved(members: Members, teams: Sequence[Team]) -> dict[str, MemberChange]:
    """Tell who joined and who left the teams that were looked up, since a run last told."""
    changes = {team.name: members.changes(team) for team in teams if team.selector is not None}
    return {
        team: MemberChange(joined=list(change[0]), left=list(change[1]))
        for team, change in changes.items()
        if change
    }


@dataclass(slots=True)
class _Run:
    """One run of a job: what its steps share."""

    job: Job
    state: State
    connections: Connections
    now: int
    say: Say
    watch: Watch
    #: teams that are not in `job`, for nobody could look them up
    unknown: list[UnknownTeam]
    progress: Progress = field(default_factory=Progress)
    #: parts of earlier runs that are used as they are
    standing: int = 0
    #: numbers of the parts that this run was to replace
    stale: frozenset[int] = frozenset()
    #: output files that came out other than they were
    written: int = 0
    changed: Restatements = field(default_factory=Restatements)
    #: what was learnt of each connection that something was pulled from
    known: list[ConnectionState] = field(default_factory=list)

    async def bring_up_to_date(self, choices: Choices) -> dict[Path, WrittenFile]:
        """Fetch what is missing and write the output files; a part found damaged on the way is fetched again.

        For want of a team, or with gaps, the files are written only where `choices` allow that.
        """
        freshness = Freshness(settle=self.job.output.settle, refresh=choices.refresh, now=self.now)
        while True:
            plans = await make_plans(
                self.job, self.state.current_parts, self.connections, freshness, say=self.say
            )
            self.standing = sum(
                part.fetched_at != self.now for made in plans.values() for part in made.reused
            )
            stale = [part for made in plans.values() for part in made.stale]
            # Before the first answer: a refresh that dies half-way is finished by whichever run comes next.
            await self.state.mark_for_refresh(
                [part.number for part in stale if freshness.refreshes(part)]
            )
            self.tell_of_the_clock(stale)
            self.stale = frozenset(part.number for part in stale)
            await self.pull(plans)
            # Whether or not the files are written: with a gap that lasts for weeks, parts would pile up beside those that replaced them.
            self.changed += await self.state.run_in_writer(
                lambda stopped: self.state.delete_replaced(stopped, at=self.now)
            )
            if not self.complete and not (choices.allow_partial and self.job.teams):
                return {}
            try:
                made = await self.merge(refresh_names=choices.refresh_names)
            except DamagedPartError as error:
                await self.drop_damaged(error)
            else:
                self.warn_of_strangers()
                self.tell_unfounded(made)
                return made

    def tell_of_the_clock(self, stale: Sequence[Part]) -> None:
        """Warn of parts that say that they were fetched after now."""
        if ahead := sum(part.fetched_at > self.now for part in stale):
            says = (
                "1 part says that it was" if ahead == 1 else f"{ahead:,} parts say that they were"
            )
            again = "it is" if ahead == 1 else "they are"
            self.say(
                f"warning: {says} fetched after now, {iso(self.now)}: the clock was or is wrong; {again} fetched again"
            )

    def warn_of_strangers(self) -> None:
        """Name the listed users who have no records and whom the directory does not know either."""
        for connection in self.job.connections:
            if found := unknown_users(self.job, connection, self._parts(connection)):
                self.say(
                    f"warning: {connection.name}: {unknown_users_message(found)}; none has records in the range"
                )

    def tell_unfounded(self, made: Mapping[Path, WrittenFile]) -> None:
        """Name the files that were not written, for nothing stands of what belongs in them."""
        left = [str(file.path) for file in all_files(self.job) if file.path not in made]
        more = f" and {counted(len(left) - 5, 'more file')}" if len(left) > 5 else ""
        if left:
            self.say(
                f"warning: not written, for nothing stands of what belongs in it: {', '.join(left[:5])}{more}"
            )

    async def drop_damaged(self, error: DamagedPartError) -> None:
        """Let go of every part that is not what was saved; raise StoreError where this very run saved it: the disk cannot be trusted."""
        parts = {part.number: part for each in self.job.connections for part in self._parts(each)}

        def find(_: Event) -> list[DamagedPartError]:
            with PartReader(self.state.folder) as reader:
                return reader.damaged(parts.values())

        found = {each.number: each for each in (error, *await self.state.run_in_writer(find))}
        if any(parts[number].fetched_at == self.now for number in found if number in parts):
            raise StoreError(f"{error.fact}; this run saved it, so check the disk first") from error
        for number, each in found.items():
            self.say(f"warning: {each.fact}; a run fetches it again")
            self.state.delete_part(number)

    @property
    def complete(self) -> bool:
        """Tell whether all that was asked for is there, and is as new as it was to be."""
        return not self.unknown and not self.progress.gaps

    @property
    def missing(self) -> list[MissingChunk]:
        """Describe the gaps."""
        return MissingChunk.of_all(self.progress.gaps, stale=self.stale)

    @property
    def partial(self) -> bool:
        """Tell whether output files, were they written now, would lack anything."""
        return bool(self.unknown) or not all(gap.stale for gap in self.missing)

    async def pull(self, plans: dict[str, Plan]) -> None:
        """Fetch what the plans list, connection by connection at once."""
        self.progress.begin_again()
        works = [await self._work(name, made) for name, made in plans.items() if made.chunks]
        if works:
            self.progress.proven = self.progress.finished > 0 or any(
                made.reused or made.stale for made in plans.values()
            )
            async with self.watch(self.progress, self._wire):
                await run(works, self._save, self.progress)

    async def _work(self, name: str, plan: Plan) -> Work:
        lanes = await self.connections.lanes(name)
        known = ConnectionState(query_job_timeout=self.job.limits.give_up_after)
        self.known.append(known)
        if self.job.query.occupancy and any(chunk.users is None for chunk in plan.chunks):
            known.all_users = await drive(
                directory.all_user_ids(), partial(self.connections.ask, name)
            )
        # More workers than the minute has requests would wait at the throttle beyond `give_up_after`.
        concurrency = min(
            self.job.limits.concurrency, self.job.connection(name).requests_per_minute
        )
        fetches = [
            partial(fetch, query=self.job.query, ask=lane.ask, state=known) for lane in lanes
        ]
        return Work(
            plan.chunks,
            fetches,
            concurrency,
            partial(self.connections.lost, name),
            self.job.limits.give_up_after,
        )

    async def _save(self, chunk: Chunk, blocks: list[Block]) -> Part:
        fingerprint = self.job.query.fingerprint(self.job.connection(chunk.connection).identity)
        return await self.state.save(chunk, blocks, fingerprint=fingerprint, fetched_at=self.now)

    def _wire(self) -> tuple[int, float]:
        counts = self.connections.counts
        return counts.requests, counts.waited(asyncio.get_running_loop().time())

    async def merge(self, *, refresh_names: bool) -> dict[Path, WrittenFile]:
        """Write the output files that are not what the parts and names make of them."""
        naming = NameLookup(self.state.folder, self.connections, self.say, now=self.now)
        outputs = Outputs(self.state.folder, partial=self.partial)
        made = await self._made(naming, outputs, refresh_names=refresh_names)
        self.written = len(outputs.changed)
        if not self.partial and (left := outputs.forget_others(made)):
            more = f" and {counted(len(left) - 1, 'more file')}" if len(left) > 1 else ""
            self.say(
                f"{left[0]}{more}: written by an earlier run, by this job no longer, and left as {'they are' if more else 'it is'}"
            )
        return made

    async def _made(
        self, naming: NameLookup, outputs: Outputs, *, refresh_names: bool
    ) -> dict[Path, WrittenFile]:
        unchanged = {target.path: outputs.unchanged(target) for target in self._targets(naming)}
        if not naming.is_due(self.job) and not refresh_names and all(unchanged.values()):
            return {path: made for path, made in unchanged.items() if made}
        complete = True
        with PartReader(self.state.folder) as reader:
            for connection in self.job.connections:
                if not await naming.update(
                    self.job, connection, self._parts(connection), reader, refresh=refresh_names
                ):
                    complete = False
            # Off the loop, and where nothing else writes: hashing and copying gigabytes must not hold up a signal.
            return await self.state.run_in_writer(
                lambda stopped: outputs.write(
                    self._targets(naming), reader, stopped, names_complete=complete
                )
            )

    def _parts(self, connection: Connection) -> list[Part]:
        return self.state.current_parts(self.job.query.fingerprint(connection.identity))

    def _targets(self, naming: NameLookup) -> list[Target]:
        found = targets(self.job, self._parts, naming.users, naming.queues)
        # With gaps an empty file says nothing, and may stand in the place of a good one.
        return [target for target in found if not self.progress.gaps or target.has_data]

    def summarise(
        self, made: dict[Path, WrittenFile], members: dict[str, MemberChange], *, elapsed: float
    ) -> Summary:
        """Say what the run did; `elapsed` is in seconds."""
        counts = self.connections.counts
        known = Outputs(self.state.folder)
        main = [made[file.path] for file in main_files(self.job) if file.path in made]
        return Summary(
            job=self.job.name,
            range=str(self.job.interval),
            started=iso(self.now),
            elapsed_sec=round(elapsed, 3),
            complete=self.complete,
            partial=bool(made) and self.partial,
            records={
                team.name: sum(each.records.get(team.name, 0) for each in main)
                for team in self.job.teams
            },
            members=members,
            chunks_fetched=self.progress.finished,
            chunks_split=sum(known.chunks_split for known in self.known),
            parts_reused=self.standing,
            changed=self.changed,
            records_fetched=self.progress.records,
            requests=counts.requests,
            retries=counts.retries,
            throttled=counts.throttled,
            waiting_sec=round(counts.waiting, 3),
            outputs=[str(path) for path in made],
            outputs_written=self.written,
            still_partial=[
                str(file.path)
                for file in all_files(self.job)
                if file.path not in made and known.is_partial(file.path)
            ],
            missing=self.missing,
            unknown=self.unknown,
        )
