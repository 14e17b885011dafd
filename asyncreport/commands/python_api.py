"""The Python API: each command as a function with a typed result. Prints nothing.

Messages and progress go to the logger `asyncreport`. `connection` names one connection of a job
with `{connection}` in its paths: each is a job of its own. Owns the event loop of a call that is
not awaited.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import finalize

from asyncreport.commands.report_page import page_maker
from asyncreport.config import load_job, read_environ, refresh_interval
from asyncreport.core.apart import CONNECTION, apart, is_apart
from asyncreport.core.errors import ConfigError
from asyncreport.core.finding import Findings
from asyncreport.core.job import Job
from asyncreport.core.object_urls import as_objects
from asyncreport.core.text import MAX_SHOWN, first_items, printable
from asyncreport.engine.activity import Activity
from asyncreport.engine.background import in_background
from asyncreport.export.check import check_job
from asyncreport.export.frames import pandas_frame, polars_frame
from asyncreport.export.job_plan import JobPlan, plan_job
from asyncreport.export.object_names import named_as_objects
from asyncreport.export.read_records import Export, Record, finished_export
from asyncreport.export.run import clock, run_job
from asyncreport.export.run_context import Choices
from asyncreport.export.status import Status, read_status
from asyncreport.export.summary import Summary
from asyncreport.export.verify import verify_job

if TYPE_CHECKING:
    import pandas
    import polars

T = TypeVar("T")

#: the path of a job file, or what the file contains: the mapping that a reader of YAML gives
JobSource = str | os.PathLike[str] | Mapping[str, Any]

#: values by the key that they replace, as messages spell keys: `range.end`, `teams[0].name`
Overrides = Mapping[str, Any]

_NO_OVERRIDES: Overrides = {}

#: seconds between two messages about the progress of a run
_PERIOD = 10.0

_LOG = logging.getLogger("asyncreport")
# Without a handler, Python itself prints warnings to stderr.
_LOG.addHandler(logging.NullHandler())


async def run_async(
    job: JobSource,
    *,
    overrides: Overrides = _NO_OVERRIDES,
    connection: str | None = None,
    allow_partial: bool = False,
    refresh: str | None = None,
    refresh_names: bool = False,
    strict: bool = False,
) -> Summary:
    """Fetch the missing data, and write the output files and the report.

    A run with gaps or unknown teams ends without an error: `summary.complete` is False, the summary
    lists them, and the files are left as they were, unless `allow_partial`. `refresh` is an
    interval to fetch again, `2024-01-01/2024-01-08`; `refresh_names` looks up every name again;
    `strict` raises an error before any query if a team cannot be looked up.

    Raise ConfigError, AuthError, RejectedError or StoreError if the run cannot go on, and
    RetriesExhausted if the server cannot be reached.
    """
    loaded, now = _load(job, overrides, connection)
    summary = await run_job(
        loaded,
        now=now,
        say=_log_line,
        warn=_log_warning,
        watch=_log_progress,
        choices=Choices(
            allow_partial=allow_partial,
            refresh_names=refresh_names,
            strict=strict,
            refresh=refresh_interval(refresh, loaded, now),
        ),
        make_page=page_maker("asyncreport.run"),
    )
    named: Summary = named_as_objects(summary)
    for line in named.lines(MAX_SHOWN):
        _log_line(line)
    return named


def run(
    job: JobSource,
    *,
    overrides: Overrides = _NO_OVERRIDES,
    connection: str | None = None,
    allow_partial: bool = False,
    refresh: str | None = None,
    refresh_names: bool = False,
    strict: bool = False,
) -> Summary:
    """Fetch the missing data and write the output files, as `run_async` does.

    Ctrl-C raises KeyboardInterrupt; finished chunks are kept, and the next run goes on from there.
    Raise RuntimeError inside a running event loop.
    """
    return _in_own_loop(
        "run",
        partial(
            run_async,
            job,
            overrides=overrides,
            connection=connection,
            allow_partial=allow_partial,
            refresh=refresh,
            refresh_names=refresh_names,
            strict=strict,
        ),
    )


async def plan_async(
    job: JobSource, *, overrides: Overrides = _NO_OVERRIDES, connection: str | None = None
) -> JobPlan:
    """Say what a run would fetch and reuse, and change nothing.

    Requests are sent only to look up teams, listed users and the number of users. Raise
    ConfigError, AuthError, RetriesExhausted or StoreError.
    """
    loaded, now = _load(job, overrides, connection)
    found: JobPlan = named_as_objects(
        await plan_job(loaded.impatient, now=now, watch=_log_progress)
    )
    return found


def plan(
    job: JobSource, *, overrides: Overrides = _NO_OVERRIDES, connection: str | None = None
) -> JobPlan:
    """Say what a run would fetch and reuse, as `plan_async` does.

    Raise RuntimeError inside a running event loop.
    """
    return _in_own_loop(
        "plan", partial(plan_async, job, overrides=overrides, connection=connection)
    )


async def check_async(
    job: JobSource, *, overrides: Overrides = _NO_OVERRIDES, connection: str | None = None
) -> Findings:
    """Check folders, credentials, permissions, limits and teams: one finding for each test.

    A test that fails is a finding and not an error. Raise ConfigError for a wrong job.
    """
    loaded, now = _load(job, overrides, connection)
    found: Findings = named_as_objects(
        await check_job(loaded.impatient, now=now, watch=_log_progress)
    )
    return found


def check(
    job: JobSource, *, overrides: Overrides = _NO_OVERRIDES, connection: str | None = None
) -> Findings:
    """Check folders, credentials, permissions, limits and teams, as `check_async` does.

    Raise RuntimeError inside a running event loop.
    """
    return _in_own_loop(
        "check", partial(check_async, job, overrides=overrides, connection=connection)
    )


async def verify_async(
    job: JobSource, *, overrides: Overrides = _NO_OVERRIDES, connection: str | None = None
) -> Findings:
    """Verify that an export is complete and correct, and change nothing: one finding for each test.

    Raise ConfigError for a wrong job, StoreError if a run changes the export meanwhile, and
    AuthError, RejectedError or RetriesExhausted if the server gives no totals.
    """
    loaded, now = _load(job, overrides, connection)
    found: Findings = named_as_objects(await verify_job(loaded, now=now, watch=_log_progress))
    return found


def verify(
    job: JobSource, *, overrides: Overrides = _NO_OVERRIDES, connection: str | None = None
) -> Findings:
    """Verify that an export is complete and correct, as `verify_async` does.

    Raise RuntimeError inside a running event loop.
    """
    return _in_own_loop(
        "verify", partial(verify_async, job, overrides=overrides, connection=connection)
    )


async def status_async(
    job: JobSource, *, overrides: Overrides = _NO_OVERRIDES, connection: str | None = None
) -> Status:
    """Say what is on disk and what is missing, in a thread: the event loop goes on meanwhile.

    Raise ConfigError or StoreError.
    """
    return await asyncio.to_thread(status, job, overrides=overrides, connection=connection)


def status(
    job: JobSource, *, overrides: Overrides = _NO_OVERRIDES, connection: str | None = None
) -> Status:
    """Say what is on disk, what is missing, and whether a run is in progress; send no request.

    Works inside a running event loop too. Raise ConfigError or StoreError.
    """
    loaded, now = _load(job, overrides, connection)
    found: Status = named_as_objects(read_status(loaded, now=now))
    return found


def records(
    job: JobSource,
    *,
    overrides: Overrides = _NO_OVERRIDES,
    connection: str | None = None,
    allow_partial: bool = False,
) -> Iterator[Record]:
    """Iterate over the records of a finished export, one at a time, in the order of the file.

    They are read from the path of `output.path` that is read fastest: JSON lines, else CSV, else
    Parquet. Raise ConfigError if there are only workbooks (`.xlsx`), or if `output.columns` leaves
    out a column of `Record`. Raise StoreError if the export was never written, was changed or
    deleted, or is not what a run would write now; also if records are missing in it, unless
    `allow_partial`.

    Of a job in a bucket, the files are copied into a temporary folder, which is deleted after the
    last record, or with the iterator.
    """
    with ExitStack() as stack:
        export = stack.enter_context(_export(job, overrides, connection, allow_partial))
        rows = export.records()
        opened = stack.pop_all()
    found = _records(rows, opened)
    # A generator that never starts never ends.
    finalize(found, opened.close)
    return found


def to_pandas(
    job: JobSource,
    *,
    overrides: Overrides = _NO_OVERRIDES,
    connection: str | None = None,
    allow_partial: bool = False,
) -> pandas.DataFrame:
    """Read a finished export into a data frame of pandas, with the columns of the file.

    Instants are `datetime64[ms, UTC]`, dates `datetime64[ms]`, counts `int64`, other numbers
    `float64` (null is NaN), texts `string`. Raise ImportError without pandas, and the errors of
    `records`; any columns will do.
    """
    with _export(job, overrides, connection, allow_partial) as export:
        return pandas_frame(export)


def to_polars(
    job: JobSource,
    *,
    overrides: Overrides = _NO_OVERRIDES,
    connection: str | None = None,
    allow_partial: bool = False,
) -> polars.DataFrame:
    """Read a finished export into a data frame of Polars, with the columns of the file.

    Instants are `Datetime("ms", "UTC")`, dates `Date`, counts `Int64`, other numbers `Float64`,
    texts `String`. Raise ImportError without Polars, and the errors of `records`; any columns will
    do.
    """
    with _export(job, overrides, connection, allow_partial) as export:
        return polars_frame(export)


def _load(
    source: JobSource,
    overrides: Overrides,
    connection: str | None,
) -> tuple[Job, int]:
    """Read a job, and `.env` of the current folder; give the job and the current instant."""
    now = clock()
    environ = read_environ(Path(), os.environ)
    given = source if isinstance(source, Mapping) else Path(source)
    job = load_job(given, environ=environ, overrides=_texts(overrides), now=now)
    if is_apart(job) or connection is not None:
        return _only(job, connection), now
    return job, now


def _only(job: Job, connection: str | None) -> Job:
    """Give the job of one connection; raise ConfigError if the job has no such job."""
    if not is_apart(job):
        raise ConfigError(
            f"connection={connection!r}: {job.name} is exported as a whole; "
            f"write {CONNECTION} into its paths, or leave out connection"
        )
    jobs = {each.connections[0].name: each for each in apart(job)}
    if connection not in jobs:
        raise ConfigError(
            f"connection={connection!r}: each connection of {job.name} is a job of its own; "
            f"accepted: {first_items(list(map(repr, jobs)))}"
        )
    return jobs[connection]


def _texts(overrides: Overrides) -> list[str]:
    """Write overrides as the option `--set` gives them; JSON is YAML."""
    return [
        f"{key}={json.dumps(value, default=str, ensure_ascii=False)}"
        for key, value in overrides.items()
    ]


def _export(
    source: JobSource, overrides: Overrides, connection: str | None, allow_partial: bool
) -> AbstractContextManager[Export]:
    """Open the files of a finished export."""
    loaded, now = _load(source, overrides, connection)
    return finished_export(loaded, now=now, allow_partial=allow_partial)


def _records(found: Iterator[Record], opened: ExitStack) -> Iterator[Record]:
    """Give all records, then close their files."""
    with opened:
        yield from found


def _in_own_loop(name: str, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in an event loop of its own; `start` makes it.

    At SIGINT asyncio cancels it, waits until it has ended, and raises KeyboardInterrupt.
    """
    if _is_in_loop():
        raise RuntimeError(
            f"an event loop is running here, as in a notebook; "
            f"use `await asyncreport.{name}_async(...)` instead of asyncreport.{name}(...)"
        )
    return asyncio.run(start())


def _is_in_loop() -> bool:
    """Tell whether an event loop is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _log_line(text: str) -> None:
    """Log what the command line would print."""
    _LOG.info("%s", printable(as_objects(text)))


def _log_warning(text: str) -> None:
    """Log a warning."""
    _LOG.warning("%s", printable(as_objects(text)))


@asynccontextmanager
async def _log_progress(activity: Activity) -> AsyncIterator[None]:
    """Log what a command is doing while the body runs."""
    async with in_background(_log_periodically(activity)):
        yield


async def _log_periodically(activity: Activity) -> None:
    """Log figures until the task is cancelled."""
    progress = activity.progress
    while True:
        await asyncio.sleep(_PERIOD)
        _LOG.info(
            "%s: %s, %d/%d chunks, %d failed, %d records",
            printable(activity.name),
            activity.phase,
            progress.finished,
            progress.chunks,
            len(progress.gaps),
            progress.records,
        )
