"""Run one query in a temporary folder and show its records, or the likely causes of none."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from asyncreport.commands.query_causes import explain_no_records, sent_requests
from asyncreport.commands.query_options import QueryOptions, make_job
from asyncreport.core.errors import RetriesExhausted, StoreError
from asyncreport.core.job import Job
from asyncreport.core.text import counted
from asyncreport.engine.activity import Watch, unwatched
from asyncreport.export.run import clock, run_job
from asyncreport.export.run_context import Choices, Say, silent
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stderr import say, show_times_in
from asyncreport.terminal.stdout import writing


class QueryResult(Struct, frozen=True):
    """What a query found."""

    #: JSON lines, as in an output file
    records: bytes
    #: the requests as text; empty if records were found
    requests: tuple[str, ...] = ()


def execute(options: QueryOptions, environ: Mapping[str, str]) -> None:
    """Run a query and print a table on a terminal, JSON lines elsewhere."""
    _check_stdout()
    now = clock()
    with TemporaryDirectory(prefix="asyncreport-") as folder:
        job = make_job(options, Path(folder), environ=environ, now=now)
        show_times_in(job.query.grid.zone)
        result = _run_on_screen(job, now=now)
    if result.records:
        _write_records(job, result.records)
    else:
        _explain(job, result, now=now)


def _check_stdout() -> None:
    """Raise StoreError if stdout is closed. Called before any request is sent."""
    if sys.stdout is None:
        raise StoreError(
            "standard output is closed; send the records to a terminal, a pipe or a file"
        )


def _run_on_screen(job: Job, *, now: int) -> QueryResult:
    """Run a job, show its progress, and stop at a signal."""
    screen = Screen()
    query = run_query(job.impatient, now=now, say=say, watch=screen.watching)
    return run_until_signal(query, screen.stopping)


def _explain(job: Job, result: QueryResult, *, now: int) -> None:
    """Say on stderr why nothing may have been found."""
    for line in explain_no_records(job, result.requests, now=now):
        say(line)


async def run_query(
    job: Job,
    *,
    now: int,
    say: Say = silent,
    watch: Watch = unwatched,
) -> QueryResult:
    """Run a job and read its records.

    Raise ConfigError for an unknown team, RetriesExhausted if a query failed.
    """
    # A team that is not known would look like a team without work.
    choices = Choices(strict=True)
    summary = await run_job(job, now=now, say=say, watch=watch, choices=choices)
    for chunk in summary.gaps:
        say(f"missing: {chunk.interval}: {chunk.error}")
    if summary.gaps:
        raise _failed(len(summary.gaps))
    return _result(job)


def _failed(number: int) -> RetriesExhausted:
    """Make the error for queries that failed."""
    queries = counted(number, "query", "queries")
    return RetriesExhausted(f"{queries} failed, so nothing is shown; run the command again")


def _result(job: Job) -> QueryResult:
    """Read the output file of a job."""
    records = Path(job.output.paths[0]).read_bytes()
    if records:
        return QueryResult(records)
    return QueryResult(records, tuple(sent_requests(job)))


def _write_records(job: Job, records: bytes) -> None:
    """Write to stdout: a table on a terminal, else the bytes as they are; raise StoreError."""
    with writing():
        if sys.stdout.isatty():
            _draw_table(job, records)
        else:
            _write_bytes(records)


def _write_bytes(data: bytes) -> None:
    """Write all bytes to stdout."""
    # Not with `sys.stdout`: if it is unbuffered, one write may write only a part.
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(data)


def _draw_table(job: Job, records: bytes) -> None:
    """Draw the table and the total."""
    # Imported only if a table is drawn: most records go into a pipe.
    from asyncreport.terminal.table import print_table, read

    print_table(
        read(records),
        zone=job.query.grid.zone,
        teams=len(job.teams) > 1,
        routing=job.query.occupancy,
    )
