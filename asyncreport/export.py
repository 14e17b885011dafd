"""One export from clock to merge: members, plan, engine, names, output files, summary. Owns the order of things and the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.api import directory, users
from asyncreport.api.aggregates import Known
from asyncreport.api.wire import Request
from asyncreport.config import MULTI_VALUED
from asyncreport.connect import Connections
from asyncreport.engine import Progress, Work, run
from asyncreport.errors import AuthError, ConfigError, DamagedPartError, RejectedError, RetriesExhausted, StoreError
from asyncreport.fetch import Ask, drive, fetch
from asyncreport.files import all_files, main_files
from asyncreport.job import Chunk, Connection, Job, Part
from asyncreport.plan import Freshness, Plan, Want, plan
from asyncreport.progress import Screen, counted
from asyncreport.records import Block, column
from asyncreport.store.changes import Changed
from asyncreport.store.disk import write_json
from asyncreport.store.members import Members
from asyncreport.store.merge import Source, Target, check_targets
from asyncreport.store.names import Names
from asyncreport.store.outputs import Made, Outputs
from asyncreport.store.parts import Reader
from asyncreport.store.state import State
from asyncreport.summary import Change, Missing, Summary
from asyncreport.teams import Unknown, look_up
from asyncreport.timeline import Interval, iso

#: ask for the names of ids
Lookup = Callable[[Sequence[str]], Generator[Request, Any, dict[str, str | None]]]


#: users of an organisation that does not say how many it has
_SOME = 1000


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


async def make_plans(
    job: Job, standing: Callable[[str], Sequence[Part]], connections: Connections, freshness: Freshness
) -> dict[str, Plan]:
    """Plan each connection by name; a request is sent only where everyone is missing: how many that is."""
    plans = {}
    for connection in job.connections:
        want = Want(
            connection=connection.name,
            grid=job.query.grid,
            interval=job.interval,
            users=wanted_users(job, connection.name),
            length=job.chunk,
        )
        parts = standing(job.query.fingerprint(connection.identity))
        made = plan(want, parts, freshness)
        if want.users is None and made.chunks:
            population = await _population(partial(connections.ask, connection.name))
            made = plan(msgspec.structs.replace(want, population=population), parts, freshness)
        plans[connection.name] = made
    return plans


async def _population(ask: Ask) -> int:
    """Ask how many users there are; a gateway without a directory costs well-filled answers, not the run."""
    try:
        listing: users.Listing = await ask(users.counted())
    except (AuthError, RejectedError, RetriesExhausted):
        return _SOME
    return max(1, listing.total or _SOME)


def wanted_users(job: Job, connection: str) -> tuple[str, ...] | None:
    """Collect the users of a connection's teams, sorted; None where a team is everyone."""
    teams = [team.users for team in job.teams if team.connection == connection]
    if None in teams:
        return None
    return tuple(sorted({user for members in teams for user in members or ()}))


def warnings(job: Job) -> list[str]:
    """Say what a reader of the records may get wrong."""
    several = [column(dimension) for dimension in job.query.split_by if dimension in MULTI_VALUED]
    return [f"warning: an interaction can have several values of {name}: its records do not add up to the total" for name in several]


async def run_job(job: Job, *, now: int, screen: Screen, choices: Choices | None = None) -> Summary:
    """Bring a job's output files up to date; `now` is the run's start.

    Raise AuthError, RejectedError, StoreError and ConfigError where nothing more can be done; chunks that failed and teams
    that are unknown are in the summary, and the output files are left as they were unless `choices.allow_partial`.
    """
    started, choices = time.monotonic(), choices or Choices()
    check_targets(file.path for file in all_files(job))
    for line in warnings(job):
        screen.say(line)
    with State.open(job.state_folder) as state:
        async with Connections(job, screen.say) as connections:
            known, unknown = await look_up(job, connections)
            _report(unknown, screen, strict=choices.strict)
            going = _Run(known, state, connections, now, screen)
            made = await going.bring_up_to_date(choices, whole=not unknown)
            summary = going.summarise(made, unknown, elapsed=time.monotonic() - started)
        write_json(state.folder / "summary.json", summary)
    return summary


