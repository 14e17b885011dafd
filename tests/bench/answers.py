"""How many queries an export takes, what they cost, and how long they wait for the limit.

Owns the folders and processes that it uses. `python -m tests.bench.answers` takes ten minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncreport.core.plan import MAX_RECORDS
from asyncreport.core.timeline import DAY, iso, parse_iso
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
    path = job_of(
        server, folder, start=start, end=end, everyone=everyone, per_minute=per_minute, **rest
    )
    server.counts()
    figures = run(path)
    summary = json.loads((folder / ".asyncreport" / "job" / "summary.json").read_text())
    return Figures(
        seconds=figures["seconds"],
        cpu=figures["cpu"],
        rss_mb=figures["rss_mb"],
        records=sum(summary["records"].values()),
        counts=server.counts(),
    )


def run(
    path: Path,
    command: str = "run",
    *options: str,
    program: Sequence[str] = ("asyncreport",),
) -> dict[str, Any]:
    """Run a command on a job in a process of its own; give seconds, CPU seconds and peak MB.

    Raise RuntimeError if it fails.
    """
    asked = [sys.executable, "-m", *program, command, str(path), *options]
    done = subprocess.run(
        [*LAUNCHER, "3600", *asked], env=environ(), capture_output=True, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures["code"]:
        raise RuntimeError(done.stderr)
    return figures


def job_of(
    server: Standin,
    folder: Path,
    *,
    start: str,
    end: str,
    everyone: bool = False,
    per_minute: int = UNLIMITED,
    **rest: Any,
) -> Path:
    """Write a job of all agents; `rest` are sections of the file."""
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
        **rest,
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job))
    return path


#: eight hours on five days: an agent has data in 24 of 100 half hours
OFFICE = Work(hours=8, days=5)


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Measure the year of 1,000 agents, surprises, a large organisation, many teams.

    `quick`: the same with little data, and no limit; the figures mean nothing.
    """
    if quick:
        yield from surprises(days=2)
        yield from large(agents=200, months=1)
        yield from teams(1, agents=20)
        return
    yield from year()
    yield from limited()
    yield from surprises()
    yield from large()
    yield from teams()


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


def surprises(*, days: int = 0) -> Iterator[Line]:
    """Pull answers that are larger than the ones before, or than a chunk allows.

    `days`: of the range; 0: enough for the figures.
    """
    jump = parse_iso("2023-07-22T00:00Z")
    end = iso(parse_iso("2023-05-01T00:00Z") + (days or 153) * DAY)
    with standin(Work(hours=1, full_from=jump)) as server, tempfile.TemporaryDirectory() as name:
        found = export(server, Path(name), start="2023-05-01", end=end)
        yield _peak("4 of 100 half hours full, then all", found, 180)
    queues = Work(agents=60, hours=8, days=5, queues=50)
    end = iso(parse_iso("2024-01-01T00:00Z") + (days or 31) * DAY)
    with standin(queues) as server, tempfile.TemporaryDirectory() as name:
        found = export(server, Path(name), start="2024-01-01", end=end, split_by=["queue_id"])
        yield _peak("a month of 60 agents in 50 queues each", found, 150)


def large(*, agents: int = 10_000, months: int = 3) -> Iterator[Line]:
    """Pull everyone of a large organisation by the quarter hour, and verify it."""
    small = Work(agents=agents // 10, hours=8, days=5, granularity="PT15M")
    work = Work(agents=agents, hours=8, days=5, granularity="PT15M")
    end = f"2024-{1 + months:02}-01"
    cpu = {}
    for each in (small, work):
        with standin(each) as server, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found = export(server, folder, start="2024-01-01", end=end, everyone=True)
            cpu[each.agents] = found.cpu / found.records * 1e6
            verified = run(folder / "job.yaml", "verify")
    what = f"everyone of {agents:,} by PT15M, {months} months"
    yield _peak(what, found, 150)
    yield Line(
        f"peak memory of verify, {what}",
        "at most 150 MB",
        f"{verified['rss_mb']:.0f} MB, {verified['cpu']:.0f} s of CPU",
        verified["rss_mb"] <= 150,
    )
    ratio = cpu[work.agents] / cpu[small.agents]
    yield Line(
        f"CPU per record, {what}, compared with {small.agents:,}",
        "at most 1.3 x",
        f"{ratio:.2f} x ({cpu[work.agents]:.1f} us against {cpu[small.agents]:.1f} us)",
        ratio <= 1.3,
    )


def teams(number: int = 1_000, *, agents: int = 10_000) -> Iterator[Line]:
    """Write a file for each of many teams, and compare with one file of all."""
    with (
        standin(Work(agents=agents, hours=8, days=5)) as server,
        tempfile.TemporaryDirectory() as name,
    ):
        folder, users, size = Path(name), server.work.users, agents // number
        listed = [
            {"name": f"team {n}", "users": list(users[n * size : (n + 1) * size])}
            for n in range(number)
        ]
        month = {"start": "2024-01-01", "end": "2024-02-01", "teams": listed}
        export(server, folder, **month)
        idle = run(folder / "job.yaml")["seconds"]
        (folder / "out.jsonl").unlink()
        one = run(folder / "job.yaml")["seconds"] - idle
        output = {"path": str(folder / "out.jsonl"), "per_team": str(folder / "{team}.jsonl")}
        path = job_of(server, folder, **month, output=output)
        many = run(path)["seconds"] - idle
    yield Line(
        f"a file for each of {number:,} teams, a month of {agents:,} agents",
        "at most 3 x one file of all",
        f"{many / one:.2f} x ({many:.1f} s against {one:.1f} s)",
        many <= 3 * one,
    )


def _peak(what: str, found: Figures, most: int) -> Line:
    measured = f"{found.rss_mb:.0f} MB, {found.cpu:.1f} s of CPU, {found.times()}"
    return Line(f"peak memory, {what}", f"at most {most} MB", measured, found.rss_mb <= most)


if __name__ == "__main__":
    from tests.bench.table import markdown

    for line in lines():
        sys.stdout.write(markdown(("what", "budget", "measured", "met"), [line.cells()]))
        sys.stdout.flush()
