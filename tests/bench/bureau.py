"""Many organisations in one process: peak memory, time, and the commands that only read.

`python -m tests.bench.bureau` takes about three minutes. Owns the folders and processes that it
uses.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from asyncreport.emulator.limits import CLIENT_ID, CLIENT_SECRET
from tests.bench.answers import UNLIMITED, run
from tests.bench.table import Line, markdown

#: MB at the peak of a run of 500 connections
BUDGET = 400
#: requests a minute of each organisation in the comparison with the slowest one
LIMIT = 300


@contextmanager
def organisations(number: int, requests_per_minute: int = 0) -> Iterator[list[str]]:
    """Serve emulated organisations in a process of their own, and give their addresses."""
    command = [sys.executable, "-m", "tests.bench.bureau_serve"]
    command += [str(number), str(requests_per_minute)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def write_job(
    folder: Path,
    urls: Sequence[str],
    *,
    end: str,
    chunk: str,
    per_minute: int = UNLIMITED,
    secret: str = CLIENT_SECRET,
) -> Path:
    """Write a job of everyone in each organisation, with a file for each."""
    access = {
        "client_secret": secret,
        "requests_per_minute": per_minute,
        "client_id": CLIENT_ID,
    }
    connections = {
        f"org-{number:04}": {"api_url": url, "login_url": url, **access}
        for number, url in enumerate(urls)
    }
    job = {
        "name": "bureau",
        "connections": connections,
        "range": {"start": "2024-01-01", "end": end, "granularity": "PT1H", "chunk": chunk},
        "teams": [{"name": "all", "everyone": True, "connections": "all"}],
        "output": {"path": str(folder / "{connection}.jsonl")},
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job))
    return path


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Measure 500 organisations without a limit, and 40 with one."""
    yield from many(5 if quick else 500)
    yield slowest(2 if quick else 40, end="2024-01-02" if quick else "2024-01-14")


def many(number: int) -> Iterator[Line]:
    """Measure a first run, a second one, and the commands that only read."""
    with organisations(number) as urls, tempfile.TemporaryDirectory() as name:
        job = write_job(Path(name), urls, end="2024-01-15", chunk="P7D")
        for what, command, *options in (
            ("a first run", "run"),
            ("a run that fetches nothing", "run"),
            ("a run with all at the same time", "run", "--refresh", "2024-01-01/2024-01-15",
             "--max-connections", str(number)),
            ("`status`", "status"),
            ("`plan`", "plan"),
        ):  # fmt: skip
            found = run(job, command, *options)
            yield Line(
                f"{number} connections in one process, {what}",
                f"at most {BUDGET} MB",
                f"{found['rss_mb']:.0f} MB, {found['seconds']:.1f} s, {found['cpu']:.1f} s of CPU",
                found["rss_mb"] <= BUDGET,
            )


def slowest(number: int, *, end: str) -> Line:
    """Compare organisations with a rate limit in one process with the first of them alone."""
    with organisations(number, LIMIT) as urls:
        alone = _limited(urls[:1], end)
    with organisations(number, LIMIT) as urls:
        together = _limited(urls, end)
    ratio = together / alone
    return Line(
        f"{number} connections with {LIMIT} requests a minute each, one process, against one alone",
        "at most 1.10 x (for a cluster)",
        f"{ratio:.2f} x ({together:.1f} s against {alone:.1f} s)",
        ratio <= 1.1,
    )


def _limited(urls: Sequence[str], end: str) -> float:
    """Give the seconds of a run that sends a query for each hour, all connections at once."""
    with tempfile.TemporaryDirectory() as name:
        job = write_job(Path(name), urls, end=end, chunk="PT1H", per_minute=LIMIT)
        seconds: float = run(job, "run", "--max-connections", str(len(urls)))["seconds"]
    return seconds


def main() -> None:
    """Measure and print the figures."""
    sys.stdout.write(
        markdown(("what", "budget", "measured", "met"), [line.cells() for line in lines()])
    )


if __name__ == "__main__":
    main()
