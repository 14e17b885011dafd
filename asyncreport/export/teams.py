"""The members of a job's teams today, and the users of e-mail addresses. Owns nothing.

Each run looks them up again because the directory has no history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from asyncreport.api import directory
from asyncreport.api.user_search import users_by_email
from asyncreport.core.errors import (
    AsyncReportError,
    ConfigError,
    RejectedError,
    RetriesExhausted,
    UnknownTeamError,
)
from asyncreport.core.job import Job, Team
from asyncreport.engine.fetch import drive
from asyncreport.export.lanes import Connections

#: user ids by e-mail address, by the connection's name
EmailIds = dict[str, dict[str, str]]


class UnknownTeam(Struct, frozen=True, kw_only=True):
    """A team that could not be looked up."""

    team: Annotated[str, Meta(description="name of the team")]
    selector: Annotated[
        str,
        Meta(description="how its users are selected: group Billing, or listed users"),
    ]
    error: Annotated[str, Meta(description="why it could not be looked up")]
    unknown_users: Annotated[
        bool,
        Meta(description="true: the job file lists users that do not exist"),
    ] = False
    exit_code: Annotated[
        int,
        Meta(description="the exit code of a run with this team: of the error"),
    ] = ConfigError.exit_code

    def __str__(self) -> str:
        return f"team {self.team!r} ({self.selector}) cannot be looked up: {self.error}"

    @classmethod
    def of(cls, team: Team, error: AsyncReportError) -> UnknownTeam:
        """Describe why a team could not be looked up."""
        listed = team.selector is None
        return cls(
            team=team.name,
            selector=team.selection,
            error=str(error),
            unknown_users=listed and isinstance(error, UnknownTeamError),
            exit_code=error.exit_code,
        )


def worst(unknown: Iterable[UnknownTeam]) -> int:
    """Give the exit code of a command with these teams: the highest; 0 if there are none."""
    return max((team.exit_code for team in unknown), default=0)


@dataclass(frozen=True, slots=True)
class LookedUpTeams:
    """What the directory said about a job's teams."""

    #: with the members of teams, without the unknown teams
    job: Job
    unknown: list[UnknownTeam]
    emails: EmailIds


async def look_up_teams(job: Job, connections: Connections) -> LookedUpTeams:
    """Fill in the members of teams; raise AuthError if the directory refuses every client."""
    teams: list[Team] = []
    unknown: list[UnknownTeam] = []
    emails: EmailIds = {}
    for team in job.teams:
        try:
            teams.append(await with_members(team, connections, emails))
        except (UnknownTeamError, RejectedError, RetriesExhausted) as error:
            unknown.append(UnknownTeam.of(team, error))
    job = msgspec.structs.replace(job, teams=tuple(teams))
    return LookedUpTeams(job, unknown, emails)


async def with_members(team: Team, connections: Connections, emails: EmailIds) -> Team:
    """Fill in the members of a team; add the ids of its e-mail addresses to `emails`.

    Raise UnknownTeamError, AuthError, RejectedError or RetriesExhausted.
    """
    ask = partial(connections.ask, team.connection)
    if team.emails:
        found = await drive(users_by_email(team.emails), ask)
        emails.setdefault(team.connection, {}).update(found)
        return with_emails(team, found)
    if team.selector is None:
        return team
    roster = await drive(directory.look_up(team.selector), ask)
    return msgspec.structs.replace(team, users=tuple(roster.users))


def with_emails(team: Team, ids: Mapping[str, str]) -> Team:
    """Add the users of a team's e-mail addresses to its users; each user counts once."""
    added = [ids[email] for email in team.emails]
    users = tuple(dict.fromkeys([*team.users, *added]))
    return msgspec.structs.replace(team, users=users, emails=())
