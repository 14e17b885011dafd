"""Groups, teams and queues and their members: three kinds, and three ways to page. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from asyncreport.emulator.directory import Directory, asked_ids, division_entity, user_entity
from asyncreport.emulator.labels import Label
from asyncreport.emulator.messages import Request, not_found
from asyncreport.emulator.paging import cursor_page, numbered_page, uncounted_page
from asyncreport.emulator.people import Person
from asyncreport.emulator.rosters import Kind, Roster, Rosters

#: on one page of teams, and of the members of a team or queue, at most
MAX_PAGE_SIZE = 100

_PATHS: dict[Kind, str] = {
    "group": "/api/v2/groups",
    "team": "/api/v2/teams",
    "queue": "/api/v2/routing/queues",
}
_GROUP_FIELDS = {
    "state": "active",
    "version": 3,
    "type": "official",
    "visibility": "public",
    "rulesVisible": True,
}


class Listings:
    """The responses about groups, teams and queues.

    Those of hidden divisions do not exist for the client.
    """

    def __init__(self, directory: Directory, rosters: Rosters) -> None:
        self._directory = directory
        self._rosters = rosters

    def groups(self, request: Request) -> dict[str, Any]:
        """Respond to `GET /api/v2/groups`: pageSize, pageNumber."""
        found = [_entity(group) for group in self._rosters.of("group")]
        return numbered_page(request, found, *self._directory.place(request))

    def group_members(self, request: Request) -> dict[str, Any]:
        """Respond to `GET /api/v2/groups/{id}/members`: pageSize, pageNumber."""
        found = [user_entity(person) for person in self._people(self._find("group", request))]
        return numbered_page(request, found, *self._directory.place(request))

    def teams(self, request: Request) -> dict[str, Any]:
        """Respond to `GET /api/v2/teams`: name (the beginning, in any case), after, pageSize."""
        start = request.param("name").casefold()
        found = [
            _entity(team)
            for team in self._visible("team")
            if team.name.casefold().startswith(start)
        ]
        return cursor_page(request, found, self._directory.size(request, MAX_PAGE_SIZE))

    def team_members(self, request: Request) -> dict[str, Any]:
        """Respond to `GET /api/v2/teams/{id}/members`: after, pageSize; members have no names."""
        found = [
            {"id": person.id, "selfUri": f"/api/v2/users/{person.id}"}
            for person in self._people(self._find("team", request))
        ]
        return cursor_page(request, found, self._directory.size(request, MAX_PAGE_SIZE))

    def queues(self, request: Request) -> dict[str, Any]:
        """Respond to `GET /api/v2/routing/queues`: id (repeated), name, pageSize, pageNumber.

        A name matches in any case.
        """
        ids = asked_ids(request)
        name = request.param("name").casefold()
        found = [
            _entity(queue)
            for queue in self._visible("queue")
            if (not ids or queue.id in ids) and name in ("", queue.name.casefold())
        ]
        return numbered_page(request, found, *self._directory.place(request))

    def labels(self, path: str, labels: Sequence[Label], request: Request) -> dict[str, Any]:
        """Respond to the `GET` of wrap-up codes, skills or languages: id, pageSize, pageNumber."""
        ids = asked_ids(request)
        found = [
            {"id": label.id, "name": label.name, "selfUri": f"{path}/{label.id}"}
            for label in labels
            if not ids or label.id in ids
        ]
        return numbered_page(request, found, *self._directory.place(request))

    def queue_members(self, request: Request) -> dict[str, Any]:
        """Respond to `GET /api/v2/routing/queues/{id}/members`: pageSize, pageNumber; no total."""
        queue = self._find("queue", request)
        found = [_queue_member(queue, person) for person in self._people(queue)]
        return uncounted_page(request, found, *self._directory.place(request, MAX_PAGE_SIZE))

    def one(self, kind: Kind, request: Request) -> dict[str, Any]:
        """Respond to the `GET` of one group, team or queue."""
        return _entity(self._find(kind, request))

    def _visible(self, kind: Kind) -> list[Roster]:
        return [
            roster
            for roster in self._rosters.of(kind)
            if roster.division is None or roster.division in self._directory.visible
        ]

    def _find(self, kind: Kind, request: Request) -> Roster:
        """Find the group, team or queue of a path; raise ApiError if it does not exist."""
        roster_id = request.path.removeprefix(_PATHS[kind] + "/").partition("/")[0]
        roster = self._rosters.find(kind, roster_id)
        if roster is None or roster not in self._visible(kind):
            raise not_found()
        return roster

    def _people(self, roster: Roster) -> Iterator[Person]:
        """Walk the members without the deleted users."""
        for user_id in roster.members:
            person = self._directory.person(user_id)
            if person is not None and person.state != "deleted":
                yield person


def _entity(roster: Roster) -> dict[str, Any]:
    """Write a group, team or queue; its memberCount includes deleted users."""
    entity = {
        "id": roster.id,
        "name": roster.name,
        "memberCount": len(roster.members),
        "selfUri": f"{_PATHS[roster.kind]}/{roster.id}",
    }
    if roster.division is not None:
        entity["division"] = division_entity(roster.division)
    if roster.kind == "group":
        entity.update(_GROUP_FIELDS)
    return entity


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
