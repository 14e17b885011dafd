"""Parts of queries that a job no longer asks: `status` shows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator_process import Handle, emulator_process
from tests.exporting import Call, call, run_here, write_job

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
