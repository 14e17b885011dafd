"""What a job has on disk: teams, parts, plans and output files. Reads the state folder only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Chunk, ChunkLength, Job, Part
from asyncreport.core.plan import Plan, plan
from asyncreport.export.last_members import LastMembers
from asyncreport.export.last_summary import LastSummary, read_last_summary
from asyncreport.export.plans import demand_of
from asyncreport.export.targets import targets
from asyncreport.export.teams import UnknownTeam
from asyncreport.store.job_parts import JobParts
from asyncreport.store.lookups import NameTables
from asyncreport.store.target import Target

#: parts by the connection's name
_Parts = dict[str, list[Part]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A job's state folder at the moment when it was read."""

    freshness: Freshness
    #: with the members that the last run found, without teams that no run has looked up
    job: Job
    #: names of these teams
    unknown_teams: tuple[str, ...]
    #: of the last run that finished; None if no run has finished
    last_summary: LastSummary | None
    #: by the connection's name
    plans: dict[str, Plan]
    #: parts whose files exist, in any range; by the connection's name
    parts: _Parts
    #: parts whose files are gone or were cut; by the connection's name
    lost_parts: _Parts

    @classmethod
    def read(cls, job: Job, *, now: int) -> Self:
        """Read a state folder; `now` is an instant. Raise StoreError.

        No lock is needed.
        """
        freshness = Freshness(settle=job.output.settle, now=now)
        last_members = LastMembers.read(job)
        job = last_members.job_with_members()
        parts, lost_parts = _read_parts(job)
        return cls(
            freshness=freshness,
            job=job,
            unknown_teams=last_members.unknown_teams(),
            last_summary=read_last_summary(job.state_folder),
            plans=_plans(job, parts, freshness),
            parts=parts,
            lost_parts=lost_parts,
        )

    def teams_not_looked_up(self) -> list[UnknownTeam]:
        """List the teams with known members that the last run could not look up again."""
        if self.last_summary is None:
            return []
        selectors = self._selectors()
        unknown = self.last_summary.unknown_teams
        return [team for team in unknown if (team.team, team.selector) in selectors]

    def _selectors(self) -> set[tuple[str, str]]:
        """List the teams with their selectors: under another one, the same name is another team."""
        return {(team.name, team.selection) for team in self.job.teams}

    def missing_chunks(self, connection: str) -> list[Chunk]:
        """List what no part covers, in chunks of a month and 100 users; stale parts count."""
        found = self.plans[connection]
        stale = {part.number for part in found.stale}
        return [chunk for chunk in found.chunks if stale.isdisjoint(chunk.replaces)]

    def wanted_parts(self, connection: str) -> list[Part]:
        """List the parts that contain something that the job wants, stale parts included."""
        found = self.plans[connection]
        return sorted((*found.reused, *found.stale), key=lambda part: part.number)

    def targets(self) -> list[Target]:
        """List the output files with what belongs in each."""
        return targets(self.job, self.parts, NameTables(self.job.state_folder))


def _read_parts(job: Job) -> tuple[_Parts, _Parts]:
    """Read the parts whose files exist, and those whose files are gone or were cut."""
    on_disk = JobParts.read(job)
    parts = {each.name: on_disk.current(each) for each in job.connections}
    lost_parts = {each.name: on_disk.lost(each) for each in job.connections}
    return parts, lost_parts


def _plans(job: Job, parts: _Parts, freshness: Freshness) -> dict[str, Plan]:
    """Plan each connection in chunks of a whole month: they are shown to people, not fetched."""
    month = ChunkLength()
    plans = {}
    for connection in job.connections:
        name = connection.name
        demand = demand_of(job, connection, month)
        plans[name] = plan(demand, parts[name], freshness)
    return plans
