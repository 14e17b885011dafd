"""The fetch of one chunk: its contract gets responses, errors and time; pieces and clean-up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.query_jobs import PATH
from asyncreport.api.wire import Request, Wait
from asyncreport.config.zones import load_zone
from asyncreport.core.answer_sizes import AnswerSizes
from asyncreport.core.errors import (
    FOREIGN,
    OFF_GRID,
    TOO_LARGE,
    AuthError,
    ConfigError,
    RejectedError,
    RetriesExhausted,
    TransientError,
)
from asyncreport.core.job import Chunk, Query
from asyncreport.core.records import Block
from asyncreport.core.splitting import Bound, SplitChunk
from asyncreport.core.timeline import DAY, HOUR, Granularity, Grid, Interval, iso, parse_iso
from asyncreport.engine.fetch import drive, fetch
from tests import clock

CHUNK = Chunk(connection="c", month="1970-01", interval=Interval(0, HOUR), users=("anna",))
JOBS = Query(grid=Grid(Granularity.PT1H, load_zone("UTC")), contract="query-jobs")
GET = Request(method="GET", path="/x")


class Server:
    """Answer a query job: accepted, then pending for ever, or fulfilled at the first poll."""

    def __init__(self, *, fulfilled: bool = True, slow_delete: bool = False) -> None:
        self.fulfilled = fulfilled
        self.slow_delete = slow_delete
        self.asked: list[str] = []

    async def ask(self, request: Request) -> Any:
        self.asked.append(f"{request.method} {request.path.removeprefix(PATH)}")
        await asyncio.sleep(3600 if self.slow_delete and request.method == "DELETE" else 0.1)
        if request.method == "POST":
            return request.decode(b'{"jobId": "j1"}')
        if request.path.endswith("/results"):
            return request.decode(b"{}")
        if request.method == "DELETE":
            return request.decode(b"")
        return request.decode(
            b'{"state": "FULFILLED"}' if self.fulfilled else b'{"state": "PENDING"}'
        )


def test_answers_errors_and_time_reach_the_contract() -> None:
    heard: list[object] = []

    def contract() -> Generator[Request | Wait, Any, str]:
        heard.append((yield GET))
        yield Wait(90)
        try:
            yield GET
        except RejectedError as error:
            heard.append(str(error))
        heard.append((yield GET))
        return "made"

    answers = iter([1, RejectedError("no"), 3])

    async def ask(_: Request) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def main() -> tuple[str, float]:
        return await drive(contract(), ask), asyncio.get_running_loop().time()

    result, elapsed = clock.run(main())
    assert (result, heard) == ("made", [1, "no", 3])
    assert elapsed == pytest.approx(90, abs=0.01)


@pytest.mark.parametrize("code", [FOREIGN, OFF_GRID])
@pytest.mark.parametrize(("odd", "requests", "heard"), [(1, 2, 3), (2, 3, 3), (3, 3, "odd 2")])
def test_a_response_to_another_question_is_asked_for_again_twice(
    code: str, odd: int, requests: int, heard: object
) -> None:
    """Only the third one reaches the contract, as a rejection."""
    asked: list[Request] = []

    def contract() -> Generator[Request | Wait, Any, object]:
        try:
            return (yield GET)
        except RejectedError as error:
            return str(error)

    async def ask(request: Request) -> Any:
        asked.append(request)
        number = len(asked) - 1
        if number < odd:
            raise RejectedError(f"odd {number}", code=code)
        return 3

    assert clock.run(drive(contract(), ask)) == heard
    assert asked == [GET] * requests


def test_an_error_that_no_contract_handles_does_not_reach_it() -> None:
    error = ConfigError("the proxy")

    def contract() -> Generator[Request | Wait, Any, None]:
        try:
            yield GET
        except Exception as reached:
            raise AssertionError from reached

    async def ask(_: Request) -> Any:
        raise error

    with pytest.raises(type(error), match=str(error)):
        clock.run(drive(contract(), ask))


def test_a_query_job_is_deleted_when_its_chunk_is_done() -> None:
    server = Server()
    assert clock.run(fetch(CHUNK, JOBS, server.ask, ConnectionState())) == []
    assert server.asked == ["POST ", "GET /j1", "GET /j1/results", "DELETE /j1"]


def test_a_query_job_is_deleted_when_its_chunk_fails() -> None:
    server = Server(fulfilled=False)
    with pytest.raises(RetriesExhausted, match="is still PENDING after 30 s"):
        clock.run(fetch(CHUNK, JOBS, server.ask, ConnectionState(query_job_timeout=30)))
    assert server.asked[-1] == "DELETE /j1"


@pytest.mark.parametrize("slow", [False, True])
def test_a_query_job_is_deleted_when_its_run_is_cancelled(slow: bool) -> None:
    """A server that does not answer the DELETE delays the end by a few seconds only."""
    server = Server(fulfilled=False, slow_delete=slow)

    async def main() -> float:
        task = asyncio.create_task(fetch(CHUNK, JOBS, server.ask, ConnectionState()))
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(15 if slow else 10.1, abs=0.01)
    assert server.asked[-1] == "DELETE /j1"


HOURS = Query(grid=Grid(Granularity.PT1H, load_zone("UTC")))
TWO_DAYS = Chunk(
    connection="c",
    month="1970-01",
    interval=Interval(0, 2 * DAY),
    users=("anna", "bert", "carl", "dora"),
)


def late(reason: Literal["late", "silent"] = "late") -> RetriesExhausted:
    """Make the error of a lane whose attempts timed out."""
    error = RetriesExhausted("[id] POST /x: 504; gave up", reason=reason)
    error.__cause__ = TransientError("504", status=504)
    return error


class Bounded:
    """Answer one interaction per user and hour; fail for more than `most` users x hours."""

    def __init__(self, error: Exception, *, most: int, statuses: int = 10**9) -> None:
        self.error, self.most, self.statuses = error, most, statuses
        #: users x hours of each query, and how many time-outs it may have
        self.asked: list[tuple[int, int | None]] = []
        self.failed = 0

    async def ask(self, request: Request) -> Any:
        body = json.loads(request.body or b"")
        start, end = map(parse_iso, body["interval"].split("/"))
        users = [
            each["value"]
            for clause in body["filter"].get("clauses", [body["filter"]])
            for each in clause["predicates"]
        ]
        self.asked.append((len(users) * (end - start) // HOUR, request.max_timeouts))
        if self.asked[-1][0] > (self.statuses if "/users/" in request.path else self.most):
            self.failed += 1
            raise self.error
        stats = {"metric": "tHandle", "stats": {"count": 1, "sum": 1000}}
        if "/users/" in request.path:
            stats = {"metric": "tAgentRoutingStatus", "qualifier": "IDLE", "stats": {"sum": 1000}}
        hours = [str(Interval(at, at + HOUR)) for at in range(start, end, HOUR)]
        results = [
            {
                "group": {"userId": user},
                "data": [{"interval": hour, "metrics": [stats]} for hour in hours],
            }
            for user in users
        ]
        return request.decode(json.dumps({"results": results}).encode())


def fetched(
    server: Bounded,
    chunk: Chunk = TWO_DAYS,
    query: Query = HOURS,
    state: ConnectionState | None = None,
) -> list[Block]:
    return clock.run(fetch(chunk, query, server.ask, state or ConnectionState()))


WHOLE = fetched(Bounded(late(), most=10**9))


@pytest.mark.parametrize("most", [1, 3, 4, 17, 95, 96, 191, 192])
@pytest.mark.parametrize(
    "error", [RejectedError("big", status=400, code=TOO_LARGE), late()], ids=["large", "late"]
)
def test_a_chunk_is_complete_whatever_size_the_server_answers(error: Exception, most: int) -> None:
    """Each hour of each user once; of late pieces there are at most 64."""
    server, state = Bounded(error, most=most), ConnectionState()
    if isinstance(error, RetriesExhausted) and most < 4:
        with pytest.raises(
            RetriesExhausted, match=r"one of 64 pieces of its chunk: set a shorter range\.chunk"
        ):
            fetched(server, state=state)
        assert server.failed == 64
        return
    assert fetched(server, state=state) == WHOLE
    assert state.chunks_split == (most < 192)
    assert (state.bound.cells or 192) <= most
    again = Bounded(error, most=most)
    assert fetched(again, state=state) == WHOLE
    assert again.failed == 0


def test_pieces_that_can_be_split_may_time_out_three_times_and_others_as_often_as_any_request() -> (
    None
):
    server = Bounded(late(), most=1)
    chunk = Chunk(
        connection="c", month="1970-01", interval=Interval(0, 2 * HOUR), users=("anna", "bert")
    )
    assert len(fetched(server, chunk)) == 2
    assert server.asked == [(4, None), (2, 3), (1, None), (1, None), (2, 3), (1, None), (1, None)]


def test_pieces_of_a_response_that_was_too_large_are_tried_as_often_as_any_request() -> None:
    """A refusal costs one request; while the server is unstable, each piece needs its attempts."""
    server = Bounded(RejectedError("big", code=TOO_LARGE), most=50)
    assert fetched(server) == WHOLE
    assert {timeouts for _, timeouts in server.asked} == {None}


def test_a_chunk_that_holds_too_much_is_divided_into_two_chunks() -> None:
    """As pieces of one chunk, their rows would have to be in memory together."""
    too_long = RejectedError("longer than 16 MiB", code=TOO_LARGE)
    server, state = Bounded(too_long, most=100), ConnectionState(sizes=AnswerSizes())
    with pytest.raises(SplitChunk) as split:
        fetched(server, state=state)
    assert [chunk.interval for chunk in split.value.halves] == [
        Interval(0, DAY),
        Interval(DAY, 2 * DAY),
    ]
    assert {chunk.users for chunk in split.value.halves} == {TWO_DAYS.users}
    assert len(server.asked) == state.chunks_split == 1
    assert state.bound == Bound()
    most = (state.sizes or AnswerSizes()).most(TWO_DAYS.users)
    assert most is not None
    assert most < 96


def test_a_refusal_of_the_server_bounds_the_chunks_that_follow() -> None:
    refused = RejectedError("big", status=400, code=TOO_LARGE)
    state = ConnectionState(sizes=AnswerSizes())
    with pytest.raises(SplitChunk):
        fetched(Bounded(refused, most=100), state=state)
    assert state.bound.cells == 96
    assert state.sizes == AnswerSizes()


def test_a_chunk_that_replaces_parts_becomes_one_part_even_in_pieces() -> None:
    chunk = replace(TWO_DAYS, replaces=(3, 4))
    server = Bounded(RejectedError("longer than 16 MiB", code=TOO_LARGE), most=100)
    assert fetched(server, chunk, state=ConnectionState(sizes=AnswerSizes())) == WHOLE


def test_what_an_answer_held_is_measured() -> None:
    sizes = AnswerSizes()
    server = Bounded(late(), most=10**9)

    async def ask(request: Request) -> Any:
        request.measure(5_000, 12.0)
        return await server.ask(request)

    clock.run(fetch(TWO_DAYS, HOURS, ask, ConnectionState(sizes=sizes)))
    assert (sizes.totals.cells, sizes.totals.records, sizes.totals.received) == (192, 192, 5_000)


def test_only_a_piece_that_cannot_be_split_may_have_a_very_long_answer() -> None:
    """A bucket of an organisation of 100,000 users has 55 MB."""
    asked: list[tuple[int, int]] = []

    async def ask(request: Request) -> Any:
        body = json.loads(request.body or b"")
        start, end = map(parse_iso, body["interval"].split("/"))
        asked.append(((end - start) // HOUR, request.most_bytes))
        if end - start > HOUR:
            raise RejectedError("longer than 16 MiB", code=TOO_LARGE)
        return request.decode(b"{}")

    chunk = replace(TWO_DAYS, interval=Interval(0, 2 * HOUR), users=None)
    clock.run(fetch(chunk, HOURS, ask, ConnectionState()))
    assert asked == [(2, 16 * 2**20), (1, 64 * 2**20), (1, 64 * 2**20)]


def test_a_piece_that_fails_midway_adds_nothing() -> None:
    """The statuses are too large: the conversations are fetched again too, and counted once."""
    query = Query(grid=HOURS.grid, occupancy=True)
    calm = fetched(Bounded(late(), most=10**9), query=query)
    assert (
        fetched(Bounded(RejectedError("big", code=TOO_LARGE), most=100, statuses=30), query=query)
        == calm
    )
    assert [block.count for block in calm] == [48] * 4


def test_a_silent_server_is_asked_for_one_bucket_before_a_chunk_is_split() -> None:
    silent = Bounded(late("silent"), most=0)
    with pytest.raises(RetriesExhausted, match="gave up") as caught:
        fetched(silent)
    assert caught.value is silent.error
    assert silent.asked == [(192, None), (1, 3)]
    slow = Bounded(late("silent"), most=100)
    assert fetched(slow) == WHOLE
    assert slow.asked == [(192, None), (1, 3), (96, 3), (96, 3)]


@pytest.mark.parametrize(
    ("second", "raised"),
    [
        (RejectedError("no such metric", status=400), "[id] POST /x: 504; gave up"),
        (RetriesExhausted("503; gave up"), "[id] POST /x: 504; gave up"),
        (RetriesExhausted("no token", reason="lane"), "no token"),
    ],
)
def test_a_silent_server_that_fails_the_smallest_piece_too_ends_with_the_first_error(
    second: Exception, raised: str
) -> None:
    """Except if the lane failed in the meantime: then another lane may fetch the chunk."""
    errors = iter([late("silent"), second])

    async def ask(_: Request) -> Any:
        raise next(errors)

    with pytest.raises(RetriesExhausted) as caught:
        clock.run(fetch(TWO_DAYS, HOURS, ask, ConnectionState()))
    assert str(caught.value) == raised
    assert isinstance(caught.value.__cause__, TransientError)
    assert next(errors, None) is None


@pytest.mark.parametrize(
    "error",
    [RejectedError("no such metric", status=400), RetriesExhausted("503"), AuthError("who")],
)
def test_an_error_that_a_smaller_piece_would_get_too_fails_the_chunk_at_once(
    error: Exception,
) -> None:
    server = Bounded(error, most=100)
    with pytest.raises(type(error), match=str(error)):
        fetched(server)
    assert len(server.asked) == 1


def test_other_tasks_get_turns_while_rows_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a number of rows, and without a wait."""

    async def turns() -> int:
        task = asyncio.create_task(
            fetch(TWO_DAYS, HOURS, Bounded(late(), most=10**9).ask, ConnectionState())
        )
        count = 0
        while not task.done():
            await asyncio.sleep(0)
            count += 1
        assert asyncio.get_running_loop().time() == pytest.approx(0, abs=1e-3)
        assert await task == WHOLE
        return count

    few = clock.run(turns())
    monkeypatch.setattr("asyncreport.engine.fetch._ROWS_PER_TURN", 48)
    assert clock.run(turns()) == few + 4, "one more for each of four users of 48 rows"


