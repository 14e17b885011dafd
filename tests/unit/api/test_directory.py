"""Any paging of a listing gives each entity once; a name finds one entity or is an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.api import directory as api_directory
from asyncreport.api.directory import (
    Roster,
    UnlistedNameError,
    all_user_ids,
    has_filter,
    is_id,
    list_all,
    names,
    user_count_request,
    user_names,
)
from asyncreport.api.listings import decode_page, list_entities
from asyncreport.api.wire import Request
from asyncreport.core.errors import (
    ApiError,
    AsyncReportError,
    ConfigError,
    RejectedError,
    RetriesExhausted,
    TransientError,
)
from asyncreport.core.job import Selector

T = TypeVar("T")

#: what a fake answers: the body, or an error to raise
Answers = Callable[[Request], object]

GROUP = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
OTHER = "AAAAAAAA-0000-4ccc-8ddd-eeeeeeeeeeee"
NOT_FOUND = RejectedError("GET: 404 not.found", status=404)


def play(steps: Generator[Request, Any, T], answers: Answers) -> tuple[T, list[Request]]:
    """Run the steps to the end: each response goes through the decoder of its request."""
    asked: list[Request] = []
    try:
        request = next(steps)
        while True:
            asked.append(request)
            answer = answers(request)
            if isinstance(answer, AsyncReportError):
                request = steps.throw(answer)
            else:
                request = steps.send(request.decode(json.dumps(answer).encode()))
    except StopIteration as end:
        return end.value, asked


def look_up(selector: Selector) -> Generator[Request, Any, Roster]:
    """Look up one selector alone, with a filter if the vendor has one."""
    listed = None
    if not is_id(selector) and not has_filter(selector.kind):
        listed = yield from list_all(selector.kind)
    try:
        return (yield from api_directory.look_up(selector, listed))
    except UnlistedNameError:
        listed = yield from list_all(selector.kind)
        return (yield from api_directory.look_up(selector, listed))


def entity(name: str) -> dict[str, str]:
    return {"id": name, "name": name.title()}


def counted(request: Request, found: Sequence[object], *, cap: int = 500) -> dict[str, object]:
    """Respond as groups, queues and users are listed."""
    page = uncounted(request, found, cap=cap)
    return page | {
        "pageCount": -(-len(found) // min(cap, int(dict(request.query)["pageSize"]))),
        "total": len(found),
    }


def uncounted(request: Request, found: Sequence[object], *, cap: int = 500) -> dict[str, object]:
    """Respond as the members of a queue are listed."""
    asked = dict(request.query)
    size, number = min(cap, int(asked["pageSize"])), int(asked.get("pageNumber", 1))
    page: dict[str, object] = {"entities": found[(number - 1) * size : number * size]}
    if number * size < len(found):
        page["nextUri"] = f"{request.path}?pageNumber={number + 1}&pageSize={size}"
    return page


def followed(
    request: Request, found: Sequence[object], *, cap: int = 500, empty: bool = False
) -> dict[str, object]:
    """Respond as teams and their members are listed; `empty`: empty pages between the others."""
    asked = dict(request.query)
    size = min(cap, int(asked["pageSize"]))
    kind, _, start = asked.get("after", "full+0" if not empty else "none+0").partition("+")
    at = int(start)
    full = kind == "full"
    page: dict[str, object] = {"entities": found[at : at + size] if full else []}
    onward = "none" if empty and full else "full"
    if not full or at + size < len(found):
        after = f"{onward}+{at + size * full}"
        query = urlencode({"after": after, "pageSize": size})
        page["nextUri"] = f"https://elsewhere.example/collect/all?{query}#top"
    return page


MEMBERS = st.lists(st.integers(0, 400).map(lambda n: f"user-{n:03}"), unique=True, max_size=250)


@given(MEMBERS, st.integers(1, 300), st.booleans())
def test_any_paging_of_a_team_gives_each_member_once_and_never_leaves_the_path(
    members: list[str], cap: int, empty: bool
) -> None:
    found = [{"id": user} for user in members]

    def answers(request: Request) -> object:
        return (
            {"id": GROUP, "name": "Night"}
            if request.path == f"/api/v2/teams/{GROUP}"
            else followed(request, found, cap=cap, empty=empty)
        )

    roster, asked = play(look_up(Selector(kind="team", value=GROUP)), answers)
    assert roster == Roster(id=GROUP, name="Night", users=tuple(sorted(members)))
    assert {request.path for request in asked[1:]} == {f"/api/v2/teams/{GROUP}/members"}
    assert {request.host for request in asked} == {"api"}


@given(MEMBERS, st.integers(1, 300))
def test_any_paging_of_a_group_gives_each_member_once(members: list[str], cap: int) -> None:
    def answers(request: Request) -> object:
        return (
            counted(request, [entity(user) for user in members], cap=cap)
            if request.path.endswith("/members")
            else entity(GROUP)
        )

    roster, asked = play(look_up(Selector(kind="group", value=GROUP)), answers)
    assert roster.users == tuple(sorted(members))
    assert len(asked) == 1 + max(1, -(-len(members) // min(cap, 100)))


@given(MEMBERS, st.integers(1, 100), st.booleans())
def test_any_paging_of_a_queue_without_total_gives_each_member_once(
    members: list[str], cap: int, linked: bool
) -> None:
    """`linked`: pages of any size name the next one; otherwise they are full until the last."""

    def answers(request: Request) -> object:
        if not request.path.endswith("/members"):
            return entity(GROUP)
        page = uncounted(request, [entity(user) for user in members], cap=cap if linked else 100)
        return page if linked else {"entities": page["entities"]}

    roster, asked = play(look_up(Selector(kind="queue", value=GROUP)), answers)
    assert roster.users == tuple(sorted(members))
    assert dict(asked[1].query)["pageSize"] == "100"


@pytest.mark.parametrize(("members", "pages"), [(0, 1), (99, 1), (100, 2), (101, 2), (200, 3)])
def test_a_queue_without_links_ends_with_a_page_that_is_not_full(members: int, pages: int) -> None:
    def answers(request: Request) -> object:
        if not request.path.endswith("/members"):
            return entity(GROUP)
        return {
            "entities": uncounted(request, [entity(f"user-{n:03}") for n in range(members)])[
                "entities"
            ]
        }

    roster, asked = play(look_up(Selector(kind="queue", value=GROUP)), answers)
    assert len(roster.users) == members
    # Without a total, several pages are read twice.
    assert len(asked) == 1 + pages * min(2, pages)


@given(MEMBERS.filter(lambda members: len(members) > 3), st.data())
def test_a_user_on_two_pages_because_of_a_new_user_counts_once(
    members: list[str], data: st.DataObject
) -> None:
    listed = [entity(user) for user in members]
    most = len(listed) + 3

    def answers(request: Request) -> object:
        if not request.path.endswith("/members"):
            return entity(GROUP)
        page = counted(request, listed, cap=3)
        if len(listed) < most and data.draw(st.booleans()):
            listed.insert(0, entity(f"new-{len(listed)}"))
        return page

    roster, _ = play(look_up(Selector(kind="group", value=GROUP)), answers)
    assert set(members) <= set(roster.users)
    assert len(set(roster.users)) == len(roster.users)


class Changing:
    """A listing of 250 that changes once, before its second page is requested.

    `pages` answers one request from the entities that exist then.
    """

    def __init__(self, pages: Callable[..., dict[str, object]], *, again: bool = False) -> None:
        self._pages = pages
        self._again = again
        self._requests = 0
        self.present = [f"user-{n:03}" for n in range(250)]
        #: who exist from the first request to the last
        self.throughout = set(self.present)

    def leave(self) -> None:
        """Let the first one leave, so that the 101st becomes the last one of page 1."""
        self.throughout.discard(self.present.pop(0))

    def join(self) -> None:
        self.present.append(f"new-{self._requests:03}")

    def __call__(self, request: Request, *changes: Callable[[], None]) -> dict[str, object]:
        self._requests += 1
        if self._requests == 2 or self._again:
            for change in changes:
                change()
        return self._pages(request, [entity(user) for user in self.present], cap=100)


LISTINGS = [("group", counted), ("team", followed), ("queue", uncounted)]


@pytest.mark.parametrize(("kind", "pages"), LISTINGS)
@pytest.mark.parametrize("joined", [False, True])
def test_a_member_who_stays_while_another_one_leaves_is_found(
    kind: Any, pages: Any, joined: bool
) -> None:
    changing = Changing(pages)
    changes = [changing.leave]
    if joined and pages is not counted:
        # With a total, one who leaves and one who joins at the same time leave no sign.
        changes.append(changing.join)

    def answers(request: Request) -> object:
        if request.path.endswith("/members"):
            return changing(request, *changes)
        return entity(GROUP)

    roster, asked = play(look_up(Selector(kind=kind, value=GROUP)), answers)
    assert "user-100" in roster.users
    assert changing.throughout <= set(roster.users) <= set(changing.present)
    assert len(asked) == 1 + 3 * 3


def test_everyone_who_stays_while_a_user_leaves_is_found() -> None:
    changing = Changing(counted)

    def answers(request: Request) -> object:
        if ("state", "active") in request.query:
            return changing(request, changing.leave)
        return counted(request, [])

    users, _ = play(all_user_ids(), answers)
    assert changing.throughout <= set(users) <= set(changing.present)


@pytest.mark.parametrize(("kind", "pages"), LISTINGS)
def test_a_name_is_found_although_the_listing_changes(kind: Any, pages: Any) -> None:
    """The one that is looked up is the 101st, and is skipped in the first walk."""
    changing = Changing(pages)

    def answers(request: Request) -> object:
        if request.path.endswith("/members"):
            return {"entities": []}
        return changing(request, changing.leave)

    roster, _ = play(look_up(Selector(kind=kind, value="User-100")), answers)
    assert roster.id == "user-100"


@pytest.mark.parametrize(("kind", "pages"), LISTINGS)
def test_a_listing_that_changes_all_the_time_is_an_error(kind: Any, pages: Any) -> None:
    changing = Changing(pages, again=True)

    def answers(request: Request) -> object:
        if request.path.endswith("/members"):
            return changing(request, changing.leave)
        return entity(GROUP)

    with pytest.raises(RetriesExhausted) as caught:
        play(look_up(Selector(kind=kind, value=GROUP)), answers)
    assert str(caught.value).endswith(
        f"/{GROUP}/members: the list was read 6 times and was different each time, "
        "so that an entry may be missing; run it again later"
    )


def test_a_steady_listing_with_a_total_is_read_once() -> None:
    listed = [entity(f"user-{n:03}") for n in range(250)]
    found, asked = play(list_entities("/api/v2/users"), lambda request: counted(request, listed))
    assert len(found) == 250
    assert len(asked) == 3


@pytest.mark.parametrize("field", ["total", "pageCount"])
def test_either_sign_of_a_change_is_enough(field: str) -> None:
    listed = [entity(f"user-{n:03}") for n in range(250)]
    requests = 0

    def answers(request: Request) -> object:
        nonlocal requests
        requests += 1
        page = counted(request, listed)
        return page | ({field: 4} if requests == 2 else {})

    found, asked = play(list_entities("/api/v2/users"), answers)
    assert len(found) == 250
    # Two walks of three pages; where the second page says that there are four, the first walk has
    # one more.
    assert len(asked) == 6


def test_a_listing_whose_total_counts_hidden_entities_is_read_twice() -> None:
    """Two walks that agree are enough, whatever the total says."""
    listed = [entity(f"user-{n:03}") for n in range(250)]

    def answers(request: Request) -> object:
        return counted(request, listed) | {"total": 300}

    found, asked = play(list_entities("/api/v2/users"), answers)
    assert len(found) == 250
    assert len(asked) == 6


EMPTY_PAGES = [
    b'{"selfUri": "/api/v2/groups?pageSize=100&pageNumber=1", "total": 0, "pageCount": 0}',
    b'{"selfUri": "/api/v2/groups"}',
    b'{"pageNumber": 1, "pageSize": 25}',
    b'{"total": "0", "pageCount": "0"}',
    b'{"entities": null}',
]


@pytest.mark.parametrize("body", EMPTY_PAGES)
def test_a_page_without_entities_is_empty_if_it_says_what_it_is(body: bytes) -> None:
    steps = list_entities("/api/v2/groups")
    request = next(steps)
    with pytest.raises(StopIteration) as end:
        steps.send(request.decode(body))
    assert end.value.value == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "a", "name": "Night", "selfUri": "/api/v2/groups/a"}',
        b'{"message": "down", "status": 500, "total": 0}',
        b'{"pageSize": 25}',
    ],
)
def test_another_body_without_entities_is_not_an_empty_page(body: bytes) -> None:
    with pytest.raises(ApiError, match="the response is not a valid page of a listing"):
        decode_page(body)


@pytest.mark.parametrize("write", [str, float, lambda number: f"{number}.0"])
def test_numbers_of_pages_are_read_as_text_too(write: Callable[[int], object]) -> None:
    """Each page is full, so that only `pageCount` says which one is the last."""
    listed = [entity(f"user-{n:03}") for n in range(200)]

    def answers(request: Request) -> object:
        page = counted(request, listed)
        return {"entities": page["entities"], "pageCount": write(2), "total": write(200)}

    found, asked = play(list_entities("/api/v2/users"), answers)
    assert len(found) == 200
    assert len(asked) == 2


@pytest.mark.parametrize("odd", ["many", -1, 0, True, [2], {"a": 1}, "9" * 5000, 1.5, None])
def test_an_odd_number_of_pages_is_ignored(odd: object) -> None:
    """The pages are then followed to one that is not full."""
    listed = [entity(f"user-{n:03}") for n in range(101)]

    def answers(request: Request) -> object:
        return {"entities": counted(request, listed)["entities"], "pageCount": odd, "total": odd}

    found, _ = play(list_entities("/api/v2/users"), answers)
    assert len(found) == 101


@pytest.mark.parametrize(
    ("kind", "path"),
    [("group", "/api/v2/groups"), ("team", "/api/v2/teams"), ("queue", "/api/v2/routing/queues")],
)
@pytest.mark.parametrize("value", [GROUP, OTHER])
def test_a_value_in_the_form_of_an_id_is_an_id(kind: Any, path: str, value: str) -> None:
    def answers(request: Request) -> object:
        return (
            {"entities": [entity("ann")]}
            if request.path.endswith("/members")
            else {"id": value, "name": "Night"}
        )

    roster, asked = play(look_up(Selector(kind=kind, value=value)), answers)
    assert roster == Roster(id=value, name="Night", users=("ann",))
    assert [request.path for request in asked] == [f"{path}/{value}", f"{path}/{value}/members"]
    assert asked[0].query == ()


@pytest.mark.parametrize("kind", ["group", "team", "queue"])
@pytest.mark.parametrize("gone", ["", "/members"])
def test_an_unknown_id_is_a_configuration_error(kind: Any, gone: str) -> None:
    def answers(request: Request) -> object:
        return NOT_FOUND if request.path.endswith(f"{GROUP}{gone}") else entity(GROUP)

    with pytest.raises(ConfigError) as caught:
        play(look_up(Selector(kind=kind, value=GROUP)), answers)
    assert str(caught.value) == (
        f"{kind} {GROUP}: the directory has no {kind} with this id, "
        "or it is in a division that the OAuth client cannot see; "
        f"check the id, or use the exact name of the {kind}"
    )
    assert caught.value.__cause__ is NOT_FOUND


@pytest.mark.parametrize("gone", ["", "/members"])
def test_any_other_refusal_is_not_changed(gone: str) -> None:
    refused = RejectedError("GET: 400 bad.request", status=400)

    def answers(request: Request) -> object:
        return refused if request.path.endswith(f"{GROUP}{gone}") else entity(GROUP)

    with pytest.raises(RejectedError) as caught:
        play(look_up(Selector(kind="group", value=GROUP)), answers)
    assert caught.value is refused


#: those whose names come twice, and one that another begins with
NAMES = ("Sales", "Sales Nights", "sales", "Billing", "Billing", "Équipe d'accueil")


def directory(kind: str) -> Answers:
    """Filter as the vendor does: teams by the beginning of a name, queues without case."""
    listed = [{"id": f"id-{n}", "name": name} for n, name in enumerate(NAMES)]

    def answers(request: Request) -> object:
        if request.path.endswith("/members"):
            return {"entities": [{"id": request.path.split("/")[-2]}]}
        name = dict(request.query).get("name", "").casefold()
        if kind == "team":
            return followed(
                request,
                [each for each in listed if each["name"].casefold().startswith(name)],
                cap=2,
            )
        return counted(
            request, [each for each in listed if not name or each["name"].casefold() == name], cap=2
        )

    return answers


@pytest.mark.parametrize(("kind", "requests"), [("group", 3), ("team", 4), ("queue", 1)])
def test_an_exact_name_finds_its_entity(kind: Any, requests: int) -> None:
    roster, asked = play(look_up(Selector(kind=kind, value="Sales")), directory(kind))
    assert roster == Roster(id="id-0", name="Sales", users=("id-0",))
    assert len(asked) == requests + 1
    assert all(("name", "Sales") in request.query for request in asked[:-1] if kind != "group")


def test_the_filter_is_kept_if_the_link_to_the_next_page_does_not_repeat_it() -> None:
    _, asked = play(look_up(Selector(kind="team", value="Sales")), directory("team"))
    assert asked[1].query == (("name", "Sales"), ("after", "full+2"), ("pageSize", "2"))


@pytest.mark.parametrize("kind", ["group", "team", "queue"])
def test_a_name_of_several_entities_is_an_error_with_their_ids(kind: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        play(look_up(Selector(kind=kind, value="Billing")), directory(kind))
    assert (
        str(caught.value)
        == f"{kind} 'Billing': 2 {kind}s have this name (id-3, id-4); use the id of the right one"
    )


@pytest.mark.parametrize("kind", ["group", "team", "queue"])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Biling", "did you mean 'Billing'?"),
        ("équipe D'Accueil", """did you mean "Équipe d'accueil"?"""),
        ("Sales Night", "did you mean 'Sales Nights' or 'sales'?"),
        ("x", "check the name, or use the id of the {kind}"),
    ],
)
def test_an_unknown_name_is_an_error_with_similar_names(kind: Any, name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        play(look_up(Selector(kind=kind, value=name)), directory(kind))
    assert str(caught.value) == (
        f"{kind} {name!r}: the OAuth client sees 6 {kind}s, "
        "but none has exactly this name (upper and lower case count); "
        f"{hint.format(kind=kind)}"
    )


@pytest.mark.parametrize(("kind", "listings"), [("group", 1), ("team", 2), ("queue", 2)])
def test_an_unknown_name_is_searched_in_the_whole_list_once(kind: Any, listings: int) -> None:
    """With a filter first; groups have none, so their first listing is already the whole one."""
    requests: list[Request] = []

    def answers(request: Request) -> object:
        requests.append(request)
        return directory(kind)(request)

    with pytest.raises(ConfigError):
        play(look_up(Selector(kind=kind, value="x")), answers)
    first = [each for each in requests if not {"after", "pageNumber"} & dict(each.query).keys()]
    numbered = [each for each in requests if dict(each.query).get("pageNumber") == "1"]
    # A listing of several pages without a total, as of teams, is read twice.
    walks = 1 + 2 if kind == "team" else listings
    assert len(first) + len(numbered) == walks


@pytest.mark.parametrize("next_uri", ["?after=one", "?pageSize=100", "/", "http://["])
def test_a_cursor_that_leads_back_is_an_error(next_uri: str) -> None:
    def answers(request: Request) -> object:
        return (
            {"entities": [], "nextUri": next_uri}
            if request.path.endswith("/members")
            else entity(GROUP)
        )

    with pytest.raises(
        RejectedError,
        match=rf"GET /api/v2/teams/{GROUP}/members: page [12] leads back to a page that was",
    ):
        play(look_up(Selector(kind="team", value=GROUP)), answers)


def test_a_link_to_the_same_page_is_an_error() -> None:
    def answers(request: Request) -> object:
        return (
            {"entities": [entity("ann")], "nextUri": "?pageNumber=2"}
            if request.path.endswith("/members")
            else entity(GROUP)
        )

    with pytest.raises(RejectedError, match="page 2 leads back"):
        play(look_up(Selector(kind="queue", value=GROUP)), answers)


def test_an_id_of_a_response_is_one_segment_of_the_path() -> None:
    def answers(request: Request) -> object:
        return (
            {"entities": []}
            if request.path.endswith("/members")
            else {"entities": [{"id": "../x?y", "name": "Sales"}], "pageCount": 1}
        )

    _, asked = play(look_up(Selector(kind="group", value="Sales")), answers)
    assert asked[-1].path == "/api/v2/groups/..%2Fx%3Fy/members"


@pytest.mark.parametrize(
    ("look_up_names", "path", "more"),
    [
        (user_names, "/api/v2/users", [("state", "any")]),
        (partial(names, "queue_name"), "/api/v2/routing/queues", []),
    ],
)
def test_names_are_requested_a_hundred_ids_at_a_time_and_an_unknown_id_has_none(
    look_up_names: Any, path: str, more: list[tuple[str, str]]
) -> None:
    """Users in any state: a user who left has records too."""

    def answers(request: Request) -> object:
        return counted(
            request,
            [entity(value) for key, value in request.query if key == "id" and value != "id-007"],
            cap=60,
        )

    ids = [f"id-{n:03}" for n in [*range(130), 0]]
    names, asked = play(look_up_names(ids), answers)
    assert [sum(key == "id" for key, _ in request.query) for request in asked] == [100, 100, 30]
    assert names == {f"id-{n:03}": None if n == 7 else f"Id-{n:03}" for n in range(130)}
    assert {request.path for request in asked} == {path}
    assert [request.query[-2 - len(more) :] for request in asked] == [
        (*more, ("pageSize", "100"), ("pageNumber", number)) for number in ("1", "2", "1")
    ]


def test_the_number_of_users_is_the_total_of_one_short_page() -> None:
    request = user_count_request()
    assert request.query == (("pageSize", "1"), ("state", "any"))
    assert request.decode(b'{"entities": [], "total": 812, "pageCount": 812}') == 812


@pytest.mark.parametrize(("told", "pages"), [(25, 10), (500, 4), (None, 1), ("25", 1), (-1, 1)])
def test_a_page_is_full_by_its_own_size_if_it_reports_one(told: object, pages: int) -> None:
    """The server gives 25 instead of 100, and reports no number of pages and no next one.

    Without a total, several pages are read twice.
    """

    def answers(request: Request) -> object:
        number, size = int(dict(request.query)["pageNumber"]), 100 if told == 500 else 25
        ids = [f"user-{n:03}" for n in range(101)][(number - 1) * size : number * size]
        return {"entities": [entity(value) for value in ids], "pageSize": told}

    listed, asked = play(list_entities("/api/v2/users"), answers)
    assert len(asked) == pages
    assert len(listed) == (101 if pages > 1 else 25)


def test_no_ids_need_no_request() -> None:
    assert play(names("queue_name", []), lambda _: NOT_FOUND) == ({}, [])


def test_all_users_are_listed_by_state_to_the_last_page() -> None:
    people = {"active": 1200, "inactive": 3, "deleted": 0}

    def answers(request: Request) -> object:
        state = dict(request.query)["state"]
        return counted(request, [entity(f"{state}-{n:04}") for n in range(people[state])])

    users, asked = play(all_user_ids(), answers)
    assert len(users) == len(set(users)) == 1203
    assert list(users) == sorted(users)
    assert [
        (dict(request.query)["state"], dict(request.query)["pageNumber"]) for request in asked
    ] == [
        ("active", "1"),
        ("active", "2"),
        ("active", "3"),
        ("inactive", "1"),
        ("deleted", "1"),
    ]
    assert {dict(request.query)["pageSize"] for request in asked} == {"500"}


def test_more_users_who_left_than_the_vendor_lists_are_an_error() -> None:
    refused = RejectedError("GET /api/v2/users: 400", status=400, code="bad.request")

    def answers(request: Request) -> object:
        if ("state", "deleted") in request.query and ("pageNumber", "21") in request.query:
            return refused
        return {"entities": [], "pageCount": 40}

    with pytest.raises(RejectedError) as caught:
        play(all_user_ids(), answers)
    assert str(caught.value) == (
        "GET /api/v2/users: the vendor lists no more than 10,000 users who are deleted; "
        "give every team of the job its users, group, team or queue, so that no team means everyone"
    )
    assert (caught.value.status, caught.value.code, caught.value.__cause__) == (
        400,
        "bad.request",
        refused,
    )


def test_another_refusal_to_list_all_users_is_not_changed() -> None:
    with pytest.raises(RejectedError) as caught:
        play(all_user_ids(), lambda _: NOT_FOUND)
    assert caught.value is NOT_FOUND


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"entities": ['],
)
def test_a_body_that_is_not_json_is_transient(body: bytes) -> None:
    with pytest.raises(TransientError, match="the response is not a valid page of a listing"):
        decode_page(body)


@pytest.mark.parametrize(
    ("body", "odd"),
    [
        (b"null", True),
        (b"[" * 5000, True),
        (b"{}", True),
        (b'{"entities": 5}', False),
        (b'{"entities": [{"name": "no id"}]}', False),
    ],
)
def test_a_page_of_a_wrong_type_is_rejected(body: bytes, odd: bool) -> None:
    """Only a body that is no page at all may be the response to another question."""
    with pytest.raises(RejectedError, match="not a valid page of a listing") as caught:
        decode_page(body)
    assert caught.value.is_odd is odd


HALF = rb"\ud83d"
NAMES_PAGE = (
    b'{"entities": ['
    b'{"id": "1", "name": "Ann %s"}, {"id": "2", "name": "Ben", "email": "b%s@x", "k%s": 1}, '
    b'{"id": "3", "name": "Cl\xc3\xa9o \\ud83d\\ude00 \\\\ud83d"}], '
    b'"pageCount": 1, "total": 3}'
)


@pytest.mark.parametrize(
    ("bad", "replaced"),
    [
        (HALF, "\ufffd"),
        (HALF.upper().replace(b"U", b"u"), "\ufffd"),
        (rb"\ude00", "\ufffd"),
        (rb"\ud83d\ud83d", "\ufffd\ufffd"),
        (rb"\ud83d\n", "\ufffd\n"),
        (b"\xff", "\ufffd"),
        (b"\xf0\x9f\x98", "\ufffd"),
        (b"\xed\xa0\xbd", "\ufffd\ufffd\ufffd"),
    ],
)
def test_text_that_is_not_unicode_is_replaced_and_everything_else_is_kept(
    bad: bytes, replaced: str
) -> None:
    """Also in fields and keys that are not read."""
    page = decode_page(NAMES_PAGE.replace(b"%s", bad))
    assert [(each.id, each.name) for each in page.entities or ()] == [
        ("1", f"Ann {replaced}"),
        ("2", "Ben"),
        ("3", "Cl\u00e9o \U0001f600 \\ud83d"),
    ]


@pytest.mark.parametrize("bad", [HALF, b"\xff"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"entities": [{"id": "1"}, {"id": "2%s"}]}',
        b'{"entities": [{"id": "1"}], "nextUri": "/api/v2/teams?after=%s"}',
    ],
)
def test_an_id_or_a_cursor_that_is_not_unicode_is_rejected(bad: bytes, body: bytes) -> None:
    with pytest.raises(RejectedError, match="has an id that is not valid Unicode") as caught:
        decode_page(body.replace(b"%s", bad))
    assert not caught.value.is_odd


def test_a_group_whose_id_is_not_unicode_is_rejected() -> None:
    request = next(look_up(Selector(kind="group", value=GROUP)))
    with pytest.raises(RejectedError, match="not valid Unicode"):
        request.decode(b'{"id": "%s", "name": "Night"}'.replace(b"%s", HALF))


def test_a_body_that_is_cut_within_a_character_is_not_repaired() -> None:
    with pytest.raises(TransientError):
        decode_page(b'{"entities": [{"id": "1", "name": "Cl\xc3')


def test_a_body_that_is_not_a_group_is_the_response_to_another_question() -> None:
    request = next(look_up(Selector(kind="group", value=GROUP)))
    with pytest.raises(RejectedError, match="not a valid group, team or queue") as caught:
        request.decode(b'{"entities": []}')
    assert caught.value.is_odd
