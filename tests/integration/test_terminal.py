"""Text of a server cannot move the cursor of a terminal, change its colours or its title."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process
from tests.exporting import PATIENCE, call, connection, environ, write_job

#: sets a title and a colour, clears the screen, rings the bell, returns to the start of the line,
#: forges a line, changes the direction of writing, ends with an 8-bit CSI
EVIL = (
    "\x1b]0;owned\x07\x1b[35;5m\x1b[2J\rerror: forged\nOK    all is well\u202e\u2028\x9b35m\x00end"
)
#: what is left of it
HARMLESS = re.sub(r"[\x00-\x1f\x9b\u202e\u2028]", " ", EVIL)
RANGE = {"start": "2024-01-15", "end": "2024-01-16"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


@pytest.fixture
def script(emulator: Handle) -> Iterator[Handle]:
    yield emulator
    emulator.faults([])


def on_a_terminal(
    *arguments: str,
    cwd: Path,
    meanwhile: Callable[[subprocess.Popen[bytes]], None] = lambda _: None,
    **extra: str,
) -> tuple[int, str]:
    """Run the command line on a new terminal; give its exit code and what it wrote."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "asyncreport", *arguments]
    there = {**environ(**{"TERM": "xterm-256color", **extra}), "COLUMNS": "120"}
    with subprocess.Popen(
        command, cwd=cwd, env=there, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        meanwhile(process)
        got = b""
        with suppress(OSError):  # as Linux ends a terminal that nobody holds any more
            while piece := os.read(ours, 1 << 16):
                got += piece
        code = process.wait(PATIENCE)
    os.close(ours)
    return code, got.decode()


def assert_harmless(text: str) -> None:
    assert "owned" in text or "forged" in text, "the text was not shown"
    # A forged line is at the start of a line. The colours and bars of rich are allowed.
    assert not re.search(
        r"\x1b\]|\x1b\[35|\x1b\[2J|\x07|\x9b|\x00|\u202e|\u2028|^(error: forged|OK    all is well)",
        text,
        re.MULTILINE,
    )


def run_with_evil_names(script: Handle, folder: Path) -> tuple[Path, list[str]]:
    """Run a job whose users have such names; give the job and the users' ids."""
    ids = sorted({one["user_id"] for one in script.truth(1705276800000, 1705363200000)} - {None})
    names = {
        "entities": [{"id": user, "name": f"{EVIL} {user[:4]}"} for user in ids],
        "pageCount": 1,
    }
    script.faults([{"match": {"path": "/api/v2/users"}, "do": {"body": json.dumps(names)}}])
    path = write_job(folder, script, range=RANGE, teams=[{"name": "few", "users": ids}])
    assert call("run", str(path), cwd=folder).code == 0
    return path, ids


def test_the_names_of_users_do_no_harm_to_the_table(script: Handle, tmp_path: Path) -> None:
    _, ids = run_with_evil_names(script, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().split("\n")[:-1]]
    assert {row["user_name"] for row in rows} == {f"{EVIL} {user[:4]}" for user in ids}
    users = [option for user in ids for option in ("--user", user)]
    where = {"HTTPS_PROXY": "", **_as_environment(script, tmp_path)}
    code, text = on_a_terminal(
        "query", *users, "--start", "2024-01-15", "--end", "2024-01-16", cwd=tmp_path, **where
    )
    assert code == 0, text
    assert_harmless(text)


def _as_environment(emulator: Handle, folder: Path) -> dict[str, str]:
    """Point `query`, which knows only regions, to the emulator."""
    (folder / "sitecustomize.py").write_text(
        "from asyncreport.config import regions\n"
        f"regions.hosts = lambda name: ({emulator.url!r}, {emulator.url!r})\n"
    )
    return {
        "PYTHONPATH": str(folder),
        "GENESYS_ENV": "mypurecloud.ie",
        "GENESYS_CLIENT_ID": emulator.client_id,
        "GENESYS_CLIENT_SECRET": emulator.client_secret,
    }


ERRORS: list[dict[str, Any]] = [
    {"status": 400, "message": EVIL, "code": "bad\x1b[35m"},
    {"status": 503, "message": EVIL},
    {"status": 403, "message": EVIL},
    {"body": json.dumps({"results": [{"group": {"userId": EVIL}, "data": []}]})},
    {
        "body": json.dumps(
            {"results": [{"group": {"userId": "ada"}, "data": [{"interval": EVIL, "metrics": []}]}]}
        )
    },
    {"body": json.dumps({"results": [{"group": {"userId": {EVIL: 1}}, "data": []}]})},
]


@pytest.mark.parametrize("do", ERRORS)
def test_error_messages_do_no_harm(script: Handle, tmp_path: Path, do: dict[str, Any]) -> None:
    script.faults([{"match": {"path": "aggregates/query"}, "do": do}])
    # One of the users exists: a team of nobody would not be fetched.
    someone = World(agents=4, seed=3).people[0].id
    path = write_job(
        tmp_path,
        script,
        range=RANGE,
        limits={"max_attempts": 2},
        teams=[{"name": "two", "users": ["ada", someone]}],
    )
    code, text = on_a_terminal("run", "-v", str(path), cwd=tmp_path)
    assert code in (1, 2, 3, 4)
    assert_harmless(text)


@pytest.mark.parametrize("status", [503, 302])
def test_a_body_that_is_not_json_is_not_shown(script: Handle, tmp_path: Path, status: int) -> None:
    script.faults([{"match": {"path": "aggregates/query"}, "do": {"status": status, "body": EVIL}}])
    path = write_job(tmp_path, script, range=RANGE, limits={"max_attempts": 1})
    code, text = on_a_terminal("run", "-v", str(path), cwd=tmp_path)
    assert code in (1, 2)
    assert "owned" not in text
    assert "forged" not in text


def test_the_message_of_a_failed_query_job_does_no_harm(script: Handle, tmp_path: Path) -> None:
    script.faults(
        [
            {
                "match": {"path": "/aggregates/jobs/"},
                "do": {"body": json.dumps({"state": "FAILED", "errorMessage": EVIL})},
            }
        ]
    )
    path = write_job(tmp_path, script, range=RANGE, contract="query-jobs")
    code, text = on_a_terminal("run", "-v", str(path), cwd=tmp_path)
    assert code == 4
    assert_harmless(text)


@pytest.mark.parametrize(
    "teams",
    [
        [{"id": "t1", "name": EVIL}],
        [{"id": EVIL, "name": "Sales"}, {"id": f"{EVIL}2", "name": "Sales"}],
    ],
)
def test_the_names_and_ids_of_a_directory_do_no_harm(
    script: Handle, tmp_path: Path, teams: list[dict[str, str]]
) -> None:
    script.faults(
        [
            {
                "match": {"path": "/api/v2/teams"},
                "do": {"body": json.dumps({"entities": teams, "pageCount": 1})},
            }
        ]
    )
    wanted = "Sales" if len(teams) > 1 else HARMLESS.replace("  ", " ").strip()
    path = write_job(tmp_path, script, range=RANGE, teams=[{"name": "sales", "team": wanted}])
    for command in (("run",), ("run", "--strict"), ("plan",)):
        code, text = on_a_terminal(*command, str(path), cwd=tmp_path)
        assert code in (0, 1, 2)
        assert_harmless(text)


def test_the_divisions_of_a_check_do_no_harm(script: Handle, tmp_path: Path) -> None:
    everything = {"entities": [{"id": "d1", "name": EVIL}], "pageCount": 1}
    script.faults(
        [
            {
                "match": {"path": "authorization/divisionspermitted"},
                "do": {"body": '{"entities": [], "pageCount": 1}'},
            },
            {"match": {"path": "authorization/divisions"}, "do": {"body": json.dumps(everything)}},
        ]
    )
    path = write_job(tmp_path, script, range=RANGE, connections={"default": connection(script)})
    code, text = on_a_terminal("check", str(path), cwd=tmp_path)
    assert code == 0, text
    assert_harmless(text)


def test_the_names_of_users_do_no_harm_to_a_verification(script: Handle, tmp_path: Path) -> None:
    path, _ = run_with_evil_names(script, tmp_path)
    script.faults([{"match": {"path": "aggregates/query"}, "do": {"body": '{"results": []}'}}])
    code, text = on_a_terminal("verify", str(path), cwd=tmp_path)
    assert code == 1
    assert "differ from those of the server" in text
    assert_harmless(text)


def test_the_members_of_a_group_do_no_harm_to_status_and_verification(
    script: Handle, tmp_path: Path
) -> None:
    members = {"entities": [{"id": EVIL}], "pageCount": 1}
    groups = {"entities": [{"id": "g1", "name": "Sales"}], "pageCount": 1}
    script.faults(
        [
            {"match": {"path": "/members"}, "do": {"status": 200, "body": json.dumps(members)}},
            {"match": {"path": "/api/v2/groups"}, "do": {"body": json.dumps(groups)}},
            {"match": {"path": "aggregates/query"}, "do": {"body": '{"results": []}'}},
        ]
    )
    path = write_job(tmp_path, script, range=RANGE, teams=[{"name": "sales", "group": "Sales"}])
    assert call("run", str(path), cwd=tmp_path).code == 0
    for command in ("status", "verify"):
        code, text = on_a_terminal(command, str(path), cwd=tmp_path)
        assert code == 0, text
        assert_harmless(text)


def test_a_second_signal_leaves_no_hidden_cursor(script: Handle, tmp_path: Path) -> None:
    """The first one stops the bar while the query job is being deleted; the second one kills."""
    script.faults([{"match": {"path": "/aggregates/jobs/"}, "do": {"hang": True}}])
    path = write_job(tmp_path, script, range=RANGE, contract="query-jobs")
    before = sum(entry["path"].startswith("/api/") for entry in script.log())

    def interrupt(process: subprocess.Popen[bytes]) -> None:
        # How many users, which organisation, the query job, and its state, which hangs.
        script.wait(before + 4)
        process.send_signal(signal.SIGINT)
        script.wait(before + 5)  # the deletion, which hangs too
        process.send_signal(signal.SIGINT)

    code, text = on_a_terminal("run", str(path), cwd=tmp_path, meanwhile=interrupt)
    assert code == -signal.SIGINT
    assert (
        "stopping: requests are cancelled, writes finished; press Ctrl-C again to stop at once"
        in text
    )
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0
