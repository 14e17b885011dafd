"""Bulk export of agent handle times from Genesys Cloud: a job file in, an exact JSONL file out.

now = clock()
job = load_job(Path("job.yaml"), environ=os.environ, now=now)
summary = asyncio.run(run(job, now=now, say=print))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncreport.config import load_job, read_environ
    from asyncreport.core.errors import AsyncReportError
    from asyncreport.core.job import Job
    from asyncreport.export.run import clock
    from asyncreport.export.run import run_job as run
    from asyncreport.export.summary import Summary

__version__ = "0.1.0"

__all__ = [
    "AsyncReportError",
    "Job",
    "Summary",
    "clock",
    "load_job",
    "read_environ",
    "run",
]

#: where each public name is defined
_HOMES = {
    "AsyncReportError": ("asyncreport.core.errors", "AsyncReportError"),
    "Job": ("asyncreport.core.job", "Job"),
    "Summary": ("asyncreport.export.summary", "Summary"),
    "clock": ("asyncreport.export.run", "clock"),
    "load_job": ("asyncreport.config", "load_job"),
    "read_environ": ("asyncreport.config", "read_environ"),
    "run": ("asyncreport.export.run", "run_job"),
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: `asyncreport --help` must not load every module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
