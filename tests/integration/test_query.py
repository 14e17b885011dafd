"""`query` against an emulator: a table on a terminal, JSON lines in a pipe, help for no records."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from syrupy.assertion import SnapshotAssertion

from asyncreport.commands.query import QueryResult, run_query
from asyncreport.commands.query_options import QueryOptions, make_job
from asyncreport.config import load_job
from asyncreport.core.errors import AuthError, RetriesExhausted
from asyncreport.core.job import Job, Limits
from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process
from tests.exporting import (
    NOW,
    Call,
    call,
    connection,
    environ,
    no_waits,
    rows,
    run_here,
    write_job,
)

WORLD = World(agents=40, seed=1)
USERS = [person.id for person in WORLD.people[:3]]
RANGE = ("--start", "2024-01-01", "--end", "2024-01-02")
#: a job file whose connection is used
JOB = {
    "range": {"start": "2024-01-01", "end": "2024-01-02"},
    "teams": [{"name": "all", "everyone": True}],
}


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    no_waits(monkeypatch)


def query(*options: str, cwd: Path, **extra: str) -> Call:
    """Query the emulator in the process."""
    return call("query", "--emulator", *options, cwd=cwd, TMPDIR=str(cwd), **extra)


def terminal(*options: str, cwd: Path, **extra: str) -> list[str]:
    """Query it with stdout on a terminal; give the lines."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "asyncreport", "query", "--emulator", "--quiet", *options]
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environ(**{"TERM": "dumb", **extra}),
            stdout=theirs,
            stderr=subprocess.PIPE,
        )
        with process:
            os.close(theirs)
            text = b"".join(_read(screen))
            assert process.stderr is not None
            assert process.stderr.read() == b""
    assert process.returncode == 0
    return text.decode().splitlines()


def _read(screen: io.FileIO) -> Iterator[bytes]:
    try:
        while chunk := screen.read(65536):
            yield chunk
    except OSError:  # how Linux says that the other side is closed
        return


@pytest.mark.parametrize("contract", ["aggregates", "query-jobs", "entities"])
def test_a_pipe_gets_the_bytes_that_a_job_file_would_write(tmp_path: Path, contract: str) -> None:
    sections: dict[str, Any] = {
        "connections": {"default": {"emulator": True}},
        "contract": contract,
        "range": {
            "start": "2024-01-01",
            "end": "2024-01-02",
            "granularity": "PT30M",
            "time_zone": "Europe/Dublin",
        },
        "teams": [{"name": "users", "users": USERS}],
    }
    run_here(write_job(tmp_path, Handle("", "", ""), **sections))
    users = [option for user in USERS for option in ("--user", user)]
    zone = ("--granularity", "PT30M", "--time-zone", "Europe/Dublin", "--contract", contract)
    result = query(*RANGE, *users, *zone, cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    assert result.out == (tmp_path / "out.jsonl").read_text()
    assert len(result.out.splitlines()) > 10


def test_the_example_of_the_help_runs_as_shown(tmp_path: Path) -> None:
    text = call("query", "--help", cwd=tmp_path).out
    example = " ".join(text.partition("Example: asyncreport ")[2].split())
    assert example.startswith("query --emulator ")
    assert call(*example.split(), cwd=tmp_path).code == 0
    assert all(
        f"[env: {name}]" in " ".join(text.split())
        for name in ("QUERY_START_DATE", "QUERY_END_DATE", "GENESYS_USER_ID")
    )


def test_no_file_is_left(tmp_path: Path) -> None:
    for options in (RANGE, (*RANGE, "--user", "nobody"), (*RANGE, "--team", "none so named")):
        query(*options, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [40, 80])
def test_a_table_folds_into_the_terminal_and_cuts_nothing(tmp_path: Path, width: int) -> None:
    lines = [
        re.sub(r"\x1b\[\d*m", "", line)
        for line in terminal(*RANGE, cwd=tmp_path, COLUMNS=str(width), TERM="xterm")
    ]
    record = json.loads(query(*RANGE, cwd=tmp_path).out.splitlines()[0])
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in lines
        if line.startswith("│")
    ]
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert rows[0][-2:] == [
        str(record["handled_count"]),
        f"{record['avg_handle_time_sec']:.2f}",
    ]
    # A record has one line with numbers; the lines up to the next one are the rest of its texts.
    height = next(number for number, row in enumerate(rows[1:], start=1) if row[-1])
    name = " ".join(row[0] for row in rows[:height])
    assert name.strip() == record["user_name"]


