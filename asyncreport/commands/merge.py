"""Write the output files of a job from what several machines have fetched."""

from __future__ import annotations

from asyncreport.commands import run
from asyncreport.commands.run_options import RunOptions
from asyncreport.core.apart import CONNECTION, is_apart
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job


def execute(job: Job, *, now: int, allow_partial: bool) -> int:
    """Write the files and print a summary; give the exit code."""
    if is_apart(job):
        raise ConfigError(
            f"{job.name}: output.path contains {CONNECTION}, so `run` writes separate files for "
            "each connection, and nothing is left to merge"
        )
    return run.execute(job, RunOptions(now=now, allow_partial=allow_partial, fetch=False))
