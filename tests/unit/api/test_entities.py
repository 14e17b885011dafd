"""The entities contract: select, where, groupBy; pages; seconds; no hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.api.aggregates import PATH, ConnectionState, Page
from asyncreport.api.contracts import steps
from asyncreport.api.entities import decode_page
from asyncreport.api.wire import Request
from asyncreport.config.zones import load_zone
from asyncreport.core.errors import RejectedError, TransientError
from asyncreport.core.job import Chunk, Query
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import Granularity, Grid, Interval, parse_iso
from tests.rows import rows

DAY = Interval(parse_iso("2023-10-01T00:00Z"), parse_iso("2023-10-02T00:00Z"))
HOURS = Grid(Granularity.PT1H, load_zone("UTC"))
TEN = "2023-10-01T10:00:00.000Z"


def ask(
    reply: Callable[[dict[str, Any]], bytes],
    *,
    grid: Grid = HOURS,
    interval: Interval = DAY,
    users: tuple[str, ...] | None = ("anna", "bert"),
) -> tuple[list[dict[str, Any]], dict[str | None, list[dict[str, object]]]]:
    """Run the contract against a server that is a function; return the bodies and the rows."""
    query = Query(grid=grid, contract="entities")
    facts = Accumulator(grid.edges(interval), query)
    running = steps(
        query,
        Chunk(connection="c", month="2023-10", interval=interval, users=users),
        facts,
        ConnectionState(),
        [],
    )
    asked: list[dict[str, Any]] = []
    answer: Page | None = None
    while True:
        try:
            request = running.send(answer)
        except StopIteration:
            return asked, rows(facts)
        assert isinstance(request, Request)
        assert request.path == PATH
        asked.append(json.loads(request.body or b""))
        answer = request.decode(reply(asked[-1]))


def entity(
    user: str | None = "anna", start: str | None = TEN, **metrics: dict[str, float]
) -> dict[str, Any]:
    return {"user": {"id": user}, "interval": {"startTime": start}, "metrics": metrics}


def page(*entities: dict[str, Any] | None, following: str | None = None) -> bytes:
    return json.dumps({"entities": list(entities), "nextPage": following}).encode()


def test_the_request_selects_filters_and_groups() -> None:
    asked, _ = ask(lambda _: b"{}")
    assert asked == [
        {
            "select": [
                {"name": "handledCount", "type": "count"},
                {"name": "wrapUpTime", "type": "sum"},
                {"name": "talkTime", "type": "sum"},
            ],
            "groupBy": ["user"],
            "where": {
                "predicates": [
                    {
                        "type": "date",
                        "path": "conversation.startTime",
                        "operator": "gte",
                        "value": "2023-10-01T00:00:00.000Z",
                    },
                    {
                        "type": "date",
                        "path": "conversation.startTime",
                        "operator": "lt",
                        "value": "2023-10-02T00:00:00.000Z",
                    },
                    {"type": "in", "path": "conversation.user.id", "value": ["anna", "bert"]},
                ]
            },
            "interval": "PT1H",
        }
    ]


def test_a_query_for_everyone_has_no_user_predicate() -> None:
    asked, _ = ask(lambda _: b"{}", users=None)
    assert [predicate["type"] for predicate in asked[0]["where"]["predicates"]] == ["date", "date"]


def test_the_handle_time_of_a_record_is_talk_and_wrap_up_and_its_hold_is_null() -> None:
    _, rows = ask(
        lambda _: page(
            entity(handledCount={"count": 3}, talkTime={"sum": 590.0}, wrapUpTime={"sum": 110.5})
        )
    )
    assert rows["anna"] == [
        {
            "interval_start": TEN,
            "interval_end": "2023-10-01T11:00:00.000Z",
            "handled_count": 3,
            "total_talk_time_sec": 590.0,
            "total_hold_time_sec": None,
            "total_wrap_up_sec": 110.5,
            "total_handle_time_sec": 700.5,
            "avg_handle_time_sec": 233.5,
        }
    ]


def test_pages_are_followed_by_their_token_and_an_empty_one_is_not_the_end() -> None:
    pages = {
        None: page(entity(handledCount={"count": 1}), following="t1"),
        "t1": page(following="t2"),
        "t2": page(entity(handledCount={"count": 2})),
    }
    asked, rows = ask(lambda body: pages[body.get("pageToken")])
    assert [body.get("pageToken") for body in asked] == [None, "t1", "t2"]
    assert all(body["where"] == asked[0]["where"] for body in asked)
    assert [row["handled_count"] for row in rows["anna"]] == [3]


def test_a_token_that_leads_back_is_an_error() -> None:
    with pytest.raises(RejectedError, match="page 2 leads back to a page that was already read"):
        ask(lambda _: page(following="t1"))


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"user": None, "interval": None, "metrics": None},
        {"user": {"id": "anna"}, "interval": {"startTime": TEN}, "metrics": {"talkTime": None}},
    ],
)
def test_a_row_without_values_makes_no_record(row: dict[str, Any]) -> None:
    assert ask(lambda _: page(row), users=None)[1] == {}


def test_a_row_without_a_user_counts_only_if_everyone_was_asked_for() -> None:
    body = page(
        entity(None, handledCount={"count": 1}),
        {"interval": {"startTime": TEN}, "metrics": {"handledCount": {"count": 4}}},
    )
    assert [row["handled_count"] for row in ask(lambda _: body, users=None)[1][None]] == [5]


def test_a_response_in_which_no_row_has_a_user_is_rejected_if_users_were_asked_for() -> None:
    """Such rows are skipped if another row has a user, or if they report nothing."""
    nobody, named = entity(None, handledCount={"count": 4}), entity(handledCount={"count": 1})
    with pytest.raises(RejectedError, match="the server did not group by user"):
        ask(lambda _: page(nobody))
    pages = {None: page(nobody, following="t"), "t": page(named)}
    assert [
        row["handled_count"] for row in ask(lambda body: pages[body.get("pageToken")])[1]["anna"]
    ] == [1]
    assert ask(lambda _: page(entity(None)))[1] == {}


@pytest.mark.parametrize("count", [2.5, 1e-300, -0.5])
def test_a_count_that_is_not_a_whole_number_is_an_error(count: float) -> None:
    with pytest.raises(
        RejectedError,
        match=rf"invalid handledCount count: {count} for user anna in the bucket 2023-10-01T10:.*; "
        "expected a whole number",
    ):
        ask(lambda _: page(entity(handledCount={"count": count})))
    assert (
        ask(lambda _: page(entity(handledCount={"count": 2.0})))[1]["anna"][0]["handled_count"] == 2
    )


@pytest.mark.parametrize("granularity", [Granularity.P1D, Granularity.P1W, Granularity.NONE])
@pytest.mark.parametrize(
    ("start", "sound"),
    [("2023-10-02T10:00:00+02:00", True), (None, True), ("", True)]
    + [
        (start, False)
        for start in (
            "2023-10-01T10:00:00Z",
            "2023-10-09T00:00:00Z",
            "2024-10-02T00:00:00Z",
            "soon",
            "9999-99-99T00:00:00Z",
        )
    ],
)
def test_in_a_query_of_one_bucket_a_row_may_name_only_that_bucket(
    granularity: Granularity, start: str | None, sound: bool
) -> None:
    week = Interval(parse_iso("2023-10-01T23:00Z"), parse_iso("2023-10-08T23:00Z"))
    grid = Grid(
        granularity, load_zone("Europe/Dublin"), week if granularity is Granularity.NONE else None
    )
    day = Interval(week.start, parse_iso("2023-10-02T23:00Z"))
    interval = day if granularity is Granularity.P1D else week
    reply = page(entity(start=start, handledCount={"count": 1}))
    if sound:
        assert [
            row["handled_count"]
            for row in ask(lambda _: reply, grid=grid, interval=interval)[1]["anna"]
        ] == [1]
        return
    with pytest.raises(RejectedError, match="that was not asked for"):
        ask(lambda _: reply, grid=grid, interval=interval)


def test_a_user_who_was_not_asked_for_is_an_error() -> None:
    with pytest.raises(RejectedError, match="has a user 'zoe' who was not asked for"):
        ask(lambda _: page(entity("zoe", handledCount={"count": 1})))


@pytest.mark.parametrize(
    "start", [None, "soon", "2023-10-01T10:30:00.000Z", "2023-10-02T00:00:00.000Z"]
)
def test_a_bucket_that_was_not_asked_for_is_an_error(start: str | None) -> None:
    with pytest.raises(
        RejectedError, match="that was not asked for; expected buckets from 2023-10-01"
    ):
        ask(lambda _: page(entity(start=start, handledCount={"count": 1})))


def test_a_bucket_is_recognized_by_its_instant() -> None:
    assert (
        ask(lambda _: page(entity(start="2023-10-01T12:00:00+02:00", handledCount={"count": 1})))[
            1
        ]["anna"][0]["interval_start"]
        == TEN
    )


@pytest.mark.parametrize(
    ("granularity", "zone", "expected"),
    [
        (Granularity.P1D, "UTC", ["P1D"]),
        (Granularity.P1D, "Europe/Dublin", [None, None]),
        (Granularity.P1W, "UTC", [None, None]),
    ],
)
def test_each_local_day_is_one_request_because_the_contract_has_no_time_zone(
    granularity: Granularity, zone: str, expected: list[str | None]
) -> None:
    """A row then need not name its bucket, because there is only one."""
    grid = Grid(granularity, load_zone(zone))
    start = grid.edges_around(parse_iso("2023-10-04T00:00Z"))[0]
    second = grid.edges_around(start + 1)[1]
    interval = Interval(start, grid.edges_around(second + 1)[1])
    asked, rows = ask(
        lambda _: (
            page({"user": {"id": "anna"}, "metrics": {"handledCount": {"count": 1}}})
            if expected[0] is None
            else b"{}"
        ),
        grid=grid,
        interval=interval,
    )
    assert [body.get("interval") for body in asked] == expected
    assert len(rows.get("anna", [])) == (2 if expected[0] is None else 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"error": "busy"}',
        b'{"nextPage": "t", "results": []}',
    ],
)
def test_a_foreign_body_is_transient(body: bytes) -> None:
    with pytest.raises(TransientError, match="the response is not a valid page of entities"):
        decode_page(body)


@pytest.mark.parametrize(("body", "odd"), [(b"null", True), (b'{"entities": 5}', False)])
def test_a_page_of_a_wrong_type_is_rejected(body: bytes, odd: bool) -> None:
    """Only a body that is no page at all may be the response to another question."""
    with pytest.raises(RejectedError, match="not a valid page of entities") as caught:
        decode_page(body)
    assert caught.value.is_odd is odd


@pytest.mark.parametrize(
    ("metrics", "wrong"),
    [
        ({"talkTime": {"sum": "1"}}, "talkTime sum: '1'"),
        ({"wrapUpTime": {"sum": -1}}, "wrapUpTime sum: -1"),
        ({"talkTime": "n/a"}, "talkTime: 'n/a'"),
    ],
)
def test_a_wrong_number_is_rejected_with_metric_value_user_and_bucket(
    metrics: dict[str, Any], wrong: str
) -> None:
    """In a row without a user, if users were asked for, it does not matter."""
    with pytest.raises(RejectedError) as caught:
        ask(lambda _: page(entity(**metrics)))
    assert f"has an invalid {wrong} for user anna in the bucket 2023-10-01T10:00" in str(
        caught.value
    )
    assert not caught.value.is_odd
    good = entity(handledCount={"count": 2})
    assert len(ask(lambda _: page(good, entity(None, **metrics)))[1]["anna"]) == 1


@given(st.binary(max_size=200))
def test_random_bytes_are_an_error_of_ours_or_an_empty_page(body: bytes) -> None:
    try:
        found = decode_page(body)
    except (TransientError, RejectedError):
        return
    assert (found.entities or [], found.next_page) == ([], None)


GOOD = b'{"entities": [{"user": {"id": "anna"}}, {"user": {"id": "bert"}}], "nextPage": "p2"}'


@given(
    st.integers(0, len(GOOD)),
    st.integers(0, 3),
    st.sampled_from([b"", b'"', b"\xff", b"0", b"[", b"null", b"x"]),
)
def test_a_spoiled_page_has_no_more_rows_than_the_good_one_or_is_an_error_of_ours(
    at: int, removed: int, added: bytes
) -> None:
    try:
        found = decode_page(GOOD[:at] + added + GOOD[at + removed :])
    except (TransientError, RejectedError):
        return
    assert len(found.entities or ()) <= 2
    assert len(found.next_page or "") <= 2 + len(added)
