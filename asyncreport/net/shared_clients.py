"""OAuth clients that several jobs of one process use together. Owns their tokens and rate budgets.

The vendor counts requests for each token, so two jobs of one client must share its budget:
https://developer.genesys.cloud/organization/organization/limits
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

from asyncreport.core.job import Client, Connection, Limits
from asyncreport.net.attempts import Health
from asyncreport.net.counts import RequestCounts
from asyncreport.net.throttle import Throttle
from asyncreport.net.tokens import Tokens
from asyncreport.net.transport import Transport


@dataclass(frozen=True, slots=True)
class SharedClient:
    """What all lanes of one OAuth client have in common."""

    throttle: Throttle
    tokens: Tokens
    health: Health


@dataclass(frozen=True, slots=True)
class _Key:
    """Two clients are the same if the server counts their requests together."""

    api_url: str
    login_url: str
    client: Client


#: make the tokens of a client from a transport that stays open
MakeTokens = Callable[[Transport, Throttle, Health], Tokens]


class SharedClients:
    """Clients by host and id, each made when it is first needed; an async context manager."""

    def __init__(self) -> None:
        self._clients: dict[_Key, SharedClient] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def get(
        self,
        connection: Connection,
        client: Client,
        limits: Limits,
        make_tokens: MakeTokens,
        counts: RequestCounts,
    ) -> SharedClient:
        """Give a client of a connection; jobs with different limits share the lowest."""
        key = _Key(connection.api_url, connection.login_url, client)
        if key not in self._clients:
            # A transport of its own: the job that asks first may end first.
            transport = await self._stack.enter_async_context(Transport(connection, limits))
            # Checked again: another job may have made it during the await.
            if key not in self._clients:
                throttle = Throttle(connection.requests_per_minute, counts)
                health = Health()
                tokens = make_tokens(transport, throttle, health)
                self._clients[key] = SharedClient(throttle, tokens, health)
        shared = self._clients[key]
        shared.throttle.lower(connection.requests_per_minute)
        return shared
