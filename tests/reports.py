"""Make reports in a process of their own: a browser's event loop runs in this one. Owns nothing."""

from __future__ import annotations

from pathlib import Path

from tests.exporting import call


def run(job: Path) -> None:
    """Run a job."""
    ended = call("run", job.name, cwd=job.parent)
    assert ended.code == 0, ended.err


def make(job: Path, name: str = "report.html", *options: str) -> Path:
    """Make a report of a job that was run."""
    ended = call("report", job.name, "-o", name, *options, cwd=job.parent)
    assert (ended.code, ended.out) == (0, ""), ended.err
    return job.parent / name
