"""A run with a rate limit over real sockets: it gets no 429 and uses the whole limit.

The server counts the requests in any 60 s. `python -m tests.bench.pace` takes about three minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.table import Line, markdown
from tests.emulator_process import emulator_process
from tests.exporting import connection, run_here, write_job

LIMIT = 300
LATENCY = 0.2


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Compare a run with the ideal time: requests / rate, and one latency."""
    with (
        emulator_process(agents=4, seed=1, requests_per_minute=LIMIT, latency=LATENCY) as emulator,
        tempfile.TemporaryDirectory() as folder,
    ):
        job = write_job(
            Path(folder),
            emulator,
            connections={"default": connection(emulator, requests_per_minute=LIMIT)},
            range={
                "start": "2024-01-01",
                "end": "2024-01-02" if quick else "2024-02-07T12:00",
                "granularity": "PT1H",
                "chunk": "PT1H",
            },
        )
        began = time.perf_counter()
        summary = run_here(job)
        elapsed = time.perf_counter() - began
        times = sorted(
            entry["time"] for entry in emulator.log() if entry["path"].startswith("/api/")
        )
    worst = max(sum(start <= each < start + 60 for each in times) for start in times)
    ideal = len(times) / LIMIT * 60
    ratio = elapsed / ideal
    measured = (
        f"{ratio:.3f} x ({elapsed:.1f} s against {ideal:.1f} s), {summary.throttled} times 429, "
        f"at most {worst} in any 60 s"
    )
    met = elapsed <= 1.03 * ideal + LATENCY and summary.throttled == 0
    yield Line(
        f"a run of {len(times)} requests at {LIMIT} a minute against the limit alone",
        "at most 1.03 x and one latency, no 429",
        measured,
        met,
    )


def main() -> None:
    """Measure and print the figures."""
    sys.stdout.write(
        markdown(("what", "budget", "measured", "met"), [line.cells() for line in lines()])
    )


if __name__ == "__main__":
    main()
