"""A plan for each connection of a job: whose records it wants, what stands, and how many everyone is. Owns nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

from asyncreport.api import directory
from asyncreport.core.errors import AuthError, RejectedError, RetriesExhausted
from asyncreport.core.job import Job, Part
from asyncreport.core.plan import Demand, Freshness, Plan, plan
from asyncreport.engine.fetch import Ask
from asyncreport.export.lanes import Connections

#: users of an organisation that does not say how many it has
_SOME = 1000


async def make_plans(
    job: Job,
    standing: Callable[[str], Sequence[Part]],
    connections: Connections,
    freshness: Freshness,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Plan]:
    """Plan each connection by name; a request is sent only where everyone is missing: how many that is.

    `say` is told where that is not to be had.
    """
    plans = {}
    for connection in job.connections:
        want = Demand(
            connection=connection.name,
            grid=job.query.grid,
            interval=job.interval,
            users=wanted_users(job, connection.name),
            length=job.chunk,
        )
        parts = standing(job.query.fingerprint(connection.identity))
        made = plan(want, parts, freshness)
        if want.users is None and made.chunks:
            population = await _population(partial(connections.ask, connection.name))
            if population is None:
                say(
                    f"warning: {connection.name}: the directory does not tell how many users there are; {_SOME:,} are reckoned with"
                )
            made = plan(dataclasses.replace(want, population=population or _SOME), parts, freshness)
        plans[connection.name] = made
    return plans


async def _population(ask: Ask) -> int | None:
    """Ask how many users there are; a gateway without a directory costs well-filled answers, not the run."""
    try:
        page: directory.Page = await ask(directory.user_count_request())
    except (AuthError, RejectedError, RetriesExhausted):
        return None
    return page.total or None


def wanted_users(job: Job, connection: str) -> tuple[str, ...] | None:
    """Collect the users of a connection's teams, sorted; None where a team is everyone."""
    teams = [team.users for team in job.teams if team.connection == connection]
    if None in teams:
        return None
    return tuple(sorted({user for members in teams for user in members or ()}))
