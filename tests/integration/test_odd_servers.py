"""What each command says of an odd server, how it ends, and how often it repeats a request.

The table runs in this process on a virtual clock; three servers per command run as real processes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, write_job
from tests.odd_servers import (
    USERS,
    Broken,
    Call,
    Change,
    OddServer,
    call_odd,
    error,
    page,
    respond,
    write_odd_job,
)

#: the permission of conversation aggregates
PERMISSION = "analytics:conversationAggregate:view"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One odd server, and what a command does with it."""

    name: str
    change: Change
    command: str = "run"
    code: int = 0
    #: words on stdout or stderr
    says: tuple[str, ...] = ()
    #: words that must not appear
    never: tuple[str, ...] = ("Traceback",)
    #: how often the most frequent request may be sent
    repeats: int = 1
    #: on the virtual clock
    seconds: float = 5.0
    #: sections of the job file
    job: tuple[tuple[str, Any], ...] = ()
    #: run the job on a calm server first
    after_run: bool = False


def calm(call: Call) -> Any:
    return call.response


def queries(response: Any) -> Change:
    """Respond to every query alike."""
    return lambda call: response if call.is_query else call.response


def first(times: int, response: Any) -> Change:
    """Respond oddly to each query for so many times."""
    return lambda call: response if call.is_query and call.repeats <= times else call.response


def until(seconds: float, response: Any) -> Change:
    """Respond oddly to everything but the first token and query for so many seconds."""

    def change(call: Call) -> Any:
        return response if 0.2 < call.now < seconds else call.response

    return change


def tokens(response: Any, *, times: int = 10_000) -> Change:
    """Respond to requests for a token alike."""
    return lambda call: response if call.is_token and call.repeats <= times else call.response


def look_ups(response: Any) -> Change:
    """Respond to look-ups of users alike."""
    return lambda call: response if call.about("/api/v2/users") else call.response


def every(nth: int, response: Any) -> Change:
    return lambda call: response if call.is_query and call.number % nth == 0 else call.response


def edit(path: str, value: object) -> Change:
    """Change one value in every response to a query: `results.0.data.0.interval`."""

    def change(call: Call) -> Any:
        if not call.is_query:
            return call.response
        body = call.json()
        *way, last = path.split(".")
        target: Any = body
        for step in way:
            if not target:
                return call.response
            target = target[int(step)] if step.isdecimal() else target.get(step)
        if target is not None:
            target[int(last) if last.isdecimal() else last] = value
        return respond(body)

    return change


def each_metric(change: Callable[[dict[str, Any]], None]) -> Change:
    """Change every metric of every bucket in place."""

    def changed(call: Call) -> Any:
        if not call.is_query:
            return call.response
        body = call.json()
        for container in body["results"]:
            for entry in container["data"]:
                for metric in entry["metrics"]:
                    change(metric["stats"])
        return respond(body)

    return changed


def with_odd_metric(call: Call) -> Any:
    """Add a metric that nobody asked for, with stats of another type."""
    if not call.is_query:
        return call.response
    body = call.json()
    for container in body["results"]:
        for entry in container["data"]:
            entry["metrics"].append({"metric": "tNew", "stats": "n/a"})
    return respond(body)


def double_count(stats: dict[str, Any]) -> None:
    stats["count"] = 2 * stats.get("count", 0)


def float_count(stats: dict[str, Any]) -> None:
    stats["count"] = float(stats.get("count", 0))


def too_large(days: int) -> Change:
    """Refuse each query of more than so many days."""

    def change(call: Call) -> Any:
        if not call.is_query:
            return call.response
        start, _, end = json.loads(call.request.body)["interval"].partition("/")
        length = (int(end[8:10]) - int(start[8:10])) % 31
        if length <= days:
            return call.response
        return error(400, "response.entity.too.large")

    return change


def hang(call: Call) -> Any:
    if call.is_query:
        raise TimeoutError
    return call.response


def reset(call: Call) -> Any:
    if call.is_query and call.repeats == 1:
        raise Broken
    return call.response


