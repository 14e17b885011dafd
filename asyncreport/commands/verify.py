"""Verify an export."""

from __future__ import annotations

from asyncreport.core.job import Job
from asyncreport.export.verify import verify_job
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stdout import show_finding


def execute(job: Job, *, now: int) -> int:
    """Print a finding for each test; give the highest exit code of the failures."""
    screen = Screen()
    verification = verify_job(job, now=now, report=show_finding, watch=screen.watching)
    findings = run_until_signal(verification, screen.close)
    return findings.exit_code
