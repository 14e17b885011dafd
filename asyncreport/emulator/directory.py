"""The directory: users and divisions, page by page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from asyncreport.emulator.answers import Ask, Refused, bad_request
from asyncreport.emulator.people import Division, Person
from asyncreport.emulator.world import World

#: `id` parameters in one request
MOST_IDS = 100
MOST_PER_PAGE = 500
#: users who are not active cannot be paged through beyond this one, whatever pageCount says
LAST_INACTIVE = 10_000


def users(world: World, ask: Ask) -> dict[str, Any]:
    """Answer `GET /api/v2/users`: state (active), id (repeated), sortOrder, pageSize (25), pageNumber (1)."""
    ids, state = set(ask.many("id")), ask.one("state", "active")
    if len(ids) > MOST_IDS:
        raise bad_request("At most {max} values of {field} are allowed", field="id", max=str(MOST_IDS))
    if state not in ("active", "inactive", "deleted", "any"):
        raise bad_request("The value [{value}] of {field} is unknown", field="state", value=state)
    found = [person for person in world.people if state in (person.state, "any") and (not ids or person.id in ids)]
    found.sort(key=lambda person: (person.name, person.id), reverse=ask.one("sortOrder").lower().startswith("desc"))
    size, number = _paging(ask)
    if state != "active" and size * number > LAST_INACTIVE:
        raise bad_request("Users of {field} [{value}] cannot be listed beyond the first 10000", field="state", value=state)
    return _page(ask, [_user(person) for person in found], size, number)


def user(world: World, ask: Ask) -> dict[str, Any]:
    """Answer `GET /api/v2/users/{id}`; a deleted user is found with `state=deleted` only."""
    person = world.person(ask.path.rpartition("/")[2])
    if person is None or (person.state == "deleted" and ask.one("state") not in ("deleted", "any")):
        raise Refused(404, "not.found", "The requested resource was not found")
    return _user(person)


def divisions(world: World, ask: Ask) -> dict[str, Any]:
    """Answer `GET /api/v2/authorization/divisions`."""
    ids, (size, number) = set(ask.many("id")), _paging(ask)
    found = [division for division in world.divisions if not ids or division.id in ids]
    return _page(ask, [_division(division) | {"homeDivision": division == world.divisions[0]} for division in found], size, number)


def organization(world: World) -> dict[str, Any]:
    """Answer `GET /api/v2/organizations/me`."""
    path = "/api/v2/organizations/me"
    return {"id": world.id, "name": "Emulated", "defaultLanguage": "en-IE", "state": "active", "version": 1, "selfUri": path}


def _user(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "division": _division(person.division),
        "chat": {"jabberId": f"{person.id.replace('-', '')[:24]}@emulator.orgspan.com"},
        "email": person.email,
        "state": person.state,
        "username": person.email,
        "version": 7,
        "acdAutoAnswer": False,
        "selfUri": f"/api/v2/users/{person.id}",
    }


def _division(division: Division) -> dict[str, Any]:
    return {"id": division.id, "name": division.name, "selfUri": f"/api/v2/authorization/divisions/{division.id}"}


def _paging(ask: Ask) -> tuple[int, int]:
    size, number = ask.number("pageSize", 25), ask.number("pageNumber", 1)
    if not 1 <= size <= MOST_PER_PAGE:
        raise bad_request(
            "The value [{value}] of {field} is not within 1 to {max}", field="pageSize", value=str(size), max=str(MOST_PER_PAGE)
        )
    if number < 1:
        raise bad_request("The value [{value}] of {field} is less than 1", field="pageNumber", value=str(number))
    return size, number


def _page(ask: Ask, entities: Sequence[dict[str, Any]], size: int, number: int) -> dict[str, Any]:
    """Wrap one page in the envelope that the vendor's listings share."""
    last = max(1, -(-len(entities) // size))
    page = {"entities": entities[(number - 1) * size : number * size], "pageSize": size, "pageNumber": number, "total": len(entities)}
    links = {"firstUri": 1, "selfUri": number, "lastUri": last}
    if number > 1:
        links["previousUri"] = number - 1
    if number < last:
        links["nextUri"] = number + 1
    return page | {name: _link(ask, size, to) for name, to in links.items()} | {"pageCount": last if entities else 0}


def _link(ask: Ask, size: int, number: int) -> str:
    kept = [(key, value) for key, value in ask.query if key not in ("pageSize", "pageNumber")]
    return f"{ask.path}?" + urlencode([("pageSize", size), ("pageNumber", number), *kept], quote_via=quote)
