"""Run a job: fetch what is missing and write the output files."""

from __future__ import annotations

from asyncreport.commands.report_page import page_maker
from asyncreport.commands.resumable import run_resumable
from asyncreport.commands.run_options import RunOptions
from asyncreport.core.job import Job
from asyncreport.export.run import run_job
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.stderr import lines_shown, say


def execute(job: Job, options: RunOptions) -> int:
    """Run a job, show its progress and print its summary; give the exit code."""
    screen = Screen()
    export = run_job(
        job,
        now=options.now,
        say=say,
        watch=screen.watching,
        choices=options.choices(job),
        make_page=page_maker("asyncreport run"),
    )
    summary = run_resumable(export, screen.stopping)
    for line in summary.lines(lines_shown()):
        say(line)
    return summary.exit_code
