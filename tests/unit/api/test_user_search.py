"""An e-mail address leads to one user, whatever else the search finds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from asyncreport.api.user_search import users_by_email
from asyncreport.api.wire import Request
from asyncreport.core.errors import TransientError, UnknownTeamError
from tests.unit.api.test_directory import Answers, play

ANN = {"id": "1", "email": "Ann@example.com", "state": "active"}
#: the addresses of users who left may be given to others
OLD_ANN = {"id": "2", "email": "ann@example.com", "state": "deleted"}
BEN = {"id": "3", "email": "ben@example.com", "state": "inactive"}
#: not what was asked for: the search compares words
OTHER = {"id": "4", "email": "ann@example.com.au", "state": "active"}


def searching(users: Sequence[dict[str, str]], *, size: int = 100) -> Answers:
    def answers(request: Request) -> object:
        body = json.loads(request.body or b"")
        at = (body["pageNumber"] - 1) * size
        page: dict[str, Any] = {"total": len(users), "pageCount": -(-len(users) // size)}
        return page | ({"results": users[at : at + size]} if users else {})

    return answers


def test_an_address_is_found_in_any_case_and_the_active_user_counts() -> None:
    found, asked = play(
        users_by_email(["ann@example.com", "BEN@example.com"]),
        searching([OTHER, OLD_ANN, BEN, ANN]),
    )
    assert found == {"ann@example.com": "1", "BEN@example.com": "3"}
    assert [(request.method, request.path) for request in asked] == [
        ("POST", "/api/v2/users/search")
    ]
    assert json.loads(asked[0].body or b"")["query"] == [
        {"type": "EXACT", "fields": ["email"], "values": ["BEN@example.com", "ann@example.com"]},
        {"type": "EXACT", "fields": ["state"], "values": ["active", "inactive", "deleted"]},
    ]


def test_all_pages_are_read() -> None:
    found, asked = play(users_by_email(["ben@example.com"]), searching([OTHER, ANN, BEN], size=1))
    assert found == {"ben@example.com": "3"}
    assert [json.loads(request.body or b"")["pageNumber"] for request in asked] == [1, 2, 3]


def test_many_addresses_are_looked_up_25_at_a_time() -> None:
    users = [{"id": str(n), "email": f"{n:02}@example.com", "state": "active"} for n in range(60)]
    found, asked = play(users_by_email(user["email"] for user in users), searching(users))
    assert found == {user["email"]: user["id"] for user in users}
    assert len(asked) == 3


@pytest.mark.parametrize("users", [[], [OTHER]])
def test_an_address_that_no_user_has_is_named(users: list[dict[str, str]]) -> None:
    with pytest.raises(UnknownTeamError) as refused:
        play(users_by_email(["ann@example.com", "ben@example.com"]), searching(users))
    assert str(refused.value) == (
        "no user has the e-mail addresses ann@example.com, ben@example.com; "
        "compare them with Admin > People"
    )


def test_an_address_of_two_users_is_refused_with_their_ids() -> None:
    with pytest.raises(UnknownTeamError, match=r"2 users have the e-mail address ann.* \(1, 9\)"):
        play(users_by_email(["ann@example.com"]), searching([ANN, {**ANN, "id": "9"}]))


def test_a_body_without_results_and_total_is_not_an_empty_page() -> None:
    with pytest.raises(TransientError, match="no results and no total"):
        play(users_by_email(["ann@example.com"]), lambda _: {"message": "busy"})
