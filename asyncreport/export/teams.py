"""Who is in a job's teams today: looked up anew by each run, for the directory keeps no history. Owns nothing."""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import Struct

from asyncreport.api import directory
from asyncreport.core.errors import (
    AsyncReportError,
    RejectedError,
    RetriesExhausted,
    UnknownTeamError,
)
from asyncreport.core.job import Job, Team
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
    """Fill in the users of teams that are looked up; those that cannot be are left out of the job and told.

    Raise AuthError where the directory refuses the client.
    """
    found: list[Team] = []
    unknown: list[UnknownTeam] = []
    for team in job.teams:
        try:
            found.append(await with_members(team, connections))
        except (UnknownTeamError, RejectedError, RetriesExhausted) as error:
            unknown.append(_unknown(team, error))
    return msgspec.structs.replace(job, teams=tuple(found)), unknown


async def with_members(team: Team, connections: Connections) -> Team:
    """Fill in a team's users where they are looked up.

    Raise UnknownTeamError, AuthError, RejectedError or RetriesExhausted where they cannot be had.
    """
    if team.selector is None:
        return team
    roster = await drive(
        directory.look_up(team.selector), partial(connections.ask, team.connection)
    )
    return msgspec.structs.replace(team, users=tuple(roster.users))


def _unknown(team: Team, error: AsyncReportError) -> UnknownTeam:
    assert team.selector is not None
    return UnknownTeam(team=team.name, selector=str(team.selector), error=str(error))
