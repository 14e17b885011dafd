"""CPU and memory of a report: a year of half hours, ten years of days, and the page of a run.

Owns its folder. `python -m tests.bench.report` takes about five minutes, most of them to fetch.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench.answers import OFFICE, Figures, export, run
from tests.bench.standin import Standin, Work, standin
from tests.bench.table import Line, print_lines

#: CPU seconds and peak MB that a report may take
SECONDS, PEAK = 60, 200
#: agents of a team
TEAM = 50


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Make the report of a year of 1,000 agents, and of ten years; `quick`: of little data."""
    year, ten_years = OFFICE, Work(granularity="P1D", days=5)
    starts = "2023-01-01", "2014-01-01"
    if quick:
        year, ten_years = replace(year, agents=60), replace(ten_years, agents=60)
        starts = "2023-12-29", "2023-11-01"
    yield from _lines("half hours", year, starts[0])
    yield from _lines("days", ten_years, starts[1])


def _lines(what: str, work: Work, start: str) -> Iterator[Line]:
    """Export a range in teams, and make its report: with the command, and in a run."""
    with standin(work) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exported = _export(server, folder, start)
        path, page = str(folder / "job.yaml"), folder / "page.html"
        found = run(Path(path), "report", "-o", str(page))
        about = f"{exported.records:,} records of {what}, {len(work.users):,} agents"
        yield _line(f"a report of {about}", found, page)
        found = run(Path(path), "run", "--set", f"output.report={page}")
        yield _line("the same page in a run that fetches nothing", found, page)


def _export(server: Standin, folder: Path, start: str) -> Figures:
    """Export a range until the end of 2023."""
    users = server.work.users
    teams = [
        {"name": f"team {first // TEAM + 1}", "users": users[first : first + TEAM]}
        for first in range(0, len(users), TEAM)
    ]
    return export(server, folder, start=start, end="2024-01-01", teams=teams)


def _line(what: str, found: dict[str, Any], page: Path) -> Line:
    """Compare a process with the budget."""
    cpu, rss, size = found["cpu"], found["rss_mb"], page.stat().st_size / 1e6
    return Line(
        what,
        f"at most {SECONDS} s and {PEAK} MB",
        f"{cpu:.0f} s of CPU ({found['seconds']:.0f} s), {rss:.0f} MB; the page has {size:.1f} MB",
        cpu <= SECONDS and rss <= PEAK,
    )


def main() -> None:
    """Compare all with the budget."""
    print_lines(lines(quick="--quick" in sys.argv))


if __name__ == "__main__":
    main()
