"""What `summary.json` lists, and what is said about a range that is not settled."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.commands.plan import plan_lines
from asyncreport.commands.status import status_lines
from asyncreport.config import load_job
from asyncreport.core.timeline import DAY, parse_iso
from asyncreport.emulator import World
from asyncreport.export.job_plan import plan_job
from asyncreport.export.status import read_status
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, call, rows, run_here, write_job
from tests.integration.test_old_state import OLD

RANGE = {"start": "2024-01-30", "end": "2024-02-03", "granularity": "PT30M", "chunk": "P1D"}


USERS = [person.id for person in World(agents=12, seed=3).people]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=12, seed=3, requests_per_minute=0) as handle:
        yield handle


def job(folder: Path, emulator: Handle, **sections: Any) -> Path:
    return write_job(folder, emulator, **{"range": RANGE, **sections})


def stored(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (folder / ".asyncreport" / "job" / "summary.json").read_text()
    )
    return found


def test_each_output_file_is_described(emulator: Handle, tmp_path: Path) -> None:
    """Whole files and files of one team can be told apart: adding up both doubles every record."""
    path = job(
        tmp_path,
        emulator,
        teams=[
            {"name": "all", "everyone": True},
            {"name": "one", "users": USERS[:1]},
        ],
        output={
            "path": str(tmp_path / "{month}.jsonl"),
            "per_team": str(tmp_path / "{team}.jsonl"),
        },
    )
    summary = run_here(path)
    outputs = stored(tmp_path)["outputs"]
    assert [(file["kind"], file["team"], file["month"]) for file in outputs] == [
        ("output", None, "2024-01"),
        ("output", None, "2024-02"),
        ("per_team", "all", None),
        ("per_team", "one", None),
    ]
    for file in outputs:
        content = Path(file["path"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["records"] == content.count(b"\n")
        assert (file["format"], file["complete"]) == ("jsonl", True)
    whole = [file["records"] for file in outputs if file["kind"] == "output"]
    assert sum(whole) == sum(summary.records.values()) > 0


def test_a_file_with_gaps_is_not_complete(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator, limits={"max_attempts": 1})
    query = {"path": "aggregates/query", "body": "2024-01-31T00:00:00.000Z/"}
    emulator.faults([{"match": query, "do": {"status": 503}}])
    try:
        run_here(path, allow_partial=True)
    finally:
        emulator.faults([])
    summary = stored(tmp_path)
    assert [file["complete"] for file in summary["outputs"]] == [False]
    assert [gap["interval"][:10] for gap in summary["gaps"]] == ["2024-01-31"]
    run_here(path)
    assert [file["complete"] for file in stored(tmp_path)["outputs"]] == [True]


def test_warnings_are_listed(emulator: Handle, tmp_path: Path) -> None:
    unknown = "11111111-2222-3333-4444-555555555555"
    path = job(
        tmp_path,
        emulator,
        teams=[{"name": "all", "everyone": True}, {"name": "typo", "users": [USERS[0], unknown]}],
    )
    run_here(path)
    (warning,) = stored(tmp_path)["warnings"]
    assert warning.startswith("default: 1 listed user is unknown to the directory: 11111111-")


def test_a_range_that_is_not_settled_is_not_called_final(emulator: Handle, tmp_path: Path) -> None:
    """`run`, `plan`, `status` and `summary.json` say from when on."""
    path = job(tmp_path, emulator, output={"path": str(tmp_path / "out.jsonl"), "settle": "P1D"})
    now = parse_iso("2024-02-01T10:10Z")
    said = [
        "from 2024-01-31T10:00:00.000Z on, the numbers may still change: run again later",
        "empty from 2024-02-01T10:30:00.000Z on: this part of the range is in the future",
    ]
    loaded = load_job(path, environ={}, now=now)
    summary = run_here(path, now=now)
    lines = list(summary.lines(5))
    assert [line.strip() for line in lines if line.strip() in said] == said
    assert stored(tmp_path)["settled_until"] == "2024-01-31T10:00:00.000Z"
    assert stored(tmp_path)["empty_from"] == "2024-02-01T10:30:00.000Z"
    status = list(status_lines(read_status(loaded, now=now), most=20))
    assert [line for line in status if line in said] == said
    assert list(plan_lines(asyncio.run(plan_job(loaded, now=now)), most=20))[-2:] == said


def test_a_plan_says_from_when_on_the_range_is_in_the_future(
    emulator: Handle, tmp_path: Path
) -> None:
    now = parse_iso("2024-01-20T00:00Z")
    loaded = load_job(job(tmp_path, emulator), environ={}, now=now)
    assert list(plan_lines(asyncio.run(plan_job(loaded, now=now)), most=20))[-1] == (
        "empty from 2024-01-30T00:00:00.000Z on: this part of the range is in the future"
    )


def test_a_settled_range_is_settled_to_its_end(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator)
    summary = run_here(path, now=NOW + DAY)
    assert not any("settled from" in line or "empty from" in line for line in summary.lines(5))
    found = stored(tmp_path)
    assert found["settled_until"] == "2024-02-03T00:00:00.000Z"
    assert (found["empty_from"], found["unsettled"]) == (None, [])
    assert rows(tmp_path / "out.jsonl")


def test_status_and_verify_read_the_summary_of_the_version_before(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    run_here(path)
    old = OLD / "state" / "small" / "summary.json"
    (tmp_path / ".asyncreport" / "job" / "summary.json").write_bytes(old.read_bytes())
    status = read_status(load_job(path, environ={}, now=NOW), now=NOW)
    lines = list(status_lines(status, most=5))
    assert any("last finished run: started 2026-11-26T01:10:16.343Z" in line for line in lines)
    assert "  pilot: 47 records" in lines
    assert call("verify", str(path), cwd=tmp_path).code == 0
