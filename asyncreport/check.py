"""Try a job's connections before a run: credentials, permissions, reachability, limits. Owns nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct

from asyncreport.api import aggregates, limits, users
from asyncreport.connect import Connections
from asyncreport.errors import AsyncReportError
from asyncreport.job import Chunk, Connection, Job, Secret
from asyncreport.net import Lane
from asyncreport.timeline import HOUR, Interval


class Line(Struct, frozen=True):
    """One thing tried."""

    connection: str
    text: str
    #: what is wrong and what to do; None: nothing
    error: AsyncReportError | None = None

    @property
    def exit_code(self) -> int:
        """Give the exit code that this line alone would end with."""
        return 0 if self.error is None else self.error.exit_code

    def __str__(self) -> str:
        return f"OK    {self.connection}: {self.text}" if self.error is None else f"FAIL  {self.connection}: {self.text}: {self.error}"


async def check(job: Job, *, now: int) -> AsyncIterator[Line]:
    """Try each connection in turn; after a failure of its credentials the rest of it is not tried."""
    async with Connections(job) as connections:
        for connection in job.connections:
            for lane in await connections.lanes(connection.name):
                async for line in _lane(job, connection, lane, now=now):
                    yield line


async def _lane(job: Job, connection: Connection, lane: Lane, *, now: int) -> AsyncIterator[Line]:
    road = f"through {_shown(connection.proxy)}" if connection.proxy else "directly"
    try:
        # Needs a token, the hosts, the proxy and the certificates, but no permission.
        listing: limits.Limits = await lane.ask(limits.asked())
    except AsyncReportError as error:
        yield Line(connection.name, f"credentials and hosts, reached {road}", error)
        return
    yield Line(connection.name, f"the token was granted and {connection.identity} reached {road}")
    yield _limit(connection, listing.value(limits.PER_TOKEN))
    hour = now // HOUR * HOUR
    chunk = Chunk(connection=connection.name, month="", interval=Interval(hour - 2 * HOUR, hour - HOUR), users=_NOBODY)
    for text, request in (
        ("analytics:conversationAggregate:view, for the figures", aggregates.request(job.query, chunk, chunk.interval, whole=True)),
        ("the directory, for names of users", users.counted()),
    ):
        try:
            await lane.ask(request)
        except AsyncReportError as error:
            yield Line(connection.name, text, error)
        else:
            yield Line(connection.name, text)


#: asks for one hour of a user who is none, so that the answer is small
_NOBODY = ("00000000-0000-4000-8000-000000000000",)


def _limit(connection: Connection, allowed: int | None) -> Line:
    asked = connection.requests_per_minute
    if not allowed:
        return Line(connection.name, f"the server names no limit for a token; the job keeps under {asked} requests a minute")
    if allowed < asked:
        return Line(
            connection.name,
            f"the server allows {allowed} requests a minute, fewer than the {asked} of the job: set requests_per_minute to {allowed}",
        )
    return Line(connection.name, f"the server allows {allowed} requests a minute; the job keeps under {asked}")


def _shown(proxy: Secret) -> str:
    """Leave out what a proxy's address may hold before the host: a password."""
    scheme, _, rest = proxy.reveal().partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
