"""Several OAuth clients of one organisation: k lanes take 1/k of the time of one lane.

The server limits each token. `python -m tests.bench.lanes` takes about two minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asyncreport.emulator.limits import credentials
from tests.bench.table import Line, markdown
from tests.emulator_process import emulator_process
from tests.exporting import connection, run_here, write_job

#: requests a minute, of each token, in any sliding 60 s
LIMIT = 600


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run."""

    lanes: int
    #: seconds, of the whole run
    elapsed: float
    #: sent, by lane
    requests: tuple[int, ...]
    #: responses with 429
    throttled: int


def measure(lanes: int, end: str) -> Figures:
    """Run the same job with a number of lanes."""
    clients = [
        {"client_id": client_id, "client_secret": secret}
        for client_id, secret in credentials(lanes)
    ]
    with (
        emulator_process(
            agents=4, seed=1, requests_per_minute=LIMIT, latency=0.1, clients=lanes
        ) as emulator,
        tempfile.TemporaryDirectory() as folder,
    ):
        reached = connection(emulator, requests_per_minute=LIMIT, clients=clients)
        del reached["client_id"], reached["client_secret"]
        job = write_job(
            Path(folder),
            emulator,
            connections={"default": reached},
            range={
                "start": "2024-01-01",
                "end": end,
                "granularity": "PT1H",
                "chunk": "PT1H",
            },
        )
        began = time.perf_counter()
        summary = run_here(job)
        elapsed = time.perf_counter() - began
        asked = [entry["client"] for entry in emulator.log() if entry["path"].startswith("/api/")]
    shares = tuple(asked.count(client["client_id"]) for client in clients)
    return Figures(lanes, elapsed, shares, summary.throttled)


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Compare two and four lanes with a half and a quarter of one lane's time."""
    end = "2024-01-02" if quick else "2024-01-26"
    one = measure(1, end)
    for found in (measure(2, end), measure(4, end)):
        ratio = found.elapsed * found.lanes / one.elapsed
        shares = " + ".join(map(str, found.requests))
        measured = f"{ratio:.3f} / {found.lanes}; requests {shares}, {found.throttled} times 429"
        yield Line(
            f"{found.lanes} clients against one, {LIMIT} a minute each",
            "1/k within 5 %",
            measured,
            abs(ratio - 1) <= 0.05,
        )


def main() -> None:
    """Measure and print the figures."""
    sys.stdout.write(
        markdown(("what", "budget", "measured", "met"), [line.cells() for line in lines()])
    )


if __name__ == "__main__":
    main()
