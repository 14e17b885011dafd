"""Check a job's teams and listed users before a run. Owns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from asyncreport.api import directory
from asyncreport.core.apart import named
from asyncreport.core.errors import AsyncReportError, UnknownTeamError
from asyncreport.core.finding import Finding, Report
from asyncreport.core.job import Job, Team
from asyncreport.core.text import counted
from asyncreport.engine.fetch import drive
from asyncreport.export.lanes import Connections
from asyncreport.export.names import listed_users, unknown_users_message
from asyncreport.export.rosters import Rosters
from asyncreport.export.teams import with_members
from asyncreport.export.unknown_users import knows_nobody, nobody_message

#: names by user id; None for a user that the directory does not know
_Names = Mapping[str, str | None]


async def check_users(
    job: Job,
    name: str,
    connections: Connections,
    report: Report,
) -> None:
    """Ask the directory for the users of the job, as a run does: with any client that works."""
    teams = [team for team in job.teams if team.connection == name]
    names = await _look_up_listed(job, name, connections, report)
    rosters = Rosters(job, connections)
    for team in teams:
        report(await _team(team, named(job, name, _describe(team)), rosters, names))
    _report_listed_users(job, name, _names_of_others(teams, names), report)


async def _look_up_listed(
    job: Job,
    name: str,
    connections: Connections,
    report: Report,
) -> _Names:
    """Look up the names of listed users; nothing if the directory refuses, which is reported."""
    ids = listed_users(job, name)
    ask = partial(connections.ask, name)
    try:
        return await drive(directory.user_names(ids), ask)
    except AsyncReportError as error:
        report(failure(named(job, name, "listed users in the directory"), error))
        return {}


def failure(text: str, error: AsyncReportError) -> Finding:
    """Report an error; the command ends with its exit code."""
    return Finding("FAIL", f"{text}: {error}", failure_code=error.exit_code)


async def _team(team: Team, text: str, rosters: Rosters, names: _Names) -> Finding:
    """Say how many users a team has; look up its members. `text` names the team."""
    if knows_nobody(team, names):
        # Its file would be empty, and nothing would say why.
        return failure(text, UnknownTeamError(nobody_message(team)))
    try:
        count = await _count_users(team, rosters)
    except AsyncReportError as error:
        return failure(text, error)
    return _size(text, count)


def _describe(team: Team) -> str:
    """Name a team in findings, and how it is selected."""
    return f"team {team.name!r} ({team.selection})"


def _size(text: str, count: int) -> Finding:
    """Report how many users a team has; `text` names the team."""
    if count == 0:
        return Finding("WARN", f"{text} has no users today")
    return Finding("OK", f"{text} has {counted(count, 'user')} today")


async def _count_users(team: Team, rosters: Rosters) -> int:
    """Count the users of a team today; raise AsyncReportError."""
    if team.everyone:
        request = directory.user_count_request()
        total: int | None = await rosters.connections.ask(team.connection, request)
        return total or 0
    team = await with_members(team, rosters, {})
    return len(team.users)


def _names_of_others(teams: list[Team], names: _Names) -> dict[str, str | None]:
    """Leave out the users whom the finding of their team has named."""
    named: set[str] = set()
    for team in teams:
        if knows_nobody(team, names):
            named.update(team.users)
    return {user: name for user, name in names.items() if user not in named}


def _report_listed_users(job: Job, connection: str, names: _Names, report: Report) -> None:
    """Warn about listed users without a name: the directory does not know them."""
    unknown = [user for user, name in names.items() if name is None]
    if unknown:
        report(Finding("WARN", named(job, connection, unknown_users_message(unknown))))
    elif names:
        found = counted(len(names), "listed user")
        report(Finding("OK", named(job, connection, f"{found} found in the directory")))
