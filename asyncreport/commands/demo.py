"""Run the demo job that is shipped with the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path

from asyncreport.commands import run
from asyncreport.commands.run_options import RunOptions
from asyncreport.core.job import Job
from asyncreport.terminal.stderr import say


@contextmanager
def demo_file() -> Iterator[Path]:
    """Give the path of the demo job while the context is open."""
    with as_file(_resource()) as path:
        yield path


def _resource() -> Traversable:
    """Find the demo job: in the installed package, else in the checkout."""
    package = files("asyncreport")
    shipped = package / "commands" / "demo.yaml"
    # The build copies the file into the wheel; an editable install has the checkout only.
    if shipped.is_file():
        return shipped
    return package / ".." / "configs" / "demo.yaml"


def execute(job: Job, *, now: int) -> int:
    """Run the demo job, say what it wrote and what to try next; give the exit code."""
    say("running the demo job against an emulated organisation; no credentials needed")
    exit_code = run.execute(job, RunOptions(now=now))
    if exit_code == 0:
        _say_next_steps(job)
    return exit_code


def _say_next_steps(job: Job) -> None:
    """Say where the records are, and what to try next."""
    say(f"the records are in {job.output.paths[0]}, one JSON object a line; try next:")
    say("  asyncreport demo       # again: nothing to do, all parts are reused")
    say("  asyncreport query --emulator --start 2024-01-01 --end 2024-01-02")
    say("  asyncreport init       # a job file for your own organisation")
    say("  asyncreport --help     # all commands")
