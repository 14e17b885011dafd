"""One export from the clock to the merge. Owns the order of the steps, and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Event

from asyncreport.core.errors import ConfigError, DamagedPartError, StoreError
from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Connection, Job, Part, Team
from asyncreport.core.plan import Plan
from asyncreport.core.text import counted, first_items, plural
from asyncreport.core.timeline import Interval, iso
from asyncreport.export.lanes import Connections
from asyncreport.export.names import NameLookup, unknown_users, unknown_users_message
from asyncreport.export.outputs import OutputUpdate
from asyncreport.export.plans import make_plans
from asyncreport.export.preflight import (
    check_owners,
    other_clients,
    query_warnings,
    remember_clients,
)
from asyncreport.export.pull import Pull, Watch, unwatched
from asyncreport.export.summary import MemberChange, MissingChunk, Summary
from asyncreport.export.targets import all_files, main_files
from asyncreport.export.teams import UnknownTeam, look_up_teams
from asyncreport.store.atomic import write_json
from asyncreport.store.lookups import Members
from asyncreport.store.merge import check_targets
from asyncreport.store.parts import PartReader
from asyncreport.store.restatements import Restatements
from asyncreport.store.state import State
from asyncreport.store.written import Outputs, WrittenFile

#: print one line for the person who runs the job
Say = Callable[[str], None]
#: output files that a warning lists
_MAX_FILES = 5


def silent(_: str) -> None:
    """Print nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the person who runs a job decides."""

    #: write the output files even if something is missing
    allow_partial: bool = False
    #: look up every name again
    refresh_names: bool = False
    #: send no query if a team cannot be looked up
    strict: bool = False
    #: fetch the parts again that overlap it
    refresh: Interval | None = None


_DEFAULTS = Choices()


def clock() -> int:
    """Read the wall clock, once per run: an instant."""
    return time.time_ns() // 1_000_000


async def run_job(
    job: Job,
    *,
    now: int,
    say: Say = silent,
    watch: Watch = unwatched,
    choices: Choices = _DEFAULTS,
) -> Summary:
    """Bring a job's output files up to date; `now` is the start of the run, an instant.

    Chunks that failed and unknown teams are in the summary; the output files are not changed then,
    unless `choices.allow_partial`. Raise AuthError, RejectedError, StoreError or ConfigError if the
    run cannot go on.
    """
    started = time.monotonic()
    _check(job, say)
    with State.open(job.state_folder) as state:
        _check_clients(job, state, say)
        members = Members(state.folder)
        async with Connections(job, say, room=state.wait_for_writer) as connections:
            job, unknown = await _find_teams(job, connections, members, say, choices)
            pull = Pull(job, state, connections, now, watch)
            current = _Run(job, state, connections, now, say, unknown, pull)
            files = await current.bring_up_to_date(choices)
            summary = current.summarize(files, members, elapsed=time.monotonic() - started)
            _remember(job, members, summary)
        write_json(state.folder / "summary.json", summary)
    return summary


def _check(job: Job, say: Say) -> None:
    """Check the output files before any work; raise StoreError or ConfigError."""
    check_targets(file.path for file in all_files(job))
    check_owners(job)
    for warning in query_warnings(job):
        say(warning)


def _check_clients(job: Job, state: State, say: Say) -> None:
    """Warn about parts that other OAuth clients fetched; remember the clients of this run."""
    warnings = other_clients(job, state.current_parts)
    for warning in warnings.values():
        say(f"warning: {warning}")
    # The clients behind a warning only after a complete run, so that each run before it warns.
    remember_clients(job, except_for=warnings)


async def _find_teams(
    job: Job, connections: Connections, members: Members, say: Say, choices: Choices
) -> tuple[Job, list[UnknownTeam]]:
    """Look up the members of the teams; raise ConfigError for unknown teams if `strict`."""
    job, unknown = await look_up_teams(job, connections)
    # Before the pull: if it is interrupted, `status` and `verify` know whose parts it was fetching.
    members.save(job.teams)
    if unknown and choices.strict:
        raise ConfigError("; ".join(map(str, unknown)))
    for team in unknown:
        say(f"warning: {team}")
    return job, unknown


def _remember(job: Job, members: Members, summary: Summary) -> None:
    """Remember, after a run, its OAuth clients and the members that its summary reported."""
    if summary.complete:
        remember_clients(job)
    if summary.outputs:
        # Only with output files: a change that no summary reported with them would be lost.
        members.save(job.teams, reported=True)


def _member_changes(members: Members, teams: Sequence[Team]) -> dict[str, MemberChange]:
    """Find who joined or left each team since the last run that reported it."""
    changes = {}
    for team in teams:
        if team.selector is None:
            continue
        change = members.changes(team)
        if change is not None:
            joined, left = change
            changes[team.name] = MemberChange(joined=list(joined), left=list(left))
    return changes


@dataclass(slots=True)
class _Run:
    """One run of a job: what its steps share, and what they have done so far."""

    job: Job
    state: State
    connections: Connections
    now: int
    say: Say
    #: teams that are not in `job` because they could not be looked up
    unknown_teams: list[UnknownTeam]
    pull: Pull
    #: parts of earlier runs that are used as they are
    parts_reused: int = 0
    #: numbers of the parts that this run should replace
    stale: frozenset[int] = frozenset()
    #: output files whose content changed
    files_changed: int = 0
    restatements: Restatements = field(default_factory=Restatements)

    async def bring_up_to_date(self, choices: Choices) -> dict[Path, WrittenFile]:
        """Fetch what is missing, then write the output files; list the files that are up to date.

        If a team is unknown or a chunk failed, no file is written unless `choices` allow it. If the
        merge finds damaged parts, they are fetched again.
        """
        freshness = Freshness(settle=self.job.output.settle, refresh=choices.refresh, now=self.now)
        while True:
            plans = await self._plan(freshness)
            await self.pull.run(plans)
            await self._delete_replaced()
            if not self._may_write(choices):
                return {}
            try:
                files = await self._write_outputs(refresh_names=choices.refresh_names)
            except DamagedPartError as error:
                await self._delete_damaged(error)
            else:
                self._warn_of_unknown_users()
                self._warn_of_files_without_data(files)
                return files

    async def _plan(self, freshness: Freshness) -> dict[str, Plan]:
        plans = await make_plans(
            self.job, self.state.current_parts, self.connections, freshness, say=self.say
        )
        reused = chain.from_iterable(plan.reused for plan in plans.values())
        # A second plan reuses parts that this run fetched itself; these were counted as fetched.
        self.parts_reused = sum(part.fetched_at != self.now for part in reused)
        stale = list(chain.from_iterable(plan.stale for plan in plans.values()))
        self.stale = frozenset(part.number for part in stale)
        await self._mark_for_refresh(stale, freshness)
        self._warn_of_future_parts(stale)
        return plans

    async def _mark_for_refresh(self, stale: Sequence[Part], freshness: Freshness) -> None:
        # Before the first response: if the refresh is interrupted, the next run finishes it.
        numbers = [part.number for part in stale if freshness.refreshes(part)]
        await self.state.mark_for_refresh(numbers)

    def _warn_of_future_parts(self, stale: Sequence[Part]) -> None:
        number = sum(part.fetched_at > self.now for part in stale)
        if number:
            self.say(
                f"warning: {counted(number, 'part')} {plural(number, 'has', 'have')} a fetch time "
                f"in the future: now is {iso(self.now)}, so the clock was or is wrong; "
                f"{plural(number, 'this part is', 'these parts are')} fetched again"
            )

    async def _delete_replaced(self) -> None:
        # Before the merge, and also if no file is written: while a gap lasts, perhaps for weeks,
        # each run would leave more replaced parts on disk.
        self.restatements += await self.state.run_in_writer(
            lambda stopped: self.state.delete_replaced(stopped, at=self.now)
        )

    def _may_write(self, choices: Choices) -> bool:
        if self._complete:
            return True
        # Without any team the files would be empty.
        return choices.allow_partial and bool(self.job.teams)

    @property
    def _complete(self) -> bool:
        """Tell whether every team and every chunk is there, and no part is stale."""
        return not self.unknown_teams and not self.pull.gaps

    @property
    def _missing(self) -> list[MissingChunk]:
        return MissingChunk.of_all(self.pull.gaps, stale=self.stale)

    @property
    def _partial(self) -> bool:
        """Tell whether records are missing; with only stale parts the files have all records."""
        return bool(self.unknown_teams) or not all(chunk.stale for chunk in self._missing)

    async def _write_outputs(self, *, refresh_names: bool) -> dict[Path, WrittenFile]:
        names = NameLookup(self.state.folder, self.connections, self.say, now=self.now)
        outputs = Outputs(self.state.folder, partial=self._partial)
        gaps = bool(self.pull.gaps)
        update = OutputUpdate(self.job, self.state, self._parts, names, outputs, gaps)
        files = await update.run(refresh_names=refresh_names)
        self.files_changed = len(outputs.changed)
        if not self._partial:
            self._forget_other_files(outputs, files)
        return files

    def _forget_other_files(self, outputs: Outputs, files: Container[Path]) -> None:
        others = [str(path) for path in outputs.forget_others(files)]
        if others:
            it = plural(len(others), "it", "them")
            self.say(
                f"{first_items(others, 'file', limit=1)}: an earlier run wrote {it}; "
                f"this job does not write {it} any more and leaves {it} unchanged"
            )

    async def _delete_damaged(self, error: DamagedPartError) -> None:
        """Delete every damaged part, so that the next plan fetches it again.

        Raise StoreError if this run saved one of them: then the disk cannot be trusted.
        """
        parts = {}
        for connection in self.job.connections:
            parts.update({part.number: part for part in self._parts(connection)})
        damaged = await self._find_damaged(parts.values())
        damaged = {error.number: error, **damaged}
        for number in parts.keys() & damaged.keys():
            if parts[number].fetched_at == self.now:
                raise StoreError(f"{error.fact}; this run saved it, so check the disk") from error
        for number, damage in damaged.items():
            self.say(f"warning: {damage.fact}; it is fetched again")
            self.state.delete_part(number)

    async def _find_damaged(self, parts: Iterable[Part]) -> dict[int, DamagedPartError]:
        def find(_: Event) -> list[DamagedPartError]:
            with PartReader(self.state.folder) as reader:
                return reader.damaged(parts)

        errors = await self.state.run_in_writer(find)
        return {error.number: error for error in errors}

    def _parts(self, connection: Connection) -> list[Part]:
        return self.state.current_parts(self.job.query.fingerprint(connection.identity))

    def _warn_of_unknown_users(self) -> None:
        for connection in self.job.connections:
            unknown = unknown_users(self.job, connection, self._parts(connection))
            if unknown:
                message = unknown_users_message(unknown)
                self.say(f"warning: {connection.name}: {message}; none has records in the range")

    def _warn_of_files_without_data(self, files: Container[Path]) -> None:
        left = [str(file.path) for file in all_files(self.job) if file.path not in files]
        if left:
            self.say(
                f"warning: not written because no data was fetched for "
                f"{plural(len(left), 'it', 'them')}: {first_items(left, 'file', limit=_MAX_FILES)}"
            )

    def summarize(
        self, files: Mapping[Path, WrittenFile], members: Members, *, elapsed: float
    ) -> Summary:
        """Describe what the run did; `elapsed` is in seconds."""
        counts = self.connections.counts
        return Summary(
            job=self.job.name,
            range=str(self.job.interval),
            started=iso(self.now),
            elapsed_sec=round(elapsed, 3),
            complete=self._complete,
            partial=bool(files) and self._partial,
            records=self._count_records(files),
            members=_member_changes(members, self.job.teams),
            chunks_fetched=self.pull.progress.finished,
            chunks_split=self.pull.chunks_split,
            parts_reused=self.parts_reused,
            changed=self.restatements,
            records_fetched=self.pull.progress.records,
            requests=counts.requests,
            retries=counts.retries,
            throttled=counts.throttled,
            waiting_sec=round(counts.waiting, 3),
            outputs=list(map(str, files)),
            outputs_written=self.files_changed,
            still_partial=self._still_partial(files),
            missing=self._missing,
            unknown=self.unknown_teams,
        )

    def _count_records(self, files: Mapping[Path, WrittenFile]) -> dict[str, int]:
        """Count each team's records in the files of all teams together."""
        records = {team.name: 0 for team in self.job.teams}
        for file in main_files(self.job):
            if file.path in files:
                for team in records:
                    records[team] += files[file.path].records.get(team, 0)
        return records

    def _still_partial(self, files: Container[Path]) -> list[str]:
        """List the files that this run did not write and an earlier run wrote with gaps."""
        outputs = Outputs(self.state.folder)
        others = [file.path for file in all_files(self.job) if file.path not in files]
        return [str(path) for path in others if outputs.is_partial(path)]
