"""The members of a job's teams today. Owns nothing.

Each run looks them up again because the directory has no history.
"""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import Struct

from asyncreport.api import directory
from asyncreport.core.errors import RejectedError, RetriesExhausted, UnknownTeamError
from asyncreport.core.job import Job, Team
from asyncreport.core.text import first_items
from asyncreport.engine.fetch import drive
from asyncreport.export.lanes import Connections


class UnknownTeam(Struct, frozen=True, kw_only=True):
    """A team that could not be looked up."""

    team: str
    #: `group Billing`
    selector: str
    error: str

    def __str__(self) -> str:
        return f"team {self.team!r} ({self.selector}) cannot be looked up: {self.error}"


async def look_up_teams(job: Job, connections: Connections) -> tuple[Job, list[UnknownTeam]]:
    """Fill in the members of teams; the job that is returned has no unknown teams.

    Raise AuthError if the directory refuses every client.
    """
    teams: list[Team] = []
    unknown: list[UnknownTeam] = []
    for team in job.teams:
        try:
            teams.append(await with_members(team, connections))
        except (UnknownTeamError, RejectedError, RetriesExhausted) as error:
            unknown.append(UnknownTeam(team=team.name, selector=team.selection, error=str(error)))
    return msgspec.structs.replace(job, teams=tuple(teams)), unknown


async def with_members(team: Team, connections: Connections) -> Team:
    """Fill in the members of a team with a selector.

    Raise UnknownTeamError, AuthError, RejectedError or RetriesExhausted.
    """
    if team.emails:
        raise UnknownTeamError(
            f"e-mail addresses are not looked up yet; list the user's id instead of "
            f"{first_items(team.emails)}"
        )
    if team.selector is None:
        return team
    ask = partial(connections.ask, team.connection)
    roster = await drive(directory.look_up(team.selector), ask)
    return msgspec.structs.replace(team, users=tuple(roster.users))
