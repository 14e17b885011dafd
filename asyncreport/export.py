"""One export from clock to merge: plan, engine, names, output files, summary. Owns the order of things and the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from asyncreport.api import users
from asyncreport.api.aggregates import Learned
from asyncreport.connect import Connections
from asyncreport.engine import Progress, Work, run
from asyncreport.errors import AuthError, RejectedError
from asyncreport.fetch import drive, fetch
from asyncreport.job import Chunk, Connection, Job, Part, Team
from asyncreport.plan import Plan, Want, plan
from asyncreport.progress import Screen
from asyncreport.records import Block
from asyncreport.store.disk import write_json
from asyncreport.store.merge import Source, Target, check_targets
from asyncreport.store.names import Names
from asyncreport.store.outputs import Made, Outputs
from asyncreport.store.parts import Reader
from asyncreport.store.state import State
from asyncreport.summary import Missing, Summary
from asyncreport.timeline import iso


def clock() -> int:
    """Read the wall clock, once per run: an instant."""
    return time.time_ns() // 1_000_000


def wanted_users(job: Job, connection: str) -> tuple[str, ...] | None:
    """Collect the users of a connection's teams, sorted; None where a team is everyone."""
    found: set[str] = set()
    for team in job.teams:
        if team.connection == connection:
            if team.users is None:
                return None
            found.update(team.users)
    return tuple(sorted(found))


async def make_plans(job: Job, standing: Callable[[str], Sequence[Part]], connections: Connections) -> dict[str, Plan]:
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
        made = plan(want, parts, settle=job.output.settle)
        if want.users is None and made.chunks:
            (lane, *_) = await connections.lanes(connection.name)
            listing: users.Listing = await lane.ask(users.counted())
            made = plan(msgspec.structs.replace(want, population=max(1, listing.total or 1)), parts, settle=job.output.settle)
        plans[connection.name] = made
    return plans


async def run_job(job: Job, *, now: int, screen: Screen, allow_partial: bool = False, refresh_names: bool = False) -> Summary:
    """Bring a job's output files up to date; `now` is the run's start.

    Raise AuthError, RejectedError, StoreError and ConfigError where nothing more can be done; chunks that failed are in the
    summary, and the output files are left as they were unless `allow_partial`.
    """
    started = time.monotonic()
    check_targets(file.path for file in _all_files(job))
    with State.open(job.state_folder) as state:
        async with Connections(job) as connections:
            going = _Run(job, state, connections, now, screen)
            plans = await make_plans(job, state.standing, connections)
            await going.pull(plans)
            made: dict[Path, Made] = {}
            if allow_partial or not going.progress.gaps:
                made = await going.merge(refresh_names=refresh_names)
                state.discard_replaced()
            summary = going.summarise(plans, made, elapsed=time.monotonic() - started)
        write_json(state.folder / "summary.json", summary)
    return summary


def _files(job: Job, template: str, teams: tuple[Team, ...]) -> list[_File]:
    """List the files that a path with or without `{month}` stands for."""
    months = tuple(slot.month for slot in job.query.grid.slots(job.interval))
    if "{month}" not in template:
        return [_File(Path(template).absolute(), months, teams)]
    return [_File(Path(template.replace("{month}", month)).absolute(), (month,), teams) for month in months]


def _main_files(job: Job) -> list[_File]:
    return _files(job, job.output.path, job.teams)


def _all_files(job: Job) -> list[_File]:
    found = _main_files(job)
    if job.output.per_team is not None:
        for team in job.teams:
            found += _files(job, job.output.per_team.replace("{team}", team.name), (team,))
    return found


class _File(NamedTuple):
    """An output file: where it is and what belongs in it."""

    path: Path
    #: in order of time
    months: tuple[str, ...]
    teams: tuple[Team, ...]


