"""Keep what a run looked up, so that the next run reuses it: names, members, addresses.

Owns `names.json`, `queues.json`, a file for each of OTHER_NAMES, `members.json`, `emails.json`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from asyncreport.core.job import Connection, Job, Selector, Team
from asyncreport.core.timeline import DAY, iso
from asyncreport.store.json_files import read_json, write_json

T = TypeVar("T")

#: how long a name is used before it is looked up again, ms
NAME_LIFETIME = 30 * DAY


class _JsonTable(Generic[T]):
    """A table in one JSON file; a missing file is an empty table."""

    def __init__(self, path: Path, kind: type[dict[str, T]]) -> None:
        self._path = path
        self.rows: dict[str, T] = read_json(path, kind) or {}

    def update(self, rows: Mapping[str, T]) -> None:
        """Add or replace rows, and write the file if anything differs; raise StoreError."""
        new = {**self.rows, **rows}
        if new != self.rows:
            write_json(self._path, new)
            self.rows = new


class _NameRow(Struct, frozen=True, array_like=True):
    """The result of one look-up: a name, or None if the directory has none."""

    name: str | None
    #: an instant in UTC, as text
    asked_at: str
    #: of id, name and instant; empty in rows of earlier versions
    checksum: str = ""

    @classmethod
    def of(cls, each: str, name: str | None, asked_at: str) -> _NameRow:
        """Make the row of an id."""
        return cls(name, asked_at, _checksum(each, name, asked_at))

    def is_sound(self, each: str) -> bool:
        """Tell whether the row is as a run wrote it: a name that somebody edited is not used."""
        return self.checksum in ("", _checksum(each, self.name, self.asked_at))

    def expired(self, oldest: str) -> bool:
        """Tell whether it was looked up before `oldest`: texts of instants sort by time."""
        return self.asked_at < oldest


def _checksum(each: str, name: str | None, asked_at: str) -> str:
    """Give the checksum of a row."""
    text = msgspec.json.encode([each, name, asked_at])
    return f"{zlib.crc32(text):08x}"


class Names:
    """The names of users, or of queues, by the connection's directory and then by id."""

    def __init__(self, path: Path) -> None:
        self._table = _JsonTable(path, dict[str, dict[str, _NameRow]])
        for rows in self._table.rows.values():
            for each in [each for each, row in rows.items() if not row.is_sound(each)]:
                # The next run looks it up again.
                del rows[each]

    def of(self, identity: str) -> dict[str, str | None]:
        """Give the names by id; None for an id that the directory does not have."""
        rows = self._rows(identity)
        return {each: row.name for each, row in rows.items()}

    def of_id(self, each: str) -> set[str]:
        """Give the names of an id in all organisations: one, or none."""
        rows = [rows[each] for rows in self._table.rows.values() if each in rows]
        return {row.name for row in rows if row.name}

    def by_id(self) -> dict[str, str]:
        """Give the names of all organisations, by id."""
        found: dict[str, str] = {}
        for rows in self._table.rows.values():
            found.update({each: row.name for each, row in rows.items() if row.name})
        return found

    def forget(self, each: str) -> None:
        """Forget an id in memory; the file stays as it is."""
        for rows in self._table.rows.values():
            rows.pop(each, None)

    def missing(self, identity: str, ids: Iterable[str], *, now: int) -> list[str]:
        """List the sorted ids whose name is unknown or too old; `now` is an instant."""
        rows = self._rows(identity)
        oldest = iso(now - NAME_LIFETIME)
        found = set()
        for each in ids:
            row = rows.get(each)
            if row is None or row.expired(oldest):
                found.add(each)
        return sorted(found)

    def drop_unseen(self, identity: str, ids: Iterable[str], *, now: int) -> None:
        """Remove old names of ids without records: no run looks them up again."""
        rows = dict(self._rows(identity))
        unseen = rows.keys() - set(ids)
        for each in self.missing(identity, unseen, now=now):
            del rows[each]
        self._table.update({identity: rows})

    def save(self, identity: str, names: Mapping[str, str | None], *, now: int) -> None:
        """Add the names that were looked up at `now`; raise StoreError."""
        asked_at = iso(now)
        rows = dict(self._rows(identity))
        last = self.of(identity)
        for each, name in names.items():
            if name is None:
                # A user who was deleted in the meantime keeps the last name.
                rows[each] = _NameRow.of(each, last.get(each), asked_at)
            else:
                rows[each] = _NameRow.of(each, name, asked_at)
        self._table.update({identity: rows})

    def _rows(self, identity: str) -> dict[str, _NameRow]:
        """Give the rows of an organisation."""
        return self._table.rows.get(identity, {})


