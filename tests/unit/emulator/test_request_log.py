"""What the log reports about a request."""

from __future__ import annotations

import json

import pytest

from asyncreport.emulator.request_log import query_summary

INTERVAL = "2023-10-02T00:00:00.000Z/2023-10-03T00:00:00.000Z"


def _predicate(user: object) -> dict[str, object]:
    return {"type": "dimension", "dimension": "userId", "operator": "matches", "value": user}


def test_interval_and_users_of_a_query_are_found_at_any_depth() -> None:
    clause = {
        "predicates": [
            _predicate("bob"),
            _predicate("ada"),
            _predicate(None),
            {"dimension": "queueId", "value": "q"},
        ]
    }
    given = {
        "interval": INTERVAL,
        "filter": {"type": "and", "clauses": [clause], "predicates": [_predicate("ada")]},
    }
    assert query_summary(json.dumps(given).encode()) == (INTERVAL, ["ada", "bob"])


def test_the_dates_of_an_entities_query_are_found_and_not_its_granularity() -> None:
    start, end = INTERVAL.split("/")
    path = "conversation.startTime"
    dates = [
        {"type": "date", "path": path, "operator": operator, "value": value}
        for operator, value in (("lt", end), ("gte", start))
    ]
    users = {"type": "in", "path": "conversation.user.id", "value": ["bob", "ada"]}
    given = {"where": {"predicates": [*dates, users]}, "interval": "PT1H"}
    assert query_summary(json.dumps(given).encode()) == (INTERVAL, ["ada", "bob"])
    assert query_summary(
        json.dumps({"where": {"predicates": dates[:1]}, "interval": "PT1H"}).encode()
    ) == (None, [])


@pytest.mark.parametrize(
    "body",
    [b"", b"grant_type=client_credentials", b"[1]", b"null", b'{"interval": 5}', b'{"where": 5}'],
)
def test_any_other_body_has_neither_interval_nor_users(body: bytes) -> None:
    assert query_summary(body) == (None, [])
