"""Bulk export of agent handle times from Genesys Cloud: a job file in, an exact JSONL file out.

summary = asyncreport.run("job.yaml")
for record in asyncreport.records("job.yaml"):
    print(record.user_name, record.interval_start, record.avg_handle_time_sec)

In a notebook, or any running event loop: `await asyncreport.run_async("job.yaml")`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncreport.commands.python_api import (
        JobSource,
        check,
        check_async,
        plan,
        plan_async,
        records,
        run,
        run_async,
        status,
        status_async,
        to_pandas,
        to_polars,
        verify,
        verify_async,
    )
    from asyncreport.core.errors import (
        ApiError,
        AsyncReportError,
        AuthError,
        ConfigError,
        CredentialsError,
        DamagedPartError,
        FolderInUseError,
        RejectedError,
        RetriesExhausted,
        StoreError,
        TransientError,
        UnknownTeamError,
    )
    from asyncreport.core.finding import Finding, Findings
    from asyncreport.export.job_plan import JobPlan
    from asyncreport.export.read_records import Record
    from asyncreport.export.status import Status
    from asyncreport.export.summary import Summary

__version__ = "1.0.0"

__all__ = [
    "ApiError",
    "AsyncReportError",
    "AuthError",
    "ConfigError",
    "CredentialsError",
    "DamagedPartError",
    "Finding",
    "Findings",
    "FolderInUseError",
    "JobPlan",
    "JobSource",
    "Record",
    "RejectedError",
    "RetriesExhausted",
    "Status",
    "StoreError",
    "Summary",
    "TransientError",
    "UnknownTeamError",
    "check",
    "check_async",
    "plan",
    "plan_async",
    "records",
    "run",
    "run_async",
    "status",
    "status_async",
    "to_pandas",
    "to_polars",
    "verify",
    "verify_async",
]

#: where each public type is defined; the functions and `JobSource` are in `commands/python_api`,
#: the errors in `core/errors`
_TYPES = {
    "Finding": "asyncreport.core.finding",
    "Findings": "asyncreport.core.finding",
    "JobPlan": "asyncreport.export.job_plan",
    "Record": "asyncreport.export.read_records",
    "Status": "asyncreport.export.status",
    "Summary": "asyncreport.export.summary",
}


def __dir__() -> list[str]:
    """List the public names, so that a notebook completes them."""
    return [*__all__, "__version__"]


# Not for type checkers: they would take every name for a public one.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name at its first use: `import asyncreport` must stay fast."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_home(name)), name)


def _home(name: str) -> str:
    """Give the module that defines a public name."""
    if name.endswith(("Error", "Exhausted")):
        return "asyncreport.core.errors"
    return _TYPES.get(name, "asyncreport.commands.python_api")