def _report(unknown: Sequence[Unknown], screen: Screen, *, strict: bool) -> None:
    """Tell the teams that are unknown before anything is pulled; raise ConfigError where that is not to be."""
    if unknown and strict:
        raise ConfigError("; ".join(map(str, unknown)))
    for team in unknown:
        screen.say(f"warning: {team}")


@dataclass(slots=True)
class _Run:
    """One run of a job: what its steps share."""

    job: Job
    state: State
    connections: Connections
    now: int
    screen: Screen
    progress: Progress = field(default_factory=Progress)
    #: parts of earlier runs that are used as they are
    standing: int = 0
    changed: Changed = field(default_factory=Changed)
    #: what was learnt of each connection that something was pulled from
    known: list[Known] = field(default_factory=list)

    async def bring_up_to_date(self, choices: Choices, *, whole: bool) -> dict[Path, Made]:
        """Fetch what is missing and write the output files; a part found damaged on the way is fetched again.

        Not `whole`, for want of a team, or with gaps, the files are written only where `choices` allow that.
        """
        freshness = Freshness(settle=self.job.output.settle, refresh=choices.refresh, now=self.now)
        while True:
            plans = await make_plans(self.job, self.state.standing, self.connections, freshness)
            self.standing = sum(part.fetched_at != self.now for made in plans.values() for part in made.standing)
            await self.pull(plans)
            if not (whole and not self.progress.gaps) and not (choices.allow_partial and self.job.teams):
                return {}
            try:
                made = await self.merge(refresh_names=choices.refresh_names)
            except DamagedPartError as error:
                await self.drop_damaged(error)
            else:
                self.changed = await self.state.work(lambda _: self.state.discard_replaced(at=self.now))
                return made

    async def drop_damaged(self, error: DamagedPartError) -> None:
        """Let go of every part that is not what was saved; raise StoreError where this very run saved it: the disk cannot be trusted."""
        parts = {part.number: part for each in self.job.connections for part in self._parts(each)}

        def find(_: Event) -> list[DamagedPartError]:
            with Reader(self.state.folder) as reader:
                return reader.damaged(parts.values())

        found = {each.number: each for each in (error, *await self.state.work(find))}
        if any(parts[number].fetched_at == self.now for number in found if number in parts):
            raise StoreError(f"{error} (but this run saved it, so check the disk first)") from error
        for number, each in found.items():
            self.screen.say(f"warning: {each}")
            self.state.drop(number)

    async def pull(self, plans: dict[str, Plan]) -> None:
        """Fetch what the plans list, connection by connection at once."""
        works = [await self._work(name, made) for name, made in plans.items() if made.chunks]
        if works:
            self.progress.proven = self.progress.finished > 0 or any(made.standing or made.stale for made in plans.values())
            async with self.screen.watching(self.progress, self._wire):
                await run(works, self._save, self.progress)

    async def _work(self, name: str, plan: Plan) -> Work:
        lanes = await self.connections.lanes(name)
        known = Known(patience=self.job.limits.give_up_after)
        self.known.append(known)
        if self.job.query.occupancy and any(chunk.users is None for chunk in plan.chunks):
            known.everyone = await drive(directory.everyone(), partial(self.connections.ask, name))
        # More workers than the minute has requests would wait at the throttle beyond `give_up_after`.
        concurrency = min(self.job.limits.concurrency, self.job.connection(name).requests_per_minute)
        fetches = [partial(fetch, query=self.job.query, ask=lane.ask, known=known) for lane in lanes]
        return Work(plan.chunks, fetches, concurrency, partial(self.connections.lost, name), self.job.limits.give_up_after)

    async def _save(self, chunk: Chunk, blocks: list[Block]) -> Part:
        fingerprint = self.job.query.fingerprint(self.job.connection(chunk.connection).identity)
        return await self.state.save(chunk, blocks, fingerprint=fingerprint, fetched_at=self.now)

    def _wire(self) -> tuple[int, float]:
        tally = self.connections.tally
        return tally.requests, tally.waited(asyncio.get_running_loop().time())

    async def merge(self, *, refresh_names: bool) -> dict[Path, Made]:
        """Write the output files that are not what the parts and names make of them."""
        people, queues = Names(self.state.folder / "names.json"), Names(self.state.folder / "queues.json")
        outputs = Outputs(self.state.folder)
        unchanged = {target.path: outputs.unchanged(target) for target in self._targets(people, queues)}
        kept = [(names, each.identity) for names in (people, queues) for each in self.job.connections]
        expired = any(names.missing(identity, names.of(identity), now=self.now) for names, identity in kept)
        if not expired and not refresh_names and all(unchanged.values()):
            return {path: made for path, made in unchanged.items() if made}
        with Reader(self.state.folder) as reader:
            for connection in self.job.connections:
                parts = self._parts(connection)
                for names, seen, steps in (
                    (people, reader.users(parts), users.names),
                    (queues, reader.queues(parts), directory.queue_names),
                ):
                    if not await self._learn(connection, names, seen, steps, again=refresh_names):
                        outputs.doubt()
            # Off the loop, and where nothing else writes: hashing and copying gigabytes must not hold up a signal.
            return await self.state.work(lambda stopped: outputs.write(self._targets(people, queues), reader, stopped))

    def _parts(self, connection: Connection) -> list[Part]:
        return self.state.standing(self.job.query.fingerprint(connection.identity))

    def _targets(self, people: Names, queues: Names) -> list[Target]:
        split = "queueId" in self.job.query.split_by
        sources = {
            each.name: Source.of(self._parts(each), people.of(each.identity), queues.of(each.identity) if split else None)
            for each in self.job.connections
        }
        return [
            Target(path=file.path, interval=self.job.interval, months=file.months, teams=file.teams, sources=sources)
            for file in all_files(self.job)
        ]

    async def _learn(self, connection: Connection, names: Names, seen: Iterable[str], steps: Lookup, *, again: bool) -> bool:
        """Ask for the names of what has records and is not known; a directory that refuses costs the names, not the run: False."""
        names.drop_unseen(connection.identity, seen, now=self.now)
        asked = sorted(seen) if again else names.missing(connection.identity, seen, now=self.now)
        if not asked:
            return True
        try:
            names.keep(connection.identity, await drive(steps(asked), partial(self.connections.ask, connection.name)), now=self.now)
        except (AuthError, RejectedError, RetriesExhausted) as error:
            self.screen.say(f"warning: {counted(len(asked), 'name')} not to be had: {error}")
            return False
        return True

    def summarise(self, made: dict[Path, Made], unknown: list[Unknown], *, elapsed: float) -> Summary:
        """Say what the run did; `elapsed` is in seconds."""
        tally = self.connections.tally
        main = [made[file.path] for file in main_files(self.job) if file.path in made]
        return Summary(
            job=self.job.name,
            range=str(self.job.interval),
            started=iso(self.now),
            elapsed_sec=round(elapsed, 3),
            complete=not self.progress.gaps and not unknown,
            partial=bool(made) and bool(self.progress.gaps or unknown),
            records={team.name: sum(each.records.get(team.name, 0) for each in main) for team in self.job.teams},
            members=self._members(merged=bool(made)),
            chunks_fetched=self.progress.finished,
            chunks_cut=sum(known.cut for known in self.known),
            chunks_standing=self.standing,
            changed=self.changed,
            records_fetched=self.progress.records,
            requests=tally.requests,
            retries=tally.retries,
            throttled=tally.throttled,
            waiting_sec=round(tally.waiting, 3),
            outputs=[str(path) for path in made],
            missing=[Missing.of(gap) for gap in self.progress.gaps],
            unknown=unknown,
        )

    def _members(self, *, merged: bool) -> dict[str, Change]:
        """Tell who joined and who left the teams that are looked up since the last run, and remember who is in them."""
        members = Members(self.state.folder)
        teams = [team for team in self.job.teams if team.selector is not None]
        changes = {team.name: members.changes(team.name, team.users or ()) for team in teams}
        if merged:  # what nobody was shown would be forgotten otherwise
            members.keep({team.name: team.users or () for team in teams})
        return {team: Change(joined=list(change[0]), left=list(change[1])) for team, change in changes.items() if change}
