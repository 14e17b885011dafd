"""The names of the users and queues that have records: asked for when they are new or were believed for a month. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from asyncreport.api import directory
from asyncreport.api.wire import Request
from asyncreport.core.errors import AuthError, RejectedError, RetriesExhausted
from asyncreport.core.job import Connection, Job, Part
from asyncreport.core.text import counted
from asyncreport.engine.fetch import drive
from asyncreport.export.lanes import Connections
from asyncreport.store.lookups import Names
from asyncreport.store.parts import PartReader

#: ids told, at most
_SHOWN = 20

#: ask for the names of ids
Lookup = Callable[[Sequence[str]], Generator[Request, Any, dict[str, str | None]]]


class Naming:
    """The names that a state folder holds, and whom to ask for more; `say` is told of what cannot be had, `now` is an instant."""

    def __init__(
        self, folder: Path, connections: Connections, say: Callable[[str], None], *, now: int
    ) -> None:
        self.people, self.queues = Names(folder / "names.json"), Names(folder / "queues.json")
        self._connections = connections
        self._say = say
        self._now = now

    def expired(self, job: Job) -> bool:
        """Tell whether any name is older than it may be, or was never asked for of a user whom the job lists."""
        kept = [
            (names, each.identity)
            for names in (self.people, self.queues)
            for each in job.connections
        ]
        never = (
            self.people.missing(each.identity, listed_users(job, each.name), now=self._now)
            for each in job.connections
        )
        return any(
            names.missing(identity, names.of(identity), now=self._now) for names, identity in kept
        ) or any(never)

    async def learn(
        self,
        job: Job,
        connection: Connection,
        parts: Sequence[Part],
        reader: PartReader,
        *,
        again: bool,
    ) -> bool:
        """Ask for what is not known of whatever has records in the parts and of whom the job lists, or for all of it `again`.

        Tell whether all could be had.
        """
        seen, beside, queues = (
            reader.users(parts),
            listed_users(job, connection.name),
            reader.queues(parts),
        )
        self.people.drop_unseen(connection.identity, seen | beside, now=self._now)
        self.queues.drop_unseen(connection.identity, queues, now=self._now)
        # First who has records: a listed id that the directory takes for none may cost those beside it their answer.
        people = await self._learn(connection, self.people, seen, directory.user_names, again=again)
        people = people and await self._learn(
            connection, self.people, beside - seen, directory.user_names, again=again
        )
        return (
            await self._learn(connection, self.queues, queues, directory.queue_names, again=again)
            and people
        )

    async def _learn(
        self,
        connection: Connection,
        names: Names,
        ids: Iterable[str],
        steps: Lookup,
        *,
        again: bool,
    ) -> bool:
        """Ask for names; a directory that refuses costs the names, not the run: False."""
        asked = sorted(ids) if again else names.missing(connection.identity, ids, now=self._now)
        if not asked:
            return True
        try:
            names.save(
                connection.identity,
                await drive(steps(asked), partial(self._connections.ask, connection.name)),
                now=self._now,
            )
        except (AuthError, RejectedError, RetriesExhausted) as error:
            self._say(f"warning: {counted(len(asked), 'name')} not to be had: {error}")
            return False
        return True


def listed_users(job: Job, connection: str) -> set[str]:
    """Collect the ids that a connection's teams list themselves."""
    return {
        user
        for team in job.teams
        if team.connection == connection and team.selector is None
        for user in team.users or ()
    }


def unknown_users(job: Job, connection: Connection, parts: Iterable[Part]) -> list[str]:
    """List, sorted, the listed users whom the directory did not know and who have no rows in the parts; raise StoreError."""
    names = Names(job.state_folder / "names.json").of(connection.identity)
    doubted = {user for user in listed_users(job, connection.name) if names.get(user, "") is None}
    if not doubted:
        return []
    with PartReader(job.state_folder) as reader:
        return sorted(
            doubted - reader.users([part for part in parts if part.interval.overlaps(job.interval)])
        )


def unknown_users_message(users: Collection[str]) -> str:
    """Say that the directory does not know listed users."""
    shown = ", ".join(sorted(users)[:_SHOWN]) + (
        f" and {len(users) - _SHOWN:,} more" if len(users) > _SHOWN else ""
    )
    verb = "is" if len(users) == 1 else "are"
    return f"{counted(len(users), 'listed user')} {verb} unknown to the directory: {shown}; compare with Admin > People"
