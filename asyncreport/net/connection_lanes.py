"""Open the lanes of a connection, one for each OAuth client. Owns their transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from asyncreport.api.oauth import token_request
from asyncreport.api.redaction import proxy_credentials
from asyncreport.api.wire import Request
from asyncreport.core.job import Client, Connection, Limits
from asyncreport.net.attempts import Health
from asyncreport.net.client import Lane, Send
from asyncreport.net.counts import RequestCounts
from asyncreport.net.shared_clients import SharedClients
from asyncreport.net.throttle import Throttle
from asyncreport.net.tokens import Tokens
from asyncreport.net.transport import OPEN, Gates, Transport


@asynccontextmanager
async def open_lanes(
    connection: Connection,
    limits: Limits,
    *,
    rng: Callable[[], float],
    gates: Gates = OPEN,
    shared: SharedClients | None = None,
) -> AsyncIterator[tuple[list[Lane], RequestCounts]]:
    """Open a connection: one lane per client, all with one transport; `rng` draws from [0, 1).

    `shared` are the clients that other jobs of this process use too; None if this is the only job.
    """
    lanes = _Lanes(connection, limits, rng)
    async with Transport(connection, limits, gates) as transport:
        if shared is None:
            made = [lanes.single(client, transport.send) for client in connection.clients]
        else:
            made = [
                await lanes.sharing(shared, client, transport.send) for client in connection.clients
            ]
        yield made, lanes.counts


@dataclass(frozen=True, slots=True)
class _Lanes:
    """What the lanes of one connection have in common."""

    connection: Connection
    limits: Limits
    rng: Callable[[], float]
    counts: RequestCounts = field(default_factory=RequestCounts)

    def single(self, client: Client, send: Send) -> Lane:
        """Make the lane of a client that only this job uses."""
        # One throttle for each lane: the vendor limits each token, and each client has one token.
        throttle = Throttle(self.connection.requests_per_minute, self.counts)
        return self._lane(client, send, throttle)

    async def sharing(self, shared: SharedClients, client: Client, send: Send) -> Lane:
        """Make the lane of a client that other jobs use too."""
        make_tokens = partial(self._shared_tokens, client)
        found = await shared.get(self.connection, client, self.limits, make_tokens, self.counts)
        return self._lane(client, send, found.throttle, health=found.health, tokens=found.tokens)

    def _shared_tokens(
        self, client: Client, own: Transport, throttle: Throttle, health: Health
    ) -> Tokens:
        """Make tokens that are asked for over a transport of their own."""
        return self._lane(client, own.send, throttle, health=health).tokens

    def _lane(
        self,
        client: Client,
        send: Send,
        throttle: Throttle,
        *,
        health: Health | None = None,
        tokens: Tokens | None = None,
    ) -> Lane:
        """Make the lane of a client."""
        return Lane(
            self._token_request(client),
            send,
            limits=self.limits,
            throttle=throttle,
            counts=self.counts,
            rng=self.rng,
            proxy_secrets=_proxy_secrets(self.connection),
            health=health,
            tokens=tokens,
        )

    def _token_request(self, client: Client) -> Request:
        """Make the request for a token."""
        return token_request(
            client,
            login_url=self.connection.login_url,
            in_form=self.connection.credentials_in_form,
        )


def _proxy_secrets(connection: Connection) -> frozenset[str]:
    """List the secrets in a proxy's address, which no message may show."""
    if connection.proxy is None:
        return frozenset()
    return proxy_credentials(connection.proxy.reveal())
