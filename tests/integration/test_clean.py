"""Parts of queries that a job no longer asks: `status` shows them, `clean` deletes them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asyncreport.config import load_job
from asyncreport.core.timeline import HOUR
from asyncreport.export.clean import clean
from asyncreport.export.status import read_status
from asyncreport.store.lock import merge_lock, take_lock
from tests.cut import kills
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, Call, call, restate, run_here, write_job

RANGE = {"start": "2024-01-30", "end": "2024-02-03", "granularity": "PT1H", "chunk": "P1D"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


def write(folder: Path, emulator: Handle, **sections: Any) -> Path:
    return write_job(folder, emulator, range=RANGE, **sections)


def two_queries(folder: Path, emulator: Handle) -> Path:
    """Run a job by queue, then without queues: the folder has the parts of both queries."""
    run_here(write(folder, emulator, split_by=["queue_id"]))
    path = write(folder, emulator)
    run_here(path)
    return path


def command(path: Path, *arguments: str) -> Call:
    return call(*arguments, str(path), cwd=path.parent)


def queries(path: Path) -> list[dict[str, Any]]:
    """Give the queries that `status --json` lists."""
    (connection,) = json.loads(command(path, "status", "--json").out)["connections"]
    found: list[dict[str, Any]] = connection["queries"]
    return found


def test_status_adds_up_the_parts_of_each_query(emulator: Handle, tmp_path: Path) -> None:
    """The bytes of all queries are those of all part files."""
    path = two_queries(tmp_path, emulator)
    found = queries(path)
    assert [query["asked"] for query in found] == [True, False]
    assert [query["parts"] for query in found] == [4, 4]
    files = (tmp_path / ".asyncreport" / "job" / "default").glob("part-*")
    assert sum(query["bytes"] for query in found) == sum(file.stat().st_size for file in files)
    # The other way round: the query that the job asks is always first.
    again = queries(write(tmp_path, emulator, split_by=["queue_id"]))
    assert [query["asked"] for query in again] == [True, False]
    assert {query["fingerprint"]: query["bytes"] for query in again} == {
        query["fingerprint"]: query["bytes"] for query in found
    }


def test_status_names_queries_only_if_one_is_no_longer_asked(
    emulator: Handle, tmp_path: Path
) -> None:
    path = write(tmp_path, emulator)
    run_here(path)
    assert "query" not in command(path, "status").out
    shown = command(two_queries(tmp_path, emulator), "status").out
    for query, asked in zip(queries(path), ("asked", "no longer asked"), strict=True):
        assert (
            f"  query {query['fingerprint'][:8]}: 4 parts, {query['records']:,} records, "
            f"{query['bytes']:,} bytes, {asked} by the job\n"
        ) in shown


def state(folder: Path) -> dict[str, bytes]:
    """Read all files of the connection's folder, except the lock."""
    files = (folder / ".asyncreport" / "job" / "default").iterdir()
    return {file.name: file.read_bytes() for file in files if not file.name.startswith("lock")}


def part_files(folder: Path) -> set[str]:
    return {name for name in state(folder) if name.startswith("part-")}


def test_clean_deletes_the_parts_of_other_queries_only(emulator: Handle, tmp_path: Path) -> None:
    """It says what it deleted; the job's own parts and its output stay, and are reused."""
    path = two_queries(tmp_path, emulator)
    own, other = queries(path)
    shown = command(path, "status").out
    before, output = state(tmp_path), (tmp_path / "out.jsonl").read_bytes()
    told = (
        f"default: {{}} 4 parts of query {other['fingerprint'][:8]}, "
        f"{other['records']:,} records, {other['bytes']:,} bytes\n"
        f"job: {{}} {other['bytes']:,} bytes in all\n"
    )
    tried = command(path, "clean", "--dry-run")
    assert (tried.code, tried.out) == (0, told.format(*["would delete"] * 2)), tried.err
    assert state(tmp_path) == before
    seen = len(emulator.log())
    cleaned = command(path, "clean")
    assert len(emulator.log()) == seen
    assert (cleaned.code, cleaned.out) == (0, told.format(*["deleted"] * 2)), cleaned.err
    assert queries(path) == [own]
    # Nothing else has changed: `clean` is not a run that did not finish.
    shown = "".join(line for line in shown.splitlines(True) if not line.startswith("  query "))
    assert masked(command(path, "status").out) == masked(shown)
    left = state(tmp_path)
    assert sum(len(left[name]) for name in part_files(tmp_path)) == own["bytes"]
    assert {name: before[name] for name in part_files(tmp_path)}.items() <= left.items()
    summary = run_here(path, now=NOW + HOUR)
    assert (summary.chunks_fetched, summary.parts_reused) == (0, 4)
    assert (tmp_path / "out.jsonl").read_bytes() == output
    assert command(path, "verify").code == 0


def masked(text: str) -> str:
    """Hide how long ago something was."""
    return re.sub(r"\(.* ago\)|\(just now\)|\(in .*\)", "", text)


