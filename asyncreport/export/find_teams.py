"""The teams of a run: their members, and which of them cannot be exported. Owns nothing."""

from __future__ import annotations

import dataclasses

from msgspec.structs import replace

from asyncreport.core.errors import ConfigError, UnknownTeamError
from asyncreport.core.job import Team
from asyncreport.export.names import NameLookup
from asyncreport.export.nobody import knows_nobody, nobody_message
from asyncreport.export.run_context import RunContext
from asyncreport.export.teams import UnknownTeam, look_up_teams
from asyncreport.store.lookups import Emails, Members
from asyncreport.store.parts import PartReader


async def find_teams(
    context: RunContext,
    members: Members,
) -> tuple[RunContext, list[UnknownTeam]]:
    """Look up the members of the teams; raise ConfigError for unknown teams if `strict`."""
    found = await look_up_teams(context.job, context.connections)
    context = dataclasses.replace(context, job=found.job)
    context, nobody = await _without_nobody(context)
    # Before the pull: if it is interrupted, `status` and `verify` know whose parts it was fetching.
    members.save(context.job.teams)
    Emails(context.state.folder).save(context.job, found.emails)
    unknown = found.unknown + nobody
    if unknown and context.choices.strict:
        raise ConfigError("; ".join(map(str, unknown)))
    for team in unknown:
        context.warn(str(team))
    return context, unknown


async def _without_nobody(context: RunContext) -> tuple[RunContext, list[UnknownTeam]]:
    """Take out the teams of which the directory knows no listed user."""
    job = context.job
    lookup = NameLookup(
        context.state.folder,
        context.connections,
        context.say,
        now=context.now,
    )
    await lookup.look_up_listed(job)
    teams = []
    nobody = []
    for team in job.teams:
        names = lookup.users.of(job.connection(team.connection).identity)
        if knows_nobody(team, names) and not _has_records(team, context):
            nobody.append(UnknownTeam.of(team, UnknownTeamError(nobody_message(team))))
        else:
            teams.append(team)
    return dataclasses.replace(context, job=replace(job, teams=tuple(teams))), nobody


def _has_records(team: Team, context: RunContext) -> bool:
    """Tell whether earlier runs fetched records of users whom the directory has forgotten."""
    parts = context.parts(context.job.connection(team.connection))
    with PartReader(context.state.folder) as reader:
        return not reader.users(parts).isdisjoint(team.users)
