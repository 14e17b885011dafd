"""What a conversation aggregates query may say, and which sessions pass its filter."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncreport.emulator.fields import MAX_BYTES, json_object
from asyncreport.emulator.messages import ApiError
from asyncreport.emulator.query import Query, parse_query
from asyncreport.emulator.sessions import Session
from asyncreport.emulator.vocabulary import GROUP_BY, METRICS, PREDICATES

INTERVAL = "2023-10-02T00:00:00.000Z/2023-10-03T00:00:00.000Z"
SESSION = Session(
    conversation_id="c1",
    user_id="ada",
    queue_id="q1",
    media_type="voice",
    direction="inbound",
    division_id="d1",
    wrap_up_code=None,
    events=(),
)
WITHOUT_USER = Session(
    conversation_id="c2",
    user_id=None,
    queue_id="q1",
    media_type="chat",
    direction="inbound",
    division_id="d1",
    events=(),
)


def _query(**given: Any) -> Query:
    return parse_query(
        json_object(json.dumps({"interval": INTERVAL, "metrics": ["tHandle"], **given}).encode())
    )


def _is(dimension: str, value: str) -> dict[str, Any]:
    return {"type": "dimension", "dimension": dimension, "operator": "matches", "value": value}


def _refusal(**given: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        _query(**given)
    return caught.value


def test_the_lists_of_names_are_complete() -> None:
    assert (len(GROUP_BY), len(PREDICATES), len(METRICS)) == (83, 84, 82)


def test_media_type_is_a_dimension_of_every_group() -> None:
    assert _query(groupBy=["userId"]).group_by == ("mediaType", "userId")
    assert _query().group_by == ("mediaType",)
    assert _query(groupBy=["mediaType", "queueId"]).group_by == ("mediaType", "queueId")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"interval": None}, "interval"),
        ({"interval": "yesterday"}, "yesterday"),
        ({"granularity": "1h"}, "1h"),
        ({"metrics": []}, "metrics"),
        ({"metrics": None}, "metrics"),
        ({"metrics": "tHandle"}, "metrics"),
        ({"metrics": ["nAnswered"]}, "nAnswered"),
        ({"metrics": ["tHold"]}, "tHold"),
        ({"groupBy": ["user"]}, "user"),
        ({"groupBy": [{}]}, "groupBy"),
        ({"timeZone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"timeZone": "../../etc/passwd"}, "passwd"),
        ({"pageSize": 100}, "pageSize"),
        ({"dateFrom": "2023-10-01"}, "dateFrom"),
        ({"queryType": "topN"}, "queryType"),
        ({"views": [{"target": "tHandle"}]}, "views"),
        ({"alternateTimeDimension": "eventTime"}, "alternateTimeDimension"),
        ({"flattenMultivaluedDimensions": "yes"}, "flattenMultivaluedDimensions"),
        ({"filter": []}, "filter"),
        ({"filter": {"type": "and"}}, "filter"),
        ({"filter": {"type": "xor", "predicates": [_is("userId", "ada")]}}, "xor"),
        ({"filter": {"predicates": [_is("userId", "ada")]}}, "type"),
        ({"filter": {"type": "and", "predicates": {}}}, "predicates"),
        ({"filter": {"type": "and", "predicates": ["ada"]}}, "predicate"),
        ({"filter": {"type": "and", "predicates": [_is("user", "ada")]}}, "user"),
        (
            {
                "filter": {
                    "type": "and",
                    "predicates": [_is("userId", "ada") | {"value": ["ada", "bob"]}],
                }
            },
            "value",
        ),
        (
            {"filter": {"type": "and", "predicates": [_is("userId", "ada") | {"values": ["ada"]}]}},
            "values",
        ),
        (
            {"filter": {"type": "and", "predicates": [_is("userId", "ada") | {"operator": "in"}]}},
            "in",
        ),
        (
            {
                "filter": {
                    "type": "and",
                    "predicates": [{"dimension": "userId", "operator": "exists"}],
                }
            },
            "exists",
        ),
        (
            {"filter": {"type": "and", "predicates": [_is("userId", "ada") | {"type": "metric"}]}},
            "metric",
        ),
        (
            {
                "filter": {
                    "type": "and",
                    "clauses": [{"type": "or", "predicates": [], "clauses": []}],
                }
            },
            "clauses",
        ),
    ],
)
def test_an_invalid_query_is_a_400_that_names_the_mistake(
    given: dict[str, Any], named: str
) -> None:
    refused = _refusal(**given)
    assert (refused.status, refused.code) == (400, "bad.request")
    assert named in refused.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff"])
def test_a_body_that_is_not_a_json_object_is_a_400(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        json_object(body)
    assert caught.value.status == 400


def test_a_body_over_the_platforms_limit_is_a_413() -> None:
    predicates = [_is("userId", f"{n:036}") for n in range(5000)]
    refused = _refusal(filter={"type": "or", "predicates": predicates})
    assert (refused.status, refused.code) == (413, "request.entity.too.large")
    assert refused.message == f"The request is over the size limit. Maximum bytes: {MAX_BYTES}"


def test_null_is_the_same_as_a_missing_field() -> None:
    assert _query(granularity=None, filter=None, views=None, groupBy=None).filter.passes(
        WITHOUT_USER
    )


@pytest.mark.parametrize(
    ("given", "ada", "nobody"),
    [
        ({"type": "and", "predicates": [_is("userId", "ada")]}, True, False),
        ({"type": "and", "predicates": [_is("userId", "ada"), _is("userId", "bob")]}, False, False),
        ({"type": "or", "predicates": [_is("userId", "ada"), _is("userId", "bob")]}, True, False),
        (
            {"type": "or", "predicates": [_is("userId", "bob"), _is("mediaType", "chat")]},
            False,
            True,
        ),
        (
            {"type": "or", "predicates": [_is("mediaType", "voice"), _is("mediaType", "chat")]},
            True,
            True,
        ),
        ({"type": "and", "predicates": [_is("wrapUpCode", "sold")]}, False, False),
        (
            {"type": "and", "predicates": [{"dimension": "mediaType", "value": "voice"}]},
            True,
            False,
        ),
        (
            {
                "type": "and",
                "clauses": [
                    {"type": "or", "predicates": [_is("userId", "ada"), _is("userId", "bob")]},
                    {"type": "or", "predicates": [_is("queueId", "q1"), _is("queueId", "q2")]},
                ],
            },
            True,
            False,
        ),
        (
            {
                "type": "and",
                "clauses": [
                    {"type": "or", "predicates": [_is("userId", "ada"), _is("userId", "bob")]}
                ],
                "predicates": [_is("mediaType", "chat")],
            },
            False,
            False,
        ),
        (
            {
                "type": "or",
                "clauses": [
                    {"type": "and", "predicates": [_is("userId", "ada"), _is("mediaType", "chat")]},
                    {"type": "and", "predicates": [_is("queueId", "q1"), _is("mediaType", "chat")]},
                ],
            },
            False,
            True,
        ),
        (
            {
                "type": "or",
                "clauses": [
                    {"type": "and", "predicates": [_is("userId", "ada"), _is("mediaType", "chat")]},
                    {
                        "type": "and",
                        "predicates": [_is("userId", "bob"), _is("mediaType", "voice")],
                    },
                ],
            },
            False,
            False,
        ),
    ],
)
def test_filters_pass_the_right_sessions(given: dict[str, Any], ada: bool, nobody: bool) -> None:
    found = _query(filter=given).filter
    assert (found.passes(SESSION), found.passes(WITHOUT_USER)) == (ada, nobody)


def test_the_users_of_a_filter_limit_the_sessions_to_read() -> None:
    users = {"type": "or", "predicates": [_is("userId", "ada"), _is("userId", "bob")]}
    assert _query(
        filter={"type": "and", "clauses": [users], "predicates": [_is("mediaType", "chat")]}
    ).filter.users == frozenset(("ada", "bob"))
    assert (
        _query(
            filter={"type": "or", "clauses": [users], "predicates": [_is("mediaType", "chat")]}
        ).filter.users
        is None
    )