def test_clean_has_nothing_to_delete(emulator: Handle, tmp_path: Path) -> None:
    """A job that never ran gets no folder; one query alone stays as it is."""
    path = write(tmp_path, emulator)
    for _ in range(2):
        cleaned = command(path, "clean")
        assert (cleaned.code, cleaned.err) == (0, "")
        assert cleaned.out == "job: nothing to delete: the job asks every query that has parts\n"
        assert [name.name for name in tmp_path.iterdir()] == ["job.yaml"]
    run_here(path)
    before = state(tmp_path)
    assert "nothing to delete" in command(path, "clean").out
    assert state(tmp_path) == before


def test_a_query_that_is_asked_again_is_fetched_again(emulator: Handle, tmp_path: Path) -> None:
    """Parts get the numbers of the deleted ones, and nothing of those is left."""
    run_here(write(tmp_path, emulator))
    by_queue = write(tmp_path, emulator, split_by=["queue_id"])
    run_here(by_queue)
    output = (tmp_path / "out.jsonl").read_bytes()
    assert command(write(tmp_path, emulator), "clean").code == 0
    assert run_here(write(tmp_path, emulator, split_by=["queue_id"])).chunks_fetched == 4
    assert (tmp_path / "out.jsonl").read_bytes() == output
    assert command(by_queue, "verify").code == 0


def test_clean_keeps_what_changed_in_replaced_parts(emulator: Handle, tmp_path: Path) -> None:
    """Replaced parts that no run has compared yet are compared before the manifest is shortened."""
    path = two_queries(tmp_path, emulator)
    restate(tmp_path / ".asyncreport" / "job" / "default", "2024-01-31T00:00:00.000Z")
    trace = tmp_path / "trace"
    copied = tmp_path / "copy"
    shutil.copytree(tmp_path / ".asyncreport", copied)
    arguments = ("run", str(path), "--refresh", "2024-01-31/2024-02-01")
    assert cut(tmp_path, *arguments, trace=str(trace)).code == 0
    changed = state(tmp_path)["changes.jsonl"]
    assert changed
    moments = json.loads(trace.read_text())
    at = next(number for number, one in enumerate(moments, 1) if one == ["open", "changes.jsonl"])
    shutil.rmtree(tmp_path / ".asyncreport")
    shutil.move(copied, tmp_path / ".asyncreport")
    assert cut(tmp_path, *arguments, at=at, action="kill").code == -signal.SIGKILL
    assert command(path, "clean").code == 0
    assert without_times(state(tmp_path)["changes.jsonl"]) == without_times(changed)


def without_times(lines: bytes) -> list[dict[str, Any]]:
    found = map(json.loads, lines.splitlines())
    return [{key: value for key, value in line.items() if key != "at"} for line in found]


def test_clean_waits_for_nobody(emulator: Handle, tmp_path: Path) -> None:
    """While a run holds the lock it ends with exit code 5, and nothing is deleted."""
    path = two_queries(tmp_path, emulator)
    before = state(tmp_path)
    lock = take_lock(merge_lock(tmp_path / ".asyncreport" / "job"))
    try:
        refused = command(path, "clean")
    finally:
        lock.release()
    assert (refused.code, refused.out) == (5, "")
    assert f"process {os.getpid()}" in refused.err
    assert state(tmp_path) == before


def cut(folder: Path, *arguments: str, **spec: Any) -> Call:
    return call(json.dumps(spec), *arguments, module="tests.cut", cwd=folder)


def test_a_clean_that_is_killed_at_any_moment_is_finished_by_the_next(
    emulator: Handle, tmp_path: Path
) -> None:
    """After each kill the job has all its parts; a second `clean` leaves what one alone leaves."""
    path = two_queries(tmp_path, emulator)
    root = tmp_path / ".asyncreport"
    copied = tmp_path / "copy"
    shutil.copytree(root, copied)
    trace = tmp_path / "trace"
    assert cut(tmp_path, "clean", str(path), trace=str(trace)).code == 0
    wanted, own = state(tmp_path), queries(path)
    moments = kills(trace)
    calls = [call for _, _, call in moments]
    assert "replace manifest.jsonl" in calls
    assert sum(call.startswith("unlink part-") for call in calls) == 4
    for number, (at, action, moment) in enumerate(moments):
        shutil.rmtree(root)
        shutil.copytree(copied, root)
        ended = cut(tmp_path, "clean", str(path), at=at, action=action)
        assert ended.code == -signal.SIGKILL, (moment, ended.err)
        found = queries_here(path)
        assert found[0] == own[0]
        # All parts of the other query, or none: the manifest is the commit.
        assert [query["parts"] for query in found[1:]] in ([4], [])
        if number % 2:
            # A run in between finds all its parts, and deletes the files that no line names.
            assert run_here(path).chunks_fetched == 0
        asyncio.run(clean(load_job(path, environ={}, now=NOW), now=NOW))
        assert state(tmp_path) == wanted, moment
        assert run_here(path).chunks_fetched == 0
    assert not [*tmp_path.rglob("*.tmp"), *tmp_path.rglob(".asyncreport-*")]


def queries_here(path: Path) -> list[dict[str, Any]]:
    """Give the queries of `status`, read in this process."""
    (connection,) = read_status(load_job(path, environ={}, now=NOW), now=NOW).connections
    found: list[dict[str, Any]] = msgspec.to_builtins(connection.queries)
    return list(found)
