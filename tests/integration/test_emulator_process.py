"""The emulator as a process of its own: its sockets, its control channel, and its end."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from asyncreport.core.timeline import DAY, iso, parse_iso
from asyncreport.emulator import Emulator, Options, World, running, serve
from tests.emulator_process import Handle, emulator_process

MONDAY = parse_iso("2023-10-02T00:00Z")
AGGREGATES = "/api/v2/analytics/conversations/aggregates/query"
JOBS = "/api/v2/analytics/conversations/aggregates/jobs"


class Caller:
    """A client of the standard library, one connection per request."""

    def __init__(self, emulator: Handle | Emulator) -> None:
        self._at = urlsplit(emulator.url).netloc
        basic = base64.b64encode(f"{emulator.client_id}:{emulator.client_secret}".encode()).decode()
        form = {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        _, _, body = self._send("POST", "/oauth/token", form, b"grant_type=client_credentials")
        self._headers = {
            "Authorization": f"Bearer {json.loads(body)['access_token']}",
            "Content-Type": "application/json",
        }

    def __call__(
        self, method: str, path: str, body: object = None, *, timeout: float = 30
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        return self._send(
            method,
            path,
            self._headers,
            None if body is None else json.dumps(body).encode(),
            timeout,
        )

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None,
        timeout: float = 30,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(self._at, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:
                return response.status, response.headers, response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def process() -> Any:
    with emulator_process(agents=5, requests_per_minute=0) as handle:
        yield handle


@pytest.fixture
def emulator(process: Handle) -> Any:
    yield process
    process.release()
    process.faults([])


def _query(users: list[str]) -> dict[str, Any]:
    predicates = [
        {"type": "dimension", "dimension": "userId", "operator": "matches", "value": user}
        for user in users
    ]
    filter_ = {"type": "and", "clauses": [{"type": "or", "predicates": predicates}]}
    return {
        "interval": f"{iso(MONDAY)}/{iso(MONDAY + DAY)}",
        "metrics": ["tHandle"],
        "groupBy": ["userId"],
        "filter": filter_,
    }


def test_a_query_over_the_wire_adds_up_to_the_truth(emulator: Handle) -> None:
    users = [person.id for person in World(5).people]
    status, headers, body = Caller(emulator)("POST", AGGREGATES, _query(users))
    stats = [
        m["stats"] for c in json.loads(body)["results"] for e in c["data"] for m in e["metrics"]
    ]
    handles = [e["value"] for e in emulator.truth(MONDAY, MONDAY + DAY) if e["metric"] == "tHandle"]
    assert (status, headers["content-type"]) == (200, "application/json")
    assert (sum(s["count"] for s in stats), sum(s["sum"] for s in stats)) == (
        len(handles),
        sum(handles),
    )


def test_the_truth_is_what_the_world_emits(emulator: Handle) -> None:
    reported = emulator.truth(MONDAY, MONDAY + DAY)
    own = list(World(5).truth(MONDAY, MONDAY + DAY))
    assert [(e["at"], e["metric"], e["value"]) for e in reported] == [
        (e.at, e.metric, e.value) for e in own
    ]


def test_the_statuses_are_those_of_the_world(emulator: Handle) -> None:
    reported = emulator.statuses(MONDAY, MONDAY + DAY)
    assert reported == [span._asdict() for span in World(5).statuses(MONDAY, MONDAY + DAY)]
    assert reported


def test_a_query_job_is_seen_until_it_is_deleted_and_its_dates_are_of_today(
    emulator: Handle,
) -> None:
    call = Caller(emulator)
    job = json.loads(call("POST", JOBS, _query([World(5).people[0].id]))[2])["jobId"]
    status = json.loads(call("GET", f"{JOBS}/{job}")[2])
    assert emulator.jobs() == [{"id": job, "state": "QUEUED", "polls": 1, "pages": 0}]
    assert abs(parse_iso(status["submissionDate"]) / 1000 - time.time()) < 3600
    status_code, _, body = call("DELETE", f"{JOBS}/{job}")
    assert (status_code, body, emulator.jobs()) == (204, b"", [])


def test_members_can_be_replaced(emulator: Handle) -> None:
    call, users = Caller(emulator), [World(5).people[k].id for k in (3, 1)]
    team = json.loads(call("GET", "/api/v2/teams")[2])["entities"][0]["id"]
    emulator.members("team", team, users)
    members = json.loads(call("GET", f"/api/v2/teams/{team}/members")[2])["entities"]
    assert [member["id"] for member in members] == users
    with pytest.raises(HTTPError, match="400"):
        emulator.members("team", "nobody", users)


def test_a_cursor_works_in_a_url(emulator: Handle) -> None:
    with emulator_process(agents=5, most_per_page=1) as small:
        call = Caller(small)
        page, seen = json.loads(call("GET", "/api/v2/teams?pageSize=100")[2]), []
        while "nextUri" in page:
            seen += page["entities"]
            page = json.loads(call("GET", page["nextUri"])[2])
    whole = json.loads(Caller(emulator)("GET", "/api/v2/teams")[2])["entities"]
    assert [team["id"] for team in [*seen, *page["entities"]]] == [team["id"] for team in whole]


def test_the_log_describes_requests_without_their_token(emulator: Handle) -> None:
    users = sorted(person.id for person in World(5).people[:2])
    Caller(emulator)("POST", AGGREGATES, _query(users))
    seen = emulator.log()[-1]
    assert (seen["method"], seen["path"], seen["status"], seen["fault"]) == (
        "POST",
        AGGREGATES,
        200,
        None,
    )
    assert (seen["interval"], seen["users"]) == (f"{iso(MONDAY)}/{iso(MONDAY + DAY)}", users)
    assert seen["token"] >= 1
    assert len(seen["digest"]) == 64


@pytest.mark.parametrize(
    ("do", "error"),
    [
        ({"reset": "before"}, ConnectionResetError),
        ({"reset": "headers"}, ConnectionResetError),
        ({"reset": "body"}, ConnectionResetError),
        ({"truncate": "length"}, http.client.IncompleteRead),
        ({"hang": True}, TimeoutError),
    ],
)
def test_a_response_breaks_as_the_script_says(
    emulator: Handle, do: dict[str, Any], error: type[Exception]
) -> None:
    call = Caller(emulator)
    emulator.faults([{"match": {"path": "/users"}, "do": do}])
    with pytest.raises(error):
        call("GET", "/api/v2/users", timeout=0.3)
    seen = emulator.log()[-1]
    assert (seen["fault"], seen["status"]) == (do, None)


def test_a_slow_response_arrives_whole(emulator: Handle) -> None:
    call = Caller(emulator)
    whole = call("GET", "/api/v2/users")[2]
    emulator.faults([{"do": {"drip": 0.001}}])
    assert call("GET", "/api/v2/users")[2] == whole


def test_a_scripted_status_has_its_headers(emulator: Handle) -> None:
    call = Caller(emulator)
    emulator.faults([{"match": {"times": 1}, "do": {"status": 503, "retry_after": 7}}])
    status, headers, _ = call("GET", "/api/v2/users")
    assert (status, headers["retry-after"], emulator.log()[-1]["status"]) == (503, "7", 503)
    assert call("GET", "/api/v2/users")[0] == 200


def test_faults_may_end_tokens(emulator: Handle) -> None:
    for do in ({"expire_tokens": True}, {"revoke_tokens": True}):
        call = Caller(emulator)
        emulator.faults([{"match": {"times": 1}, "do": do}])
        assert call("GET", "/api/v2/users")[0] == 401


def test_an_invalid_script_is_refused(emulator: Handle) -> None:
    with pytest.raises(HTTPError, match="400"):
        emulator.faults([{"do": {"explode": True}}])


def test_held_responses_wait_for_their_release(emulator: Handle) -> None:
    call = Caller(emulator)
    before = sum(seen["path"].startswith("/api/") for seen in emulator.log())
    emulator.hold()
    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(call, "GET", "/api/v2/users") for _ in range(3)]
        emulator.wait(before + 3)
        assert not any(future.done() for future in waiting)
        emulator.release()
        assert [future.result()[0] for future in waiting] == [200, 200, 200]


def test_another_process_gives_the_same_responses(emulator: Handle) -> None:
    path = "/api/v2/users?state=any"
    with emulator_process(agents=5) as again:
        assert Caller(again)("GET", path)[2] == Caller(emulator)("GET", path)[2]


def test_an_unknown_option_is_an_error_at_once() -> None:
    with pytest.raises(RuntimeError, match="did not start"), emulator_process(speed="ludicrous"):
        pass


def test_the_process_ends_also_if_responses_are_held() -> None:
    with ThreadPoolExecutor() as pool, emulator_process(agents=1) as emulator:
        call = Caller(emulator)
        emulator.hold()
        waiting = pool.submit(call, "GET", "/api/v2/users")
        emulator.wait(1)
    assert waiting.exception() is not None or waiting.result()[0] == 200


def test_it_runs_in_a_thread_and_leaves_none_behind() -> None:
    with running(World(3), Options(latency=0.001)) as emulator:
        assert Caller(emulator)("GET", "/api/v2/users")[0] == 200
        assert "emulator" in {thread.name for thread in threading.enumerate()}
    assert "emulator" not in {thread.name for thread in threading.enumerate()}


def test_it_listens_on_loopback_only() -> None:
    with running() as emulator:
        assert emulator.url.startswith("http://127.0.0.1:")


def test_a_port_in_use_is_an_oserror_and_serving_ends_with_its_task() -> None:
    async def main() -> str:
        up: asyncio.Future[Emulator] = asyncio.get_running_loop().create_future()
        serving = asyncio.ensure_future(serve(World(1), up=up.set_result))
        emulator = await up
        with pytest.raises(OSError, match="in use"):
            async with Emulator(World(1), port=urlsplit(emulator.url).port or 0):
                pass
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        return emulator.url

    url = urlsplit(asyncio.run(main()))
    with socket.socket() as probe:
        assert probe.connect_ex((url.hostname, url.port)) != 0


@pytest.mark.parametrize("query", ["start=yesterday&end=today", "start=2023-10-01T00:00:00Z"])
def test_a_truth_without_a_valid_interval_is_a_400(emulator: Handle, query: str) -> None:
    assert Caller(emulator)("GET", f"/emulator/truth?{query}")[0] == 400


def test_waiting_for_requests_ends_after_the_timeout(emulator: Handle) -> None:
    assert Caller(emulator)("GET", "/emulator/wait?requests=1000000&timeout=0.01")[0] == 408
