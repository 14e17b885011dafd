"""asyncreport against its own budgets: rate without a limit, merge, start.

Owns the processes and folders that it uses.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from asyncreport.export.run import clock
from asyncreport.store import written_outputs as written
from tests.bench.board import score
from tests.bench.contest import PATIENCE, Terms, again, middle
from tests.bench.load import Load, Server
from tests.bench.sides import Pull, environ, sides
from tests.bench.table import Line
from tests.exporting import run_here

CONCURRENCY = 16


def lines(load: Load, server: Server, *, runs: int, latency: float) -> Iterator[Line]:
    """Measure one after another; figures are medians of `runs` runs."""
    yield pace(server, runs=runs, latency=latency)
    yield crowded(load, server, runs=runs, latency=latency)
    yield start(runs)
    yield from finished(load, server, runs=runs)


def pace(server: Server, *, runs: int, latency: float) -> Line:
    """Measure requests a second at a server without a limit, by its own clock.

    The responses are small.
    """
    # Four users and a quarter of a day each: this measures the waiting, not the decoding.
    load = Load(agents=4, days=200 if runs > 1 else 50)
    rates = []
    for wait in (0.0, *[latency] * runs):  # the server computes in the first run
        with Terms(load=load, server=server, latency=wait, days=load.days).pull() as pull:
            _must(_quarter_days(pull), pull.folder)
            counts = server.counts()
            rates.append(counts["answered"] / counts["span"])
    ideal, rate = CONCURRENCY / latency, median(rates[1:])
    measured = (
        f"{rate:.1f} requests a second, {rate / ideal:.2f} x C / L; {counts['answered']:,} requests"
    )
    return Line(
        f"an unlimited server, latency {latency:g} s, concurrency {CONCURRENCY}",
        "at least 0.9 x C / L",
        measured,
        rate >= 0.9 * ideal,
    )


def crowded(load: Load, server: Server, *, runs: int, latency: float) -> Line:
    """Measure the same with large responses; the limit is then the CPU time of their rows."""
    pulled = score(
        sides(None)[0], Terms(load=load, server=server, latency=latency, days=load.days), runs
    )
    rate = middle(pulled.runs, lambda each: each.counts["answered"] / each.counts["span"])
    bound = pulled.runs[0].counts["answered"] / (pulled.per_row * len(load.truth))
    size = pulled.runs[0].counts["sent"] / pulled.runs[0].counts["answered"]
    measured = (
        f"{rate:.1f} requests a second; C / L is {CONCURRENCY / latency:.0f}, "
        f"the limit of the CPU {bound:.0f}"
    )
    least = 0.9 * min(CONCURRENCY / latency, bound)
    return Line(
        f"the same with responses of {size / 1000:.0f} kB",
        "at least 0.9 x the lower of both",
        measured,
        rate >= least,
    )


def _quarter_days(pull: Pull) -> list[str]:
    """Write a job with short chunks and return its command."""
    command = sides(None)[0].command(pull)
    path = Path(command[-1])
    path.write_text(path.read_text().replace('"P1D"', '"PT6H"'))
    return command


def start(runs: int) -> Line:
    """Measure how long the command line takes to print its help."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "asyncreport", "--help"]
        _must(command, Path(home))
        took = median(_must(command, Path(home)) for _ in range(max(5, runs)))
    return Line("`asyncreport --help`", "under 0.4 s", f"{took:.2f} s", took < 0.4)


def finished(load: Load, server: Server, *, runs: int) -> Iterator[Line]:
    """Run a finished job again, with its output file and without it."""
    ours = sides(None)[1]
    with Terms(load=load, server=server, latency=0.0, days=load.days).pull() as pull:
        first = again(ours, Terms(load=load, server=server, latency=0.0, days=load.days), pull)
        if first.code or not first.verdict.clean:
            raise RuntimeError(f"the first run is not correct: {first.verdict}; {first.stderr}")
        command, output = ours.command(pull), pull.folder / "out.jsonl"
        idle = median(_must(command, pull.folder) for _ in range(runs))
        yield Line(
            f"a finished job of {first.counts['answered']} chunks run again",
            "under 1 s",
            f"{idle:.2f} s",
            idle < 1,
        )
        rebuilt, copies, merged = [], [], []
        for _ in range(runs):  # alternating, so that a busy machine slows all three down
            output.unlink()
            rebuilt.append(_must(command, pull.folder) - idle)
            copies.append(copy(output))
            merged.append(_merged(Path(command[-1]), output))
        size, records = output.stat().st_size, len(load.truth)
        yield from _merge(
            f"{records:,} records, {size / 1e6:.0f} MB",
            records,
            median(merged),
            median(rebuilt),
            copies,
        )


def _merge(
    what: str, records: int, merged: float, rebuilt: float, copies: list[tuple[float, float, float]]
) -> Iterator[Line]:
    """Report the speed of the merge, and how long a user waits for it."""
    copied, kept, proved = (median(each[n] for each in copies) for n in range(3))
    rate = records / merged
    measured = (
        f"{rate:,.0f} ({what}); a run that only merges takes {rebuilt:.2f} s longer than one that "
        "has nothing to do"
    )
    yield Line("merge: records a second", "at least 500,000", measured, rate >= 500_000)
    ratio = proved / merged
    measured = (
        f"{ratio:.2f} x ({merged:.2f} s against {proved:.2f} s); "
        f"{kept / merged:.2f} x `cp` and fsync, {copied / merged:.2f} x `cp` alone"
    )
    yield Line(
        "merge: speed against `cp`, fsync and SHA-256 of both files",
        "at least 0.6 x",
        measured,
        ratio >= 0.6,
    )


def _merged(job: Path, output: Path) -> float:
    """Write the output again in this process; return the seconds of the merge alone."""
    took, merge = [], written.merge

    def timed(*arguments: Any) -> Iterator[Any]:
        began = time.perf_counter()
        files = list(merge(*arguments))
        took.append(time.perf_counter() - began)
        yield from files

    output.unlink()
    written.merge = timed
    try:
        run_here(job, now=clock())
    finally:
        written.merge = merge
    return sum(took)


def copy(path: Path) -> tuple[float, float, float]:
    """Copy a file with cp.

    Return the seconds until it is copied, until the copy is synced, and until both are hashed.
    """
    target = path.with_name("copy")
    began = time.perf_counter()
    subprocess.run(["cp", str(path), str(target)], check=True)
    copied = time.perf_counter() - began
    with target.open("rb") as file:
        os.fsync(file.fileno())
        kept = time.perf_counter() - began
        hashlib.file_digest(file, "sha256")
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    proved = time.perf_counter() - began
    target.unlink()
    return copied, kept, proved


def _must(command: list[str], home: Path) -> float:
    """Run a command and return its seconds; raise RuntimeError if it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=home,
        env=environ(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    return took
