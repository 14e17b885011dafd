"""Run a job: fetch what is missing and write the output files."""

from __future__ import annotations

from asyncreport.commands.report_page import page_maker
from asyncreport.config import refresh_interval
from asyncreport.core.job import Job
from asyncreport.export.run import run_job
from asyncreport.export.run_context import Choices
from asyncreport.export.summary import Summary
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stderr import lines_shown, say


def execute(job: Job, *, now: int, refresh: str | None, **choices: bool) -> int:
    """Run a job and print its summary; give the exit code.

    `refresh` is an interval to fetch again, as the option gives it; `choices` are the other fields
    of Choices.
    """
    chosen = Choices(refresh=refresh_interval(refresh, job, now), **choices)
    summary = _run_on_screen(job, chosen, now=now)
    for line in summary.lines(lines_shown()):
        say(line)
    return summary.exit_code


def _run_on_screen(job: Job, choices: Choices, *, now: int) -> Summary:
    """Run a job and show its progress; raise Stopped at a signal."""
    screen = Screen()
    export = run_job(
        job,
        now=now,
        say=say,
        watch=screen.watching,
        choices=choices,
        make_page=page_maker("asyncreport run"),
    )
    try:
        return run_until_signal(export, screen.stopping)
    except Stopped:
        say("finished chunks are kept; run again to continue")
        raise