@dataclass(slots=True)
class _Run:
    """One run of a job: what its steps share."""

    job: Job
    state: State
    connections: Connections
    now: int
    screen: Screen
    progress: Progress = field(default_factory=Progress)

    async def pull(self, plans: dict[str, Plan]) -> None:
        """Fetch what the plans list, connection by connection at once."""
        works = [await self._work(name, made.chunks) for name, made in plans.items() if made.chunks]
        if works:
            async with self.screen.watching(self.progress, self._wire):
                await run(works, self._save, self.progress)

    async def _work(self, name: str, chunks: Sequence[Chunk]) -> Work:
        learned = Learned()
        lanes = await self.connections.lanes(name)
        # More workers than the minute has requests would wait at the throttle beyond `give_up_after`.
        concurrency = min(self.job.limits.concurrency, self.job.connection(name).requests_per_minute)
        fetches = [partial(fetch, query=self.job.query, ask=lane.ask, learned=learned) for lane in lanes]
        return Work(chunks, fetches, concurrency)

    async def _save(self, chunk: Chunk, blocks: list[Block]) -> Part:
        fingerprint = self.job.query.fingerprint(self.job.connection(chunk.connection).identity)
        return await self.state.save(chunk, blocks, fingerprint=fingerprint, fetched_at=self.now)

    def _wire(self) -> tuple[int, float]:
        return self.connections.tally.requests, self.connections.tally.waiting

    async def merge(self, *, refresh_names: bool) -> dict[Path, Made]:
        """Write the output files that are not what the parts and names make of them."""
        names, outputs = Names(self.state.folder), Outputs(self.state.folder)
        unchanged = {target.path: outputs.unchanged(target) for target in self._targets(names)}
        expired = any(names.missing(each.identity, names.of(each.identity), now=self.now) for each in self.job.connections)
        if not expired and not refresh_names and all(unchanged.values()):
            return {path: made for path, made in unchanged.items() if made}
        with Reader(self.state.folder) as reader:
            for connection in self.job.connections:
                await self._learn_names(connection, names, reader, refresh=refresh_names)
            # Off the loop: hashing and copying gigabytes must not hold up a signal.
            return await asyncio.to_thread(outputs.write, self._targets(names), reader)

    def _parts(self, connection: Connection) -> list[Part]:
        return self.state.standing(self.job.query.fingerprint(connection.identity))

    def _targets(self, names: Names) -> list[Target]:
        sources = {each.name: Source.of(self._parts(each), names.of(each.identity)) for each in self.job.connections}
        return [
            Target(path=file.path, interval=self.job.interval, months=file.months, teams=file.teams, sources=sources)
            for file in _all_files(self.job)
        ]

    async def _learn_names(self, connection: Connection, names: Names, reader: Reader, *, refresh: bool) -> None:
        """Ask for the names of who has records and is not known; a directory that refuses costs the names, not the run."""
        seen = reader.users(self._parts(connection))
        asked = sorted(seen) if refresh else names.missing(connection.identity, seen, now=self.now)
        if not asked:
            return
        lane = (await self.connections.lanes(connection.name))[0]
        try:
            names.keep(connection.identity, await drive(users.names(asked), lane.ask), now=self.now)
        except (AuthError, RejectedError) as error:
            self.screen.say(f"warning: {len(asked):,} names of users stay unknown: {error}")

    def summarise(self, plans: dict[str, Plan], made: dict[Path, Made], *, elapsed: float) -> Summary:
        """Say what the run did; `elapsed` is in seconds."""
        tally = self.connections.tally
        main = [made[file.path] for file in _main_files(self.job) if file.path in made]
        return Summary(
            job=self.job.name,
            range=str(self.job.interval),
            started=iso(self.now),
            elapsed_sec=round(elapsed, 3),
            complete=not self.progress.gaps,
            records={team.name: sum(each.records.get(team.name, 0) for each in main) for team in self.job.teams},
            chunks_fetched=self.progress.finished,
            chunks_standing=sum(len(each.standing) for each in plans.values()),
            records_fetched=self.progress.records,
            requests=tally.requests,
            retries=tally.retries,
            throttled=tally.throttled,
            waiting_sec=round(tally.waiting, 3),
            outputs=[str(path) for path in made],
            missing=[Missing.of(gap) for gap in self.progress.gaps],
        )
