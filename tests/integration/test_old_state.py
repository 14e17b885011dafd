"""A state folder that an earlier version wrote is converted and reused."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from asyncreport.config import load_job
from asyncreport.core.errors import StoreError
from asyncreport.core.job import Job
from asyncreport.core.timeline import parse_iso
from asyncreport.store.lock import take_lock
from asyncreport.store.part_filter import PartFilter
from asyncreport.store.state import State
from tests.exporting import Call, call, run_here

OLD = Path(__file__).parents[1] / "data" / "state-format-1"
#: a day after the old state was written
NOW = parse_iso("2026-11-27T00:00Z")
FILES = ["everyone west.jsonl", "listed.jsonl", "pilot.jsonl", "small.jsonl"]
#: what a run asks of the file system while it converts
CHANGES = ("link", "replace", "unlink", "fsync", "ftruncate", "write", "mkdir")


def copy_old_state(folder: Path) -> Path:
    """Copy the old state and its job file to a folder; give the job file."""
    state = state_of(folder)
    shutil.copytree(OLD / "state" / "small", state)
    for name in ("outputs.json", "summary.json"):
        path = state / name
        path.write_text(path.read_text().replace("@FOLDER@", str(folder)))
    job = (OLD / "job.yaml").read_text().replace("exports/", f"{folder}/exports/")
    path = folder / "job.yaml"
    path.write_text(job)
    return path


def state_of(folder: Path) -> Path:
    return folder / "exports" / ".asyncreport" / "small"


def old_files(folder: Path) -> list[str]:
    """List the files of the old format that are left."""
    patterns = ("manifest.jsonl", "part-*", "lock", "lock.json", "changes.jsonl")
    return [path.name for pattern in patterns for path in state_of(folder).glob(pattern)]


def check_outputs(folder: Path) -> None:
    """Compare the output files with those of the earlier version."""
    for name in FILES:
        assert (folder / "exports" / name).read_bytes() == (OLD / "outputs" / name).read_bytes()


def test_parts_of_the_last_version_are_reused(tmp_path: Path) -> None:
    """Only the members of the team are looked up; the output has the same bytes."""
    summary = run_here(copy_old_state(tmp_path), now=NOW)

    assert summary.complete
    assert (summary.chunks_fetched, summary.parts_reused) == (0, 8)
    check_outputs(tmp_path)
    assert old_files(tmp_path) == []


def test_parts_of_another_query_of_the_last_version_are_reused(tmp_path: Path) -> None:
    """Also after a run that did not ask that query."""
    job = copy_old_state(tmp_path)
    days = ("range.granularity=P1D", f"output.path={tmp_path}/exports/days.jsonl")
    for _ in range(2):
        summary = run_here(job, *days, now=NOW)
        assert (summary.chunks_fetched, summary.parts_reused) == (0, 8)
        assert run_here(job, now=NOW).chunks_fetched == 0


@pytest.mark.parametrize("command", ["status", "verify", "plan", "clean"])
def test_a_command_that_only_reads_asks_for_a_run_and_changes_nothing(
    command: str, tmp_path: Path
) -> None:
    job = copy_old_state(tmp_path)
    before = {path: path.stat() for path in tmp_path.rglob("*") if "lock" not in path.name}
    result = call(command, str(job), cwd=tmp_path)
    assert result.code == 5
    assert result.err == (
        f"error: {state_of(tmp_path)} was written by an earlier version of asyncreport; "
        "run the job once: the run converts the folder and reuses the existing parts\n"
    )
    left = {path: path.stat() for path in tmp_path.rglob("*") if "lock" not in path.name}
    assert {path: stat.st_ino for path, stat in left.items()} == {
        path: stat.st_ino for path, stat in before.items()
    }


def test_a_run_of_the_earlier_version_is_not_disturbed(tmp_path: Path) -> None:
    job = copy_old_state(tmp_path)
    lock = take_lock(state_of(tmp_path) / "lock")
    with pytest.raises(StoreError, match="is in use by process"):
        run_here(job, now=NOW)
    lock.release()
    assert run_here(job, now=NOW).parts_reused == 8


def convert(job: Job) -> None:
    """Do what a run does before its first request."""
    State.open(job.state_folder, PartFilter.of(job)).close()


class Killed(BaseException):
    """The process ends here."""


def kill_at(patch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Make the `step`th change to the file system kill the run; give what is left to count."""
    left = [step]

    def dying(name: str) -> None:
        real = getattr(os, name)

        def change(*given: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] <= 0:
                raise Killed
            return real(*given, **named)

        patch.setattr(os, name, change)

    for name in CHANGES:
        dying(name)
    return left