#: columns of names besides those of users and queues, which every job may need
OTHER_NAMES = ("wrap_up_name", "division_name", "skill_name", "language_name")


class NameTables:
    """All names that a state folder keeps."""

    def __init__(self, folder: Path) -> None:
        self.users = Names(folder / "names.json")
        self.queues = Names(folder / "queues.json")
        #: by column
        self.others = {name: Names(folder / f"{name}s.json") for name in OTHER_NAMES}


class _TeamRow(Struct, frozen=True, kw_only=True):
    """A team as it was last looked up."""

    connection: str
    selector: Selector
    #: ids, sorted
    users: list[str]
    #: the members in the last summary with output files; None if there was none
    reported: list[str] | None = field(name="shown", default=None)


class MemberChanges(NamedTuple):
    """Users who joined a team and who left it, sorted by id."""

    joined: tuple[str, ...]
    left: tuple[str, ...]


class Members:
    """The user ids of each team that was looked up."""

    def __init__(self, folder: Path) -> None:
        self._table = _JsonTable(folder / "members.json", dict[str, _TeamRow])

    def of(self, team: Team) -> tuple[str, ...] | None:
        """Give the members at the last look-up, sorted; None if there was none."""
        row = self._row(team)
        return None if row is None else tuple(row.users)

    def changes(self, team: Team) -> MemberChanges | None:
        """Compare a team with the last summary that reported it; None if none did."""
        row = self._row(team)
        if row is None or row.reported is None:
            return None
        before = set(row.reported)
        now = set(team.users)
        return MemberChanges(joined=_sorted(now - before), left=_sorted(before - now))

    def save(self, teams: Iterable[Team], *, reported: bool = False) -> None:
        """Keep the members of these teams, and whether the summary `reported` them.

        Other teams keep their rows. Raise StoreError.
        """
        rows = {}
        for team in teams:
            if team.selector is not None:
                rows[_key(team)] = self._new_row(team, team.selector, reported=reported)
        self._table.update(rows)

    def _new_row(self, team: Team, selector: Selector, *, reported: bool) -> _TeamRow:
        """Describe a team that was just looked up."""
        users = sorted(set(team.users))
        before = self._row(team)
        row = _TeamRow(connection=team.connection, selector=selector, users=users)
        if reported:
            return replace(row, reported=users)
        if before is not None:
            return replace(row, reported=before.reported)
        return row

    def _row(self, team: Team) -> _TeamRow | None:
        """Find a team's row; with another selector it is another team, even if it has its name."""
        row = self._table.rows.get(_key(team))
        if row is None or row.connection != team.connection or row.selector != team.selector:
            return None
        return row


def _key(team: Team) -> str:
    """Give the key of a team's row: its name, with the connection if several have the name."""
    if team.one_of_several:
        # Neither name contains a slash.
        return f"{team.connection}/{team.name}"
    return team.name


class Emails:
    """The user ids of the e-mail addresses that a job lists, by the connection's directory."""

    def __init__(self, folder: Path) -> None:
        self._table = _JsonTable(folder / "emails.json", dict[str, dict[str, str]])

    def of(self, connection: Connection) -> dict[str, str]:
        """Give the ids that were last looked up, by address."""
        return self._table.rows.get(connection.directory, {})

    def of_id(self, user: str) -> set[str]:
        """Give the addresses of a user in all organisations."""
        found: set[str] = set()
        for ids in self._table.rows.values():
            found.update(address for address, each in ids.items() if each == user)
        return found

    def by_address(self) -> dict[str, str]:
        """Give the ids of all organisations, by address."""
        found: dict[str, str] = {}
        for ids in self._table.rows.values():
            found.update(ids)
        return found

    def save(self, job: Job, ids: Mapping[str, Mapping[str, str]]) -> None:
        """Add what was looked up, by the connection's name; raise StoreError."""
        rows = {}
        for name, found in ids.items():
            connection = job.connection(name)
            # Old addresses stay: their team may not have been looked up this time.
            rows[connection.directory] = {**self.of(connection), **found}
        self._table.update(rows)


def _sorted(users: Iterable[str]) -> tuple[str, ...]:
    """Sort user ids."""
    return tuple(sorted(users))
