"""Run a job: fetch what is missing and write the output files."""

from __future__ import annotations

from asyncreport.config import refresh_interval
from asyncreport.core.job import Job
from asyncreport.export.run import Choices, run_job
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stderr import say

_INCOMPLETE = 1


def execute(job: Job, *, now: int, refresh: str | None, **choices: bool) -> int:
    """Run a job and print its summary; give the exit code.

    `refresh` is an interval to fetch again, as the option gives it; `choices` are the other fields
    of Choices.
    """
    interval = None
    if refresh is not None:
        interval = refresh_interval(refresh, job, now)
    screen = Screen()
    export = run_job(
        job,
        now=now,
        say=say,
        watch=screen.watching,
        choices=Choices(refresh=interval, **choices),
    )
    try:
        summary = run_until_signal(export, screen.stopping)
    except Stopped:
        say("finished chunks are kept; run again to continue")
        raise
    for line in summary.lines():
        say(line)
    return 0 if summary.complete else _INCOMPLETE
