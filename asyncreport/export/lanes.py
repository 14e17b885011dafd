"""The lanes of a job's connections, each opened when it is first needed. Owns them, and the emulators behind them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec

from asyncreport.api.wire import Request
from asyncreport.core.errors import AuthError, RetriesExhausted
from asyncreport.core.job import Client, Connection, Job, Secret
from asyncreport.net import Lane, RequestCounts, at_once, open_lanes


@dataclass(frozen=True, slots=True)
class _Opened:
    """One connection at work."""

    lanes: list[Lane]
    #: the client's id, by lane
    clients: list[str]
    counts: RequestCounts
    #: numbers of the lanes, the one to be asked next first
    turns: deque[int]


class Connections:
    """Lanes by connection; an async context manager that closes what was opened. `say` is told of a client that is refused.

    `room` waits until there is room for what one more large answer becomes.
    """

    def __init__(
        self,
        job: Job,
        say: Callable[[str], None] = lambda _: None,
        *,
        room: Callable[[], Awaitable[None]] = at_once,
    ) -> None:
        self._job = job
        self._room = room
        self._say = say
        self._open: dict[str, _Opened] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def lanes(self, name: str) -> list[Lane]:
        """Give a connection's lanes, one per OAuth client."""
        return (await self._opened(name)).lanes

    async def clients(self, name: str) -> list[str]:
        """Give the ids of a connection's OAuth clients, in the order of its lanes."""
        return (await self._opened(name)).clients

    async def ask(self, name: str, request: Request) -> Any:
        """Ask what belongs to no chunk, with whichever client of a connection is let in; raise what the last one meets where none is."""
        opened = await self._opened(name)
        for _ in opened.lanes[1:]:
            lane = opened.turns[0]
            try:
                return await opened.lanes[lane].ask(request)
            except AuthError as error:
                self.lost(name, lane, error)
            except RetriesExhausted as error:
                if error.reason != "lane":
                    raise
                self.lost(name, lane, error)
        return await opened.lanes[opened.turns[0]].ask(request)

    def lost(self, name: str, lane: int, error: AuthError | RetriesExhausted) -> None:
        """Say which client is refused, or gets nowhere, while others go on; it is the last to be asked from now on."""
        opened = self._open[name]
        opened.turns.remove(lane)
        opened.turns.append(lane)
        fate = "is refused" if isinstance(error, AuthError) else "has not got a request through"
        self._say(
            f"warning: {name}: the client {opened.clients[lane]} {fate}, and the others are asked instead: {error}"
        )

    async def _opened(self, name: str) -> _Opened:
        if name not in self._open:
            connection = self._hosted(self._job.connection(name))
            lanes, counts = await self._stack.enter_async_context(
                open_lanes(connection, self._job.limits, rng=random.random, room=self._room)
            )
            ids = [client.client_id for client in connection.clients]
            self._open[name] = _Opened(lanes, ids, counts, deque(range(len(lanes))))
        return self._open[name]

    def _hosted(self, connection: Connection) -> Connection:
        """Start the emulator where one stands in for an organisation."""
        if connection.emulator is None:
            return connection
        from asyncreport import (
            emulator,
        )  # only where a job needs it: it brings aiohttp's server along

        world = emulator.World(agents=connection.emulator.agents, seed=connection.emulator.seed)
        options = emulator.Options(
            requests_per_minute=connection.requests_per_minute, clients=connection.emulator.clients
        )
        server = self._stack.enter_context(emulator.running(world, options))
        clients = tuple(
            Client(client_id=client_id, client_secret=Secret(secret))
            for client_id, secret in server.clients
        )
        return msgspec.structs.replace(
            connection, api_url=server.url, login_url=server.url, clients=clients
        )

    @property
    def counts(self) -> RequestCounts:
        """Add up what all connections did so far."""
        return sum((opened.counts for opened in self._open.values()), start=RequestCounts())
