"""Chunks as long as their answers allow: fewer requests, and the same bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, run_here, write_job

_QUERY = "/api/v2/analytics/conversations/aggregates/query"


def month(name: str, end: str, **rest: Any) -> dict[str, Any]:
    return {"start": f"{name}-01", "end": end, "granularity": "PT15M", **rest}


def queries(emulator: Handle) -> int:
    return sum(entry["path"] == _QUERY for entry in emulator.log())


def test_a_job_needs_fewer_requests_once_it_knows_what_answers_hold(tmp_path: Path) -> None:
    with emulator_process(agents=30, seed=1) as emulator:
        january = month("2024-01", "2024-02-01")
        path = write_job(tmp_path, emulator, range=january, limits={"concurrency": 2})
        # 666 buckets of 30 users in a chunk, 2,976 in the month.
        first = call("plan", str(path), cwd=tmp_path)
        assert re.search(r"1 to 5 requests, .*; the emptier the answers", first.out)
        run_here(path)
        asked = queries(emulator)
        assert 1 <= asked < 5, "the first answers make the next chunks longer"

        february = month("2024-02", "2024-03-01")
        path = write_job(tmp_path, emulator, range=february, limits={"concurrency": 2})
        known = call("plan", str(path), cwd=tmp_path)
        found = re.search(
            r"(\d) to 5 requests, .*; the smaller number if users have 0\.\d+ records", known.out
        )
        assert found
        run_here(path)
        assert queries(emulator) - asked == int(found[1])
        joined = (tmp_path / "out.jsonl").read_bytes()

        folder = tmp_path / "days"
        folder.mkdir()
        fixed = write_job(folder, emulator, range={**february, "chunk": "P1D"})
        asked = queries(emulator)
        run_here(fixed)
        assert queries(emulator) - asked == 29
        assert (folder / "out.jsonl").read_bytes() == joined
        assert not list(folder.rglob("answers.json")), "nothing was to be learned"


def test_the_figures_survive_a_run_that_fails(tmp_path: Path) -> None:
    with emulator_process(agents=20, seed=1) as emulator:
        path = write_job(
            tmp_path,
            emulator,
            range=month("2024-01", "2024-02-01"),
            limits={"concurrency": 1},
        )
        emulator.faults([{"match": {"path": "aggregates", "after": 1}, "do": {"status": 400}}])
        summary = run_here(path)
        assert summary.gaps
        (figures,) = json.loads(
            (tmp_path / ".asyncreport" / "job" / "default" / "answers.json").read_text()
        ).values()
        assert 0 < figures["records"] <= figures["cells"]
