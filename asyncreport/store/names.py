"""The names of users and queues, kept so that each is asked for once a month. Owns `names.json` and `queues.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from asyncreport.core.timeline import DAY, iso
from asyncreport.store.atomic import read_json, write_json

#: how long a name is believed, ms
KEPT = 30 * DAY


class _Known(Struct, frozen=True, array_like=True):
    """An answer: the name, or None where there was none, and the instant of asking."""

    name: str | None
    asked_at: str


class Names:
    """What is known of the users, or the queues, of each connection, by its identity."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = read_json(self._path, dict[str, dict[str, _Known]]) or {}

    def of(self, identity: str) -> dict[str, str | None]:
        """Give the names by user id; one that was looked for in vain is None."""
        return {user: known.name for user, known in self._known.get(identity, {}).items()}

    def missing(self, identity: str, users: Iterable[str], *, now: int) -> list[str]:
        """List, sorted, the users never asked for or longer ago than 30 days; `now` is an instant."""
        known = self._known.get(identity, {})
        old = iso(now - KEPT)  # instants in UTC sort as their texts do
        return sorted(
            user for user in set(users) if user not in known or known[user].asked_at < old
        )

    def drop_unseen(self, identity: str, users: Iterable[str], *, now: int) -> None:
        """Forget the old names of users who have no records any more, so that nobody asks whether they expired."""
        known, old = self._known.get(identity, {}), iso(now - KEPT)
        unseen = known.keys() - set(users)
        stale = {user for user in unseen if known[user].asked_at < old}
        if stale:
            self._known[identity] = {
                user: name for user, name in known.items() if user not in stale
            }
            write_json(self._path, self._known)

    def keep(self, identity: str, names: Mapping[str, str | None], *, now: int) -> None:
        """Take the answers of `now` and write them down; raise StoreError."""
        asked_at = iso(now)
        known = self._known.setdefault(identity, {})
        for user, name in names.items():
            # Who was deleted since keeps the name that is known.
            before = known[user].name if user in known else None
            known[user] = _Known(before if name is None else name, asked_at)
        write_json(self._path, self._known)
