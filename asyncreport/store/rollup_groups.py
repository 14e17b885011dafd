"""Whose rows a roll-up adds up together. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asyncreport.core.columns import null_first
from asyncreport.core.coverage import Intervals, missing_by_batch
from asyncreport.core.job import Part, Team
from asyncreport.core.outputs import RollUp
from asyncreport.core.timeline import Interval
from asyncreport.store.record_lines import members


class Key(NamedTuple):
    """Whose rows are added up together; in the order of the lines."""

    #: the position of the team in the job, or of the connection; 0 if a row has no team or user
    number: int
    #: null before all users
    user: tuple[bool, str]


@dataclass(slots=True, frozen=True, kw_only=True)
class Group:
    """One team, or all teams of a connection."""

    number: int
    #: all of one connection
    teams: Sequence[Team]
    #: columns that are the same for all its rows
    facts: Mapping[str, object]
    #: the rows of each user are added up by themselves
    by_user: bool
    #: the listed users of each team
    ids: Sequence[frozenset[str | None]]

    @property
    def connection(self) -> str:
        """Give the name of the connection of its teams."""
        return self.teams[0].connection

    def key(self, user: str | None) -> Key:
        """Say to which sums the rows of a user belong."""
        return Key(self.number, null_first(user if self.by_user else None))

    def users(self, known: set[str | None], *, all_members: bool) -> list[str | None]:
        """List the users with records, or also the other members."""
        found: set[str | None] = set()
        for team in self.teams:
            found.update(members(team, known))
            if all_members:
                found.update(team.users)
        return sorted(found, key=null_first)

    def times(self, user: str | None) -> int:
        """Count the teams that have a user: a record is in the export once for each of them."""
        teams = zip(self.teams, self.ids, strict=True)
        return sum(team.everyone or user in ids for team, ids in teams)

    def gaps(
        self, users: Sequence[str | None], span: Interval, parts: Sequence[Part]
    ) -> dict[str | None, Intervals]:
        """Find what no part covers, by user; None: of everyone."""
        found: dict[str | None, Intervals] = {}
        listed = tuple(user for user in users if user is not None)
        everyone = any(team.everyone for team in self.teams)
        for intervals, batch in missing_by_batch(None if everyone else listed, span, parts):
            found.update(dict.fromkeys(listed if batch is None else batch, intervals))
        return found


def groups(teams: Sequence[Team], rollup: RollUp) -> list[Group]:
    """Divide the teams: each by itself, or those of a connection together."""
    by_user = "user" in rollup.by
    if "team" in rollup.by:
        return list(_groups_by_team(teams, by_user=by_user))
    return list(_groups_by_connection(teams, by_user=by_user))


def _groups_by_team(teams: Sequence[Team], *, by_user: bool) -> Iterator[Group]:
    """Make a group of each team; teams of one name are added up over their connections."""
    numbers: dict[str, int] = {}
    for number, team in enumerate(teams):
        first = numbers.setdefault(team.name, number)
        # Users are of one connection: their rows are in the order of connections.
        own = number if by_user else first
        yield _group(own, [team], {"team": team.name}, by_user=by_user)


def _groups_by_connection(teams: Sequence[Team], *, by_user: bool) -> Iterator[Group]:
    """Make a group of the teams of each connection."""
    of_connection: defaultdict[str, list[Team]] = defaultdict(list)
    for team in teams:
        of_connection[team.connection].append(team)
    for number, together in enumerate(of_connection.values()):
        # Users are of one connection; a queue's or a medium's rows are added up over all of them.
        yield _group(number if by_user else 0, together, {}, by_user=by_user)


def _group(
    number: int, teams: Sequence[Team], facts: Mapping[str, object], *, by_user: bool
) -> Group:
    """Make a group of teams of one connection."""
    ids = [frozenset[str | None](team.users) for team in teams]
    return Group(number=number, teams=teams, facts=facts, by_user=by_user, ids=ids)


def have_own_numbers(groups: Sequence[Group]) -> bool:
    """Tell whether no two groups have one number: then each is added up by itself."""
    return len({group.number for group in groups}) == len(groups)
