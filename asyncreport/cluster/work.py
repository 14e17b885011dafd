"""What travels between the client and the workers: a task, its progress, its result. Pure.

A task has no secret: Dask shows the arguments of tasks in its logs and pages.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from asyncreport.config import Unresolved, load_zone
from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Job
from asyncreport.export.run_context import Choices
from asyncreport.export.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One connection to export."""

    #: start of the run, an instant
    now: int
    #: with absolute paths, and without the connection's credentials
    job: Job
    connection: Unresolved
    #: the file of variables, relative to the current folder of the worker
    env_file: Path
    choices: Choices
    #: a file that the client has written; None: the output is not in a folder
    marker: Path | None


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Packed:
    """The work of one task; packed, so that a worker of another version says so."""

    #: of the job, in messages
    label: str
    #: of asyncreport
    version: str
    #: where the client hears of the task
    topic: str
    content: bytes

    def __repr__(self) -> str:
        """Name the connection: that is all that a log needs."""
        return f"Packed({self.label!r})"

    def unpack(self) -> Work:
        """Give the work; only for the same version."""
        work: Work = pickle.loads(self.content)  # noqa: S301 - Dask itself runs what is sent
        return work


def packed(work: Work) -> bytes:
    """Write work as bytes."""
    buffer = BytesIO()
    _Pickler(buffer).dump(work)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    """Writes a time zone as its name: the worker has the same rules of it."""

    def reducer_override(self, value: Any) -> Any:
        """Say how a value is built."""
        if isinstance(value, ZoneInfo):
            return load_zone, (str(value),)
        return NotImplemented


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a task tells the client while it runs."""

    #: of the job
    label: str
    #: a line for people; empty: there is none
    line: str = ""
    #: the task waits for another process
    waiting: bool = False
    ended: bool = False
    chunks: int = 0
    finished: int = 0
    failed: int = 0


class Outcome(Struct, frozen=True, kw_only=True):
    """How a task ended."""

    #: None: the run could not go on
    summary: Summary | None = None
    error: str = ""
    exit_code: int = 0
    #: for -v
    traceback: str = ""


class RemoteError(AsyncReportError):
    """Report what went wrong on a worker, or between the client and the cluster."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        """Take the message, and the exit code that the run would have had here."""
        super().__init__(message)
        self.exit_code = exit_code
