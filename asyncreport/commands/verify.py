"""Verify an export."""

from __future__ import annotations

from asyncreport.core.job import Job
from asyncreport.export.verify import verify
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stdout import Findings


def execute(job: Job, *, now: int) -> int:
    """Print a finding for each test; give the highest exit code of the failures."""
    findings = Findings()
    run_until_signal(verify(job, findings.show, now=now))
    return findings.exit_code
