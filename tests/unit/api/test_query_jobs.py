"""Query jobs: submit, poll, read to the last page; submit again if the job is gone."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from asyncreport.api import aggregates
from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.contracts import steps
from asyncreport.api.query_jobs import MAX_SUBMISSIONS, PAGE_SIZE, PATH, send
from asyncreport.api.wire import Request, Wait
from asyncreport.config.zones import load_zone
from asyncreport.core.errors import TOO_LARGE, RejectedError, RetriesExhausted, TransientError
from asyncreport.core.job import Chunk, Query
from asyncreport.core.measures import Datum, Measure
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import HOUR, Granularity, Grid, Interval, iso
from tests.rows import rows

#: answers in order: a body, or an error that the road to the server raised
Script = Iterator[bytes | Exception]


def reader() -> aggregates.Reader:
    """Read one interaction for each group."""

    def add(facts: Accumulator, raw: msgspec.Raw) -> None:
        user = (aggregates.decode_container(raw).group or {})["userId"]
        facts.add(
            user,
            (),
            [Datum(f"{iso(0)}/{iso(HOUR)}", [Measure("tHandle", {"count": 1, "sum": 1000})])],
        )

    return aggregates.page_reader(
        Accumulator((0, HOUR), Query(grid=Grid(Granularity.PT1H, load_zone("UTC")))), add
    )


def play(
    script: list[bytes | Exception], patience: float = 900
) -> tuple[list[str], list[float], Accumulator, list[Request]]:
    """Run the contract with scripted responses; return requests, pauses, result and `closing`."""
    closing: list[Request] = []
    asked: list[str] = []
    pauses: list[float] = []
    answers: Script = iter(script)
    running = send({"interval": "a/b"}, reader(), closing, patience)
    step = next(running)
    try:
        while True:
            if isinstance(step, Wait):
                pauses.append(step.seconds)
                step = running.send(None)
                continue
            query = "&".join(f"{key}={value}" for key, value in step.query)
            asked.append(
                f"{step.method} {step.path.removeprefix(PATH)}{'?' if query else ''}{query}"
            )
            if step.method == "DELETE":
                assert step in closing
                step = running.throw(GONE)  # what answers it does not matter
                continue
            answer = next(answers)
            step = (
                running.throw(answer)
                if isinstance(answer, Exception)
                else running.send(step.decode(answer))
            )
    except StopIteration as end:
        return asked, pauses, end.value, closing


def page(*users: str, cursor: str = "") -> bytes:
    groups = ",".join(f'{{"group": {{"userId": "{user}"}}}}' for user in users)
    following = f', "cursor": "{cursor}"' if cursor else ""
    return f'{{"results": [{groups}]{following}}}'.encode()


ACCEPTED, PENDING, DONE = b'{"jobId": "j1"}', b'{"state": "PENDING"}', b'{"state": "FULFILLED"}'
GONE = RejectedError("404", status=404)


def users(found: Accumulator) -> list[str | None]:
    """List the users, each as often as a page held them."""
    return [
        user
        for user, block in rows(found).items()
        for _ in range(int(str(block[0]["handled_count"])))
    ]


def test_a_query_is_submitted_polled_read_to_the_last_page_and_deleted() -> None:
    asked, pauses, found, closing = play(
        [ACCEPTED, b'{"state": "QUEUED"}', PENDING, DONE, page("a", cursor="c1"), page("b", "a")]
    )
    assert asked == [
        "POST ",
        "GET /j1",
        "GET /j1",
        "GET /j1",
        "GET /j1/results",
        "GET /j1/results?cursor=c1",
        "DELETE /j1",
    ]
    assert pauses == [1, 2, 4]
    assert users(found) == ["a", "a", "b"]
    assert closing == []


def test_the_submission_is_the_query_and_a_page_size() -> None:
    request = next(send({"interval": "a/b"}, reader(), [], 900))
    assert isinstance(request, Request)
    assert request.body == b'{"interval":"a/b","pageSize":%d}' % PAGE_SIZE


def test_pauses_grow_up_to_a_quarter_minute_until_the_timeout() -> None:
    with pytest.raises(
        RetriesExhausted,
        match=r"PENDING after 60 s; run it again later, or set a longer limits\.give_up_after",
    ):
        play([ACCEPTED, *[PENDING] * 50], patience=60)
    running, pauses = send({}, reader(), [], 60), []
    step = next(running)
    while len(pauses) < 7:
        if isinstance(step, Wait):
            pauses.append(step.seconds)
            step = running.send(None)
        else:
            step = running.send(step.decode(ACCEPTED if step.method == "POST" else PENDING))
    assert pauses == [1, 2, 4, 8, 15, 15, 15]


def test_an_unknown_state_means_that_the_job_is_in_progress() -> None:
    assert users(play([ACCEPTED, b'{"state": "PONDERING"}', b"{}", DONE, page("a")])[2]) == ["a"]


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("PONDERING", "PONDERING"),
        ("Bearer abc", "in progress"),
        ("A" * 21, "in progress"),
        ("", "in progress"),
    ],
)
def test_a_state_is_shown_if_it_looks_like_one(state: str, shown: str) -> None:
    with pytest.raises(RetriesExhausted, match=f"the query job is still {shown} after 60 s"):
        play([ACCEPTED, *[b'{"state": "%s"}' % state.encode()] * 50], patience=60)


def test_a_failed_job_is_an_error_with_the_servers_text() -> None:
    with pytest.raises(RejectedError, match="the query job failed: too much"):
        play([ACCEPTED, b'{"state": "FAILED", "errorMessage": "too much"}'])


def test_a_failed_job_without_a_reason_says_so() -> None:
    with pytest.raises(RejectedError) as caught:
        play([ACCEPTED, b'{"state": "FAILED"}'])
    assert str(caught.value) == "the query job failed: the server does not say why"


def test_a_job_whose_pages_name_no_user_is_rejected_although_one_page_is_empty() -> None:
    """Otherwise the users who were asked for would have no rows, as on a quiet day."""
    query = Query(grid=Grid(Granularity.PT1H, load_zone("UTC")), contract="query-jobs")
    chunk = Chunk(connection="c", month="", interval=Interval(0, HOUR), users=("anna",))
    data = f'[{{"interval": "{iso(0)}/{iso(HOUR)}", "metrics": [{{"metric": "tHandle"}}]}}]'
    answers = iter(
        [
            ACCEPTED,
            DONE,
            b'{"results": [], "cursor": "c1"}',
            f'{{"results": [{{"group": {{}}, "data": {data}}}]}}'.encode(),
        ]
    )
    running = steps(query, chunk, Accumulator((0, HOUR), query), ConnectionState(), [])
    step = next(running)

    def run_to_the_end(step: Request | Wait) -> None:
        while True:
            if isinstance(step, Wait):
                step = running.send(None)
            elif step.method == "DELETE":
                step = running.throw(GONE)
            else:
                step = running.send(step.decode(next(answers)))

    with pytest.raises(RejectedError, match="has results, but none names a user"):
        run_to_the_end(step)


@pytest.mark.parametrize(
    "ending",
    [
        [b'{"state": "EXPIRED"}'],
        [b'{"state": "CANCELLED"}'],
        [GONE],
        [DONE, GONE],
        [DONE, page("lost", cursor="c"), GONE],
    ],
)
def test_a_job_that_is_gone_is_submitted_again(ending: list[bytes | Exception]) -> None:
    """The pages of the first one are dropped, and both are deleted."""
    asked, _, found, closing = play([ACCEPTED, *ending, b'{"jobId": "j/2"}', DONE, page("a")])
    assert users(found) == ["a"]
    assert [step for step in asked if step.startswith("DELETE")] == ["DELETE /j1", "DELETE /j%2F2"]
    assert closing == []
    assert asked.count("POST ") == 2


def test_a_job_that_is_gone_every_time_is_an_error() -> None:
    with pytest.raises(
        RetriesExhausted,
        match=f"{MAX_SUBMISSIONS} times the query job was gone before its results were read; run",
    ):
        play([ACCEPTED, GONE] * MAX_SUBMISSIONS)


def test_another_refusal_is_not_changed() -> None:
    with pytest.raises(RejectedError, match="bad"):
        play([ACCEPTED, RejectedError("bad", status=400)])


def test_a_page_without_results_is_not_the_end() -> None:
    assert users(play([ACCEPTED, DONE, b'{"cursor": "c1"}', page("a", cursor="c2"), b"{}"])[2]) == [
        "a"
    ]


def test_a_page_with_something_else_is_not_the_last_page() -> None:
    with pytest.raises(TransientError, match="the response is not a valid aggregates result"):
        play([ACCEPTED, DONE, page("a", cursor="c1"), b'{"message": "Internal", "status": 500}'])


def test_a_202_is_a_success_except_for_the_results() -> None:
    running, later = send({}, reader(), [], 900), {}
    step = next(running)
    while True:
        if isinstance(step, Wait):
            step = running.send(None)
            continue
        later[step.method, step.path.removeprefix(PATH)] = step.succeeded(202)
        if step.method == "DELETE":
            break
        answers = {"": ACCEPTED, "/j1": DONE, "/j1/results": page("a")}
        step = running.send(step.decode(answers[step.path.removeprefix(PATH)]))
    assert later == {
        ("POST", ""): True,
        ("GET", "/j1"): True,
        ("GET", "/j1/results"): False,
        ("DELETE", "/j1"): True,
    }


def test_a_cursor_that_leads_back_is_an_error() -> None:
    with pytest.raises(RejectedError, match="page 3 leads back to a page that was already read"):
        play(
            [ACCEPTED, DONE, page("a", cursor="c1"), page("b", cursor="c2"), page("c", cursor="c1")]
        )


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ([b"<html>"], "submitted query job"),
        ([ACCEPTED, b""], "state of a query job"),
    ],
)
def test_a_body_that_is_not_json_is_transient(answers: list[bytes], what: str) -> None:
    with pytest.raises(TransientError, match=f"the response is not a valid {what}"):
        play(list(answers))


@pytest.mark.parametrize(
    ("answers", "what"),
    [([b"{}"], "submitted query job"), ([ACCEPTED, b"[]"], "state of a query job")],
)
def test_a_body_of_another_kind_is_the_response_to_another_question(
    answers: list[bytes], what: str
) -> None:
    with pytest.raises(RejectedError, match=f"the response is not a valid {what}") as caught:
        play(list(answers))
    assert caught.value.is_odd


@pytest.mark.parametrize(
    ("why", "code"),
    [("Result too large", TOO_LARGE), ("over the Size Limit", TOO_LARGE), ("too many cooks", "")],
)
def test_a_query_job_that_failed_because_of_its_size_has_the_code_for_it(
    why: str, code: str
) -> None:
    with pytest.raises(RejectedError, match=why) as caught:
        play([ACCEPTED, b'{"state": "FAILED", "errorMessage": "%s"}' % why.encode()])
    assert caught.value.code == code