def converted(job: Job) -> dict[str, bytes]:
    """Convert a state folder; read its files, except the locks."""
    convert(job)
    return {
        str(path.relative_to(job.state_folder)): path.read_bytes()
        for path in job.state_folder.rglob("*")
        if path.is_file() and "lock" not in path.name
    }


#: after a kill at one step of so many the export is brought up to date, which takes a second
RUNS = 8


def test_a_conversion_that_is_killed_at_any_step_is_completed_by_the_next_run(
    tmp_path: Path,
) -> None:
    """The folder is the one that a conversion without a kill leaves."""
    path = copy_old_state(tmp_path)
    job = load_job(path, environ={}, now=NOW)
    wanted = converted(job)
    shutil.rmtree(state_of(tmp_path))
    step = 0
    left = [0]
    while left[0] <= 0:
        step += 1
        copy_old_state(tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            left = kill_at(patch, step)
            with suppress(Killed):
                convert(job)
        if step % RUNS == 1:
            summary = run_here(path, now=NOW)
            assert (summary.chunks_fetched, summary.parts_reused) == (0, 8)
            check_outputs(tmp_path)
        else:
            assert converted(job) == wanted
        assert old_files(tmp_path) == []
        shutil.rmtree(state_of(tmp_path))
    assert step > 40


def test_a_disk_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert run_here(copy_old_state(tmp_path), now=NOW).parts_reused == 8
    check_outputs(tmp_path)


def test_a_folder_that_an_earlier_version_used_again_is_not_mixed_up(tmp_path: Path) -> None:
    job = copy_old_state(tmp_path)
    longer = "range.end=2024-04-04"
    assert run_here(job, longer, now=NOW).chunks_fetched == 2
    manifest = state_of(tmp_path) / "manifest.jsonl"
    shutil.copy(OLD / "state" / "small" / "manifest.jsonl", manifest)
    with pytest.raises(StoreError, match=f"{manifest}; delete this file and run again"):
        run_here(job, longer, now=NOW)
    manifest.unlink()
    assert run_here(job, longer, now=NOW).chunks_fetched == 0


def damaged(lines: list[bytes]) -> list[list[bytes]]:
    """Spoil a manifest in ways that a conversion must notice."""
    users = next(n for n, line in enumerate(lines) if line.startswith(b'{"users"'))
    return [
        [b"garbage\n", *lines],
        [line for n, line in enumerate(lines) if n != users],
        [line.replace(b'"ids":["', b'"ids":["x') for line in lines],
        [line.replace(b'"size":', b'"size":-') for line in lines],
    ]


def test_a_damaged_manifest_is_not_converted(tmp_path: Path) -> None:
    job = copy_old_state(tmp_path)
    manifest = state_of(tmp_path) / "manifest.jsonl"
    for spoiled in damaged(manifest.read_bytes().splitlines(keepends=True)):
        manifest.write_bytes(b"".join(spoiled))
        with pytest.raises(StoreError, match=r"manifest\.jsonl, line \d+: cannot be read"):
            run_here(job, now=NOW)
        assert manifest.read_bytes() == b"".join(spoiled)


@pytest.mark.parametrize("command", ["run", "status", "verify", "plan"])
def test_a_newer_format_is_refused(command: str, tmp_path: Path) -> None:
    job = copy_old_state(tmp_path)
    run_here(job, now=NOW)
    (manifest, *_) = sorted(state_of(tmp_path).glob("*/manifest.jsonl"))
    content = manifest.read_bytes()
    manifest.write_bytes(content.replace(b'"format":2', b'"format":3', 1))
    result: Call = call(command, str(job), cwd=tmp_path)
    assert result.code == 5
    assert "was written by a newer version of asyncreport (format 3)" in result.err
    manifest.write_bytes(content)
    assert run_here(job, now=NOW).chunks_fetched == 0
