"""Users and divisions, page by page."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncreport.emulator.directory import Directory
from asyncreport.emulator.messages import ApiError, Request
from asyncreport.emulator.options import Options
from asyncreport.emulator.world import World

WORLD = World(40)
DIRECTORY = Directory(WORLD, Options())


def _ask(path: str = "/api/v2/users", *query: tuple[str, str]) -> Request:
    return Request(method="GET", path=path, query=query)


def _users(*query: tuple[str, str]) -> dict[str, Any]:
    return DIRECTORY.users(_ask("/api/v2/users", *query))


def _follow(page: dict[str, Any]) -> list[str]:
    """Go from page to page by nextUri alone."""
    ids = [entity["id"] for entity in page["entities"]]
    while "nextUri" in page:
        link = urlsplit(page["nextUri"])
        page = DIRECTORY.users(_ask(link.path, *parse_qsl(link.query)))
        ids += [entity["id"] for entity in page["entities"]]
    return ids


def test_a_page_has_exactly_the_vendors_envelope() -> None:
    person = min((p for p in World(3).people), key=lambda p: p.name)
    page = Directory(World(3), Options()).users(
        _ask("/api/v2/users", ("pageSize", "1"), ("pageNumber", "1"), ("state", "any"))
    )
    (entity,) = page.pop("entities")
    assert page == {
        "pageSize": 1,
        "pageNumber": 1,
        "total": 3,
        "pageCount": 3,
        "firstUri": "/api/v2/users?pageSize=1&pageNumber=1&state=any",
        "selfUri": "/api/v2/users?pageSize=1&pageNumber=1&state=any",
        "nextUri": "/api/v2/users?pageSize=1&pageNumber=2&state=any",
        "lastUri": "/api/v2/users?pageSize=1&pageNumber=3&state=any",
    }
    assert {name: entity[name] for name in ("id", "name", "email", "state", "selfUri")} == {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "state": "active",
        "selfUri": f"/api/v2/users/{person.id}",
    }
    assert entity["division"]["name"] == person.division.name


def test_only_active_users_are_listed_by_default() -> None:
    assert (
        _users()["total"],
        _users(("state", "inactive"))["total"],
        _users(("state", "deleted"))["total"],
    ) == (36, 3, 1)
    assert _users(("state", "any"))["total"] == 40


@pytest.mark.parametrize("size", ["1", "7", "40", "500"])
def test_next_links_lead_through_all_users_once(size: str) -> None:
    ids = _follow(_users(("pageSize", size), ("state", "any")))
    assert sorted(ids) == sorted(person.id for person in WORLD.people)
    assert len(set(ids)) == len(ids)


def test_a_page_has_25_users_by_default_also_with_ids() -> None:
    ids = [("id", person.id) for person in WORLD.people]
    page = _users(*ids, ("state", "any"))
    assert len(page["entities"]) == 25
    assert sorted(_follow(page)) == sorted(person.id for person in WORLD.people)


def test_ids_limit_the_list_and_unknown_ones_are_left_out() -> None:
    one, two = WORLD.people[:2]
    page = _users(("id", one.id), ("id", two.id), ("id", "nobody"))
    assert {entity["id"] for entity in page["entities"]} == {one.id, two.id}


def test_a_page_beyond_the_last_is_empty() -> None:
    page = _users(("pageNumber", "9"))
    assert page["entities"] == []
    assert "nextUri" not in page
    assert page["previousUri"] == "/api/v2/users?pageSize=25&pageNumber=8"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ((("pageSize", "0"),), "pageSize"),
        ((("pageSize", "501"),), "pageSize"),
        ((("pageSize", "many"),), "pageSize"),
        ((("pageNumber", "0"),), "pageNumber"),
        ((("pageNumber", "-1"),), "pageNumber"),
        ((("state", "gone"),), "state"),
        (tuple(("id", str(n)) for n in range(101)), "id"),
        ((("state", "inactive"), ("pageSize", "500"), ("pageNumber", "21")), "state"),
    ],
)
def test_an_invalid_parameter_is_a_400(query: tuple[tuple[str, str], ...], named: str) -> None:
    with pytest.raises(ApiError) as caught:
        _users(*query)
    assert (caught.value.status, caught.value.params["field"]) == (400, named)


def test_divisions_are_listed() -> None:
    page = DIRECTORY.divisions(_ask("/api/v2/authorization/divisions"))
    assert [(entity["name"], entity["homeDivision"]) for entity in page["entities"]] == [
        ("Home", True),
        ("Nordics & Baltics", False),
    ]


def test_an_option_makes_pages_smaller() -> None:
    directory = Directory(WORLD, Options(most_per_page=3))
    page = directory.users(_ask("/api/v2/users", ("pageSize", "500")))
    assert (page["pageSize"], len(page["entities"]), page["pageCount"]) == (3, 3, 12)


def test_purged_users_are_unknown() -> None:
    deleted = next(person for person in WORLD.people if person.state == "deleted")
    purged = Directory(WORLD, Options(purged=True))
    assert (
        purged.users(_ask("/api/v2/users", ("state", "any"), ("id", deleted.id)))["entities"] == []
    )
    assert (
        DIRECTORY.users(_ask("/api/v2/users", ("state", "any"), ("id", deleted.id)))["total"] == 1
    )
    assert purged.person(deleted.id) is None


@pytest.mark.parametrize(
    ("options", "names", "every"),
    [
        (Options(), ["Home", "Nordics & Baltics"], True),
        (Options(divisions=("Home",)), ["Home"], False),
        (Options(denied=("analytics:userAggregate:view",)), [], False),
    ],
)
def test_the_divisions_with_a_permission_are_reported(
    options: Options, names: list[str], every: bool
) -> None:
    directory = Directory(WORLD, options)
    page = directory.permitted(
        _ask(
            "/api/v2/authorization/divisionspermitted/paged/me",
            ("permission", "analytics:userAggregate:view"),
        )
    )
    assert ([division["name"] for division in page["entities"]], page["allDivsPermitted"]) == (
        names,
        every,
    )
    assert directory.divisions(_ask("/api/v2/authorization/divisions"))["total"] == 2
    with pytest.raises(ApiError, match="permission"):
        directory.permitted(_ask())
