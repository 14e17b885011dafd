"""Groups, teams and queues: their pages, filters and limits, and their members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from asyncreport.emulator.directory import Directory
from asyncreport.emulator.listings import Listings
from asyncreport.emulator.messages import ApiError, Request
from asyncreport.emulator.options import Options
from asyncreport.emulator.rosters import Kind, Rosters
from asyncreport.emulator.world import World

WORLD = World(300)
KINDS: tuple[Kind, ...] = ("group", "team", "queue")


class Office:
    """A directory and its listings, by path."""

    def __init__(self, world: World = WORLD, **options: Any) -> None:
        given = Options(**options)
        self.rosters = Rosters(world, deleted_queues=given.deleted_queues)
        self._listings = Listings(Directory(world, given), self.rosters)

    def __call__(self, path: str, *query: tuple[str, str]) -> dict[str, Any]:
        ask = Request(method="GET", path=f"/api/v2/{path}", query=query)
        return self._route(path.split("/"))(ask)

    def all(self, path: str, *query: tuple[str, str]) -> list[dict[str, Any]]:
        """Go from page to page by nextUri alone."""
        page = self(path, *query)
        entities = list(page["entities"])
        while "nextUri" in page:
            link = urlsplit(page["nextUri"])
            page = self(link.path.removeprefix("/api/v2/"), *parse_qsl(link.query))
            entities += page["entities"]
        return entities

    def _route(self, parts: list[str]) -> Callable[[Request], dict[str, Any]]:
        listings = self._listings
        kind: Kind = (
            "queue" if parts[0] == "routing" else "group" if parts[0] == "groups" else "team"
        )
        parts = parts[1:] if kind == "queue" else parts
        many = {"group": listings.groups, "team": listings.teams, "queue": listings.queues}[kind]
        members = {
            "group": listings.group_members,
            "team": listings.team_members,
            "queue": listings.queue_members,
        }[kind]
        return (
            many
            if len(parts) == 1
            else members
            if len(parts) == 3
            else lambda ask: listings.one(kind, ask)
        )


OFFICE = Office()
PATHS: dict[Kind, str] = {"group": "groups", "team": "teams", "queue": "routing/queues"}


def _id(kind: Kind, name: str, office: Office = OFFICE) -> str:
    return next(roster.id for roster in office.rosters.of(kind) if roster.name == name)


def _members(kind: Kind, name: str, office: Office = OFFICE) -> list[str]:
    return [
        entity["id"]
        for entity in office.all(
            f"{PATHS[kind]}/{_id(kind, name, office)}/members", ("pageSize", "100")
        )
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", ["1", "3", "100"])
def test_next_links_lead_through_all_of_a_kind_once(kind: Kind, size: str) -> None:
    found = [entity["id"] for entity in OFFICE.all(PATHS[kind], ("pageSize", size))]
    assert sorted(found) == sorted(roster.id for roster in OFFICE.rosters.of(kind))


@pytest.mark.parametrize(
    ("kind", "name"), [("group", "Everyone"), ("team", "Customer Care"), ("queue", "Billing")]
)
@pytest.mark.parametrize("size", ["1", "25", "100"])
def test_next_links_lead_through_all_members_once(kind: Kind, name: str, size: str) -> None:
    path = f"{PATHS[kind]}/{_id(kind, name)}/members"
    found = [entity["id"] for entity in OFFICE.all(path, ("pageSize", size))]
    assert len(found) == len(set(found)) > 25
    assert found == _members(kind, name)


def test_a_list_of_teams_has_a_cursor_and_no_total() -> None:
    page = OFFICE("teams", ("pageSize", "2"), ("name", "b"))
    assert set(page) == {"entities", "selfUri"}
    page = OFFICE("teams", ("pageSize", "1"), ("name", "b"))
    assert set(page) == {"entities", "selfUri", "nextUri"}
    assert page["nextUri"].startswith("/api/v2/teams?after=")
    assert dict(parse_qsl(urlsplit(page["nextUri"]).query)).keys() == {"after", "pageSize", "name"}


def test_the_members_of_a_queue_have_pages_and_no_total() -> None:
    path = f"routing/queues/{_id('queue', 'Billing')}/members"
    page = OFFICE(path)
    assert set(page) == {"entities", "pageSize", "pageNumber", "selfUri", "nextUri"}
    assert (page["pageSize"], len(page["entities"])) == (25, 25)
    beyond = OFFICE(path, ("pageNumber", "99"))
    assert (beyond["entities"], "nextUri" in beyond) == ([], False)


def test_groups_and_queues_and_a_groups_members_have_the_vendors_envelope() -> None:
    for path in ("groups", "routing/queues", f"groups/{_id('group', 'Everyone')}/members"):
        page = OFFICE(path, ("pageSize", "1"))
        counted = {
            "entities",
            "pageSize",
            "pageNumber",
            "total",
            "pageCount",
            "firstUri",
            "lastUri",
            "selfUri",
            "nextUri",
        }
        assert set(page) == counted
        assert page["pageCount"] == page["total"]


@pytest.mark.parametrize("path", ["teams", "team members", "queue members"])
def test_these_pages_have_at_most_a_hundred_entities(path: str) -> None:
    of: dict[str, str] = {
        "team members": f"teams/{_id('team', 'Sales')}/members",
        "queue members": f"routing/queues/{_id('queue', 'Sales')}/members",
    }
    OFFICE(of.get(path, path), ("pageSize", "100"))
    with pytest.raises(ApiError, match="pageSize"):
        OFFICE(of.get(path, path), ("pageSize", "101"))


def test_other_pages_have_at_most_five_hundred() -> None:
    for path in ("groups", "routing/queues", f"groups/{_id('group', 'Everyone')}/members"):
        OFFICE(path, ("pageSize", "500"))
        with pytest.raises(ApiError, match="pageSize"):
            OFFICE(path, ("pageSize", "501"))


def test_an_unknown_cursor_is_a_400() -> None:
    with pytest.raises(ApiError, match="after"):
        OFFICE("teams", ("after", "WyJ4Il0"))


def test_an_option_makes_all_pages_smaller() -> None:
    office = Office(most_per_page=2)
    for path in (
        *PATHS.values(),
        *(f"{PATHS[kind]}/{_id(kind, 'Sales', office)}/members" for kind in ("team", "queue")),
    ):
        assert len(office(path, ("pageSize", "100"))["entities"]) <= 2
        assert [entity["id"] for entity in office.all(path)] == [
            entity["id"] for entity in OFFICE.all(path)
        ]


def test_teams_are_found_by_the_beginning_of_their_name_in_any_case() -> None:
    assert [team["name"] for team in OFFICE.all("teams", ("name", "sales"))] == [
        "Sales",
        "Sales Nights",
    ]
    assert OFFICE("teams", ("name", "ales"))["entities"] == []


@pytest.mark.parametrize(
    ("name", "found"), [("Sales", 2), ("sales", 2), ("VIP", 1), ("Sale", 0), ("S*", 0)]
)
def test_queues_are_found_by_name_in_any_case(name: str, found: int) -> None:
    queues = OFFICE.all("routing/queues", ("name", name))
    assert len(queues) == found
    assert {queue["name"].casefold() for queue in queues} <= {name.casefold()}


def test_queues_are_limited_to_a_hundred_ids() -> None:
    queue = _id("queue", "VIP")
    listed = OFFICE.all("routing/queues", ("id", queue), ("id", "nobody"))
    assert [entity["id"] for entity in listed] == [queue]
    with pytest.raises(ApiError, match="id"):
        OFFICE("routing/queues", *(("id", str(n)) for n in range(101)))


def test_the_members_of_a_team_have_ids_and_no_names() -> None:
    members = OFFICE(f"teams/{_id('team', 'Sales Nights')}/members")["entities"]
    assert [set(member) for member in members] == [{"id", "selfUri"}] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_one_is_found_by_id_alone(kind: Kind) -> None:
    roster = OFFICE.rosters.of(kind)[0]
    found = OFFICE(f"{PATHS[kind]}/{roster.id}")
    assert (found["id"], found["name"], found["memberCount"]) == (
        roster.id,
        roster.name,
        len(roster.members),
    )
    for path in (f"{PATHS[kind]}/nobody", f"{PATHS[kind]}/nobody/members"):
        with pytest.raises(ApiError, match="not found"):
            OFFICE(path)


def test_two_groups_and_two_queues_have_the_same_name() -> None:
    for kind in ("group", "queue"):
        names = Counter(entity["name"] for entity in OFFICE.all(PATHS[kind]))
        assert max(names.values()) == 2


def test_sizes_go_from_no_member_to_all_users() -> None:
    sizes = {
        kind: sorted(len(_members(kind, roster.name)) for roster in OFFICE.rosters.of(kind))
        for kind in KINDS
    }
    assert (sizes["group"][0], sizes["group"][1], sizes["group"][-1]) == (
        0,
        3,
        sum(person.state != "deleted" for person in WORLD.people),
    )
    assert sizes["group"][-1] > 230
    assert (sizes["team"][0], sizes["team"][1]) == (0, 3)
    assert sizes["queue"][-1] > 100


def test_teams_are_disjoint_and_overlap_with_groups_and_queues() -> None:
    teams = [set(roster.members) for roster in OFFICE.rosters.of("team")]
    assert sum(map(len, teams)) == len(set().union(*teams))
    assert (
        set(_members("group", "Équipe d'accueil"))
        & set(_members("team", "Customer Care"))
        & set(_members("queue", "Billing"))
    )


@pytest.mark.parametrize(
    ("kind", "name"), [("group", "Everyone"), ("team", "Sales"), ("queue", "Billing")]
)
def test_inactive_users_are_members_and_deleted_users_are_only_counted(
    kind: Kind, name: str
) -> None:
    office = Office(World(1000))
    members = _members(kind, name, office)
    states = Counter(person.state for person in World(1000).people if person.id in set(members))
    assert states["inactive"] > 0 == states["deleted"]
    assert office(f"{PATHS[kind]}/{_id(kind, name, office)}")["memberCount"] > len(members)


def test_the_members_of_a_queue_are_the_agents_who_work_on_it() -> None:
    queue = WORLD.queues[0]
    on_it = [
        person.id for person in WORLD.people if queue in person.queues and person.state != "deleted"
    ]
    assert [entity["id"] for entity in OFFICE.all(f"routing/queues/{queue.id}/members")] == on_it


@pytest.mark.parametrize("kind", KINDS)
def test_members_change_from_one_call_to_the_next(kind: Kind) -> None:
    office = Office()
    roster = office.rosters.of(kind)[1]
    users = [WORLD.people[k].id for k in (2, 0)]
    office.rosters.change({kind: roster.id, "members": [*users, "nobody"]})
    assert [entity["id"] for entity in office.all(f"{PATHS[kind]}/{roster.id}/members")] == users


@pytest.mark.parametrize(
    "order",
    [
        {},
        [],
        {"group": "nobody", "members": []},
        {"team": _id("group", "Pilot"), "members": []},
        {"group": "", "members": None},
    ],
)
def test_an_invalid_change_of_members_is_refused(order: object) -> None:
    with pytest.raises(ValueError, match=r"group|members|object"):
        Office().rosters.change(order)


def test_a_deleted_queue_is_in_the_data_and_not_in_the_directory() -> None:
    office, vip = Office(deleted_queues=("VIP",)), WORLD.queues[5]
    assert vip.name not in {queue["name"] for queue in office.all("routing/queues")}
    for path in (f"routing/queues/{vip.id}", f"routing/queues/{vip.id}/members"):
        with pytest.raises(ApiError, match="not found"):
            office(path)


def test_teams_and_queues_of_hidden_divisions_do_not_exist() -> None:
    office = Office(divisions=("Home",))
    hidden = WORLD.divisions[1]
    for kind in ("team", "queue"):
        gone = [roster for roster in office.rosters.of(kind) if roster.division == hidden]
        listed = {entity["id"] for entity in office.all(PATHS[kind])}
        assert gone
        assert not listed & {roster.id for roster in gone}
        with pytest.raises(ApiError, match="not found"):
            office(f"{PATHS[kind]}/{gone[0].id}/members")
    assert len(office.all("groups")) == len(OFFICE.all("groups"))
