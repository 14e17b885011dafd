"""Who is in the teams that were looked up, and who was in them when a run last told of it. Owns `members.json`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from asyncreport.core.job import Selector, Team
from asyncreport.store.atomic import read_json, write_json


class _Seen(Struct, frozen=True, kw_only=True):
    """A team as it was last looked up, and whose members it has: under another selector the name is another team's."""

    connection: str
    selector: Selector
    #: ids, sorted
    users: list[str]
    #: those whom the last summary to come with output files was made of; None: there was none yet
    shown: list[str] | None = None

    def is_of(self, team: Team) -> bool:
        return (self.connection, self.selector) == (team.connection, team.selector)


class Members:
    """The user ids of each team that was ever looked up."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "members.json"
        self._known = read_json(self._path, dict[str, _Seen]) or {}

    def of(self, team: Team) -> tuple[str, ...] | None:
        """Give who was in a team when it was last looked up, sorted; None: it never was."""
        seen = self._seen(team)
        return None if seen is None else tuple(seen.users)

    def changes(self, team: Team) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Give, sorted, who joined and who left since members were last shown; None the first time."""
        seen = self._seen(team)
        if seen is None or seen.shown is None:
            return None
        before, now = set(seen.shown), set(team.users or ())
        return tuple(sorted(now - before)), tuple(sorted(before - now))

    def keep(self, teams: Iterable[Team], *, shown: bool = False) -> None:
        """Remember who is in the teams that were looked up, and whether that was `shown`; of others what was known stays.

        Raise StoreError.
        """
        known = self._known.copy()
        for team in teams:
            if team.selector is not None:
                users, seen = sorted(set(team.users or ())), self._seen(team)
                before = seen.shown if seen is not None else None
                known[team.name] = _Seen(
                    connection=team.connection,
                    selector=team.selector,
                    users=users,
                    shown=users if shown else before,
                )
        if known != self._known:
            write_json(self._path, known)
            self._known = known

    def _seen(self, team: Team) -> _Seen | None:
        seen = self._known.get(team.name)
        return seen if seen is not None and seen.is_of(team) else None
