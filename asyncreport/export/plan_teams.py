"""The teams of a plan: who is in them today, and which a run could not export. Owns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from asyncreport.core.errors import AuthError, CredentialsError, RejectedError, RetriesExhausted
from asyncreport.core.job import Connection, Job, Team
from asyncreport.export.lanes import Connections
from asyncreport.export.names import NameLookup
from asyncreport.export.plans import count_users
from asyncreport.export.storage import Files
from asyncreport.export.summary_outputs import key
from asyncreport.export.teams import UnknownTeam, look_up_teams
from asyncreport.export.unknown_users import has_records, knows_nobody, unknown_team
from asyncreport.store.job_parts import JobParts


class PlannedTeam(Struct, frozen=True, kw_only=True):
    """A team as a run would find it now."""

    connection: Annotated[str, key("name of the connection")]
    team: Annotated[str, key("name of the team")]
    selector: Annotated[
        str,
        key("how its users are selected: group Billing, everyone, or listed users"),
    ]
    users: Annotated[int | None, key("number of users today; null: the directory did not say it")]


async def find_teams(
    files: Files,
    parts: JobParts,
    connections: Connections,
    *,
    now: int,
) -> PlannedTeams:
    """Look up the members of teams and the listed users, and keep nothing; `now` is an instant.

    Raise AuthError if the directory refuses every client.
    """
    job = files.job
    found = await look_up_teams(job, connections)
    teams = PlannedTeams(found.job, files, connections, found.unknown)
    lookup = NameLookup(job.state_folder, connections, _ignore, now=now)
    for connection in job.connections:
        await teams.look_up_listed(connection, lookup, parts)
    return teams


def _ignore(_: str) -> None:
    """Ignore messages about names: a plan does not need them."""


@dataclass(slots=True)
class PlannedTeams:
    """The teams of a job as a run would find them now."""

    #: with members, and without the teams that are wrong
    job: Job
    files: Files
    connections: Connections
    #: teams that a run could not look up
    unknown: list[UnknownTeam]

    async def look_up_listed(
        self,
        connection: Connection,
        lookup: NameLookup,
        parts: JobParts,
    ) -> None:
        """Take out the teams of a connection whose listed users are all unknown."""
        try:
            found = await lookup.ask_for_listed(self.job, connection)
        except CredentialsError:
            raise
        except (AuthError, RejectedError):
            # Records can be fetched without the directory.
            return
        except RetriesExhausted as error:
            self._note_silence(connection, error)
            return
        names = {**lookup.users.of(connection.directory), **found}
        nobody = self._teams_of_nobody(connection, names, parts)
        self.unknown += map(unknown_team, nobody)
        self.job = replace(
            self.job, teams=tuple(team for team in self.job.teams if team not in nobody)
        )

    def _note_silence(self, connection: Connection, error: RetriesExhausted) -> None:
        """Note the teams that list users if the server does not answer; the plan is still made."""
        self.unknown += [
            UnknownTeam.of(team, error)
            for team in self.job.teams
            if team.connection == connection.name and team.selector is None and team.users
        ]

    def _teams_of_nobody(
        self,
        connection: Connection,
        names: Mapping[str, str | None],
        parts: JobParts,
    ) -> list[Team]:
        """List the teams whose listed users do not exist and have no records."""
        return [
            team
            for team in self.job.teams
            if team.connection == connection.name
            and knows_nobody(team, names)
            and not has_records(team, parts.current(connection), self.files)
        ]

    async def describe(self, team: Team) -> PlannedTeam:
        """Say how a team is selected, and how many users that is today."""
        return PlannedTeam(
            connection=team.connection,
            team=team.name,
            selector=team.selection,
            users=await self._count(team),
        )

    async def _count(self, team: Team) -> int | None:
        """Count the users of a team; None: the number is not known."""
        if not team.everyone:
            return len(team.users)
        try:
            return await count_users(team.connection, self.connections)
        except RetriesExhausted as error:
            self.unknown.append(UnknownTeam.of(team, error))
            return None
