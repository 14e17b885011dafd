"""Names of users, queues and other things that have records, and listed users who are unknown.

A name is looked up if it is new or 30 days old. Owns nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from asyncreport.api import directory
from asyncreport.api.wire import Request
from asyncreport.core.errors import AuthError, RejectedError, RetriesExhausted
from asyncreport.core.job import Connection, Job, Part
from asyncreport.core.text import counted, first_items, plural
from asyncreport.engine.fetch import Ask, drive
from asyncreport.export.lanes import Connections
from asyncreport.export.name_batches import NameBatches
from asyncreport.export.targets import wanted_names
from asyncreport.store.lookups import Names, NameTables
from asyncreport.store.parts import PartReader

_LOG = logging.getLogger(__name__)

#: yield the requests for the names of ids, and return the names
_Contract = Callable[[Sequence[str]], Generator[Request, Any, dict[str, str | None]]]


#: why names are missing
_LookUpError = AuthError | RejectedError | RetriesExhausted


@dataclass(frozen=True, slots=True)
class RecordIds:
    """What records name by ids, of one connection."""

    users: AbstractSet[str]
    queues: AbstractSet[str]
    #: by the column of the names
    others: Mapping[str, AbstractSet[str]]

    @classmethod
    def of(cls, job: Job, parts: Sequence[Part], reader: PartReader) -> RecordIds:
        """Collect what output files have names of; raise StoreError."""
        # The rows first: a part that is downloaded for its rows brings its index too.
        others = {name: reader.values(parts, ids) for name, ids in wanted_names(job).items()}
        return cls(reader.users(parts), reader.queues(parts), others)


class NameLookup:
    """The names in a state folder, and how to look up more; `now` is an instant.

    `warn` is called about names that could not be looked up.
    """

    def __init__(
        self,
        folder: Path,
        connections: Connections,
        warn: Callable[[str], None],
        *,
        now: int,
    ) -> None:
        self.tables = NameTables(folder)
        self._connections = connections
        self._warn = warn
        self._now = now
        #: by connection: why its listed users could not be looked up
        self._listed_errors: dict[str, _LookUpError] = {}

    @property
    def users(self) -> Names:
        """Give the names of users."""
        return self.tables.users

    @property
    def queues(self) -> Names:
        """Give the names of queues."""
        return self.tables.queues

    def is_due(self, job: Job) -> bool:
        """Check whether a name is too old, or a listed user was never looked up."""
        return any(self._is_due(job, connection) for connection in job.connections)

    def _is_due(self, job: Job, connection: Connection) -> bool:
        """Tell whether a name of a connection is to be looked up."""
        directory = connection.directory
        user_ids = self.users.of(directory).keys() | listed_users(job, connection.name)
        if self.users.missing(directory, user_ids, now=self._now):
            return True
        tables = [self.queues, *map(self.tables.others.__getitem__, wanted_names(job))]
        return any(table.missing(directory, table.of(directory), now=self._now) for table in tables)

    async def update(
        self,
        job: Job,
        connection: Connection,
        ids: RecordIds,
        *,
        refresh: bool,
    ) -> bool:
        """Look up names that are missing, or with `refresh` every name.

        Names are needed for what has records, and for listed users.
        Return False if some could not be looked up.
        """
        listed = listed_users(job, connection.name)
        users = await self._update_users(connection, ids.users, listed, refresh=refresh)
        queues = await self._update_things(
            connection, self.queues, "queue_name", ids.queues, refresh=refresh
        )
        others = True
        for name, found in ids.others.items():
            table = self.tables.others[name]
            others &= await self._update_things(connection, table, name, found, refresh=refresh)
        return users and queues and others

    async def look_up_early(self, connection: Connection, ids: RecordIds) -> bool:
        """Look up names of users and queues that are missing, while the pull goes on.

        Return False if some could not be looked up. Nothing is said then: `update` asks again.
        """
        of_queues = partial(directory.names, "queue_name")
        return await self._try_to_look_up(
            connection, self.users, directory.user_names, ids.users
        ) and await self._try_to_look_up(connection, self.queues, of_queues, ids.queues)

    async def _try_to_look_up(
        self, connection: Connection, names: Names, contract: _Contract, ids: AbstractSet[str]
    ) -> bool:
        """Look up the names of ids that are unknown or too old; False if the directory refuses."""
        wanted = names.missing(connection.directory, ids, now=self._now)
        if not wanted:
            return True
        ask = partial(self._connections.try_to_ask, connection.name)
        looked_up = await self._look_up(connection, names, contract, wanted, ask)
        return looked_up.error is None

    async def _update_users(
        self,
        connection: Connection,
        with_records: AbstractSet[str],
        listed: AbstractSet[str],
        *,
        refresh: bool,
    ) -> bool:
        """Look up names of users; False if some could not be looked up."""
        self.users.drop_unseen(connection.directory, with_records | listed, now=self._now)
        look_up = partial(
            self._update,
            connection,
            self.users,
            directory.user_names,
            refresh=refresh,
        )
        # Users with records come first, in requests of their own: for one listed id that is not
        # valid, the directory may refuse the whole request.
        if not await look_up(with_records):
            return False
        left = self.users.missing(connection.directory, listed - with_records, now=self._now)
        error = self._listed_errors.get(connection.name)
        if error is not None and left:
            # Asked before the pull. The same question would get the same answer.
            return self._could_not_look_up(len(left), error)
        return await look_up(listed - with_records)

    def _could_not_look_up(self, missing: int, error: _LookUpError | None) -> bool:
        """Warn about names that are missing: False."""
        self._warn(f"could not look up {counted(missing, 'name')}: {error}")
        return False

    async def _update_things(
        self,
        connection: Connection,
        names: Names,
        column: str,
        ids: AbstractSet[str],
        *,
        refresh: bool,
    ) -> bool:
        """Look up names of queues or other things; False if some could not be looked up."""
        names.drop_unseen(connection.directory, ids, now=self._now)
        contract = partial(directory.names, column)
        return await self._update(connection, names, contract, ids, refresh=refresh)

    async def look_up_listed(self, job: Job) -> None:
        """Look up the listed users that were never looked up, or too long ago.

        Nothing is said if the directory refuses: `update` reports it.
        """
        for connection in job.connections:
            try:
                found = await self.ask_for_listed(job, connection)
            except (AuthError, RejectedError, RetriesExhausted) as error:
                self._listed_errors[connection.name] = error
                continue
            self.users.save(connection.directory, found, now=self._now)

    async def ask_for_listed(self, job: Job, connection: Connection) -> dict[str, str | None]:
        """Ask for the names of listed users that are not known, or too old; keep nothing.

        Raise AuthError, RejectedError or RetriesExhausted.
        """
        listed = listed_users(job, connection.name)
        wanted = self.users.missing(connection.directory, listed, now=self._now)
        ask = partial(self._connections.try_to_ask, connection.name)
        return await drive(directory.user_names(wanted), ask)

    async def _update(
        self,
        connection: Connection,
        names: Names,
        contract: _Contract,
        ids: Iterable[str],
        *,
        refresh: bool,
    ) -> bool:
        """Look up names; if the directory refuses, the run goes on without them: False."""
        wanted = sorted(ids)
        if not refresh:
            wanted = names.missing(connection.directory, wanted, now=self._now)
        if not wanted:
            return True
        ask = partial(self._connections.ask, connection.name)
        looked_up = await self._look_up(connection, names, contract, wanted, ask)
        if looked_up.error is None:
            return True
        return self._could_not_look_up(looked_up.missing, looked_up.error)

    async def _look_up(
        self,
        connection: Connection,
        names: Names,
        contract: _Contract,
        ids: Sequence[str],
        ask: Ask,
    ) -> NameBatches:
        """Look up names and keep what came."""
        keep = partial(names.save, connection.directory, now=self._now)
        looked_up = NameBatches(ids, lambda batch: drive(contract(batch), ask), keep)
        await looked_up.run()
        return looked_up


def listed_users(job: Job, connection: str) -> set[str]:
    """Collect the ids that the job file lists in the teams of a connection."""
    listed: set[str] = set()
    for team in job.teams:
        if team.connection == connection and team.selector is None:
            listed.update(team.users)
    return listed


def unknown_users(
    job: Job,
    connection: Connection,
    parts: Iterable[Part],
    reader: PartReader,
) -> list[str]:
    """List, sorted, the listed users that the directory does not know and that have no records.

    The server gives no error for a mistyped id, only no records. Raise StoreError.
    """
    names = Names(job.state_folder / "names.json").of(connection.directory)
    # A user that was never looked up is not in `names`; None: the directory did not know it.
    listed = listed_users(job, connection.name)
    without_name = {user for user in listed if user in names and names[user] is None}
    if not without_name:
        return []
    in_range = [part for part in parts if part.interval.overlaps(job.interval)]
    return sorted(without_name - reader.users(in_range))


def unknown_users_message(users: Collection[str]) -> str:
    """Say that the directory does not know listed users; the log lists all of them."""
    _LOG.debug("listed users who are unknown to the directory: %s", ", ".join(sorted(users)))
    return (
        f"{counted(len(users), 'listed user')} {plural(len(users), 'is', 'are')} unknown to the "
        f"directory: {first_items(sorted(users))}; compare with Admin > People"
    )
