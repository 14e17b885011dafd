"""Bulk export of agent handle time from Genesys Cloud: one job file in, one exact JSONL file out.

now = clock()
job = load_job(Path("job.yaml"), environ=os.environ, now=now)
summary = asyncio.run(run_job(job, now=now, screen=Screen()))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncreport.config import load_job, read_environ
    from asyncreport.core.errors import AsyncReportError
    from asyncreport.core.job import Job
    from asyncreport.export.run import clock, run_job
    from asyncreport.export.summary import Summary
    from asyncreport.terminal.progress import Screen

__version__ = "0.1.0"

__all__ = [
    "AsyncReportError",
    "Job",
    "Screen",
    "Summary",
    "clock",
    "load_job",
    "read_environ",
    "run_job",
]

_HOMES = {
    "AsyncReportError": "core.errors",
    "Job": "core.job",
    "Screen": "terminal.progress",
    "Summary": "export.summary",
    "clock": "export.run",
    "load_job": "config",
    "read_environ": "config",
    "run_job": "export.run",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `asyncreport --help` must not wait for the whole of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
