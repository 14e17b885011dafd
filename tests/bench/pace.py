"""A rate-limited run over the real wire: no 429 from a server that counts any sliding 60 s, and the budget used.

`python -m tests.bench.pace` takes some three minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.emulator_process import emulator_process
from tests.exporting import connection, run_here, write_job

LIMIT = 300
#: one day each: enough to fill the window several times
REQUESTS = 900


def main() -> None:
    """Run it and print the figures."""
    with emulator_process(agents=4, seed=1, requests_per_minute=LIMIT, latency=0.2) as emulator, tempfile.TemporaryDirectory() as folder:
        users = [f"00000000-0000-4000-8000-{n:012}" for n in range(100 * REQUESTS // 30)]
        job = write_job(
            Path(folder),
            emulator,
            connections={"default": connection(emulator, requests_per_minute=LIMIT)},
            range={"start": "2024-01-01", "end": "2024-01-31", "granularity": "P1D", "chunk": "P1D"},
            teams=[{"name": "many", "users": users}],
        )
        began = time.perf_counter()
        summary = run_here(job)
        elapsed = time.perf_counter() - began
        times = sorted(entry["time"] for entry in emulator.log() if entry["path"].startswith("/api/"))
    worst = max(sum(start <= each < start + 60 for each in times) for start in times)
    ideal = (len(times) / LIMIT) * 60
    sys.stdout.write(
        f"{len(times)} requests in {elapsed:.1f} s; the limit alone would take {ideal:.1f} s: ratio {elapsed / ideal:.3f}\n"
        f"429s: {summary.throttled}; most in any 60 s at the server: {worst} of {LIMIT}\n"
    )


if __name__ == "__main__":
    main()
