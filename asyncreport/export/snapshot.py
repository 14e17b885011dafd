"""What a job has on disk: its teams as they were last seen, its parts, plans and output files. Reads the state folder, changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
from msgspec import Struct

from asyncreport.core.job import Chunk, ChunkLength, Connection, Job, Part, Team
from asyncreport.core.plan import Demand, Freshness, Plan, plan
from asyncreport.export.plans import wanted_users
from asyncreport.export.summary import MissingChunk
from asyncreport.export.targets import targets
from asyncreport.export.teams import UnknownTeam
from asyncreport.store.atomic import read_json
from asyncreport.store.lookups import Members, Names
from asyncreport.store.manifest import Manifest
from asyncreport.store.merge import Target


class LastSummary(Struct, frozen=True):
    """What is told of `summary.json`, whatever else later versions put in."""

    started: str
    complete: bool
    records: dict[str, int]
    missing: list[MissingChunk] = []
    unknown: list[UnknownTeam] = []
    outputs: list[str] = []


def read_last(job: Job) -> LastSummary | None:
    """Read what the last run said that came to its end; raise StoreError."""
    return read_json(job.state_folder / "summary.json", LastSummary)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job's state folder as it stood when it was read."""

    freshness: Freshness
    #: with the members that the last run found; teams that no run has looked up are left out
    job: Job
    #: names of those teams
    unknown_teams: tuple[str, ...]
    #: what the last run that came to its end said; None: there was none
    last_summary: LastSummary | None
    #: by the connection's name
    plans: dict[str, Plan]
    #: parts whose files are there, whatever the range; by the connection's name
    parts: dict[str, list[Part]]
    #: parts whose files are gone or were cut; by the connection's name
    lost_parts: dict[str, list[Part]]

    @classmethod
    def read(cls, job: Job, *, now: int) -> Self:
        """Read it without the lock: a manifest grows by whole lines; `now` is an instant. Raise StoreError."""
        freshness = Freshness(settle=job.output.settle, now=now)
        known, unknown = _last_seen(job)
        manifest = Manifest.read(job.state_folder)
        standing, lost, plans = {}, {}, {}
        for connection in job.connections:
            fingerprint = job.query.fingerprint(connection.identity)
            parts = manifest.current_parts(fingerprint)
            numbers = {part.number for part in parts}
            standing[connection.name] = parts
            lost[connection.name] = [
                part for part in manifest.committed(fingerprint) if part.number not in numbers
            ]
            plans[connection.name] = _plan(known, connection, parts, freshness)
        return cls(freshness, known, unknown, read_last(job), plans, standing, lost)

    def teams_not_looked_up(self) -> list[UnknownTeam]:
        """List the teams, known from before, that the last run could not look up and that are the same ones today."""
        selectors = {(team.name, str(team.selector)) for team in self.job.teams}
        return [
            team
            for team in (self.last_summary.unknown if self.last_summary else ())
            if (team.team, team.selector) in selectors
        ]

    def missing_chunks(self, connection: str) -> list[Chunk]:
        """List what no part covers, stale parts counted as parts; a chunk a month and hundred users."""
        made = self.plans[connection]
        stale = {part.number for part in made.stale}
        return [chunk for chunk in made.chunks if not stale.intersection(chunk.replaces)]

    def wanted_parts(self, connection: str) -> list[Part]:
        """List the parts that hold something of what the job wants."""
        made = self.plans[connection]
        return sorted((*made.reused, *made.stale), key=lambda part: part.number)

    def targets(self) -> list[Target]:
        """List the output files with what belongs in each."""
        folder = self.job.state_folder
        people, queues = Names(folder / "names.json"), Names(folder / "queues.json")
        return targets(self.job, lambda connection: self.parts[connection.name], people, queues)


def _last_seen(job: Job) -> tuple[Job, tuple[str, ...]]:
    members = Members(job.state_folder)
    found: list[Team] = []
    unknown: list[str] = []
    for team in job.teams:
        users = team.users if team.selector is None else members.of(team)
        if team.selector is not None and users is None:
            unknown.append(team.name)
        else:
            found.append(msgspec.structs.replace(team, users=users))
    return msgspec.structs.replace(job, teams=tuple(found)), tuple(unknown)


def _plan(job: Job, connection: Connection, parts: Sequence[Part], freshness: Freshness) -> Plan:
    users = wanted_users(job, connection.name)
    want = Demand(
        connection=connection.name,
        grid=job.query.grid,
        interval=job.interval,
        users=users,
        length=ChunkLength(),
    )
    return plan(want, parts, freshness)
