"""The lanes of a job's connections, each opened when it is first needed.

Owns the lanes, and the emulators that replace an organisation.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from asyncreport.api.wire import Request
from asyncreport.core.errors import AuthError
from asyncreport.core.job import Client, Connection, EmulatorSize, Limits
from asyncreport.core.secret import Secret
from asyncreport.engine.lane_pool import LaneError, LanePool
from asyncreport.net import OPEN, Gates, Lane, RequestCounts, SharedClients, open_lanes

if TYPE_CHECKING:
    from asyncreport.emulator import Emulator


@dataclass(frozen=True, slots=True)
class _Opened:
    """One open connection."""

    lanes: list[Lane]
    #: the client's id, by lane
    clients: list[str]
    counts: RequestCounts
    #: numbers of the lanes, the one that look-ups ask first in front
    order: list[int]


class Connections:
    """Lanes by connection; an async context manager that closes what was opened.

    `warn` is called about a client that is lost. `shared` are clients that other jobs of this
    process use too.
    """

    def __init__(
        self,
        connections: Sequence[Connection],
        limits: Limits,
        warn: Callable[[str], None] = lambda _: None,
        *,
        gates: Gates = OPEN,
        shared: SharedClients | None = None,
    ) -> None:
        self._connections = {each.name: each for each in connections}
        self._limits = limits
        self._shared = shared
        self._gates = gates
        self._warn = warn
        self._open: dict[str, _Opened] = {}
        #: how many users each connection has, once that was asked; None: not known
        self.user_counts: dict[str, int | None] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def lanes(self, name: str) -> list[Lane]:
        """Give a connection's lanes, one per OAuth client."""
        return (await self._opened(name)).lanes

    async def clients(self, name: str) -> list[str]:
        """Give the ids of a connection's OAuth clients, in the order of its lanes."""
        return (await self._opened(name)).clients

    async def ask(self, name: str, request: Request) -> Any:
        """Send a request that belongs to no chunk, with another client if one is refused.

        Raise the error of the last client; if it was refused and the job has other connections,
        the error names this one.
        """
        opened = await self._opened(name)
        # A new pool for each request: a client may lack the permission for one look-up only.
        pool = LanePool(opened.order, partial(self.lost, name))
        with self.naming(name):
            return await pool.ask(lambda lane: opened.lanes[lane].ask(request))

    @contextmanager
    def naming(self, name: str) -> Iterator[None]:
        """Name a connection in the refusal of its last client, if the job has others."""
        try:
            yield
        except AuthError as error:
            if len(self._connections) == 1:
                raise
            raise type(error)(f"{name}: {error}") from error

    async def try_to_ask(self, name: str, request: Request) -> Any:
        """Send a request that the run can do without: no client is reported as lost.

        Raise the error of the last client.
        """
        opened = await self._opened(name)
        pool = LanePool(opened.order, lambda *_: None)
        return await pool.ask(lambda lane: opened.lanes[lane].ask(request))

    def lost(self, name: str, lane: int, error: LaneError) -> None:
        """Warn about a client that is lost while others remain; later look-ups ask it last."""
        opened = self._open[name]
        opened.order.remove(lane)
        opened.order.append(lane)
        fact = f"client {opened.clients[lane]} {_failure(error)}"
        self.warn(name, f"{fact}; the other clients are used instead: {error}")

    def warn(self, name: str, message: str) -> None:
        """Print a warning about a connection."""
        self._warn(f"{name}: {message}")

    async def _opened(self, name: str) -> _Opened:
        """Give an open connection; open it if this is its first use."""
        if name not in self._open:
            self._open[name] = await self._open_lanes(self._connections[name])
        return self._open[name]

    async def _open_lanes(self, connection: Connection) -> _Opened:
        """Open a connection, and start its emulator if it has one."""
        # The emulator is entered first, so that it is closed last: after the sockets to it.
        connection = self._with_emulator(connection)
        opening = open_lanes(
            connection,
            self._limits,
            rng=random.random,
            gates=self._gates,
            shared=self._shared,
        )
        lanes, counts = await self._stack.enter_async_context(opening)
        return _Opened(
            lanes,
            [client.client_id for client in connection.clients],
            counts,
            list(range(len(lanes))),
        )

    def _with_emulator(self, connection: Connection) -> Connection:
        """Start the emulator if it replaces the organisation of a connection."""
        if connection.emulator is None:
            return connection
        server = self._stack.enter_context(_emulator(connection, connection.emulator))
        clients = tuple(
            Client(client_id=client_id, client_secret=Secret(secret))
            for client_id, secret in server.clients
        )
        return replace(connection, api_url=server.url, login_url=server.url, clients=clients)

    @property
    def counts(self) -> RequestCounts:
        """Give the sum of what all connections have done so far."""
        return sum(self.counts_by_name().values(), start=RequestCounts())

    def counts_by_name(self) -> dict[str, RequestCounts]:
        """Give what each open connection has done so far, by its name."""
        return {name: opened.counts for name, opened in self._open.items()}


def _failure(error: LaneError) -> str:
    """Say how a client failed."""
    if isinstance(error, AuthError):
        return "was refused"
    return "could not send a request"


def _emulator(connection: Connection, size: EmulatorSize) -> AbstractContextManager[Emulator]:
    """Make the emulator of a connection; it starts when it is entered."""
    # Imported only if a job needs it: it loads aiohttp's server.
    from asyncreport import emulator

    world = emulator.World(agents=size.agents, seed=size.seed)
    options = emulator.Options(
        requests_per_minute=connection.requests_per_minute,
        clients=size.clients,
    )
    return emulator.running(world, options)
