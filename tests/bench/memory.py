"""Peak memory of a real export, in a process of its own.

The server is a small stand-in with data in every bucket, or in 8 hours of each day.
`python -m tests.bench.memory` takes about two minutes; `python -m tests.bench.memory 3652 8` pulls
ten years with 8 hours of work a day.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from asyncreport.core.timeline import DAY, iso, parse_iso
from tests.bench.answers import UNLIMITED, Figures, export
from tests.bench.standin import Work, standin
from tests.bench.table import Line

START = parse_iso("2014-01-01T00:00:00Z")


def peak(
    *,
    days: int,
    hours: int = 24,
    everyone: bool = True,
    limit: int = UNLIMITED,
    suffix: str = ".jsonl",
) -> Figures:
    """Export some days of 1,000 agents by the half hour in a process of its own."""
    end = iso(START + days * DAY)
    with standin(Work(hours=hours)) as server, tempfile.TemporaryDirectory() as name:
        found = export(
            server,
            Path(name),
            start=iso(START),
            end=end,
            everyone=everyone,
            per_minute=limit,
            output={"path": str(Path(name) / f"out{suffix}")},
        )
    assert found.records == days * 2 * hours * 1_000
    return found


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Compare peaks with the budget: full months in several ways, and 8 hours a day."""
    month, year = (1, 2) if quick else (31, 365)
    for what, found in (
        ("a month of all users, every half hour full", peak(days=month)),
        ("a month of listed users, every half hour full", peak(days=month, everyone=False)),
        ("the first at 300 a minute", peak(days=month, limit=300)),
        ("a month of all users, 8 hours a day", peak(days=month, hours=8)),
        ("a year of all users, 8 hours a day", peak(days=year, hours=8)),
    ):
        yield Line(
            f"peak memory, 1,000 agents, {what}",
            "at most 150 MB",
            f"{found.rss_mb:.0f} MB",
            found.rss_mb <= 150,
        )
    yield from formats(quick=quick)


def formats(*, quick: bool = False) -> Iterator[Line]:
    """Compare whole runs that convert with their budgets: 2 million records, a sheet half of it."""
    for suffix, days, budget in (
        (".parquet", 42, 180),
        (".csv.gz", 42, 150),
        (".csv.zst", 42, 150),
        (".xlsx", 21, 150),
    ):
        found = peak(days=1 if quick else days, suffix=suffix)
        yield Line(
            f"peak memory of a run that writes {found.records:,} records to `{suffix}`",
            f"at most {budget} MB",
            f"{found.rss_mb:.0f} MB, {found.cpu:.0f} s of CPU",
            found.rss_mb <= budget,
        )


def main(arguments: Sequence[str]) -> None:
    """Pull some days, or compare all peaks with the budget."""
    if arguments:
        days, hours = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 24
        sys.stdout.write(f"{days} days of {hours} hours: {peak(days=days, hours=hours)}\n")
        return
    for line in lines():
        sys.stdout.write(f"{line.what}: {line.measured}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