def cut(call: Call) -> Any:
    if call.is_query and call.repeats == 1:
        return respond(call.response.body[: len(call.response.body) // 2])
    return call.response


PORTAL = page("Please log in", 302)
FIREWALL = page("Forbidden by the firewall", 403)
DENIED = error(
    403,
    "missing.permissions",
    f"You are missing the following permission(s): {PERMISSION}",
    messageParams={"permissions": PERMISSION},
)
BUSY = error(503, "service.unavailable")
MID_RUN = [400, 404, 405, 421, 425, 460, 499, 501, 520, 529]
FOREIGN_BUCKET = edit(
    "results.0.data.0.interval", "2019-01-01T00:00:00.000Z/2019-01-01T01:00:00.000Z"
)

ROWS = [
    Row(name="calm", change=calm, says=("10 chunks fetched",)),
    Row(name="503 for two minutes", change=until(120, BUSY), repeats=60, seconds=400),
    Row(
        name="503 for ever", change=queries(BUSY), code=1, says=("503",), repeats=200, seconds=4000
    ),
    Row(
        name="429 for a minute",
        change=until(60, respond(b"{}", 429, **{"retry-after": "5"})),
        repeats=40,
        seconds=200,
    ),
    Row(name="each third query 500", change=every(3, error(500, "oops")), repeats=9, seconds=200),
    Row(name="each fifth query 401", change=every(5, error(401, "bad.credentials")), repeats=9),
    Row(name="captive portal in the middle", change=until(30, PORTAL), repeats=30, seconds=300),
    Row(name="captive portal from the start", change=lambda _: PORTAL, code=2, says=("302",)),
    Row(name="firewall in the middle", change=until(30, FIREWALL), repeats=30, seconds=300),
    Row(name="firewall from the start", change=queries(FIREWALL), code=3, says=("403",)),
    *(
        Row(
            name=f"HTML {status} in the middle",
            change=until(10, page("odd", status)),
            repeats=30,
            seconds=300,
        )
        for status in MID_RUN
    ),
    Row(name="permission missing", change=queries(DENIED), code=3, says=(PERMISSION,)),
    Row(name="404 of the platform", change=queries(error(404, "not.found")), code=4, says=("404",)),
    Row(
        name="bad.request that names nothing",
        change=queries(error(400, "bad.request", "Bad Request")),
        code=4,
        says=("400 bad.request",),
    ),
    Row(
        name="client.failed.request twice",
        change=first(2, error(400, "client.failed.request")),
        repeats=3,
        seconds=60,
    ),
    Row(name="409 twice", change=first(2, error(409, "conflict")), repeats=3, seconds=60),
    Row(
        name="unknown client",
        change=tokens(respond({"error": "invalid_client"}, 400)),
        code=3,
        says=("invalid_client",),
        never=("Traceback", "emulator-secret"),
    ),
    Row(
        name="token endpoint limited twice",
        change=tokens(
            respond(
                {"error": "invalid_request", "error_description": "rate limit exceeded; wait"}, 400
            ),
            times=2,
        ),
        seconds=60,
    ),
    Row(name="token endpoint out for a minute", change=tokens(BUSY, times=5), seconds=200),
    Row(
        name="error with status 200, once",
        change=first(1, respond({"status": 500, "message": "x"})),
        repeats=2,
        seconds=30,
    ),
    Row(name="null once", change=first(1, respond(b"null")), repeats=2, seconds=30),
    Row(name="null always", change=queries(respond(b"null")), code=4, repeats=3, seconds=60),
    Row(name="cut once", change=cut, repeats=2, seconds=30),
    Row(name="reset once", change=reset, repeats=2, seconds=30),
    Row(name="no response", change=hang, code=1, repeats=60, seconds=8000),
    Row(
        name="foreign bucket",
        change=FOREIGN_BUCKET,
        code=4,
        says=("2019-01-01",),
        repeats=3,
        seconds=60,
    ),
    Row(
        name="foreign user",
        change=edit("results.0.group.userId", "somebody-else"),
        code=4,
        says=("somebody-else",),
        repeats=3,
        seconds=60,
    ),
    Row(
        name="negative sum",
        change=edit("results.0.data.0.metrics.0.stats.sum", -5),
        code=4,
        says=("-5",),
    ),
    Row(
        name="sum as text",
        change=edit("results.0.data.0.metrics.0.stats.sum", "120000"),
        code=4,
        says=("120000",),
    ),
    Row(name="counts as whole floats", change=each_metric(float_count)),
    Row(name="a metric that nobody asked for", change=with_odd_metric),
    Row(name="too large above three days", change=too_large(3), repeats=1),
    Row(
        name="names are forbidden",
        change=look_ups(DENIED),
        says=("names",),
        # before the pull, to find listed users that nobody is, and for names after it
        repeats=2,
    ),
    Row(name="names fail", change=look_ups(BUSY), says=("names",), repeats=200, seconds=4000),
    Row(
        name="a low limit once",
        change=lambda call: respond(
            call.response.body,
            **(
                {
                    "inin-ratelimit-allowed": "10",
                    "inin-ratelimit-count": "1",
                    "inin-ratelimit-reset": "50",
                }
                if call.number == 3
                else {}
            ),
        ),
        seconds=240,
    ),
    Row(
        name="verify, permission missing",
        command="verify",
        after_run=True,
        change=queries(DENIED),
        code=3,
        says=(PERMISSION,),
    ),
    Row(
        name="verify, other totals",
        command="verify",
        after_run=True,
        change=each_metric(double_count),
        code=1,
        says=("FAIL", "run --refresh"),
    ),
    Row(
        name="verify, 503 for ever",
        command="verify",
        after_run=True,
        change=queries(BUSY),
        code=1,
        says=("503",),
        repeats=200,
        seconds=4000,
    ),
    Row(
        name="check, permission missing",
        command="check",
        change=queries(DENIED),
        code=3,
        says=("FAIL", PERMISSION),
    ),
    Row(
        name="check, unknown client",
        command="check",
        change=tokens(respond({"error": "invalid_client"}, 401)),
        code=3,
        says=("FAIL", "invalid_client"),
    ),
    Row(
        name="check, captive portal",
        command="check",
        change=lambda _: PORTAL,
        code=2,
        says=("FAIL", "302"),
    ),
    Row(
        name="plan is made without the directory",
        command="plan",
        change=lambda _: BUSY,
        code=1,
        repeats=8,
        seconds=120,
        says=("10 chunks", "cannot be looked up"),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_an_odd_server(
    row: Row,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = str(write_odd_job(tmp_path, **dict(row.job)))
    if row.after_run:
        assert call_odd(OddServer(calm), monkeypatch, capsys, "run", job).code == 0
    server = OddServer(row.change)

    ended = call_odd(server, monkeypatch, capsys, row.command, job)

    text = ended.out + ended.err
    assert ended.code == row.code, text
    assert [words for words in row.says if words not in text] == [], text
    assert [words for words in row.never if words in text] == [], text
    assert server.most_repeats <= row.repeats
    assert ended.seconds <= row.seconds


#: (name, the emulator's fault, exit code, words)
PROCESSES = [
    ("permission missing", {"status": 403, "code": "missing.permissions"}, 3, "403"),
    ("captive portal", {"status": 302, "html": True}, 2, "302"),
    ("unknown query", {"status": 400, "code": "bad.request"}, 4, "400 bad.request"),
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=6, seed=5, requests_per_minute=0) as handle:
        yield handle


@pytest.mark.parametrize("command", ["run", "check", "verify"])
@pytest.mark.parametrize(
    ("name", "fault", "code", "words"), PROCESSES, ids=[p[0] for p in PROCESSES]
)
def test_an_odd_server_in_real_processes(
    emulator: Handle,
    tmp_path: Path,
    command: str,
    name: str,
    fault: dict[str, Any],
    code: int,
    words: str,
) -> None:
    """The exit code and the words of a command are the same in a process of its own."""
    del name
    job = _job(tmp_path, emulator)
    if command == "verify":
        assert call("run", str(job), cwd=tmp_path).code == 0
    emulator.faults([{"match": {"path": "aggregates"}, "do": fault}])
    try:
        ended = call(command, str(job), cwd=tmp_path)
    finally:
        emulator.faults([])

    assert ended.code == code, ended
    assert words in ended.out + ended.err
    assert "Traceback" not in ended.err


def _job(folder: Path, emulator: Handle) -> Path:
    days = {"start": "2024-01-01", "end": "2024-01-03", "granularity": "PT1H"}
    return write_job(folder, emulator, range=days, teams=[{"name": "sales", "users": USERS}])
