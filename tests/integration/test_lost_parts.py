"""Parts that disappear or are cut while a run is under way: fetched once more, then an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncreport.config import load_job
from asyncreport.core.errors import StoreError
from asyncreport.core.job import Job, Part
from asyncreport.core.timeline import DAY, parse_iso
from asyncreport.export.names import RecordIds
from asyncreport.export.run import run_job
from asyncreport.store.parts import PartReader
from asyncreport.store.state import State
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, rows, run_here, write_job

#: 4 chunks
RANGE = {"start": "2024-01-01", "end": "2024-01-05", "granularity": "PT30M", "chunk": "P1D"}
CHUNKS = 4

#: what happens to the file of a part
Harm = Callable[[Path], None]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=12, seed=3, requests_per_minute=0) as handle:
        yield handle


@pytest.fixture(scope="module")
def calm(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the output of a run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("calm")
    run_here(job(folder, emulator))
    return (folder / "out.jsonl").read_bytes()


def job(folder: Path, emulator: Handle, **sections: Any) -> Path:
    return write_job(folder, emulator, **{"range": RANGE, "limits": {"concurrency": 1}, **sections})


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@contextmanager
def failing(emulator: Handle, day: str) -> Iterator[None]:
    """Let every query of a day fail."""
    query = {"path": "aggregates/query", "body": f"{day}T00:00:00.000Z/"}
    emulator.faults([{"match": query, "do": {"status": 503}}])
    try:
        yield
    finally:
        emulator.faults([])


def days(output: Path) -> set[str]:
    """Collect the days that have records."""
    return {row["interval_start"][:10] for row in rows(output)}


def file_of(folder: Path, number: int) -> Path:
    """Find the file of a part below a folder."""
    (found,) = folder.rglob(f"part-{number:08}.jsonl")
    return found


def harm_at_save(
    monkeypatch: pytest.MonkeyPatch, folder: Path, harm: Harm, victims: dict[int, int]
) -> None:
    """Harm a part when another one is saved; `victims` are numbers by the number of the other."""
    save = State.save

    async def save_and_harm(state: State, *given: Any, **named: Any) -> Part:
        part = await save(state, *given, **named)
        if part.number in victims:
            harm(file_of(folder, victims[part.number]))
        return part

    monkeypatch.setattr(State, "save", save_and_harm)


@pytest.mark.parametrize("harm", [delete, cut])
def test_a_part_of_this_run_that_is_lost_is_fetched_once_more(
    emulator: Handle, calm: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Harm
) -> None:
    harm_at_save(monkeypatch, tmp_path, harm, {4: 2})
    said: list[str] = []
    loaded = load_job(job(tmp_path, emulator), environ={}, now=NOW)
    summary = asyncio.run(run_job(loaded, now=NOW, say=said.append))
    assert (summary.complete, summary.chunks_fetched) == (True, CHUNKS + 1)
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    assert said == [
        "warning: parts disappeared or were cut during this run: default "
        "2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z, everyone; they are fetched again"
    ]


@pytest.mark.parametrize("harm", [delete, cut])
def test_a_part_of_an_earlier_run_that_is_lost_is_fetched_again(
    emulator: Handle, calm: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Harm
) -> None:
    path = job(tmp_path, emulator)
    run_here(path, now=NOW - DAY)
    file_of(tmp_path, 3).unlink()
    harm_at_save(monkeypatch, tmp_path, harm, {5: 1})
    summary = run_here(path)
    assert (summary.complete, summary.chunks_fetched, summary.parts_reused) == (True, 2, 2)
    assert (tmp_path / "out.jsonl").read_bytes() == calm


@pytest.mark.parametrize("harm", [delete, cut])
def test_a_second_loss_ends_the_run_and_leaves_the_output_as_it_was(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Harm
) -> None:
    harm_at_save(monkeypatch, tmp_path, harm, {4: 2, 5: 5})
    (tmp_path / "out.jsonl").write_text("an older export\n")
    with pytest.raises(StoreError, match=r"2024-01-02T.*; this happened twice, so check the disk"):
        run_here(job(tmp_path, emulator))
    assert (tmp_path / "out.jsonl").read_text() == "an older export\n"


@pytest.mark.parametrize("harm", [delete, cut])
def test_a_part_that_is_lost_after_the_last_check_is_fetched_again(
    emulator: Handle, calm: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Harm
) -> None:
    """Names are looked up between the check and the merge, which may take minutes."""
    read, victims = RecordIds.of, [2]

    def read_and_harm(job: Job, parts: Sequence[Part], reader: PartReader) -> RecordIds:
        ids = read(job, parts, reader)
        # The reader may have the file open already.
        reader.close()
        while victims:
            harm(file_of(tmp_path, victims.pop()))
        return ids

    monkeypatch.setattr(RecordIds, "of", read_and_harm)
    summary = run_here(job(tmp_path, emulator))
    assert (summary.complete, summary.chunks_fetched) == (True, CHUNKS + 1)
    assert (tmp_path / "out.jsonl").read_bytes() == calm


def test_a_gap_explains_only_its_own_chunk(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm_at_save(monkeypatch, tmp_path, delete, {3: 2})
    path = job(tmp_path, emulator, limits={"concurrency": 1, "max_attempts": 1})
    with failing(emulator, "2024-01-03"):
        summary = run_here(path, allow_partial=True)
    assert [gap.interval[:10] for gap in summary.gaps] == ["2024-01-03"]
    assert days(tmp_path / "out.jsonl") == {"2024-01-01", "2024-01-02", "2024-01-04"}


def test_a_part_that_is_lost_after_its_refresh_failed_is_missing(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is more than old: the output has no record of it, and the run says so."""
    path = job(tmp_path, emulator, limits={"concurrency": 1, "max_attempts": 1})
    early = parse_iso("2024-01-05T01:00Z")
    run_here(path, now=early)
    harm_at_save(monkeypatch, tmp_path, delete, {5: 4})
    with failing(emulator, "2024-01-04"):
        summary = run_here(path, allow_partial=True)
    assert [(gap.interval[:10], gap.stale) for gap in summary.gaps] == [("2024-01-04", False)]
    assert summary.partial
    assert days(tmp_path / "out.jsonl") == {"2024-01-01", "2024-01-02", "2024-01-03"}
