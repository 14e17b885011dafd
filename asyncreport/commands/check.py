"""Check a job's connections before a run: credentials, hosts, limits, permissions, teams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from functools import partial

import msgspec

from asyncreport.api import directory, organization, user_aggregates
from asyncreport.api.aggregates import ConnectionState
from asyncreport.core.errors import AsyncReportError, AuthError
from asyncreport.core.finding import Finding
from asyncreport.core.job import Chunk, Connection, Job, Query, Team
from asyncreport.core.records import Accumulator
from asyncreport.core.text import counted
from asyncreport.core.timeline import HOUR, Granularity, Grid, Interval
from asyncreport.engine.fetch import Ask, drive, fetch
from asyncreport.export.lanes import Connections
from asyncreport.export.names import listed_users, unknown_users_message
from asyncreport.export.teams import with_members
from asyncreport.net import Lane
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stdout import show_findings

#: the id of a user who does not exist, so that the responses are small
_NO_USER = ("00000000-0000-4000-8000-000000000000",)


def execute(job: Job, *, now: int) -> int:
    """Print a finding for each test; give the highest exit code of the failures."""
    return run_until_signal(show_findings(check_connections(job, now=now)))


async def check_connections(job: Job, *, now: int) -> AsyncIterator[Finding]:
    """Check the clients of each connection, then its teams and listed users.

    The directory is not asked if no client of the connection works. `now` is an instant.
    """
    async with Connections(job) as connections:
        for connection in job.connections:
            works = False
            async for finding in _check_clients(job, connection, connections, now=now):
                works = works or finding.level != "FAIL"
                yield finding
            if works:
                async for finding in _check_users(job, connection.name, connections):
                    yield finding


async def _check_clients(
    job: Job, connection: Connection, connections: Connections, *, now: int
) -> AsyncIterator[Finding]:
    """Check every OAuth client of a connection."""
    lanes = await connections.lanes(connection.name)
    clients = await connections.clients(connection.name)
    for lane, client in zip(lanes, clients, strict=True):
        name = connection.name
        if len(lanes) > 1:
            name += f", client {client}"
        async for finding in _check_lane(name, job, connection, lane, now=now):
            yield finding


async def _check_lane(
    name: str, job: Job, connection: Connection, lane: Lane, *, now: int
) -> AsyncIterator[Finding]:
    """Check what one client may do; `name` is the client's name in the findings."""
    route = _route(connection)
    try:
        # Needs a token, the hosts, the proxy and the certificates, but no permission.
        listing: organization.PlatformLimits = await lane.ask(organization.limits_request())
    except AsyncReportError as error:
        yield _failure(f"{name}: credentials and hosts, connecting {route}", error)
        return
    yield Finding("OK", f"{name}: got a token and reached {connection.identity} {route}")
    yield _rate_limit(name, connection, listing.value(organization.TOKEN_RATE_LIMIT))
    for text, trial in _trials(job, lane, now=now):
        yield await _outcome(f"{name}: {text}", trial)
    yield await _divisions(name, lane)


def _route(connection: Connection) -> str:
    """Say how requests reach the hosts, without the password of a proxy."""
    if connection.proxy is None:
        return "directly"
    # A proxy's address may contain a user and a password.
    scheme, _, rest = connection.proxy.reveal().partition("://")
    host = rest.rpartition("@")[2]
    return f"through {scheme}://{host}"


def _trials(job: Job, lane: Lane, *, now: int) -> Iterator[tuple[str, Awaitable[object]]]:
    """Send the kinds of requests that a run of the job sends, each with a small response."""
    hour_start = now // HOUR * HOUR - 2 * HOUR
    hour = Interval(hour_start, hour_start + HOUR)
    grid = Grid(Granularity.NONE, "UTC", hour)
    query = msgspec.structs.replace(job.query, grid=grid, occupancy=False)
    state = ConnectionState(query_job_timeout=job.limits.give_up_after)
    yield (
        "permission analytics:conversationAggregate:view, for records",
        _fetch_records(query, hour, lane, state),
    )
    if job.query.occupancy:
        yield (
            "permission analytics:userAggregate:view, for occupancy",
            _fetch_statuses(query, hour, lane, state),
        )
    yield "directory, for names of users", lane.ask(directory.user_count_request())


