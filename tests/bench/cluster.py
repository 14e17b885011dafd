"""Many organisations on a cluster of four processes, compared with one of them in one run.

`python -m tests.bench.cluster` takes about three minutes. Owns the folders that it uses.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asyncreport.emulator.limits import CLIENT_SECRET
from tests.bench.answers import run
from tests.bench.bureau import LIMIT, organisations, write_job
from tests.bench.table import Line, markdown
from tests.emulator_process import Handle

#: connections in each of the processes
AT_ONCE = 10
#: MB at the peak of the largest process
BUDGET = 250


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Measure 40 organisations with a limit, in four processes."""
    processes, end = (2, "2024-01-02") if quick else (4, "2024-01-14")
    number = 4 if quick else processes * AT_ONCE
    alone = _measure(number, 1, end)
    options = ("--cluster", f"local:{processes}", "--max-connections", str(AT_ONCE))
    shared = _measure(number, number, end, *options)
    ratio = shared["requests"] / alone["requests"]
    yield Line(
        f"{number} connections with {LIMIT} requests a minute each on local:{processes}, from the "
        "first request to the last, against one alone",
        "at most 1.10 x",
        f"{ratio:.2f} x ({shared['requests']:.1f} s against {alone['requests']:.1f} s; with the "
        f"start and the files {shared['seconds']:.1f} s against {alone['seconds']:.1f} s)",
        ratio <= 1.1,
    )
    yield Line(
        f"the largest of these processes, the client or a worker with {AT_ONCE} connections",
        f"at most {BUDGET} MB",
        f"{shared['rss_mb']:.0f} MB; all together {shared['cpu']:.1f} s of CPU",
        shared["rss_mb"] <= BUDGET,
    )


def _measure(number: int, used: int, end: str, *options: str) -> dict[str, Any]:
    """Run a job with a query for each hour of some of the organisations that are served.

    Give the figures of `run`, and as `requests` the seconds from the first to the last request.
    """
    # Secrets do not travel: workers have it in their environment.
    os.environ["BUREAU_SECRET"] = CLIENT_SECRET
    with organisations(number, LIMIT) as urls, tempfile.TemporaryDirectory() as name:
        job = write_job(
            Path(name),
            urls[:used],
            end=end,
            chunk="PT1H",
            per_minute=LIMIT,
            secret="${BUREAU_SECRET}",
        )
        figures = run(job, "run", *options)
        return {**figures, "requests": _seconds_of_requests(urls[:used])}


def _seconds_of_requests(urls: Sequence[str]) -> float:
    """Give the seconds from the first request to the last; all servers have one clock."""
    logs = [Handle(url, "", "").log() for url in urls]
    times: list[float] = [entry["time"] for log in logs for entry in log]
    return max(times) - min(times)


def main() -> None:
    """Measure and print the figures."""
    sys.stdout.write(
        markdown(("what", "budget", "measured", "met"), [line.cells() for line in lines()])
    )


if __name__ == "__main__":
    main()
