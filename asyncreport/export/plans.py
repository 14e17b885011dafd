"""A plan for each connection of a job. Owns nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from asyncreport.api import directory
from asyncreport.core.apart import is_single
from asyncreport.core.errors import (
    AuthError,
    CredentialsError,
    RejectedError,
    RetriesExhausted,
)
from asyncreport.core.freshness import Freshness
from asyncreport.core.job import ChunkLength, Connection, Job, Part
from asyncreport.core.plan import Demand, Plan, plan
from asyncreport.export.lanes import Connections

#: give the current parts of a connection
PartsOf = Callable[[Connection], Sequence[Part]]

#: users of an organisation, if the directory does not say how many it has
_ASSUMED_USERS = 1000


async def make_plans(
    job: Job,
    parts_of: PartsOf,
    connections: Connections,
    freshness: Freshness,
) -> dict[str, Plan]:
    """Plan each connection, by its name; `parts_of` gives its current parts.

    If chunks of everyone are missing, one request asks the directory how many users exist.
    """
    plans = {}
    for connection in job.connections:
        parts = parts_of(connection)
        found = plan(demand_of(job, connection, job.chunk), parts, freshness)
        if _needs_population(found):
            population = await _population(connection, connections, alone=is_single(job))
            demand = dataclasses.replace(found.demand, population=population)
            found = plan(demand, parts, freshness)
        plans[connection.name] = found
    return plans


def demand_of(job: Job, connection: Connection, length: ChunkLength | None) -> Demand:
    """Describe what a job wants of a connection, in chunks of a length."""
    return Demand(
        connection=connection.name,
        grid=job.query.grid,
        interval=job.interval,
        users=wanted_users(job, connection.name),
        length=length,
    )


def wanted_users(job: Job, connection: str) -> tuple[str, ...] | None:
    """Collect the users of a connection's teams, sorted; None if one of the teams is everyone."""
    wanted: set[str] = set()
    for team in job.teams:
        if team.connection != connection:
            continue
        if team.everyone:
            return None
        wanted.update(team.users)
    return tuple(sorted(wanted))


def _needs_population(found: Plan) -> bool:
    """Tell whether the length of a chunk depends on the number of all users."""
    return found.demand.users is None and bool(found.chunks)


async def _population(
    connection: Connection,
    connections: Connections,
    *,
    alone: bool,
) -> int:
    """Ask how many users exist; if the server does not say it, warn and assume a number.

    Raise CredentialsError if every client is refused and no other connection can go on.
    """
    # A run does not fail without it: the number decides only how long chunks are.
    fact = "the directory does not say how many users exist"
    try:
        number = await count_users(connection.name, connections)
    except RetriesExhausted:
        number, fact = None, "the server did not answer how many users exist"
    except CredentialsError:
        if alone:
            raise
        # The first chunk of this connection reports it.
        return _ASSUMED_USERS
    if number is not None:
        return number
    connections.warn(
        connection.name,
        f"{fact}; chunks are planned as for {_ASSUMED_USERS:,} users",
    )
    return _ASSUMED_USERS


async def count_users(connection: str, connections: Connections) -> int | None:
    """Ask how many users exist, once; None if a gateway has no directory.

    Raise RetriesExhausted if nobody answers, CredentialsError if every client is refused.
    """
    counts = connections.user_counts
    if connection not in counts:
        counts[connection] = await _ask_for_count(connection, connections)
    return counts[connection]


async def _ask_for_count(connection: str, connections: Connections) -> int | None:
    """Ask how many users exist, as `count_users` does."""
    request = directory.user_count_request()
    try:
        total: int | None = await connections.ask(connection, request)
    except CredentialsError:
        raise
    except (AuthError, RejectedError):
        return None
    return total or None
