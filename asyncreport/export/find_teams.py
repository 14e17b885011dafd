"""The teams of a run: their members, and which of them cannot be exported. Owns nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from msgspec.structs import replace

from asyncreport.core.errors import UnknownTeamError
from asyncreport.core.job import Team
from asyncreport.export.run_context import RunContext
from asyncreport.export.teams import UnknownTeam, look_up_teams, worst
from asyncreport.export.unknown_users import has_records, knows_nobody, unknown_team
from asyncreport.store.lookups import Emails, Members


async def find_teams(
    context: RunContext,
    members: Members,
) -> tuple[RunContext, list[UnknownTeam]]:
    """Look up the members of the teams; raise an error for unknown teams if `strict`."""
    found = await look_up_teams(context.job, context.connections)
    context = dataclasses.replace(context, job=found.job)
    nobody = await _teams_of_nobody(context)
    context = _without(nobody, context)
    # Before the pull: if it is interrupted, `status` and `verify` know whose parts it was fetching.
    members.save(context.job.teams)
    Emails(context.state.folder).save(context.job, found.emails)
    unknown = found.unknown + [unknown_team(team) for team in nobody]
    _report(unknown, context)
    return context, unknown


def _report(unknown: Sequence[UnknownTeam], context: RunContext) -> None:
    """Warn about unknown teams; raise an error with their exit code if the run is `strict`."""
    if unknown and context.choices.strict:
        error = UnknownTeamError("; ".join(map(str, unknown)))
        error.exit_code = worst(unknown)
        raise error
    for team in unknown:
        context.warn(str(team))


async def _teams_of_nobody(context: RunContext) -> list[Team]:
    """List the teams whose listed users are all unknown to the directory."""
    await context.names.look_up_listed(context.job)
    # In the writing thread: the indexes of parts may have to be downloaded.
    return await context.state.run_in_writer(
        lambda _: [team for team in context.job.teams if _is_nobody(team, context)]
    )


def _is_nobody(team: Team, context: RunContext) -> bool:
    """Tell whether none of the listed users exists or has records."""
    connection = context.job.connection(team.connection)
    names = context.names.users.of(connection.directory)
    if not knows_nobody(team, names):
        return False
    return not has_records(team, context.parts(connection), context.files)


def _without(teams: Sequence[Team], context: RunContext) -> RunContext:
    """Take teams out of the job."""
    left = tuple(team for team in context.job.teams if team not in teams)
    job = replace(context.job, teams=left)
    return dataclasses.replace(context, job=job)
