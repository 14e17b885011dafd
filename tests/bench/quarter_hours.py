"""A job that runs every 15 minutes with a rolling window: its runs and its folder stay the same.

In this process, with the start of each run as an argument instead of a clock. Owns its folder.
`python -m tests.bench.quarter_hours` takes about ten minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from asyncreport.core.timeline import DAY, MINUTE, parse_iso
from tests.bench.answers import job_of
from tests.bench.standin import Standin, Work, standin
from tests.bench.table import Line, markdown
from tests.exporting import run_here

START = parse_iso("2024-01-01T00:00Z")
#: of the rolling window
WINDOW = 7
#: between two runs
STEP = 15 * MINUTE


@dataclass(frozen=True, slots=True)
class Moment:
    """The job's state after some runs."""

    #: of one run, the median of the last 24; CPU time, so that other processes do not count
    seconds: float
    #: in the state folder
    files: int
    size: int


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Compare the last run with the last one of the eighth day, when the window is full."""
    days, step = (9, DAY // 2) if quick else (30, STEP)
    work = Work(agents=100, hours=8, days=5, granularity="PT15M")
    with standin(work) as server, tempfile.TemporaryDirectory() as name:
        full, last = _run_all(server, Path(name), days, step)
    yield Line(
        f"a job every {step // MINUTE} minutes for {days} days: a run at the end, "
        f"compared with one of day {WINDOW + 1}",
        "at most 1.2 x",
        f"{last.seconds / full.seconds:.2f} x of CPU ({last.seconds:.3f} s against "
        f"{full.seconds:.3f} s)",
        last.seconds <= 1.2 * full.seconds,
    )
    yield Line(
        "the same: files and bytes of its state folder",
        "flat",
        f"{last.files} and {last.size / 1e6:.2f} MB against {full.files} and "
        f"{full.size / 1e6:.2f} MB",
        last.size <= 1.2 * full.size and last.files <= 1.2 * full.files,
    )


def _run_all(server: Standin, folder: Path, days: int, step: int) -> tuple[Moment, Moment]:
    """Run the job again and again; give its state after the eighth day and at the end."""
    took: list[float] = []
    full = None
    path = job_of(server, folder, start=f"now-P{WINDOW}D", end="now")
    for now in range(START, START + days * DAY + 1, step):
        began = time.process_time()
        run_here(path, now=now)
        took.append(time.process_time() - began)
        if full is None and now >= START + (WINDOW + 1) * DAY:
            full = _moment(took, folder)
    assert full is not None
    return full, _moment(took, folder)


def _moment(took: list[float], folder: Path) -> Moment:
    """Describe the state of a job."""
    files = [path for path in (folder / ".asyncreport").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return Moment(median(took[-24:]), len(files), size)


if __name__ == "__main__":
    sys.stdout.write(
        markdown(("what", "budget", "measured", "met"), [line.cells() for line in lines()])
    )
