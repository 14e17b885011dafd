"""Who was in the teams that the last run looked up. Owns `members.json`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from asyncreport.store.disk import read_json, write_json


class Members:
    """The user ids of each team that was ever looked up, by the team's name."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "members.json"
        self._known = read_json(self._path, dict[str, list[str]]) or {}

    def of(self, team: str) -> tuple[str, ...] | None:
        """Give who was in a team when it was last looked up, sorted; None: it never was."""
        return tuple(self._known[team]) if team in self._known else None

    def changes(self, team: str, users: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Give, sorted, who joined and who left since the team was last looked up; None the first time."""
        if team not in self._known:
            return None
        before, now = set(self._known[team]), set(users)
        return tuple(sorted(now - before)), tuple(sorted(before - now))

    def keep(self, teams: Mapping[str, Collection[str]]) -> None:
        """Remember who is in these teams; of others, which a run may have failed to look up, what was known stays. Raise StoreError."""
        known = self._known | {team: sorted(set(users)) for team, users in teams.items()}
        if known != self._known:
            write_json(self._path, known)
            self._known = known
