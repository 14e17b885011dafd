"""The task of a worker: one connection, run by the same engine. Owns its event loop.

A worker runs a task in a thread that nothing can stop from outside. The task looks by itself
whether it is still wanted: not if the client stopped it or is gone, or if the worker closes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import traceback
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from asyncreport import __version__
from asyncreport.cluster.report import Report
from asyncreport.cluster.work import Outcome, Packed, Work
from asyncreport.commands.report_page import page_maker
from asyncreport.config import read_environ, storage_settings
from asyncreport.core.errors import AsyncReportError, ConfigError, FolderInUseError, StoreError
from asyncreport.core.job import Job
from asyncreport.core.object_urls import SCHEME
from asyncreport.export.run import run_job
from asyncreport.export.summary import Summary
from asyncreport.store.objects.localize import bucket_of
from asyncreport.terminal.error_texts import unexpected_error

T = TypeVar("T")

#: seconds between two looks whether the task is wanted
_LOOK_PERIOD = 0.5
#: seconds between two looks whether another process still holds the connection
_LOCK_PERIOD = 1.0


def run_connection(packed: Packed) -> bytes:
    """Export a connection; give an Outcome as JSON.

    Raise no error: Dask would write a traceback with the arguments of the task into its logs.
    Reschedule is not one: another worker runs the task, if anybody still wants it.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    key = str(worker.get_current_task())
    report = Report(packed, worker.log_event)
    try:
        outcome = _outcome(packed, report, lambda: _is_wanted(worker, key))
    except asyncio.CancelledError:
        raise Reschedule from None
    finally:
        report.end()
    return msgspec.json.encode(outcome)


def _is_wanted(worker: Any, key: str) -> bool:
    """Tell whether anybody wants the result of a task, and from this worker.

    The scheduler forgets a task that the client cancels, and the tasks of a client that is gone.
    Then it is in the state `cancelled` here:
    https://distributed.dask.org/en/stable/worker-state.html
    """
    task = worker.state.tasks.get(key)
    running = worker.status.name in {"running", "paused"}
    return running and task is not None and task.state != "cancelled"


def _outcome(packed: Packed, report: Report, wanted: Callable[[], bool]) -> Outcome:
    """Run a task to its end, whatever that is; raise CancelledError if it was not wanted."""
    try:
        _check_version(packed.version)
        summary = asyncio.run(_until_unwanted(_run(packed.unpack(), report), wanted))
    except asyncio.CancelledError as error:
        if not wanted():
            raise
        # A fault of ours: elsewhere it would happen again.
        return _failed(error, *unexpected_error(error))
    except AsyncReportError as error:
        return _failed(error, str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - reported with the exit code of its own
        return _failed(error, *unexpected_error(error))
    return Outcome(summary=summary, exit_code=summary.exit_code)


def _failed(error: BaseException, text: str, exit_code: int) -> Outcome:
    """Describe a run that could not go on."""
    lines = "".join(traceback.format_exception(error))
    return Outcome(error=text, exit_code=exit_code, traceback=lines)


async def _until_unwanted(command: Coroutine[Any, Any, T], wanted: Callable[[], bool]) -> T:
    """Await a coroutine; cancel it if the task is not wanted any more."""
    task = asyncio.create_task(command)
    while not task.done() and wanted():
        await asyncio.wait([task], timeout=_LOOK_PERIOD)
    # Once only: a second time would interrupt what it still writes.
    task.cancel()
    await asyncio.wait([task])
    return task.result()


async def _run(work: Work, report: Report) -> Summary:
    """Run the job as soon as no other process holds its connection."""
    job = _resolved(work)
    while True:
        try:
            return await run_job(
                job,
                now=work.now,
                say=report.say,
                watch=report.watching,
                choices=work.choices,
                make_page=page_maker("asyncreport run"),
            )
        except FolderInUseError as error:
            # Not a failure: the worker that had the connection before may only be slow to end.
            report.wait_for(error.fact)
        await asyncio.sleep(_LOCK_PERIOD)


def _resolved(work: Work) -> Job:
    """Give the job with the credentials of this environment; raise ConfigError or StoreError."""
    _check_folder(work)
    try:
        environ = read_environ(Path(), os.environ, work.env_file)
        return _with_secrets(work, environ)
    except ConfigError as error:
        raise ConfigError(f"on the worker at {socket.gethostname()}: {error}") from error


def _with_secrets(work: Work, environ: Mapping[str, str]) -> Job:
    """Give the job with the credentials of an environment; raise ConfigError."""
    # The client knows what other connections of the job mean for this one.
    known = work.job.connections[0]
    connection = replace(
        work.connection.resolve(environ),
        credentials_in_form=known.credentials_in_form,
        shares_host=known.shares_host,
    )
    job = replace(work.job, connections=(connection,))
    bucket = bucket_of(job)
    if bucket is None:
        return job
    return replace(job, storage=storage_settings(f"{SCHEME}{bucket}", environ))


def _check_version(version: str) -> None:
    """Refuse the task of another version, which may mean something else."""
    if version != __version__:
        raise ConfigError(
            f"the worker at {socket.gethostname()} has asyncreport {__version__}, the client "
            f"{version}; install the same version on all workers"
        )


def _check_folder(work: Work) -> None:
    """Check that this is the folder of the client, and not one of the same name."""
    if work.marker is not None and not work.marker.exists():
        raise StoreError(
            f"the worker at {socket.gethostname()} does not see {work.marker.parent} as the "
            "client does; use a folder that all workers share, under the same path"
        )