def test_a_terminal_gets_a_table_and_a_total(tmp_path: Path) -> None:
    records = [
        json.loads(line)
        for line in query(
            *RANGE, "--granularity", "P1D", "--occupancy", cwd=tmp_path
        ).out.splitlines()
    ]
    lines = terminal(*RANGE, "--granularity", "P1D", "--occupancy", cwd=tmp_path)
    shown = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in lines
        if line.startswith("│")
    ]
    assert shown == [
        [
            each["user_name"],
            "2024-01-01 – 2024-01-02",
            f"{each['handled_count']:,}",
            f"{each['avg_handle_time_sec']:,.2f}" if each["handled_count"] else "–",
            f"{each['occupancy']:.2%}",
        ]
        for each in records
    ]
    assert "user" in lines[1]
    assert lines[-1].startswith(
        f"{len(records)} users, {sum(each['handled_count'] for each in records):,} handled, AHT "
    )
    assert ", occupancy " in lines[-1]


def test_several_teams_have_a_column(tmp_path: Path) -> None:
    lines = terminal(
        *RANGE,
        "--team",
        "Billing East",
        "--user",
        ",".join(USERS),
        "--granularity",
        "none",
        cwd=tmp_path,
    )
    assert lines[1].split()[1:4] == ["team", "┃", "user"]
    assert {
        line.strip("│ ").partition(" │")[0].strip() for line in lines if line.startswith("│")
    } == {"Billing East", "users"}


def test_range_and_users_come_from_the_environment_and_its_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("QUERY_START_DATE=2024-01-01\nQUERY_END_DATE=2024-01-09\n")
    result = query("--granularity", "none", cwd=tmp_path, QUERY_END_DATE="2024-01-02")
    (first, *_) = map(json.loads, result.out.splitlines())
    assert (first["interval_start"], first["interval_end"]) == (
        "2024-01-01T00:00:00.000Z",
        "2024-01-02T00:00:00.000Z",
    )
    refused = call(
        "query",
        cwd=tmp_path,
        GENESYS_USER_ID="a,a",
        GENESYS_CLIENT_ID="id",
        GENESYS_CLIENT_SECRET="secret",
        GENESYS_ENV="mypurecloud.ie",
    )
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: GENESYS_USER_ID: must differ from ")


