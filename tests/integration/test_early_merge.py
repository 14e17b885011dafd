"""Months that are merged while later ones are fetched: the same files, and nothing is left over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from asyncreport.config import load_job
from asyncreport.core.job import Chunk, Part
from asyncreport.core.timeline import DAY, parse_iso
from asyncreport.export import early_merge
from asyncreport.export.run import run_job
from asyncreport.store.drafts import Drafts
from asyncreport.store.state import State
from asyncreport.store.target import Target
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, run_here, write_job

#: three months, each of several chunks
RANGE = {"start": "2024-01-01", "end": "2024-04-01", "granularity": "PT1H", "chunk": "P7D"}
LAST = "2024-03"
MONTHS = ("2024-01", "2024-02", LAST)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=5, requests_per_minute=0) as handle:
        yield handle


@pytest.fixture(autouse=True)
def merge_any_month_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do it with the small months of the tests."""
    monkeypatch.setattr(early_merge, "LEAST_RECORDS", 1)


def job(folder: Path, emulator: Handle, **sections: Any) -> Path:
    outputs = {
        "path": [str(folder / "out.jsonl"), str(folder / "out.csv.gz")],
        "per_team": str(folder / "team-{team}-{month}.jsonl"),
        "rollups": [{"path": str(folder / "weeks.jsonl"), "every": "P1W", "by": ["user"]}],
    }
    return write_job(folder, emulator, **{"range": RANGE, "output": outputs, **sections})


def outputs_of(folder: Path) -> dict[str, bytes]:
    """Read all files that are not hidden."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and path.name != "job.yaml"
    }


def drafts_of(folder: Path) -> list[Path]:
    """List the files that are being written."""
    return sorted(folder.rglob(".asyncreport-*.tmp"))


def file_of(folder: Path, number: int) -> Path:
    """Find the file of a part below a folder."""
    (found,) = folder.rglob(f"part-{number:08}.jsonl")
    return found


def change(part: Path) -> None:
    """Change numbers in a part, and not its size."""
    part.write_bytes(part.read_bytes().replace(b'"handled_count":1', b'"handled_count":8'))


@pytest.fixture(scope="module")
def calm(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Give the output of a run that merges nothing early."""
    folder = tmp_path_factory.mktemp("calm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(early_merge, "LEAST_RECORDS", 10**9)
        run_here(job(folder, emulator))
    return outputs_of(folder)


def meanwhile(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something once two months are drafted; the last month is not complete before."""
    real_save, real_add = State.save, Drafts.add_month
    actions = [action]
    drafted = threading.Event()

    def add(drafts: Drafts, targets: Sequence[Target], month: str, *rest: Any) -> None:
        real_add(drafts, targets, month, *rest)
        if month == MONTHS[1]:
            drafted.set()

    async def save(state: State, chunk: Chunk, *given: Any, **named: Any) -> Part:
        part = await real_save(state, chunk, *given, **named)
        # The first part of the last month is what shows that the month before may be complete.
        if part.month == LAST and part.interval.start > parse_iso(f"{LAST}-01T00:00Z"):
            assert await asyncio.to_thread(drafted.wait, 30)
            while actions:
                actions.pop()()
        return part

    monkeypatch.setattr(State, "save", save)
    monkeypatch.setattr(Drafts, "add_month", add)


def test_the_files_are_those_of_a_run_that_merges_at_the_end(
    emulator: Handle, calm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: None)
    summary = run_here(job(tmp_path, emulator))
    assert summary.complete
    assert outputs_of(tmp_path) == calm
    assert drafts_of(tmp_path) == []


def test_the_next_quarter_begins_with_the_months_that_exist(
    emulator: Handle, calm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_here(job(tmp_path, emulator, range={**RANGE, "end": "2024-02-15"}), now=NOW - DAY)
    meanwhile(monkeypatch, lambda: None)
    summary = run_here(job(tmp_path, emulator))
    assert (summary.complete, summary.parts_reused > 0) == (True, True)
    assert outputs_of(tmp_path) == calm


def test_a_part_that_is_lost_after_its_draft_is_fetched_again(
    emulator: Handle, calm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: file_of(tmp_path, 1).unlink())
    summary = run_here(job(tmp_path, emulator))
    assert summary.complete
    assert len(summary.warnings) == 1
    assert outputs_of(tmp_path) == calm


def test_a_part_that_is_damaged_before_its_draft_is_fetched_again(
    emulator: Handle, calm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = State.save

    async def damage(state: State, chunk: Chunk, *given: Any, **named: Any) -> Part:
        part = await save(state, chunk, *given, **named)
        if part.number == 1:
            change(file_of(tmp_path, 1))
        return part

    monkeypatch.setattr(State, "save", damage)
    summary = run_here(job(tmp_path, emulator))
    assert summary.complete
    assert len(summary.warnings) == 1
    assert outputs_of(tmp_path) == calm


def test_a_stop_removes_the_drafts(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_job(job(tmp_path, emulator), environ={}, now=NOW)

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        meanwhile(monkeypatch, task.cancel)
        await run_job(loaded, now=NOW)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert drafts_of(tmp_path) == []
    assert outputs_of(tmp_path) == {}


def test_a_gap_leaves_no_draft(emulator: Handle, tmp_path: Path) -> None:
    query = {"path": "aggregates/query", "body": "/2024-04-01T00:00:00.000Z"}
    path = job(tmp_path, emulator, limits={"max_attempts": 1})
    emulator.faults([{"match": query, "do": {"status": 503}}])
    try:
        summary = run_here(path)
    finally:
        emulator.faults([])
    assert not summary.complete
    assert drafts_of(tmp_path) == []
    assert outputs_of(tmp_path) == {}


def test_no_name_is_asked_for_twice(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: None)
    earlier = len(emulator.log())
    summary = run_here(job(tmp_path, emulator))
    asked = [
        each["query"]
        for each in emulator.log()[earlier:]
        if each["path"] == "/api/v2/users" and "id=" in each["query"]
    ]
    assert summary.complete
    assert len(asked) == len(set(asked)) > 0


def test_a_directory_that_refuses_is_reported_once(emulator: Handle, tmp_path: Path) -> None:
    emulator.faults([{"match": {"path": "/api/v2/users"}, "do": {"status": 403}}])
    try:
        summary = run_here(job(tmp_path, emulator))
    finally:
        emulator.faults([])
    assert [warning for warning in summary.warnings if "look up" in warning] == [
        summary.warnings[-1]
    ]
    assert summary.complete


@pytest.mark.parametrize(
    ("name", "value"), [("free_bytes", lambda _: 1000), ("_MOST_INDEXES", 100)]
)
def test_nothing_is_drafted_without_room(
    emulator: Handle,
    calm: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: object,
) -> None:
    """Neither on the disk nor in memory: a run that fitted before must still fit."""
    drafted: list[str] = []
    monkeypatch.setattr(early_merge, name, value)
    monkeypatch.setattr(Drafts, "add_month", lambda *given: drafted.append(given[2]))
    run_here(job(tmp_path, emulator))
    assert drafted == []
    assert outputs_of(tmp_path) == calm
