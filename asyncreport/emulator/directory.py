"""The directory: users, divisions, the organisation, and what the client may see of it. Pure."""

from __future__ import annotations

from typing import Any

from asyncreport.emulator.answers import Ask, bad_request, not_found
from asyncreport.emulator.limits import CLIENT_ID
from asyncreport.emulator.options import Options
from asyncreport.emulator.paging import MOST_PER_PAGE, numbered, page
from asyncreport.emulator.people import Division, Person, shaped_id
from asyncreport.emulator.world import World

#: `id` parameters in one request
MOST_IDS = 100
#: users who are not active cannot be paged through beyond this one, whatever pageCount says
LAST_INACTIVE = 10_000


class Directory:
    """What an organisation's directory knows."""

    def __init__(self, world: World, options: Options) -> None:
        self._world, self._options = world, options
        self.people = [
            person for person in world.people if not (options.purged and person.state == "deleted")
        ]
        self._by_id = {person.id: person for person in self.people}
        self.visible = [
            division
            for division in world.divisions
            if not options.divisions or division.name in options.divisions
        ]

    def person(self, user_id: str) -> Person | None:
        """Find a user by id, whatever the state."""
        return self._by_id.get(user_id)

    def users(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/users`: state (active), id (repeated), sortOrder, pageSize (25), pageNumber (1)."""
        ids, state = asked_ids(ask), ask.one("state", "active")
        if state not in ("active", "inactive", "deleted", "any"):
            raise bad_request(
                "The value [{value}] of {field} is unknown", field="state", value=state
            )
        found = [
            person
            for person in self.people
            if state in (person.state, "any") and (not ids or person.id in ids)
        ]
        found.sort(
            key=lambda person: (person.name, person.id),
            reverse=ask.one("sortOrder").lower().startswith("desc"),
        )
        size, number = self.paging(ask)
        if state != "active" and size * number > LAST_INACTIVE:
            raise bad_request(
                "Users of {field} [{value}] cannot be listed beyond the first 10000",
                field="state",
                value=state,
            )
        return page(ask, [user_entity(person) for person in found], size, number)

    def user(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/users/{id}`; a deleted user is found with `state=deleted` only."""
        person = self.person(ask.path.rpartition("/")[2])
        if person is None or (
            person.state == "deleted" and ask.one("state") not in ("deleted", "any")
        ):
            raise not_found()
        return user_entity(person)

    def divisions(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/authorization/divisions`, which lists those that the client may not see as well."""
        ids, (size, number) = set(ask.many("id")), self.paging(ask)
        found = [division for division in self._world.divisions if not ids or division.id in ids]
        return page(ask, [self._authorized(division) for division in found], size, number)

    def permitted(self, ask: Ask) -> dict[str, Any]:
        """Answer `GET /api/v2/authorization/divisionspermitted/paged/me`: permission. Believed to work without a user."""
        permission = ask.one("permission")
        if not permission:
            raise bad_request("The {field} is missing", field="permission")
        found = [] if permission in self._options.denied else self.visible
        every = len(found) == len(self._world.divisions)
        return page(ask, [self._authorized(division) for division in found], *self.paging(ask)) | {
            "allDivsPermitted": every
        }

    def subject(self) -> dict[str, Any]:
        """Answer `GET /api/v2/authorization/subjects/me`: one role, granted in every division that the client may see. Believed."""
        role = {"id": shaped_id(self._world.seed, "role"), "name": "Exporter"}
        grants = [
            {"subjectId": CLIENT_ID, "division": self._authorized(division), "role": role}
            for division in self.visible
        ]
        return {
            "id": CLIENT_ID,
            "name": "asyncreport",
            "grants": grants,
            "selfUri": f"/api/v2/authorization/subjects/{CLIENT_ID}",
        }

    def organization(self) -> dict[str, Any]:
        """Answer `GET /api/v2/organizations/me`."""
        path = "/api/v2/organizations/me"
        return {
            "id": self._world.id,
            "name": "Emulated",
            "defaultLanguage": "en-IE",
            "state": "active",
            "version": 1,
            "selfUri": path,
        }

    def paging(self, ask: Ask, most: int = MOST_PER_PAGE) -> tuple[int, int]:
        """Read which page is asked for; its size is as asked, or the smaller one that the options allow."""
        size, number = numbered(ask, most)
        return min(size, self._options.most_per_page or size), number

    def _authorized(self, division: Division) -> dict[str, Any]:
        return division_entity(division) | {"homeDivision": division == self._world.divisions[0]}


def asked_ids(ask: Ask) -> set[str]:
    """Read the ids that a listing is narrowed to; raise Refused beyond `MOST_IDS`."""
    ids = set(ask.many("id"))
    if len(ids) > MOST_IDS:
        raise bad_request(
            "At most {max} values of {field} are allowed", field="id", max=str(MOST_IDS)
        )
    return ids


def user_entity(person: Person) -> dict[str, Any]:
    """Write a user as the listings do."""
    return {
        "id": person.id,
        "name": person.name,
        "division": division_entity(person.division),
        "chat": {"jabberId": f"{person.id.replace('-', '')[:24]}@emulator.orgspan.com"},
        "email": person.email,
        "state": person.state,
        "username": person.email,
        "version": 7,
        "acdAutoAnswer": False,
        "selfUri": f"/api/v2/users/{person.id}",
    }


def division_entity(division: Division) -> dict[str, Any]:
    """Write a division as other entities refer to it."""
    return {
        "id": division.id,
        "name": division.name,
        "selfUri": f"/api/v2/authorization/divisions/{division.id}",
    }
