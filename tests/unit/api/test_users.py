"""The directory of users: who is asked for, and what an absent one gets."""

from __future__ import annotations

import pytest

from asyncreport.api.users import Listing, User, counted, decode, names
from asyncreport.core.errors import TransientError


def test_names_are_asked_for_a_hundred_ids_a_call_in_any_state() -> None:
    running = names(f"user-{n:03}" for n in range(230))
    asked = [next(running)]
    for _ in range(2):
        known = [
            User(value, f"Name of {value}")
            for key, value in asked[-1].query
            if key == "id" and value != "user-007"
        ]
        asked.append(running.send(Listing(known)))
    with pytest.raises(StopIteration) as end:
        running.send(Listing(None))
    assert [sum(key == "id" for key, _ in request.query) for request in asked] == [100, 100, 30]
    assert all(
        request.query[-3:] == (("pageSize", "100"), ("pageNumber", "1"), ("state", "any"))
        for request in asked
    )
    assert len(end.value.value) == 230
    assert end.value.value["user-008"] == "Name of user-008"
    assert end.value.value["user-007"] is None
    assert end.value.value["user-229"] is None


def test_the_total_of_users_is_read_from_one_short_page() -> None:
    assert counted().query == (("pageSize", "1"), ("state", "any"))
    assert decode(b'{"entities": [], "total": 812, "pageCount": 812}').total == 812


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"entities": 5}',
        b'{"entities": [{"name": "no id"}]}',
        b'{"message": "no"}',
    ],
)
def test_a_body_that_is_no_page_is_worth_another_attempt(body: bytes) -> None:
    with pytest.raises(TransientError, match="the answer is no page of users"):
        decode(body)
