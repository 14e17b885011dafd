"""Routing statuses: which users a query names, how times become occupancy and records."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.api import aggregates, user_aggregates
from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.contracts import count_requests, steps
from asyncreport.api.wire import Request, Wait
from asyncreport.config.zones import load_zone
from asyncreport.core.columns import occupancy
from asyncreport.core.errors import TOO_LARGE, RejectedError
from asyncreport.core.job import Chunk, Query
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import Granularity, Grid, Interval, parse_iso
from tests.rows import rows

DAY = Interval(parse_iso("2023-10-01T00:00Z"), parse_iso("2023-10-02T00:00Z"))
TEN = "2023-10-01T10:00:00.000Z/2023-10-01T10:30:00.000Z"
ELEVEN = "2023-10-01T11:00:00.000Z/2023-10-01T11:30:00.000Z"


def ask(
    statuses: Callable[[dict[str, Any]], bytes],
    *,
    handled: bytes = b"{}",
    users: tuple[str, ...] | None = ("anna",),
    granularity: Granularity = Granularity.PT30M,
    everyone: tuple[str, ...] | None = None,
) -> tuple[list[dict[str, Any]], dict[str | None, list[dict[str, object]]]]:
    """Run a chunk with occupancy; return the bodies of the user queries and the rows."""
    query = Query(grid=Grid(granularity, load_zone("UTC")), occupancy=True)
    facts = Accumulator(query.grid.edges(DAY), query)
    running = steps(
        query,
        Chunk(connection="c", month="2023-10", interval=DAY, users=users),
        facts,
        ConnectionState(all_users=everyone),
        [],
    )
    asked: list[dict[str, Any]] = []
    step = next(running)
    while True:
        assert isinstance(step, Request)
        body = json.loads(step.body or b"")
        if step.path == user_aggregates.PATH:
            asked.append(body)
        else:
            assert step.path == aggregates.PATH
        try:
            step = _answered(
                running,
                step,
                lambda body=body, path=step.path: (
                    statuses(body) if path == user_aggregates.PATH else handled
                ),
            )
        except StopIteration:
            return asked, rows(facts)


def _answered(
    running: Generator[Request | Wait, Any, None], step: Request, reply: Callable[[], bytes]
) -> Request | Wait:
    try:
        answer = step.decode(reply())
    except RejectedError as error:
        return running.throw(error)
    return running.send(answer)


def reported(*rows: tuple[str, str, dict[str, float]]) -> bytes:
    return json.dumps(
        {
            "systemToOrganizationMappings": {"ON_QUEUE": ["x"]},
            "results": [
                {
                    "group": {"userId": user},
                    "data": [
                        {
                            "interval": interval,
                            "metrics": [
                                {
                                    "metric": "tAgentRoutingStatus",
                                    "qualifier": name,
                                    "stats": {"sum": time},
                                }
                                for name, time in times.items()
                            ],
                        }
                    ],
                }
                for user, interval, times in rows
            ],
        }
    ).encode()


def test_the_query_for_statuses_has_the_form_that_the_vendor_documents() -> None:
    asked, _ = ask(lambda _: b"{}", users=("anna", "bert"))
    assert asked == [
        {
            "interval": "2023-10-01T00:00:00.000Z/2023-10-02T00:00:00.000Z",
            "granularity": "PT30M",
            "groupBy": ["userId"],
            "metrics": ["tAgentRoutingStatus"],
            "filter": {
                "type": "or",
                "predicates": [
                    {
                        "type": "dimension",
                        "dimension": "userId",
                        "operator": "matches",
                        "value": user,
                    }
                    for user in ("anna", "bert")
                ],
            },
        }
    ]


def test_times_become_columns_and_occupancy_is_divided_last() -> None:
    body = reported(
        ("anna", TEN, {"INTERACTING": 1_200_000.0, "IDLE": 540_000.0, "NOT_RESPONDING": 60_000.0}),
        ("anna", TEN, {"INTERACTING": 500.0}),
    )
    handled = json.dumps(
        {
            "results": [
                {
                    "group": {"userId": "anna"},
                    "data": [
                        {
                            "interval": TEN,
                            "metrics": [{"metric": "tHandle", "stats": {"count": 2, "sum": 4000}}],
                        }
                    ],
                }
            ]
        }
    )
    _, rows = ask(lambda _: body, handled=handled.encode())
    (row,) = rows["anna"]
    assert {
        name: row[name]
        for name in (
            "handled_count",
            "interacting_sec",
            "communicating_sec",
            "idle_sec",
            "not_responding_sec",
            "off_queue_sec",
        )
    } == {
        "handled_count": 2,
        "interacting_sec": 1200.5,
        "communicating_sec": 0.0,
        "idle_sec": 540.0,
        "not_responding_sec": 60.0,
        "off_queue_sec": 0.0,
    }
    assert row["occupancy"] == 0.6897
    assert list(row)[-6:] == [
        "interacting_sec",
        "communicating_sec",
        "idle_sec",
        "not_responding_sec",
        "off_queue_sec",
        "occupancy",
    ]


def test_a_status_makes_a_record_and_off_queue_alone_does_not() -> None:
    body = reported(("anna", TEN, {"IDLE": 1000}), ("anna", ELEVEN, {"OFF_QUEUE": 1000}))
    (row,) = ask(lambda _: body)[1]["anna"]
    assert (
        row["interval_start"],
        row["handled_count"],
        row["avg_handle_time_sec"],
        row["occupancy"],
    ) == (
        "2023-10-01T10:00:00.000Z",
        0,
        None,
        0.0,
    )


def test_without_a_status_the_routing_columns_are_null() -> None:
    handled = json.dumps(
        {
            "results": [
                {
                    "group": {"userId": "anna"},
                    "data": [
                        {"interval": TEN, "metrics": [{"metric": "tHandle", "stats": {"count": 2}}]}
                    ],
                }
            ]
        }
    )
    (row,) = ask(lambda _: b"{}", handled=handled.encode())[1]["anna"]
    assert [row[name] for name in list(row)[-6:]] == [None] * 6


def test_occupancy_is_null_if_a_user_was_only_off_queue() -> None:
    body = reported(("anna", TEN, {"OFF_QUEUE": 1000, "NOT_RESPONDING": 5}))
    assert ask(lambda _: body)[1]["anna"][0]["occupancy"] is None


def test_one_query_names_a_hundred_users_if_everyone_is_asked_for() -> None:
    everyone = tuple(f"user-{n:03}" for n in range(230))
    asked, _ = ask(lambda _: b"{}", users=None, everyone=everyone)
    assert [len(body["filter"]["predicates"]) for body in asked] == [100, 100, 30]
    chunk = Chunk(connection="c", month="2023-10", interval=DAY, users=None)
    assert (
        count_requests(
            Query(grid=Grid(Granularity.PT30M, load_zone("UTC")), occupancy=True), chunk, 230
        )
        == 4
    )


def test_the_next_step_after_refused_quarter_hours_is_the_half_hour() -> None:
    def refuse(_: dict[str, Any]) -> bytes:
        raise RejectedError("[id] POST /x: 400 bad.request", status=400)

    with pytest.raises(
        RejectedError,
        match=r"400 bad.request; the server may not have routing statuses by quarter hour: "
        r"set range.granularity to PT30M, or occupancy to false",
    ):
        ask(refuse, granularity=Granularity.PT15M)
    with pytest.raises(RejectedError, match=r"400 bad.request$"):
        ask(refuse)


def test_too_large_a_response_by_quarter_hour_does_not_name_the_half_hour() -> None:
    def refuse(_: dict[str, Any]) -> bytes:
        raise RejectedError("too large", status=400, code=TOO_LARGE)

    with pytest.raises(RejectedError, match=r"^too large$") as caught:
        ask(refuse, granularity=Granularity.PT15M)
    assert caught.value.code == TOO_LARGE


def test_a_wrong_time_is_rejected_with_metric_value_user_and_bucket() -> None:
    body = reported(("anna", TEN, {"IDLE": -7})).replace(b"-7", b'"-7"')
    with pytest.raises(
        RejectedError,
        match="invalid tAgentRoutingStatus sum: '-7' for user anna in the bucket 2023-10-01T10:00",
    ):
        ask(lambda _: body)


def test_metrics_and_statuses_that_nobody_asked_for_may_have_any_shape() -> None:
    """Also another metric with a qualifier of the same name: IDLE is a presence too."""
    (group,) = json.loads(reported(("anna", TEN, {"IDLE": 1000})))["results"]
    group["data"][0]["metrics"] += [
        {"metric": "tSystemPresence", "qualifier": "IDLE", "stats": "n/a"},
        {"metric": "tAgentRoutingStatus", "qualifier": ["IDLE"], "stats": "n/a"},
        {"metric": None, "qualifier": 5},
    ]
    nobody = {"group": {}, "data": "n/a"}
    (row,) = ask(lambda _: json.dumps({"results": [nobody, group]}).encode())[1]["anna"]
    assert row["idle_sec"] == 1.0


def test_a_user_who_was_not_asked_for_is_an_error() -> None:
    with pytest.raises(RejectedError, match="has a user 'zoe' who was not asked for"):
        ask(lambda _: reported(("zoe", TEN, {"IDLE": 1})))


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_occupancy_has_four_places_half_up(interacting: int, communicating: int, idle: int) -> None:
    total = interacting + communicating + idle
    exact = (
        float((Decimal(interacting) / total).quantize(Decimal("0.0001"), ROUND_HALF_UP))
        if total
        else None
    )
    assert occupancy(interacting, communicating, idle) == exact


def test_a_chunk_of_everyone_without_the_ids_of_all_users_is_an_error() -> None:
    """Otherwise its rows would silently have no occupancy."""
    with pytest.raises(ValueError, match="the ids of all users were not looked up"):
        ask(lambda _: b"{}", users=None)
