"""One chunk driven to its end: answers in, errors in, time passing, and what is left to be asked when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from asyncreport.api.aggregates import Known
from asyncreport.api.query_jobs import PATH
from asyncreport.api.wire import Request, Wait
from asyncreport.errors import AuthError, RejectedError, RetriesExhausted
from asyncreport.fetch import drive, fetch
from asyncreport.job import Chunk, Query
from asyncreport.timeline import HOUR, Granularity, Grid, Interval
from tests import clock

CHUNK = Chunk(connection="c", month="1970-01", interval=Interval(0, HOUR), users=("anna",))
JOBS = Query(grid=Grid(Granularity.PT1H, "UTC"), contract="query-jobs")
GET = Request(method="GET", path="/x")


class Server:
    """Answer a query job: accepted, then under way for ever, or fulfilled at the first poll."""

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
        return request.decode(b'{"state": "FULFILLED"}' if self.fulfilled else b'{"state": "PENDING"}')


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


def test_what_a_contract_cannot_mend_goes_past_it() -> None:
    error = AuthError("who")

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
    assert clock.run(fetch(CHUNK, JOBS, server.ask, Known())) == []
    assert server.asked == ["POST ", "GET /j1", "GET /j1/results", "DELETE /j1"]


def test_a_query_job_is_deleted_when_its_chunk_fails() -> None:
    server = Server(fulfilled=False)
    with pytest.raises(RetriesExhausted, match="is still PENDING after 30 s"):
        clock.run(fetch(CHUNK, JOBS, server.ask, Known(patience=30)))
    assert server.asked[-1] == "DELETE /j1"


@pytest.mark.parametrize("slow", [False, True])
def test_a_query_job_is_deleted_when_its_run_is_broken_off(slow: bool) -> None:
    """And a server that does not answer the DELETE holds nobody up for more than a few seconds."""
    server = Server(fulfilled=False, slow_delete=slow)

    async def main() -> float:
        task = asyncio.create_task(fetch(CHUNK, JOBS, server.ask, Known()))
        await asyncio.sleep(10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(15 if slow else 10.1, abs=0.01)
    assert server.asked[-1] == "DELETE /j1"
