"""Time on the state folder, which must not grow with the square of its parts.

A job of 10,000 chunks is run again, finished and unfinished. `python -m tests.bench.state` takes
half a minute.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from asyncreport.config import load_job
from asyncreport.core.job import Chunk
from asyncreport.core.records import Block
from asyncreport.core.timeline import DAY, HOUR, Interval, iso, parse_iso
from asyncreport.export.run import clock
from asyncreport.export.snapshot import Snapshot
from asyncreport.store.part_filter import PartFilter
from asyncreport.store.state import State
from tests.bench.table import Line, markdown
from tests.exporting import environ

CHUNKS = 10_000
#: of each measurement
RUNS = 5
#: an hour each: over a year
START = parse_iso("2022-01-01T00:00:00Z")


def job_of_hours(folder: Path, chunks: int) -> Path:
    """Write a job of one user and a number of hours, with a host that does not respond."""
    nowhere = "http://127.0.0.1:9"
    job = {
        "name": "job",
        "connections": {
            "default": {
                "api_url": nowhere,
                "login_url": nowhere,
                "client_id": "c",
                "client_secret": "s",
            }
        },
        "range": {
            "start": iso(START),
            "end": iso(START + chunks * HOUR),
            "granularity": "PT1H",
            "chunk": "PT1H",
        },
        "teams": [{"name": "all", "users": ["anna"]}],
        "limits": {"max_attempts": 1},
        "output": {"path": str(folder / "out.jsonl")},
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job))
    return path


async def fill(path: Path, chunks: int) -> None:
    """Save a part of one row for each hour, and the user's name."""
    job = load_job(path, environ={}, now=clock())
    with State.open(job.state_folder, PartFilter.of(job)) as state:
        for n in range(chunks):
            span = Interval(START + n * HOUR, START + (n + 1) * HOUR)
            row = b'{"interval_start":"%b","interval_end":"%b","handled_count":1}\n' % (
                iso(span.start).encode(),
                iso(span.end).encode(),
            )
            chunk = Chunk(
                connection="default", month=iso(span.start)[:7], interval=span, users=("anna",)
            )
            await state.save(chunk, [Block("anna", row, 1)], fetched_at=clock())
    names = {job.connections[0].identity: {"anna": ["Anna", iso(clock() - DAY)]}}
    (job.state_folder / "names.json").write_text(json.dumps(names))


def _run(path: Path, code: int) -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "asyncreport", "run", str(path)]
    done = subprocess.run(
        command, cwd=path.parent, env=environ(), capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began
    if done.returncode != code:
        raise RuntimeError(f"the run ended with {done.returncode}: {done.stderr[-2000:]}")
    return took


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Compare the times with a second."""
    chunks = 100 if quick else CHUNKS
    with tempfile.TemporaryDirectory() as name:
        path = job_of_hours(Path(name), chunks)
        asyncio.run(fill(path, chunks))
        merged = _run(path, 0)
        again = median(_run(path, 0) for _ in range(RUNS))
        yield Line(
            f"a finished job of {chunks:,} chunks run again",
            "under 1 s",
            f"{again:.2f} s",
            again < 1,
        )
        yield Line(f"the same, when all {chunks:,} parts must be merged", "", f"{merged:.2f} s")
        longer = load_job(
            path,
            environ={},
            overrides=[f"range.end={iso(START + (chunks + 100) * HOUR)}"],
            now=clock(),
        )
        began = time.perf_counter()
        snapshot = Snapshot.read(longer, now=clock())
        took = time.perf_counter() - began
        assert snapshot.missing_chunks("default")
        yield Line(
            f"{chunks:,} parts read and 100 more hours planned",
            "under 1 s",
            f"{took:.2f} s",
            took < 1,
        )


def main() -> None:
    """Measure and print the figures."""
    sys.stdout.write(
        markdown(("what", "budget", "measured", "met"), [line.cells() for line in lines()])
    )


if __name__ == "__main__":
    main()
