"""The directory: users and divisions, and what the client may see of them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from msgspec.structs import replace

from asyncreport.emulator.messages import Request, bad_request
from asyncreport.emulator.options import Options
from asyncreport.emulator.paging import MAX_PAGE_SIZE, numbered_page, page_number, page_size
from asyncreport.emulator.people import Division, Person, State
from asyncreport.emulator.world import World

#: `id` parameters in one request, at most
MAX_IDS = 100
#: users who are not active cannot be listed beyond this one, whatever pageCount says
LAST_INACTIVE = 10_000
_STATES = ("active", "inactive", "deleted", "any")


class Directory:
    """What an organisation's directory knows."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options
        self._by_id = {person.id: person for person in world.people if not self._forgot(person)}
        self.visible = [
            division
            for division in world.divisions
            if not options.divisions or division.name in options.divisions
        ]

        #: None: all
        self.visible_ids: frozenset[str] | None = None
        if options.divisions:
            self.visible_ids = frozenset(division.id for division in self.visible)

    def _forgot(self, person: Person) -> bool:
        return self._options.purged and person.state == "deleted"

    @property
    def people(self) -> Collection[Person]:
        """List the users that the directory knows, in any state."""
        return self._by_id.values()

    def person(self, user_id: str) -> Person | None:
        """Find a user by id, in any state."""
        return self._by_id.get(user_id)

    def set_state(self, user_id: str, state: State) -> None:
        """Change the state of a user; raise KeyError for an unknown user."""
        self._by_id[user_id] = replace(self._by_id[user_id], state=state)

    def users(self, request: Request) -> dict[str, Any]:
        """Respond to `GET /api/v2/users`: state (active), id (repeated), pageSize, pageNumber."""
        ids = asked_ids(request)
        state = request.param("state", "active")
        if state not in _STATES:
            template = "The value [{value}] of {field} is unknown"
            raise bad_request(template, field="state", value=state)
        found = self._matching(state, ids)
        size, number = self.place(request)
        if state != "active" and size * number > LAST_INACTIVE:
            template = "Users of {field} [{value}] cannot be listed beyond the first 10000"
            raise bad_request(template, field="state", value=state)
        return numbered_page(request, [user_entity(person) for person in found], size, number)

    def _matching(self, state: str, ids: set[str]) -> list[Person]:
        """List the users of a state and, if there are ids, of those alone; sorted by name."""
        found = [
            person
            for person in self._by_id.values()
            if state in (person.state, "any") and (not ids or person.id in ids)
        ]
        return sorted(found, key=lambda person: (person.name, person.id))

    def divisions(self, request: Request) -> dict[str, Any]:
        """Respond to `GET /api/v2/authorization/divisions`: id; also hidden ones are listed."""
        ids = asked_ids(request)
        found = [each for each in self._world.divisions if not ids or each.id in ids]
        return self._division_page(request, found)

    def permitted(self, request: Request) -> dict[str, Any]:
        """Respond to `GET /api/v2/authorization/divisionspermitted/paged/me`: permission.

        Believed to work without a user.
        """
        permission = request.param("permission")
        if not permission:
            raise bad_request("The {field} is missing", field="permission")
        found = [] if permission in self._options.denied else self.visible
        page = self._division_page(request, found)
        page["allDivsPermitted"] = len(found) == len(self._world.divisions)
        return page

    def place(self, request: Request, largest: int = MAX_PAGE_SIZE) -> tuple[int, int]:
        """Read which page is requested: its size, unless the options allow less, and its number."""
        return self.size(request, largest), page_number(request)

    def size(self, request: Request, largest: int = MAX_PAGE_SIZE) -> int:
        """Read the requested size of a page; the options may make it smaller."""
        size = page_size(request, largest)
        return min(size, self._options.most_per_page or size)

    def _division_page(self, request: Request, found: Sequence[Division]) -> dict[str, Any]:
        home = self._world.divisions[0]
        entities = [
            {
                **division_entity(division),
                "description": f"The division {division.name}",
                "homeDivision": division == home,
            }
            for division in found
        ]
        return numbered_page(request, entities, *self.place(request))


def asked_ids(request: Request) -> set[str]:
    """Read the ids that a listing is limited to; raise ApiError for more than `MAX_IDS`."""
    ids = set(request.params("id"))
    if len(ids) > MAX_IDS:
        template = "At most {max} values of {field} are allowed"
        raise bad_request(template, field="id", max=str(MAX_IDS))
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
