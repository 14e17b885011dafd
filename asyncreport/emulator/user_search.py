"""`POST /api/v2/users/search`: users by exact values of their fields. Pure.

The form of query and response is that of the vendor's SDK:
https://github.com/MyPureCloud/platform-client-sdk-python
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from asyncreport.emulator.directory import user_entity
from asyncreport.emulator.fields import known_fields, list_field, required_names, unknown_value
from asyncreport.emulator.messages import bad_request
from asyncreport.emulator.people import Person

_BODY = frozenset({"pageSize", "pageNumber", "sortBy", "sortOrder", "query"})
_CRITERION = frozenset({"type", "fields", "values", "operator"})
#: fields of a user that can be searched
_FIELDS = frozenset({"id", "name", "email", "username", "state"})
#: users on one page, at most
_MAX_PAGE_SIZE = 100


def search(body: dict[str, Any], people: Iterable[Person]) -> dict[str, Any]:
    """Respond with one page of the users who meet every criterion, sorted by name."""
    fields = known_fields(body, "query", _BODY)
    found = [user_entity(person) for person in people]
    for given in list_field(fields, "query"):
        found = _matching(found, known_fields(given, "query", _CRITERION))
    found.sort(key=lambda user: (user["name"], user["id"]))
    size = _number(fields, "pageSize", 25, _MAX_PAGE_SIZE)
    number = _number(fields, "pageNumber", 1, 1_000_000)
    return _page(found, size, number)


def _matching(users: Sequence[dict[str, Any]], criterion: dict[str, Any]) -> list[dict[str, Any]]:
    """Keep the users who have one of the values in one of the fields; case does not matter."""
    if criterion.get("type") != "EXACT":
        raise unknown_value("type", criterion.get("type"))
    names = required_names(criterion, "fields", _FIELDS)
    values = {str(value).casefold() for value in list_field(criterion, "values")}
    return [user for user in users if any(user[name].casefold() in values for name in names)]


def _number(fields: dict[str, Any], name: str, default: int, largest: int) -> int:
    number = fields.get(name, default)
    if not isinstance(number, int) or not 1 <= number <= largest:
        template = "The value [{value}] of {field} is not within 1 to {max}"
        raise bad_request(template, field=name, value=str(number), max=str(largest))
    return number


def _page(found: Sequence[dict[str, Any]], size: int, number: int) -> dict[str, Any]:
    """Write a page; without any user it has no `results`."""
    page: dict[str, Any] = {
        "total": len(found),
        "pageCount": -(-len(found) // size),
        "pageSize": size,
        "pageNumber": number,
        "types": ["users"],
    }
    results = found[(number - 1) * size : number * size]
    if results:
        page["results"] = results
    return page
