"""Groups, teams and queues and their members, listed as the vendor does: three kinds, three ways of paging. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from asyncreport.emulator.answers import Ask, bad_request, not_found
from asyncreport.emulator.directory import Directory, asked_ids, division_entity, user_entity
from asyncreport.emulator.paging import followed, page, page_size, uncounted
from asyncreport.emulator.people import Person
from asyncreport.emulator.rosters import Kind, Roster, Rosters

#: on one page of teams, and of the members of a team or queue
MOST_PER_PAGE = 100

_PATHS: dict[Kind, str] = {
    "group": "/api/v2/groups",
    "team": "/api/v2/teams",
    "queue": "/api/v2/routing/queues",
}


class Listings:
    """The answers about an organisation's groups, teams and queues; those of hidden divisions are as if they were not."""

    def __init__(self, directory: Directory, rosters: Rosters, *, most_per_page: int = 0) -> None:
        self._directory, self._rosters, self._most = directory, rosters, most_per_page

    def groups(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/groups`: id (repeated), sortOrder, pageSize (25), pageNumber (1)."""
        ids = asked_ids(ask)
        found = [
            self._entity(group) for group in self._rosters.of("group") if not ids or group.id in ids
        ]
        if ask.one("sortOrder").lower().startswith("desc"):
            found.reverse()
        return page(ask, found, *self._directory.paging(ask))

    def group_members(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/groups/{id}/members`."""
        people = self._people(self._asked("group", ask))
        return page(ask, [user_entity(person) for person in people], *self._directory.paging(ask))

    def individuals(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/groups/{id}/individuals`: all at once, and without the group's owner, who is its first member."""
        people = list(self._people(self._asked("group", ask)))[1:]
        return {"entities": [user_entity(person) for person in people], "selfUri": ask.path}

    def teams(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/teams`: name (how a team's begins, in any case), after, pageSize (25)."""
        start = ask.one("name").casefold()
        found = [
            self._entity(team)
            for team in self._visible("team")
            if team.name.casefold().startswith(start)
        ]
        return followed(ask, found, self._size(ask))

    def team_members(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/teams/{id}/members`: after, pageSize (25), expand=entities, without which members have no names."""
        named = "entities" in ask.many("expand")
        found = [
            {
                "id": person.id,
                **({"name": person.name} if named else {}),
                "selfUri": f"/api/v2/users/{person.id}",
            }
            for person in self._people(self._asked("team", ask))
        ]
        return followed(ask, found, self._size(ask))

    def queues(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/routing/queues`: id and divisionId (repeated), name (`*` at its ends), pageSize (25), pageNumber (1)."""
        ids, divisions, pattern = (
            asked_ids(ask),
            ask.many("divisionId"),
            _pattern(ask.one("name", "*")),
        )
        found = [
            self._entity(queue)
            for queue in self._visible("queue")
            if (not ids or queue.id in ids)
            and (not divisions or (queue.division and queue.division.id in divisions))
            if fnmatchcase(queue.name.casefold(), pattern)
        ]
        return page(ask, found, *self._directory.paging(ask))

    def queue_members(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/routing/queues/{id}/members`: joined, pageSize (25, at most 100), pageNumber (1); no total."""
        queue, joined = self._asked("queue", ask), ask.one("joined")
        if joined not in ("", "true", "false"):
            raise bad_request(
                "The value [{value}] of {field} is neither true nor false",
                field="joined",
                value=joined,
            )
        found = [_queue_member(queue, person) for person in self._people(queue)]
        found = [member for member in found if not joined or member["joined"] == (joined == "true")]
        return uncounted(ask, found, *self._directory.paging(ask, MOST_PER_PAGE))

    def one(self, kind: Kind, ask: Ask) -> dict[str, Any]:
        """Answer the `GET` of one group, team or queue."""
        return self._entity(self._asked(kind, ask))

    def _visible(self, kind: Kind) -> list[Roster]:
        return [
            roster
            for roster in self._rosters.of(kind)
            if roster.division is None or roster.division in self._directory.visible
        ]

    def _asked(self, kind: Kind, ask: Ask) -> Roster:
        """Find what a path names."""
        roster = self._rosters.find(
            kind, ask.path.removeprefix(_PATHS[kind] + "/").partition("/")[0]
        )
        if roster is None or roster not in self._visible(kind):
            raise not_found()
        return roster

    def _people(self, roster: Roster) -> Iterator[Person]:
        """Walk the members that are shown: deleted users are not."""
        for user_id in roster.members:
            person = self._directory.person(user_id)
            if person is not None and person.state != "deleted":
                yield person

    def _size(self, ask: Ask) -> int:
        size = page_size(ask, MOST_PER_PAGE)
        return min(size, self._most or size)

    def _entity(self, roster: Roster) -> dict[str, Any]:
        """Write a group, team or queue; its memberCount still counts deleted users."""
        entity = {
            "id": roster.id,
            "name": roster.name,
            "memberCount": len(roster.members),
            "selfUri": f"{_PATHS[roster.kind]}/{roster.id}",
        }
        if roster.division is not None:
            entity["division"] = division_entity(roster.division)
        return entity | (
            {"state": "active", "version": 3, "type": "official", "visibility": "public"}
            if roster.kind == "group"
            else {}
        )


def _queue_member(queue: Roster, person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "user": user_entity(person),
        "ringNumber": 1,
        "joined": person.shift < 12,
        "memberBy": "user",
        "selfUri": f"/api/v2/routing/queues/{queue.id}/members/{person.id}",
    }


def _pattern(name: str) -> str:
    """Read asterisks at the ends of a name as anything, and all else by the letter."""
    inner = name.casefold()
    before, after = "*" * inner.startswith("*"), "*" * (len(inner) > 1 and inner.endswith("*"))
    return (
        before
        + "".join(f"[{letter}]" if letter in "*?[" else letter for letter in inner.strip("*"))
        + after
    )
