"""Check a job's connections before a run."""

from __future__ import annotations

from asyncreport.core.job import Job
from asyncreport.export.check import check_job
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stdout import show_finding


def execute(job: Job, *, now: int) -> int:
    """Print a finding for each test; give the highest exit code of the failures."""
    screen = Screen()
    check = check_job(job.impatient, now=now, report=show_finding, watch=screen.watching)
    findings = run_until_signal(check, screen.close)
    return findings.exit_code
