"""Check a job's connections before a run."""

from __future__ import annotations

from asyncreport.core.finding import unreported
from asyncreport.core.job import Job
from asyncreport.export.check import check_job
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stdout import show_finding, show_json


def execute(job: Job, *, now: int, as_json: bool = False) -> int:
    """Print a finding for each test; give the highest exit code of the failures."""
    screen, report = Screen(), unreported if as_json else show_finding
    check = check_job(job.impatient, now=now, report=report, watch=screen.watching)
    findings = run_until_signal(check, screen.close)
    if as_json:
        show_json(findings.plain(), job)
    return findings.exit_code
