"""The users of a job's teams as they were last looked up. Reads the state folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from msgspec.structs import replace

from asyncreport.core.job import Job, Team
from asyncreport.export.teams import with_emails
from asyncreport.store.lookups import Emails, Members


@dataclass(frozen=True, slots=True)
class LastMembers:
    """What earlier runs of a job looked up."""

    job: Job
    members: Members
    emails: Emails

    @classmethod
    def read(cls, job: Job) -> Self:
        """Read a job's state folder; raise StoreError."""
        folder = job.state_folder
        return cls(job, Members(folder), Emails(folder))

    def job_with_members(self) -> Job:
        """Fill in the users; the job that is returned has no team that was never looked up."""
        found = map(self._with_members, self.job.teams)
        teams = tuple(team for team in found if team is not None)
        return replace(self.job, teams=teams)

    def unknown_teams(self) -> tuple[str, ...]:
        """Name the teams that were never looked up."""
        return tuple(team.name for team in self.job.teams if self._with_members(team) is None)

    def _with_members(self, team: Team) -> Team | None:
        """Fill in the users of a team; None: they were never looked up."""
        if team.emails:
            return _with_emails(team, self._email_ids(team))
        if team.selector is None:
            return team
        return self._with_selected(team)

    def _with_selected(self, team: Team) -> Team | None:
        """Fill in the members of a group, team or queue."""
        users = self.members.of(team)
        if users is None:
            return None
        return replace(team, users=users)

    def _email_ids(self, team: Team) -> Mapping[str, str]:
        """Give the user ids of the e-mail addresses of a team's connection."""
        return self.emails.of(self.job.connection(team.connection))


def _with_emails(team: Team, ids: Mapping[str, str]) -> Team | None:
    """Fill in the users of e-mail addresses; None if one of them was never looked up."""
    if ids.keys() >= set(team.emails):
        return with_emails(team, ids)
    return None