async def _fetch_records(query: Query, hour: Interval, lane: Lane, state: ConnectionState) -> None:
    """Fetch the records of one hour."""
    chunk = Chunk(connection="", month="", interval=hour, users=_NO_USER)
    await fetch(chunk, query, lane.ask, state)


async def _fetch_statuses(query: Query, hour: Interval, lane: Lane, state: ConnectionState) -> None:
    """Fetch the routing statuses of one hour."""
    accumulator = Accumulator((hour.start, hour.end), query)
    await drive(user_aggregates.steps(query, hour, _NO_USER, accumulator, state), lane.ask)


async def _outcome(text: str, trial: Awaitable[object]) -> Finding:
    """Await a trial and report whether it failed."""
    try:
        await trial
    except AsyncReportError as error:
        return _failure(text, error)
    return Finding("OK", text)


def _failure(text: str, error: AsyncReportError) -> Finding:
    """Report an error; the command ends with its exit code."""
    return Finding("FAIL", f"{text}: {error}", failure_code=error.exit_code)


def _rate_limit(name: str, connection: Connection, allowed: int | None) -> Finding:
    """Compare the server's rate limit with the job's."""
    configured = connection.requests_per_minute
    if not allowed:
        return Finding(
            "OK",
            f"{name}: the server reports no rate limit; "
            f"the job stays below {configured} requests per minute",
        )
    if allowed < configured:
        return Finding(
            "WARN",
            f"{name}: the server allows {allowed} requests per minute, but the job is set to "
            f"{configured}; set requests_per_minute to {allowed}",
        )
    return Finding(
        "OK",
        f"{name}: the server allows {allowed} requests per minute; "
        f"the job stays below {configured}",
    )


async def _divisions(name: str, lane: Lane) -> Finding:
    """Compare all divisions with those that the client sees.

    The API leaves out the interactions of other divisions, and does not report that.
    """
    try:
        existing, visible = await drive(organization.visible_divisions(), lane.ask)
    except AuthError:
        # The API answers for the current user, and not every organisation counts a client as one.
        existing, visible = (), None
    except AsyncReportError as error:
        return _failure(f"{name}: divisions that the client sees", error)
    if visible is None:
        return Finding(
            "WARN",
            f"{name}: the server does not report which divisions the client sees; "
            "grant its roles in all divisions, or results may be incomplete",
        )
    hidden = sorted(set(existing) - set(visible))
    if hidden:
        return _hidden_divisions(name, hidden)
    return Finding("OK", f"{name}: the client sees all divisions ({len(existing)})")


def _hidden_divisions(name: str, hidden: Sequence[str]) -> Finding:
    """Warn about divisions whose interactions are missing from the results."""
    return Finding(
        "WARN",
        f"{name}: the client does not see the divisions {', '.join(hidden)}: "
        "their interactions are missing from the results, without an error; "
        "grant its roles in all divisions: Admin > Integrations > OAuth > the client > Roles",
    )


async def _check_users(job: Job, name: str, connections: Connections) -> AsyncIterator[Finding]:
    """Ask the directory for the users of the job, as a run does: with any client that works."""
    for team in job.teams:
        if team.connection == name and team.selector is not None:
            yield await _team(team, connections)
    if ids := listed_users(job, name):
        yield await _listed_users(name, ids, partial(connections.ask, name))


async def _team(team: Team, connections: Connections) -> Finding:
    """Look up the members of a team."""
    assert team.selector is not None
    text = f"{team.connection}: team {team.name!r} ({team.selector})"
    try:
        members = (await with_members(team, connections)).users or ()
    except AsyncReportError as error:
        return _failure(text, error)
    if not members:
        return Finding("WARN", f"{text} has no members today")
    return Finding("OK", f"{text} has {counted(len(members), 'member')} today")


async def _listed_users(name: str, ids: set[str], ask: Ask) -> Finding:
    """Look up the users whom the job lists by id."""
    try:
        names = await drive(directory.user_names(ids), ask)
    except AsyncReportError as error:
        return _failure(f"{name}: listed users in the directory", error)
    if unknown := [user for user, known_as in names.items() if known_as is None]:
        return Finding("WARN", f"{name}: {unknown_users_message(unknown)}")
    return Finding("OK", f"{name}: {counted(len(ids), 'listed user')} found in the directory")
