"""Try a job's connections before a run: credentials, permissions, reachability, limits. Owns nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from functools import partial

import msgspec
from msgspec import Struct

from asyncreport.api import directory, organization, user_aggregates
from asyncreport.api.aggregates import ConnectionState
from asyncreport.core.errors import AsyncReportError, AuthError
from asyncreport.core.job import Chunk, Connection, Job, Secret, Team
from asyncreport.core.records import Accumulator
from asyncreport.core.text import counted
from asyncreport.core.timeline import HOUR, Granularity, Grid, Interval
from asyncreport.engine.fetch import Ask, drive, fetch
from asyncreport.export.lanes import Connections
from asyncreport.export.names import listed_users, unknown_users_message
from asyncreport.export.teams import with_members
from asyncreport.net import Lane


class Line(Struct, frozen=True):
    """One thing tried."""

    #: its name, and the client where it has several
    connection: str
    text: str
    #: what is wrong and what to do; None: nothing
    error: AsyncReportError | None = None
    #: nothing fails, and yet the numbers may not be what they seem
    doubtful: bool = False

    @property
    def exit_code(self) -> int:
        """Give the exit code that this line alone would end with."""
        return 0 if self.error is None else self.error.exit_code

    def __str__(self) -> str:
        if self.error is not None:
            return f"FAIL  {self.connection}: {self.text}: {self.error}"
        return f"{'WARN' if self.doubtful else 'OK  '}  {self.connection}: {self.text}"


async def check(job: Job, *, now: int) -> AsyncIterator[Line]:
    """Try each connection in turn; where none of its clients is let in, its teams are not tried."""
    async with Connections(job) as connections:
        for connection in job.connections:
            lanes, clients = (
                await connections.lanes(connection.name),
                await connections.clients(connection.name),
            )
            reached = False
            for lane, client in zip(lanes, clients, strict=True):
                called = (
                    connection.name if len(lanes) == 1 else f"{connection.name}, client {client}"
                )
                async for line in _lane(
                    job, msgspec.structs.replace(connection, name=called), lane, now=now
                ):
                    reached |= line.error is None
                    yield line
            if reached:
                async for line in _people(job, connection.name, connections):
                    yield line


async def _lane(job: Job, connection: Connection, lane: Lane, *, now: int) -> AsyncIterator[Line]:
    road = f"through {_shown(connection.proxy)}" if connection.proxy else "directly"
    try:
        # Needs a token, the hosts, the proxy and the certificates, but no permission.
        listing: organization.PlatformLimits = await lane.ask(organization.limits_request())
    except AsyncReportError as error:
        yield Line(connection.name, f"credentials and hosts, tried {road}", error)
        return
    yield Line(connection.name, f"the token was granted and {connection.identity} reached {road}")
    yield _limit(connection, listing.value(organization.TOKEN_RATE_LIMIT))
    for text, trial in _trials(job, connection, lane, now):
        try:
            await trial
        except AsyncReportError as error:
            yield Line(connection.name, text, error)
        else:
            yield Line(connection.name, text)
    yield await _divisions(connection, lane)


async def _people(job: Job, connection: str, connections: Connections) -> AsyncIterator[Line]:
    """Ask the directory for whom the job names, as a run does: with whichever client is let in."""
    for team in (
        team for team in job.teams if team.connection == connection and team.selector is not None
    ):
        yield await _team(team, connections)
    if ids := listed_users(job, connection):
        yield await _listed(connection, ids, partial(connections.ask, connection))


async def _team(team: Team, connections: Connections) -> Line:
    assert team.selector is not None
    text = f"team {team.name!r} ({team.selector.kind} {team.selector.value})"
    try:
        members = (await with_members(team, connections)).users or ()
    except AsyncReportError as error:
        return Line(team.connection, text, error)
    return Line(
        team.connection, f"{text} has {counted(len(members), 'member')} today", doubtful=not members
    )


async def _listed(connection: str, ids: set[str], ask: Ask) -> Line:
    known = f"the directory knows {'the' if len(ids) == 1 else 'all'} {counted(len(ids), 'listed user')}"
    try:
        names = await drive(directory.user_names(ids), ask)
    except AsyncReportError as error:
        return Line(connection, known, error)
    strange = [user for user, name in names.items() if name is None]
    return (
        Line(connection, unknown_users_message(strange), doubtful=True)
        if strange
        else Line(connection, known)
    )


async def _divisions(connection: Connection, lane: Lane) -> Line:
    """Compare the divisions that there are with those that the client sees: what it does not see makes smaller numbers and no error."""
    try:
        every, seen = await drive(organization.visible_divisions(), lane.ask)
    except AuthError:  # speaks of a user, which not every organisation takes a client for
        every, seen = (), None
    except AsyncReportError as error:
        return Line(connection.name, "the divisions", error)
    if seen is None:
        told = "the server does not tell which divisions the client sees"
        return Line(
            connection.name,
            f"{told}: grant its roles in all of them, or the numbers are smaller",
            doubtful=True,
        )
    if hidden := sorted(set(every) - set(seen)):
        told = f"the client does not see the divisions {', '.join(hidden)}: their interactions are left out, and no error tells"
        return Line(
            connection.name,
            f"{told}; grant its roles in all divisions: Admin > Integrations > OAuth > the client > Roles",
            doubtful=True,
        )
    return Line(connection.name, f"the client sees all divisions ({len(every)})")


def _trials(
    job: Job, connection: Connection, lane: Lane, now: int
) -> Iterator[tuple[str, Awaitable[object]]]:
    """Walk what a run of the job will need, each with a request that answers little."""
    hour = Interval(now // HOUR * HOUR - 2 * HOUR, now // HOUR * HOUR - HOUR)
    chunk = Chunk(connection=connection.name, month="", interval=hour, users=_NOBODY)
    query = msgspec.structs.replace(
        job.query, grid=Grid(Granularity.NONE, "UTC", hour), occupancy=False
    )
    known = ConnectionState(query_job_timeout=job.limits.give_up_after)
    yield (
        "analytics:conversationAggregate:view, for the figures",
        fetch(chunk, query, lane.ask, known),
    )
    if job.query.occupancy:
        facts = Accumulator((hour.start, hour.end), query)
        statuses = user_aggregates.steps(query, hour, _NOBODY, facts, known)
        yield "analytics:userAggregate:view, for occupancy", drive(statuses, lane.ask)
    yield "the directory, for names of users", lane.ask(directory.user_count_request())


#: asks for one hour of a user who is none, so that the answer is small
_NOBODY = ("00000000-0000-4000-8000-000000000000",)


def _limit(connection: Connection, allowed: int | None) -> Line:
    asked = connection.requests_per_minute
    if not allowed:
        return Line(
            connection.name,
            f"the server names no limit for a token; the job keeps under {asked} requests a minute",
        )
    if allowed < asked:
        return Line(
            connection.name,
            f"the server allows {allowed} requests a minute, fewer than the {asked} of the job: set requests_per_minute to {allowed}",
            doubtful=True,
        )
    return Line(
        connection.name,
        f"the server allows {allowed} requests a minute; the job keeps under {asked}",
    )


def _shown(proxy: Secret) -> str:
    """Leave out what a proxy's address may hold before the host: a password."""
    scheme, _, rest = proxy.reveal().partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
