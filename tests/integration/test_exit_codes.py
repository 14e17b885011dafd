"""One mistake has one exit code, whichever command meets it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.emulator_process import Handle, emulator_process
from tests.exporting import PATIENCE, Call, call, connection, environ, write_job
from tests.masking import masked

DAY = {"start": "2024-01-01", "end": "2024-01-02"}
#: port 9 (discard) of loopback: nothing listens there
NOWHERE = "http://127.0.0.1:9"
EVERYONE = [{"name": "all", "everyone": True}]
FEW = {"max_attempts": 2}

#: what sends requests for a job
COMMANDS = ("run", "plan", "check")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=3, requests_per_minute=30_000) as handle:
        yield handle


def mistakes(emulator: Handle) -> dict[str, tuple[dict[str, Any], int]]:
    """List job sections with a mistake, and the exit code of each command with them."""
    group = {"name": "lost", "group": "Nobody's Group"}
    nowhere = {"api_url": NOWHERE, "login_url": NOWHERE}
    return {
        "an unknown group": ({"teams": [group]}, 2),
        "an unknown group beside a team": ({"teams": [*EVERYONE, group]}, 2),
        "unknown users": ({"teams": [{"name": "gone", "users": ["who-is-that"]}]}, 2),
        "an unknown address": ({"teams": [{"name": "gone", "users": ["no@example.com"]}]}, 2),
        "a server that does not listen": (
            {"connections": {"default": connection(emulator, **nowhere)}, "limits": FEW},
            1,
        ),
        "a group, and such a server": (
            {
                "connections": {"default": connection(emulator, **nowhere)},
                "teams": [group],
                "limits": FEW,
            },
            1,
        ),
        "listed users, and such a server": (
            {
                "connections": {"default": connection(emulator, **nowhere)},
                "teams": [{"name": "few", "users": ["00000001-0000-4000-8000-000000000001"]}],
                "limits": FEW,
            },
            1,
        ),
        "listed users, and a wrong secret": (
            {
                "connections": {"default": connection(emulator, client_secret="wrong")},
                "teams": [{"name": "few", "users": ["00000001-0000-4000-8000-000000000001"]}],
            },
            3,
        ),
        "a wrong secret": (
            {"connections": {"default": connection(emulator, client_secret="wrong")}},
            3,
        ),
        "a secret with a line break": (
            {"connections": {"default": connection(emulator, client_secret="s\n")}},
            2,
        ),
        "an unknown key": ({"tems": []}, 2),
    }


def table(folder: Path, results: dict[str, Call]) -> str:
    """Write what each command said, with its exit code."""
    blocks = [
        f"== {command}: {result.code}\n{masked(result.out + result.err, here=folder)}"
        for command, result in results.items()
    ]
    return "\n".join(blocks)


@pytest.mark.parametrize("mistake", mistakes(Handle("", "id", "secret")))
def test_one_mistake_has_one_exit_code(
    emulator: Handle, tmp_path: Path, mistake: str, snapshot: SnapshotAssertion
) -> None:
    sections, code = mistakes(emulator)[mistake]
    path = write_job(tmp_path, emulator, **{"range": DAY, "teams": EVERYONE, **sections})
    results = {command: call(command, str(path), cwd=tmp_path) for command in COMMANDS}
    assert table(tmp_path, results) == snapshot
    assert {result.code for result in results.values()} == {code}


def test_a_gateway_that_does_not_know_its_limits_is_a_warning(
    emulator: Handle, tmp_path: Path
) -> None:
    path = write_job(tmp_path, emulator, range=DAY)
    match = {"path": "/api/v2/organizations/limits"}
    emulator.faults([{"match": match, "do": {"status": 404}}])
    result = call("check", str(path), cwd=tmp_path)
    emulator.faults([])
    assert result.code == 0
    warnings = [line for line in result.out.splitlines() if line.startswith("WARN")]
    assert len(warnings) == 1
    assert warnings[0].startswith("WARN  the rate limit is not known: GET /api/v2/org")
    assert "OK    records can be fetched" in result.out


def test_a_check_tries_the_folders_and_leaves_nothing(emulator: Handle, tmp_path: Path) -> None:
    path = write_job(tmp_path, emulator, range=DAY, output={"path": "new/out.jsonl"})
    result = call("check", str(path), cwd=tmp_path)
    assert result.code == 0
    assert "OK    output folder " in result.out
    assert [each.name for each in tmp_path.iterdir()] == ["job.yaml"]
    (tmp_path / "new").write_text("a file where the folder should be")
    result = call("check", str(path), cwd=tmp_path)
    assert result.code == 5
    assert re.search(r"^FAIL  output folder \S+new: .*Not a directory", result.out, re.MULTILINE)


def test_the_other_teams_of_a_run_are_written_with_partial_only(
    emulator: Handle, tmp_path: Path
) -> None:
    teams = [*EVERYONE, {"name": "lost", "group": "Nobody's Group"}]
    path = write_job(tmp_path, emulator, range=DAY, teams=teams)
    assert call("run", str(path), cwd=tmp_path).code == 2
    assert not (tmp_path / "out.jsonl").exists()
    partial = call("run", "--allow-partial", str(path), cwd=tmp_path)
    assert partial.code == 2
    assert "0 chunks" not in partial.err
    assert f"  {tmp_path / 'out.jsonl'} (partial)" in partial.err.splitlines()


def test_few_open_files_are_enough_for_a_run_and_its_verification(
    emulator: Handle, tmp_path: Path
) -> None:
    """With 100 parts a month, and the smallest limit that users have been seen with."""
    range_ = {**DAY, "end": "2024-01-08", "granularity": "PT1H", "chunk": "PT1H"}
    path = write_job(tmp_path, emulator, range=range_)
    for command in ("run", "verify"):
        limited = f'ulimit -n 64 && exec "$0" -m asyncreport {command} "$1"'
        done = subprocess.run(
            ["/bin/sh", "-c", limited, sys.executable, str(path)],
            check=False,
            cwd=tmp_path,
            env=environ(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