def test_an_empty_result_is_not_a_failure_and_is_explained(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    """At night, this user does not work."""
    night = ("--start", "2024-01-01T02:00", "--end", "2024-01-01T03:00")
    result = query(*night, "--user", USERS[0], cwd=tmp_path)
    assert (result.code, result.out) == (0, "")
    assert result.err == snapshot


def test_an_unknown_user_ends_with_2(tmp_path: Path) -> None:
    result = query(*RANGE, "--user", "nobody", cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "the directory does not know nobody; compare with Admin > People" in result.err


def test_an_unknown_team_ends_with_2(tmp_path: Path) -> None:
    result = query(*RANGE, "--team", "none so named", cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(
        "error: team 'none so named' (team none so named) cannot be looked up: "
    )


def test_a_reader_that_closes_the_pipe_causes_no_traceback(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "asyncreport",
        "query",
        "--emulator",
        # On a busy machine it takes long enough for a line of progress.
        "--quiet",
        "--start",
        "2024-01-01",
        "--end",
        "2024-02-01",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == b"{"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=6, seed=5, requests_per_minute=0) as handle:
        yield handle


def reported(folder: Path, emulator: Handle, screen: io.StringIO, **limits: Any) -> QueryResult:
    """Query an emulator for everyone in January and February, with a query for each month."""
    asked = QueryOptions(
        start="2024-01-01",
        end="2024-03-01",
        granularity="P1D",
        time_zone="UTC",
        contract="aggregates",
        emulator=True,
    )
    real = load_job(
        write_job(folder, emulator, connections={"default": connection(emulator)}, range=_RANGE),
        environ={},
        now=NOW,
    )
    job: Job = make_job(asked, folder, environ={}, now=NOW)
    job = msgspec.structs.replace(job, connections=real.connections, limits=Limits(**limits))
    return asyncio.run(run_query(job, now=NOW, say=lambda text: print(text, file=screen)))


_RANGE = {"start": "2024-01-01", "end": "2024-03-01"}


def test_a_query_that_fails_shows_no_records(emulator: Handle, tmp_path: Path) -> None:
    february = {"path": "aggregates", "body": "2024-02-01T00:00:00.000Z/"}
    emulator.faults([{"match": february, "do": {"status": 503, "message": "Not now"}}])
    screen = io.StringIO()
    try:
        with pytest.raises(
            RetriesExhausted, match=r"^1 query failed, so nothing is shown; run the command again$"
        ):
            reported(tmp_path, emulator, screen, max_attempts=1, request_timeout=2, give_up_after=3)
    finally:
        emulator.faults([])
    assert screen.getvalue().startswith("missing: 2024-0")
    assert "503 service.unavailable: Not now; gave up after 1 attempt" in screen.getvalue()


def test_a_missing_permission_is_named_with_the_place_to_grant_it(tmp_path: Path) -> None:
    with (
        emulator_process(
            agents=6, seed=5, denied=["analytics:conversationAggregate:view"]
        ) as closed,
        pytest.raises(AuthError) as caught,
    ):
        reported(tmp_path, closed, io.StringIO())
    said = str(caught.value).partition(" [correlation id ")[0]
    assert said == (
        "missing permission: grant analytics:conversationAggregate:view to a role of the OAuth "
        "client, in all divisions (Admin > Integrations > OAuth > the client > Roles); "
        "POST /api/v2/analytics/conversations/aggregates/query: "
        "403 missing.permissions: Unable to perform the requested action. "
        "You are missing the following permission(s): analytics:conversationAggregate:view"
    )


def test_the_result_is_the_output_file(emulator: Handle, tmp_path: Path) -> None:
    found = reported(tmp_path, emulator, io.StringIO())
    assert found.records == (tmp_path / "records.jsonl").read_bytes()
    assert found.requests == ()
    assert {row["team"] for row in rows(tmp_path / "records.jsonl")} == {"everyone"}


@pytest.fixture(scope="module")
def served() -> Iterator[Handle]:
    with emulator_process(agents=40, seed=1, requests_per_minute=0) as handle:
        yield handle


def variables(served: Handle) -> dict[str, str]:
    return {
        "GENESYS_CLIENT_ID": served.client_id,
        "GENESYS_CLIENT_SECRET": served.client_secret,
    }


def test_a_gateway_and_the_connection_of_a_job_give_what_the_emulator_gives(
    tmp_path: Path, served: Handle
) -> None:
    write_job(tmp_path, served, **JOB)
    asked = [*RANGE, "--user", ",".join(USERS)]
    expected = query(*asked, cwd=tmp_path).out
    gateway = call("query", "--api-url", served.url, *asked, cwd=tmp_path, **variables(served))
    of_job = call("query", "--job", "job.yaml", *asked, cwd=tmp_path)
    assert expected
    assert (gateway.code, gateway.out) == (0, expected), gateway.err
    assert (of_job.code, of_job.out) == (0, expected), of_job.err
    assert {entry["path"] for entry in served.log()} >= {"/oauth/token"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--api-url", "http://127.0.0.1:1", "--job", "job.yaml"), "--job: cannot be given "),
        (("--api-url", "http://127.0.0.1:1"), "--api-url: the variable GENESYS_CLIENT_ID is not "),
        (("--login-url", "http://127.0.0.1:1"), "--login-url: needs --api-url"),
        (("--connection", "east"), "--connection: needs --job"),
        (("--job", "job.yaml", "--connection", "north"), "--connection: must be a connection of "),
        (("--job", "nowhere.yaml"), "nowhere.yaml: does not exist"),
    ],
)
def test_options_of_a_connection_that_cannot_be_used_are_named(
    tmp_path: Path, served: Handle, options: tuple[str, ...], message: str
) -> None:
    write_job(tmp_path, served, **JOB)
    result = call("query", *options, *RANGE, "--user", USERS[0], cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {message}")


def test_an_address_that_is_not_one_is_refused_with_the_option(tmp_path: Path) -> None:
    credentials = {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": "secret"}
    asked = ("--api-url", "gateway", *RANGE, "--user", USERS[0])
    result = call("query", *asked, cwd=tmp_path, **credentials)
    assert result.code == 2
    assert result.err.startswith("error: --api-url: ")
