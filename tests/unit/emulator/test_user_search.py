"""Users are found by exact values of their fields, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from asyncreport.emulator.messages import ApiError
from asyncreport.emulator.user_search import search
from asyncreport.emulator.world import World

PEOPLE = World(40).people
LEFT = next(person for person in PEOPLE if person.state == "deleted")


def _exact(field: str, *values: str) -> dict[str, Any]:
    return {"type": "EXACT", "fields": [field], "values": list(values)}


def test_criteria_are_joined_by_and_their_values_by_or() -> None:
    emails = [PEOPLE[0].email.upper(), LEFT.email]
    both = search({"query": [_exact("email", *emails)]}, PEOPLE)
    active = search({"query": [_exact("email", *emails), _exact("state", "active")]}, PEOPLE)
    assert {user["id"] for user in both["results"]} == {PEOPLE[0].id, LEFT.id}
    assert [user["id"] for user in active["results"]] == [PEOPLE[0].id]


def test_pages_have_numbers_and_each_user_once() -> None:
    query = [_exact("state", "active")]
    pages = [search({"query": query, "pageSize": 10, "pageNumber": n}, PEOPLE) for n in range(1, 5)]
    assert {page["pageCount"] for page in pages} == {4}
    assert {page["total"] for page in pages} == {36}
    ids = [user["id"] for page in pages for user in page["results"]]
    assert len(set(ids)) == 36


def test_without_a_match_there_are_no_results() -> None:
    assert search({"query": [_exact("email", "nobody@example.com")]}, PEOPLE) == {
        "total": 0,
        "pageCount": 0,
        "pageSize": 25,
        "pageNumber": 1,
        "types": ["users"],
    }


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"query": [{"type": "FUZZY", "fields": ["email"], "values": []}]}, "[FUZZY] of type"),
        ({"query": [_exact("shoe")]}, "[shoe] of fields"),
        ({"pageSize": 101}, "[101] of pageSize is not within 1 to 100"),
        ({"pageNumber": 0}, "[0] of pageNumber"),
        ({"sort": "name"}, "Unrecognized field [sort]"),
    ],
)
def test_another_query_is_refused(body: dict[str, Any], text: str) -> None:
    with pytest.raises(ApiError) as refused:
        search(body, PEOPLE)
    assert refused.value.status == 400
    assert text in refused.value.message
