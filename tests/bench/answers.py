"""How many queries an export takes, what they cost, and how long they wait for the limit.

Owns the folders and processes that it uses. `python -m tests.bench.answers` takes ten minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncreport.core.plan import MAX_RECORDS
from tests.bench.contest import LAUNCHER
from tests.bench.standin import Standin, Work, standin
from tests.bench.table import Line
from tests.exporting import environ

#: requests a minute if the server has no limit
UNLIMITED = 30_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run took."""

    seconds: float
    #: user and system, the start included
    cpu: float
    #: peak
    rss_mb: float
    records: int
    #: the server's
    counts: dict[str, int]

    @property
    def full_answers(self) -> float:
        """Give how many answers would hold the records if each were full."""
        return self.records / MAX_RECORDS

    def times(self) -> str:
        """Compare the queries with full answers."""
        ratio = self.counts["queries"] / self.full_answers
        return f"{ratio:.2f} x ({self.counts['queries']} queries, {self.records:,} records)"


def export(
    server: Standin,
    folder: Path,
    *,
    start: str,
    end: str,
    everyone: bool = False,
    per_minute: int = UNLIMITED,
    **rest: Any,
) -> Figures:
    """Run a job in a process of its own; raise RuntimeError if it fails."""
    path = folder / "job.yaml"
    path.write_text(json.dumps(_job(server, folder, start, end, everyone, per_minute, rest)))
    run = [sys.executable, "-m", "asyncreport", "run", str(path)]
    server.counts()
    done = subprocess.run(
        [*LAUNCHER, "3600", *run], env=environ(), capture_output=True, text=True, check=True
    )
    figures = json.loads(done.stdout)
    if figures["code"]:
        raise RuntimeError(done.stderr)
    summary = json.loads((folder / ".asyncreport" / "job" / "summary.json").read_text())
    return Figures(
        seconds=figures["seconds"],
        cpu=figures["cpu"],
        rss_mb=figures["rss_mb"],
        records=sum(summary["records"].values()),
        counts=server.counts(),
    )


def _job(
    server: Standin,
    folder: Path,
    start: str,
    end: str,
    everyone: bool,
    per_minute: int,
    rest: dict[str, Any],
) -> dict[str, Any]:
    team: dict[str, Any] = {"name": "all", "users": list(server.work.users)}
    if everyone:
        team = {"name": "all", "everyone": True}
    place = {
        "api_url": server.url,
        "login_url": server.url,
        "client_id": "c",
        "client_secret": "s",
        "requests_per_minute": per_minute,
    }
    job = {
        "name": "job",
        "connections": {"default": place},
        "range": {"start": start, "end": end, "granularity": server.work.granularity},
        "teams": [team],
        "output": {"path": str(folder / "out.jsonl")},
    }
    return {**job, **rest}


#: eight hours on five days: an agent has data in 24 of 100 half hours
OFFICE = Work(hours=8, days=5)


def lines() -> Iterator[Line]:
    """Measure the year of 1,000 agents, answers that are larger than expected, and a month."""
    yield from year()
    yield from surprises()


def year() -> Iterator[Line]:
    """Pull a year of 1,000 agents; then the year after it, when the density is known."""
    with standin(OFFICE) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for what, budget, start in (
            ("a first run", 1.6, "2023"),
            ("the density known", 1.25, "2024"),
        ):
            found = export(server, folder, start=f"{start}-01-01", end=f"{int(start) + 1}-01-01")
            yield Line(
                f"queries for a year of 1,000 agents, {what}",
                f"at most {budget} x records / {MAX_RECORDS:,}",
                found.times(),
                found.counts["queries"] <= budget * found.full_answers,
            )
            yield _peak(f"a year of 1,000 agents, {what}", found, 150)


def limited() -> Iterator[Line]:
    """Pull the same years at 300 requests in any 60 seconds."""
    with (
        standin(Work(hours=8, days=5, limit=300, latency=0.2)) as server,
        tempfile.TemporaryDirectory() as name,
    ):
        for what, budget, start in (
            ("a first run", 75, "2023"),
            ("the density known", 60, "2024"),
        ):
            found = export(
                server,
                Path(name),
                start=f"{start}-01-01",
                end=f"{int(start) + 1}-01-01",
                per_minute=300,
            )
            throttled = found.counts["throttled"]
            yield Line(
                f"a year of 1,000 agents at 300 a minute, {what}",
                f"at most {budget} s, no 429",
                f"{found.seconds:.1f} s, {throttled} times 429, {found.cpu:.1f} s of CPU",
                found.seconds <= budget and not throttled,
            )


def surprises() -> Iterator[Line]:
    """Pull answers that are larger than the ones before, or than a chunk allows."""
    jump = 1_690_000_000_000
    rare = Work(hours=1, days=7, full_from=jump)
    with standin(rare) as server, tempfile.TemporaryDirectory() as name:
        found = export(server, Path(name), start="2023-05-01", end="2023-10-01")
        yield _peak("4 of 100 half hours full, then all", found, 180)
    queues = Work(agents=60, hours=8, days=5, queues=50)
    with standin(queues) as server, tempfile.TemporaryDirectory() as name:
        found = export(
            server, Path(name), start="2024-01-01", end="2024-02-01", split_by=["queue_id"]
        )
        yield _peak("a month of 60 agents in 50 queues each", found, 150)


def _peak(what: str, found: Figures, most: int) -> Line:
    measured = f"{found.rss_mb:.0f} MB, {found.cpu:.1f} s of CPU, {found.times()}"
    return Line(f"peak memory, {what}", f"at most {most} MB", measured, found.rss_mb <= most)


if __name__ == "__main__":
    from tests.bench.table import markdown

    for line in (line for part in (year, limited, surprises) for line in part()):
        sys.stdout.write(markdown(("what", "budget", "measured", "met"), [line.cells()]))
        sys.stdout.flush()
