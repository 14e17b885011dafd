"""The members of a job's teams today, and the users of e-mail addresses. Owns its tasks.

Each run looks them up again because the directory has no history.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from asyncreport.api.user_search import users_by_email
from asyncreport.core.apart import is_single
from asyncreport.core.errors import (
    AsyncReportError,
    AuthError,
    ConfigError,
    RejectedError,
    RetriesExhausted,
    UnknownTeamError,
)
from asyncreport.core.job import Job, Team
from asyncreport.engine.fetch import drive
from asyncreport.export.lanes import Connections
from asyncreport.export.name_batches import AT_ONCE
from asyncreport.export.rosters import Rosters

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
    """Fill in the members of teams.

    Raise AuthError if the directory refuses every client of the only connection.
    """
    look_up = _LookUp(job, connections)
    await look_up.run()
    return look_up.result()


@dataclass(slots=True)
class _LookUp:
    """The look-up of all teams, several at a time."""

    job: Job
    connections: Connections
    emails: EmailIds = field(default_factory=dict)
    #: by the team as the job has it
    _found: dict[Team, Team | UnknownTeam] = field(default_factory=dict)

    async def run(self) -> None:
        """Look up every team; raise AuthError."""
        rosters = Rosters(self.job, self.connections)
        left = deque(self.job.teams)
        # The first one alone: it shows whether a client is refused, and that is reported once.
        while left:
            team = left.popleft()
            await self._look_up(team, rosters)
            if team.selector is not None or team.emails:
                break
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, len(left))):
                    group.create_task(self._work(left, rosters))
        except BaseExceptionGroup as errors:
            error = errors.exceptions[0]
            raise error from error.__cause__

    async def _work(self, left: deque[Team], rosters: Rosters) -> None:
        """Look up one team after another until none is left."""
        while left:
            await self._look_up(left.popleft(), rosters)

    async def _look_up(self, team: Team, rosters: Rosters) -> None:
        """Look up one team; note it as unknown if that fails."""
        try:
            self._found[team] = await with_members(team, rosters, self.emails)
        except AuthError as error:
            if is_single(self.job):
                raise
            self._found[team] = UnknownTeam.of(team, error)
        except (UnknownTeamError, RejectedError, RetriesExhausted) as error:
            self._found[team] = UnknownTeam.of(team, error)

    def result(self) -> LookedUpTeams:
        """Give what was found, in the order of the job."""
        found = [self._found[team] for team in self.job.teams]
        teams = tuple(team for team in found if isinstance(team, Team))
        unknown = [team for team in found if isinstance(team, UnknownTeam)]
        job = msgspec.structs.replace(self.job, teams=teams)
        return LookedUpTeams(job, unknown, self.emails)


async def with_members(team: Team, rosters: Rosters, emails: EmailIds) -> Team:
    """Fill in the members of a team; add the ids of its e-mail addresses to `emails`.

    Raise UnknownTeamError, AuthError, RejectedError or RetriesExhausted.
    """
    if team.emails:
        ask = partial(rosters.connections.ask, team.connection)
        found = await drive(users_by_email(team.emails), ask)
        emails.setdefault(team.connection, {}).update(found)
        return with_emails(team, found)
    if team.selector is None:
        return team
    roster = await rosters.look_up(team.connection, team.selector)
    return msgspec.structs.replace(team, users=tuple(roster.users))


def with_emails(team: Team, ids: Mapping[str, str]) -> Team:
    """Add the users of a team's e-mail addresses to its users; each user counts once."""
    added = [ids[email] for email in team.emails]
    users = tuple(dict.fromkeys([*team.users, *added]))
    return msgspec.structs.replace(team, users=users, emails=())
