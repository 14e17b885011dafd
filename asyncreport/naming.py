"""The names of the users and queues that have records: asked for when they are new or were believed for a month. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from asyncreport.api import directory, users
from asyncreport.api.wire import Request
from asyncreport.connect import Connections
from asyncreport.errors import AuthError, RejectedError, RetriesExhausted
from asyncreport.fetch import drive
from asyncreport.job import Connection, Part
from asyncreport.progress import counted
from asyncreport.store.names import Names
from asyncreport.store.parts import Reader

#: ask for the names of ids
Lookup = Callable[[Sequence[str]], Generator[Request, Any, dict[str, str | None]]]


class Naming:
    """The names that a state folder holds, and whom to ask for more; `say` is told of what cannot be had, `now` is an instant."""

    def __init__(self, folder: Path, connections: Connections, say: Callable[[str], None], *, now: int) -> None:
        self.people, self.queues = Names(folder / "names.json"), Names(folder / "queues.json")
        self._connections = connections
        self._say = say
        self._now = now

    def expired(self, connections: Iterable[Connection]) -> bool:
        """Tell whether any name is older than it may be."""
        kept = [(names, each.identity) for names in (self.people, self.queues) for each in connections]
        return any(names.missing(identity, names.of(identity), now=self._now) for names, identity in kept)

    async def learn(self, connection: Connection, parts: Sequence[Part], reader: Reader, *, again: bool) -> bool:
        """Ask for what is not known of whatever has records in the parts, or for all of it `again`; tell whether all could be had."""
        people = await self._learn(connection, self.people, reader.users(parts), users.names, again=again)
        return await self._learn(connection, self.queues, reader.queues(parts), directory.queue_names, again=again) and people

    async def _learn(self, connection: Connection, names: Names, seen: Iterable[str], steps: Lookup, *, again: bool) -> bool:
        """Ask for names; a directory that refuses costs the names, not the run: False."""
        names.drop_unseen(connection.identity, seen, now=self._now)
        asked = sorted(seen) if again else names.missing(connection.identity, seen, now=self._now)
        if not asked:
            return True
        try:
            names.keep(connection.identity, await drive(steps(asked), partial(self._connections.ask, connection.name)), now=self._now)
        except (AuthError, RejectedError, RetriesExhausted) as error:
            self._say(f"warning: {counted(len(asked), 'name')} not to be had: {error}")
            return False
        return True
