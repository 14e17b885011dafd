"""The aggregates contract: what is sent, and how any response is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.api.aggregates import ConnectionState, Page
from asyncreport.api.contracts import count_requests, one_bucket_per_query, steps
from asyncreport.api.wire import Request
from asyncreport.config.zones import load_zone
from asyncreport.core.errors import RejectedError, TransientError
from asyncreport.core.job import Chunk, Filter, Query
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import Granularity, Grid, Interval, parse_iso
from tests.rows import rows

ANNA, BERT = "aaaaaaaa-0000-4000-8000-000000000000", "bbbbbbbb-0000-4000-8000-000000000000"


def span(start: str, end: str) -> Interval:
    return Interval(parse_iso(start), parse_iso(end))


DAY = span("2026-03-02T00:00Z", "2026-03-03T00:00Z")


def ask(
    query: Query,
    interval: Interval,
    users: tuple[str, ...] | None,
    reply: Callable[[dict[str, Any]], bytes],
    learned: ConnectionState | None = None,
) -> tuple[list[dict[str, Any]], dict[str | None, list[dict[str, object]]]]:
    """Run a contract against a server that is a function; return the requests and the rows."""
    chunk = Chunk(connection="c", month="2026-03", interval=interval, users=users)
    facts = Accumulator(query.grid.edges(interval), query)
    asked: list[dict[str, Any]] = []
    running = steps(query, chunk, facts, learned or ConnectionState(), [])
    answer: Page | RejectedError | None = None
    while True:
        try:
            step = (
                running.throw(answer) if isinstance(answer, RejectedError) else running.send(answer)
            )
        except StopIteration:
            return asked, rows(facts)
        assert isinstance(step, Request)
        asked.append(json.loads(step.body or b""))
        try:
            answer = step.decode(reply(asked[-1]))
        except RejectedError as error:
            answer = error


def results(*groups: tuple[dict[str, str], list[tuple[str, int]]]) -> bytes:
    """Write a response: groups of (bucket, handled)."""
    return json.dumps(
        {
            "results": [
                {
                    "group": group,
                    "data": [
                        {
                            "interval": interval,
                            "metrics": [
                                {
                                    "metric": "tHandle",
                                    "stats": {"count": count, "sum": count * 1000.0},
                                }
                            ],
                        }
                        for interval, count in data
                    ],
                }
                for group, data in groups
            ]
        }
    ).encode()


def test_the_request_is_written_as_the_vendor_documents_it() -> None:
    query = Query(
        grid=Grid(Granularity.PT30M, load_zone("Europe/Dublin")),
        split_by=("queueId",),
        filter=Filter(media_types=("voice", "message"), queues=("q1",)),
    )
    asked, _ = ask(query, DAY, (ANNA, BERT), lambda _: b"{}")

    def predicate(dimension: str, value: str) -> dict[str, str]:
        return {"type": "dimension", "dimension": dimension, "operator": "matches", "value": value}

    assert asked == [
        {
            "interval": "2026-03-02T00:00:00.000Z/2026-03-03T00:00:00.000Z",
            "granularity": "PT30M",
            "groupBy": ["userId", "mediaType", "queueId"],
            "metrics": ["tTalkComplete", "tHeldComplete", "tAcw", "tHandle"],
            "filter": {
                "type": "and",
                "clauses": [
                    {
                        "type": "or",
                        "predicates": [predicate("userId", ANNA), predicate("userId", BERT)],
                    },
                    {
                        "type": "or",
                        "predicates": [
                            predicate("mediaType", "voice"),
                            predicate("mediaType", "message"),
                        ],
                    },
                    {"type": "or", "predicates": [predicate("queueId", "q1")]},
                ],
            },
        }
    ]


def test_a_query_for_everyone_has_no_filter() -> None:
    asked, _ = ask(
        Query(grid=Grid(Granularity.PT1H, load_zone("UTC")), split_by=("mediaType",)),
        DAY,
        None,
        lambda _: b"{}",
    )
    assert "filter" not in asked[0]
    assert asked[0]["groupBy"] == ["userId", "mediaType"]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"results": null}',
        b'{"results": []}',
        b'{"results": [{}]}',
        b'{"results": [{"group": null, "data": null}], "new": 1}',
        b'{"systemToOrganizationMappings": {"a": "b"}, "results": null}',
        b'{"systemToOrganizationMappings": {}, "cursor": null}',
    ],
)
def test_a_response_without_results_comes_in_many_shapes(body: bytes) -> None:
    assert (
        ask(Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, None, lambda _: body)[1]
        == {}
    )


#: what a server says with the status of a success though it has no answer
NO_ANSWERS = [
    b'{"message": "The query could not be run", "code": "internal.server.error", "status": 500}',
    b'{"jobId": "x"}',
    b'{"Results": [{}]}',
    b'{"error": {}}',
    b'{"results": null, "error": "busy"}',
    b'{"cursor": "c", "status": 500}',
]


@pytest.mark.parametrize("body", NO_ANSWERS)
@pytest.mark.parametrize(
    "query",
    [
        Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))),
        Query(grid=Grid(Granularity.PT1H, load_zone("UTC")), occupancy=True),
    ],
)
def test_a_body_with_something_else_instead_of_results_is_transient(
    query: Query, body: bytes
) -> None:
    """It does not mean zero activity, in neither of the two queries."""
    turns = iter([b"{}", body] if query.occupancy else [body])
    with pytest.raises(
        TransientError,
        match=r"the response is not a valid aggregates result \(it has '.*', but no results",
    ):
        ask(query, DAY, (ANNA,), lambda _: next(turns))


@pytest.mark.parametrize(
    ("group", "sound"),
    [
        ({"userId": ANNA, "mediaType": "voice", "queueId": "q1"}, True),
        ({"userId": ANNA, "mediaType": "message", "queueId": "q2"}, True),
        ({"userId": ANNA}, True),
        ({"userId": ANNA, "mediaType": "chat", "queueId": "q1"}, False),
        ({"userId": ANNA, "mediaType": "voice", "queueId": "q3"}, False),
    ],
)
def test_a_group_outside_the_jobs_filter_is_an_error(group: dict[str, str], sound: bool) -> None:
    """A group always shows its media type, and its queue if the records are split by it."""
    kept = Filter(media_types=("voice", "message"), queues=("q1", "q2"))
    query = Query(grid=Grid(Granularity.PT1H, load_zone("UTC")), split_by=("queueId",), filter=kept)
    reply = results((group, [("2026-03-02T10:00:00.000Z/2026-03-02T11:00:00.000Z", 1)]))
    if sound:
        assert [
            row["handled_count"] for row in ask(query, DAY, (ANNA,), lambda _: reply)[1][ANNA]
        ] == [1]
        return
    with pytest.raises(
        RejectedError, match="that was not asked for; the server did not apply the filter"
    ):
        ask(query, DAY, (ANNA,), lambda _: reply)


TEN_TO_ELEVEN = "2026-03-02T10:00:00.000Z/2026-03-02T11:00:00.000Z"


@pytest.mark.parametrize("occupancy", [False, True])
def test_a_response_in_which_no_group_has_a_user_is_rejected_if_users_were_asked_for(
    occupancy: bool,
) -> None:
    """In both queries; they are skipped if another group has a user or if they report nothing."""
    nobody, named = (
        ({"mediaType": "voice"}, [(TEN_TO_ELEVEN, 4)]),
        ({"userId": ANNA, "mediaType": "voice"}, [(TEN_TO_ELEVEN, 1)]),
    )
    query = Query(grid=Grid(Granularity.PT1H, load_zone("UTC")), occupancy=occupancy)
    turns = iter([results(named), results(nobody)] if occupancy else [results(nobody)])
    with pytest.raises(RejectedError, match="the server did not group by user"):
        ask(query, DAY, (ANNA,), lambda _: next(turns))
    plain = Query(grid=Grid(Granularity.PT1H, load_zone("UTC")))
    assert [
        row["handled_count"]
        for row in ask(plain, DAY, (ANNA,), lambda _: results(nobody, named))[1][ANNA]
    ] == [1]
    assert ask(plain, DAY, (ANNA,), lambda _: results(({"mediaType": "voice"}, [])))[1] == {}
    assert [
        row["handled_count"] for row in ask(plain, DAY, None, lambda _: results(nobody))[1][None]
    ] == [4]


def test_media_types_containers_and_entries_of_one_key_are_added_up() -> None:
    first, second = (
        "2026-03-02T10:00:00.000Z/2026-03-02T11:00:00.000Z",
        "2026-03-02T11:00:00.000Z/2026-03-02T12:00:00.000Z",
    )
    body = results(
        ({"userId": ANNA, "mediaType": "voice"}, [(first, 1), (second, 2), (first, 4)]),
        ({"userId": ANNA, "mediaType": "chat"}, [(first, 8)]),
        ({"userId": ANNA, "mediaType": "voice"}, [(first, 16)]),
    )
    _, rows = ask(
        Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, (ANNA,), lambda _: body
    )
    assert [row["handled_count"] for row in rows[ANNA]] == [29, 2]


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ({"metric": "tHandle", "stats": {"count": 2, "sum": 1999.6}}, (2, 2.0)),
        ({"metric": "tHandle", "stats": {"count": 2, "sum": 2000, "max": None}}, (2, 2.0)),
        ({"metric": "tHandle", "stats": {"count": 2, "sum": None}}, (2, 0.0)),
        ({"metric": "tHandle", "stats": {"count": None, "sum": 2000.0}}, (0, 2.0)),
        ({"metric": "tHandle", "stats": None}, (0, 0.0)),
        ({"metric": "tHandle", "qualifier": "x", "new": [1]}, (0, 0.0)),
    ],
)
@pytest.mark.parametrize("beside", [[], [{"metric": "tNew", "stats": {"count": 9, "sum": -9.5}}]])
def test_a_measure_may_lack_values_and_other_measures_are_skipped(
    measure: dict[str, Any], expected: tuple[int, float], beside: list[dict[str, Any]]
) -> None:
    """Fractions of a ms are rounded, null means absent, other metrics are skipped."""
    bucket = "2026-03-02T10:00:00.000Z/2026-03-02T11:00:00.000Z"
    group = {
        "group": {"userId": ANNA},
        "data": [
            {"interval": bucket, "metrics": [*beside, measure]},
            {"interval": bucket, "metrics": None},
        ],
    }
    _, found = ask(
        Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))),
        DAY,
        (ANNA,),
        lambda _: json.dumps({"results": [group]}).encode(),
    )
    assert [(row["handled_count"], row["total_handle_time_sec"]) for row in found[ANNA]] == [
        expected
    ]


@pytest.mark.parametrize(
    ("stats", "wrong"),
    [
        ({"count": -1}, " count: -1"),
        ({"count": 2**60}, f" count: {2**60}"),
        ({"count": 1.5}, " count: 1.5"),
        ({"count": "2"}, " count: '2'"),
        ({"count": True}, " count: True"),
        ({"count": [2]}, " count: [2]"),
        ({"sum": -0.5}, " sum: -0.5"),
        ({"sum": 1e300}, " sum: 1e+300"),
        ({"sum": -1e300}, " sum: -1e+300"),
        ({"sum": "x" * 500}, f" sum: '{'x' * 78}…"),
        ("n/a", ": 'n/a'"),
    ],
)
def test_a_wrong_number_is_rejected_with_metric_value_user_and_bucket(
    stats: object, wrong: str
) -> None:
    """The same request would get the same number again: it is not the response to another one."""
    bucket = "2026-03-02T10:00:00.000Z/2026-03-02T11:00:00.000Z"
    group = {
        "group": {"userId": ANNA},
        "data": [{"interval": bucket, "metrics": [{"metric": "tAcw", "stats": stats}]}],
    }
    with pytest.raises(RejectedError) as caught:
        ask(
            Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))),
            DAY,
            (ANNA,),
            lambda _: json.dumps({"results": [group]}).encode(),
        )
    assert f"an invalid tAcw{wrong} for user {ANNA} in the bucket {bucket}; expected" in str(
        caught.value
    )
    assert not caught.value.is_odd


@pytest.mark.parametrize(
    "sum_and_shape", [(70000.0, "n/a"), (70000, 5), (69999.7, [{}]), (70000.4, None)]
)
@pytest.mark.parametrize("count", [2, 2.0])
def test_whole_floats_are_counts_and_what_nobody_asked_for_may_have_any_shape(
    sum_and_shape: tuple[float, object], count: float
) -> None:
    """Other metrics, numbers and dimensions, and groups without a user if users were asked for."""
    total, odd = sum_and_shape
    measures = [
        {"metric": "nBrandNew", "stats": odd},
        {"metric": ["tHandle"], "stats": {"count": odd}},
        {"metric": "tHandle", "stats": {"count": count, "sum": total, "max": odd}, "new": odd},
    ]
    datum = {"interval": TEN_TO_ELEVEN, "metrics": measures, "views": odd}
    group = {"group": {"userId": ANNA, "mediaType": "voice", "brandNew": odd}, "data": [datum]}
    nobody = {"group": {"mediaType": odd}, "data": odd}
    body = json.dumps({"results": [nobody, group], "aggregations": odd}).encode()
    _, found = ask(
        Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, (ANNA,), lambda _: body
    )
    assert [(row["handled_count"], row["total_handle_time_sec"]) for row in found[ANNA]] == [
        (2, 70.0)
    ]


def test_an_unreadable_group_without_a_user_is_not_a_day_without_activity() -> None:
    """Nothing else came, so the server may not have grouped by user."""
    body = b'{"results": [{"group": {"mediaType": "voice"}, "data": "n/a"}]}'
    with pytest.raises(RejectedError, match="the server did not group by user"):
        ask(Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, (ANNA,), lambda _: body)


def test_a_group_without_a_user_counts_only_if_everyone_was_asked_for() -> None:
    bucket = "2026-03-02T10:00:00.000Z/2026-03-02T11:00:00.000Z"
    body = results(
        ({"mediaType": "voice"}, [(bucket, 1)]),
        ({"mediaType": "voice", "userId": ANNA}, [(bucket, 2)]),
    )
    assert set(
        ask(Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, None, lambda _: body)[1]
    ) == {
        None,
        ANNA,
    }
    assert set(
        ask(Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, (ANNA,), lambda _: body)[1]
    ) == {ANNA}


def test_a_user_who_was_not_asked_for_is_an_error() -> None:
    bucket = "2026-03-02T10:00:00.000Z/2026-03-02T11:00:00.000Z"
    with pytest.raises(
        RejectedError,
        match=f"has a user '{BERT}' who was not asked for; the server did not apply the filter",
    ):
        ask(
            Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))),
            DAY,
            (ANNA,),
            lambda _: results(({"userId": BERT}, [(bucket, 1)])),
        )


def test_a_group_whose_user_is_not_a_text_is_an_error() -> None:
    with pytest.raises(RejectedError, match="groups by a userId that is not a text: 5"):
        ask(
            Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))),
            DAY,
            None,
            lambda _: b'{"results": [{"group": {"userId": 5}}]}',
        )


def test_days_are_one_query_as_long_as_the_server_cuts_them_at_local_midnight() -> None:
    query = Query(grid=Grid(Granularity.P1D, load_zone("Europe/Dublin")))
    interval = span("2026-03-28T00:00Z", "2026-03-30T23:00Z")  # over the clock change of the 29th
    body = results(
        ({"userId": ANNA}, [("2026-03-29T00:00:00.000+00:00/2026-03-30T00:00:00.000+01:00", 3)])
    )
    asked, rows = ask(query, interval, (ANNA,), lambda _: body)
    assert [(one["interval"], one["granularity"], one["timeZone"]) for one in asked] == [
        ("2026-03-28T00:00:00.000Z/2026-03-30T23:00:00.000Z", "P1D", "Europe/Dublin")
    ]
    assert [(row["interval_start"], row["interval_end"]) for row in rows[ANNA]] == [
        ("2026-03-29T00:00:00.000Z", "2026-03-29T23:00:00.000Z")
    ]


DUBLIN = Query(grid=Grid(Granularity.P1D, load_zone("Europe/Dublin")))
CLOCK_CHANGE = span("2026-03-28T00:00Z", "2026-03-30T23:00Z")
OFF_GRID = results(
    (
        {"userId": ANNA},
        [
            ("2026-03-28T00:00:00.000Z/2026-03-29T00:00:00.000Z", 1),
            ("2026-03-29T00:00:00.000Z/2026-03-30T00:00:00.000Z", 9),
        ],
    )
)


def test_one_response_off_the_grid_is_requested_again_and_changes_nothing() -> None:
    messages: list[str] = []
    learned = ConnectionState(say=messages.append)
    responses = iter([OFF_GRID, b"{}"])
    asked, rows = ask(DUBLIN, CLOCK_CHANGE, (ANNA,), lambda _: next(responses), learned)
    assert asked[0] == asked[1]
    assert (len(asked), rows, learned.separate_days, messages) == (2, {}, False, [])


def test_after_two_mismatches_of_one_query_each_day_is_a_query_of_its_own() -> None:
    """Later chunks of the connection do not try again; the wrong responses are dropped."""
    messages: list[str] = []
    learned = ConnectionState(say=messages.append)
    query, interval = DUBLIN, CLOCK_CHANGE

    def reply(body: dict[str, Any]) -> bytes:
        if "granularity" in body:
            return OFF_GRID
        return results(({"userId": ANNA}, [(body["interval"], 2)]))

    asked, rows = ask(query, interval, (ANNA,), reply, learned)
    days = [
        "2026-03-28T00:00:00.000Z/2026-03-29T00:00:00.000Z",
        "2026-03-29T00:00:00.000Z/2026-03-29T23:00:00.000Z",
        "2026-03-29T23:00:00.000Z/2026-03-30T23:00:00.000Z",
    ]
    assert asked[0] == asked[1]
    assert [one["interval"] for one in asked[2:]] == days
    assert [row["handled_count"] for row in rows[ANNA]] == [2, 2, 2]
    assert len(ask(query, interval, (ANNA,), reply, learned)[0]) == 3
    (message,) = messages
    assert message.startswith(
        "from now on each day is a query of its own, because of this: "
        "the response has a bucket '2026-03-29T00:00:00.000Z/2026-03-30T00:00:00.000Z'"
    )


@pytest.mark.parametrize(
    ("granularity", "interval", "expected"),
    [
        (Granularity.P1W, span("2026-03-02T00:00Z", "2026-03-16T00:00Z"), 2),
        (Granularity.P1M, span("2026-01-01T00:00Z", "2026-02-01T00:00Z"), 1),
        (Granularity.PT15M, DAY, 1),
        (Granularity.P1D, span("2026-03-02T00:00Z", "2026-03-16T00:00Z"), 1),
    ],
)
def test_each_week_and_each_month_is_one_request(
    granularity: Granularity, interval: Interval, expected: int
) -> None:
    grid = Grid(granularity, load_zone("UTC"))
    asked, _ = ask(Query(grid=grid), interval, (ANNA,), lambda _: b"{}")
    chunk = Chunk(connection="c", month="2026-03", interval=interval, users=(ANNA,))
    assert len(asked) == count_requests(Query(grid=grid), chunk, 1) == expected
    assert all(
        ("granularity" in one) == (granularity in {Granularity.PT15M, Granularity.P1D})
        for one in asked
    )


def test_a_query_that_is_too_long_is_not_sent() -> None:
    query = Query(
        grid=Grid(Granularity.PT1H, load_zone("UTC")),
        filter=Filter(queues=tuple(f"queue-{n:036}" for n in range(6000))),
    )
    with pytest.raises(
        RejectedError,
        match="bytes long, but the vendor allows 512,000; use fewer queues in the filter",
    ):
        ask(query, DAY, (ANNA,), lambda _: b"{}")


def test_a_query_for_a_hundred_users_is_short() -> None:
    users = tuple(f"{n:08x}-0000-4000-8000-000000000000" for n in range(100))
    asked, _ = ask(
        Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, users, lambda _: b"{}"
    )
    assert len(json.dumps(asked[0])) < 20_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"results": [',
        b'{"a":' * 100_000,
        b"\xff",
        b'{"results": [NaN]}',
    ],
)
def test_a_cut_or_foreign_body_is_transient(body: bytes) -> None:
    with pytest.raises(
        TransientError, match=r"the response is not a valid (aggregates result|group)"
    ):
        ask(Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, None, lambda _: body)


@pytest.mark.parametrize(
    ("body", "odd"),
    [
        (b"null", True),
        (b"[]", True),
        (b'"busy"', True),
        (b'{"results": {}}', False),
        (b'{"results": [5]}', False),
        (b'{"results": [{"group": 5}]}', False),
        (b'{"results": [{"data": [{"interval": 5}]}]}', False),
        (b'{"results": [{"data": [{"interval": "x", "metrics": [5]}]}]}', False),
    ],
)
def test_a_body_of_a_wrong_type_is_rejected(body: bytes, odd: bool) -> None:
    """Only a body that is something else as a whole may be the response to another question."""
    with pytest.raises(
        RejectedError, match=r"the response (is not a valid|has an invalid)"
    ) as error:
        ask(Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, None, lambda _: body)
    assert error.value.is_odd is odd


@pytest.mark.parametrize(
    ("group", "interval"),
    [
        ({"userId": BERT}, TEN_TO_ELEVEN),
        ({"userId": ANNA, "mediaType": "chat"}, TEN_TO_ELEVEN),
        ({"userId": ANNA}, "2026-03-03T10:00:00.000Z/2026-03-03T11:00:00.000Z"),
    ],
)
def test_a_foreign_user_filter_value_or_bucket_is_the_response_to_another_question(
    group: dict[str, str], interval: str
) -> None:
    query = Query(
        grid=Grid(Granularity.PT1H, load_zone("UTC")), filter=Filter(media_types=("voice",))
    )
    with pytest.raises(RejectedError, match=r"(that|who) was not asked for") as error:
        ask(query, DAY, (ANNA,), lambda _: results((group, [(interval, 1)])))
    assert error.value.is_odd


@given(st.binary(max_size=200))
def test_random_bytes_are_an_error_of_ours_or_no_rows(body: bytes) -> None:
    query = Query(grid=Grid(Granularity.PT1H, load_zone("UTC")))
    try:
        _, found = ask(query, DAY, None, lambda _: body)
    except (TransientError, RejectedError):
        return
    assert found == {}


GOOD = results(({"userId": ANNA}, [("2026-03-02T09:00:00.000Z/2026-03-02T10:00:00.000Z", 3)]))


@given(
    st.integers(0, len(GOOD)),
    st.integers(0, 3),
    st.sampled_from([b"", b'"', b"\xff", b"0", b"-", b"\\ud83d", b"[", b"null", b"x"]),
)
def test_a_spoiled_response_gives_rows_that_hold_or_an_error_of_ours(
    at: int, removed: int, added: bytes
) -> None:
    body = GOOD[:at] + added + GOOD[at + removed :]
    try:
        _, found = ask(
            Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))), DAY, None, lambda _: body
        )
    except (TransientError, RejectedError):
        return
    for user, records in found.items():
        assert user is None or "\ufffd" not in user
        for record in records:
            handled, seconds = record["handled_count"], record["total_handle_time_sec"]
            assert isinstance(handled, int)
            assert handled >= 0
            assert isinstance(seconds, float)
            assert seconds >= 0


@pytest.mark.parametrize("bad", [b"\xe9", rb"\ud83d"])
def test_text_that_is_not_unicode_costs_an_id_but_not_what_is_not_read(bad: bytes) -> None:
    query = Query(grid=Grid(Granularity.PT1H, load_zone("UTC")))
    spoiled = GOOD.replace(ANNA.encode(), b"anna" + bad)
    with pytest.raises(RejectedError, match="has an id that is not valid Unicode") as error:
        ask(query, DAY, None, lambda _: spoiled)
    assert not error.value.is_odd
    good = GOOD.replace(b'"group": {', b'"group": {"note": "%s", ' % bad)
    assert good != GOOD
    assert ask(query, DAY, None, lambda _: good)[1] == ask(query, DAY, None, lambda _: GOOD)[1]


def test_a_cursor_that_is_not_unicode_is_rejected() -> None:
    query = Query(grid=Grid(Granularity.PT1H, load_zone("UTC")))
    with pytest.raises(RejectedError, match="has an id that is not valid Unicode"):
        ask(query, DAY, None, lambda _: rb'{"results": [], "cursor": "\ud83d"}')


@pytest.mark.parametrize("separate", [False, True])
def test_whether_a_bucket_is_a_query_of_its_own_depends_on_what_was_learned(separate: bool) -> None:
    state = ConnectionState(separate_days=separate)
    days, hours, month = (
        Query(grid=Grid(granularity, load_zone("Europe/Dublin")))
        for granularity in (Granularity.P1D, Granularity.PT1H, Granularity.P1M)
    )
    assert one_bucket_per_query(days, state) is separate
    assert not one_bucket_per_query(hours, state)
    assert one_bucket_per_query(month, state)
