"""Open the lanes of a connection, one for each OAuth client. Owns their transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from asyncreport.api.oauth import token_request
from asyncreport.api.redaction import proxy_credentials
from asyncreport.core.job import Client, Connection, Limits
from asyncreport.net.attempts import Health
from asyncreport.net.client import Lane, Send
from asyncreport.net.counts import RequestCounts
from asyncreport.net.shared_clients import SharedClients
from asyncreport.net.throttle import Throttle
from asyncreport.net.tokens import Tokens
from asyncreport.net.transport import Transport, always, at_once


@asynccontextmanager
async def open_lanes(
    connection: Connection,
    limits: Limits,
    *,
    rng: Callable[[], float],
    room: Callable[[], Awaitable[None]] = at_once,
    permit: Callable[[], None] = always,
    shared: SharedClients | None = None,
) -> AsyncIterator[tuple[list[Lane], RequestCounts]]:
    """Open a connection: one lane per client, all with one transport; `rng` draws from [0, 1).

    `shared` are the clients that other jobs of this process use too; None if this is the only job.
    """
    counts = RequestCounts()
    make = partial(_lane, connection, limits=limits, counts=counts, rng=rng)

    async def lane(client: Client) -> Lane:
        if shared is None:
            # One for each lane: the vendor limits each token, and each client has one token.
            throttle = Throttle(connection.requests_per_minute, counts)
            return make(client, transport.send, throttle)

        def make_tokens(own: Transport, throttle: Throttle, health: Health) -> Tokens:
            return make(client, own.send, throttle, health=health).tokens

        found = await shared.get(connection, client, limits, make_tokens, counts)
        return make(
            client, transport.send, found.throttle, health=found.health, tokens=found.tokens
        )

    async with Transport(connection, limits, room, permit) as transport:
        yield [await lane(client) for client in connection.clients], counts


def _lane(
    connection: Connection,
    client: Client,
    send: Send,
    throttle: Throttle,
    *,
    limits: Limits,
    counts: RequestCounts,
    rng: Callable[[], float],
    health: Health | None = None,
    tokens: Tokens | None = None,
) -> Lane:
    """Make the lane of a client."""
    request = token_request(
        client, login_url=connection.login_url, in_form=connection.credentials_in_form
    )
    return Lane(
        request,
        send,
        limits=limits,
        throttle=throttle,
        counts=counts,
        rng=rng,
        proxy_secrets=_proxy_secrets(connection),
        health=health,
        tokens=tokens,
    )


def _proxy_secrets(connection: Connection) -> frozenset[str]:
    """List the secrets in a proxy's address, which no message may show."""
    if connection.proxy is None:
        return frozenset()
    return proxy_credentials(connection.proxy.reveal())