def test_a_query_that_is_too_long_is_split_by_users() -> None:
    server, state = Bounded(RejectedError("[id] long", status=413), most=100), ConnectionState()
    assert fetched(server, state=state) == WHOLE
    assert state.bound.users == 2
    with pytest.raises(
        RejectedError,
        match=r"^\[id\] long; the request was for .* of user anna, which cannot be split further$",
    ):
        fetched(Bounded(RejectedError("[id] long", status=413), most=10))


@pytest.mark.parametrize(
    "error", [AuthError("403"), RejectedError("400", status=400), RetriesExhausted("503")]
)
def test_a_query_job_that_cannot_be_deleted_still_gives_its_rows(error: Exception) -> None:
    async def ask(request: Request) -> Any:
        if request.method == "DELETE":
            raise error
        answers = {"POST": b'{"jobId": "j1"}', "GET": b'{"state": "FULFILLED"}'}
        hour = f"{iso(0)}/{iso(HOUR)}"
        measure = {"metric": "tHandle", "stats": {"count": 1, "sum": 1000}}
        results = {
            "results": [
                {"group": {"userId": "anna"}, "data": [{"interval": hour, "metrics": [measure]}]}
            ]
        }
        return request.decode(
            json.dumps(results).encode()
            if request.path.endswith("/results")
            else answers[request.method]
        )

    chunk = Chunk(connection="c", month="1970-01", interval=Interval(0, HOUR), users=("anna",))
    (block,) = clock.run(fetch(chunk, JOBS, ask, ConnectionState()))
    assert (block.user, block.count) == ("anna", 1)


def test_a_query_job_of_a_piece_is_deleted_before_the_next_one_is_submitted() -> None:
    asked: list[str] = []

    async def ask(request: Request) -> Any:
        asked.append(f"{request.method} {request.path.removeprefix(PATH)}")
        if request.method == "POST":
            return request.decode(b'{"jobId": "j1"}')
        if request.path.endswith("/results"):
            return request.decode(b"{}")
        text = (
            b'{"state": "FAILED", "errorMessage": "Result too large"}'
            if asked.count("POST ") == 1
            else b'{"state": "FULFILLED"}'
        )
        return request.decode(b"" if request.method == "DELETE" else text)

    chunk = Chunk(connection="c", month="1970-01", interval=Interval(0, 2 * HOUR), users=("anna",))
    assert clock.run(fetch(chunk, JOBS, ask, ConnectionState())) == []
    assert asked == [
        "POST ",
        "GET /j1",
        "DELETE /j1",
        *["POST ", "GET /j1", "GET /j1/results", "DELETE /j1"] * 2,
    ]
