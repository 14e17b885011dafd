"""Look up groups, teams and queues of a run, each of them once. Owns nothing."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Generic, TypeVar

from asyncreport.api import directory
from asyncreport.api.directory import Roster, UnlistedNameError
from asyncreport.api.listings import Entity
from asyncreport.core.job import Job, Selector, Team
from asyncreport.engine.fetch import drive
from asyncreport.export.lanes import Connections

T = TypeVar("T")

#: names of a kind from which on the whole list is read: a page has a hundred, a filter one
_MANY = 5


class _Once(Generic[T]):
    """An answer that is requested once; tasks that need it meanwhile wait for it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._answers: list[T] = []

    async def get(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Give the answer; ask if nobody has. An error is not kept."""
        # A lock and not a shared task: if the one who asks is cancelled, the next one asks.
        async with self._lock:
            if not self._answers:
                self._answers.append(await ask())
            return self._answers[0]


class Rosters:
    """The members of a job's groups, teams and queues."""

    def __init__(self, job: Job, connections: Connections) -> None:
        self.connections = connections
        self._names = _count_names(job.teams)
        #: by connection and kind
        self._lists: defaultdict[tuple[str, str], _Once[Sequence[Entity]]] = defaultdict(_Once)
        #: by connection and selector
        self._rosters: defaultdict[tuple[str, Selector], _Once[Roster]] = defaultdict(_Once)

    async def look_up(self, connection: str, selector: Selector) -> Roster:
        """Look up a group, team or queue with its members.

        Raise UnknownTeamError, AuthError, RejectedError or RetriesExhausted.
        """
        roster = self._rosters[connection, selector]
        return await roster.get(partial(self._look_up, connection, selector))

    async def _look_up(self, connection: str, selector: Selector) -> Roster:
        """Find it with a filter or in the list of all, whichever takes fewer requests."""
        listed = None
        if self._needs_list(connection, selector):
            listed = await self._list(connection, selector.kind)
        try:
            return await self._ask(connection, selector, listed)
        except UnlistedNameError:
            # Only the whole list has the names that are nearly right.
            listed = await self._list(connection, selector.kind)
            return await self._ask(connection, selector, listed)

    async def _ask(
        self,
        connection: str,
        selector: Selector,
        listed: Sequence[Entity] | None,
    ) -> Roster:
        """Ask for one group, team or queue."""
        ask = partial(self.connections.ask, connection)
        return await drive(directory.look_up(selector, listed), ask)

    def _needs_list(self, connection: str, selector: Selector) -> bool:
        """Tell whether to find a name in the list of all."""
        if directory.is_id(selector):
            return False
        if not directory.has_filter(selector.kind):
            return True
        return self._names[connection, selector.kind] >= _MANY

    async def _list(self, connection: str, kind: directory.Kind) -> Sequence[Entity]:
        """List everything of a kind, once."""
        ask = partial(self.connections.ask, connection)
        return await self._lists[connection, kind].get(lambda: drive(directory.list_all(kind), ask))


def _count_names(teams: Iterable[Team]) -> Counter[tuple[str, str]]:
    """Count the names that a job gives, by connection and kind."""
    names: Counter[tuple[str, str]] = Counter()
    for team in teams:
        if team.selector is not None and not directory.is_id(team.selector):
            names[team.connection, team.selector.kind] += 1
    return names
