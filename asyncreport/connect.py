"""The lanes of a job's connections, each opened when it is first needed. Owns them, and the emulators behind them."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from asyncreport import emulator
from asyncreport.job import Client, Connection, Job, Secret
from asyncreport.net import Lane, Tally, open_lanes


class Connections:
    """Lanes by connection; an async context manager that closes what was opened."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._open: dict[str, tuple[list[Lane], Tally]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.aclose()

    async def lanes(self, name: str) -> list[Lane]:
        """Give a connection's lanes, one per OAuth client."""
        if name not in self._open:
            connection = self._hosted(self._job.connection(name))
            self._open[name] = await self._stack.enter_async_context(open_lanes(connection, self._job.limits, rng=random.random))
        return self._open[name][0]

    def _hosted(self, connection: Connection) -> Connection:
        """Start the emulator where one stands in for an organisation."""
        if connection.emulator is None:
            return connection
        world = emulator.World(agents=connection.emulator.agents, seed=connection.emulator.seed)
        options = emulator.Options(requests_per_minute=connection.requests_per_minute)
        server = self._stack.enter_context(emulator.running(world, options))
        client = Client(client_id=server.client_id, client_secret=Secret(server.client_secret))
        return msgspec.structs.replace(connection, api_url=server.url, login_url=server.url, clients=(client,))

    @property
    def tally(self) -> Tally:
        """Add up what all connections did so far."""
        return sum((tally for _, tally in self._open.values()), start=Tally())
