"""Execute a command on one connection of a job after the other."""

from __future__ import annotations

from collections.abc import Callable

from asyncreport.core.apart import apart, is_apart
from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Job
from asyncreport.terminal.stderr import say, say_traceback
from asyncreport.terminal.stdout import show_error

#: execute a command on a job; the exit code, or None for 0
Execute = Callable[[Job], int | None]


def worst(job: Job, execute: Execute, *, as_json: bool = False) -> int:
    """Execute a command on each job that runs independently; give the worst exit code.

    If connections have files of their own, one that fails does not stop the others. `as_json`: its
    error is a line of the result too.
    """
    if not is_apart(job):
        return execute(job) or 0
    return max(_exit_code(each, execute, as_json=as_json) for each in apart(job))


def _exit_code(job: Job, execute: Execute, *, as_json: bool) -> int:
    """Execute a command on a connection; report its error with its name in front."""
    try:
        return execute(job) or 0
    except AsyncReportError as error:
        say_traceback(error)
        say(f"{job.name}: error: {error}")
        if as_json:
            show_error(error, job)
        return error.exit_code
