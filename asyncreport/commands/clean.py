"""Delete the parts of queries that a job no longer asks, and say what was deleted."""

from __future__ import annotations

from collections.abc import Iterator

from asyncreport.core.job import Job
from asyncreport.core.text import counted
from asyncreport.export.clean import Cleaned, clean, find_other_queries
from asyncreport.export.queries_on_disk import QueryStatus
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stderr import say
from asyncreport.terminal.stdout import show_lines


def execute(job: Job, *, now: int, dry_run: bool) -> None:
    """Clean the state folder of a job and print what was deleted; or what would be."""
    if dry_run:
        show_lines(_describe(job, find_other_queries(job), "would delete"))
    else:
        show_lines(_describe(job, run_until_signal(clean(job, now=now, say=say)), "deleted"))


def _describe(job: Job, cleaned: Cleaned, verb: str) -> Iterator[str]:
    """Say what was deleted: a line for each query, then the sum."""
    for name, queries in cleaned.queries.items():
        for query in queries:
            yield f"{name}: {verb} {_query(query)}"
    if cleaned.left_over:
        yield f"{verb} {cleaned.left_over:,} bytes that an interrupted command left"
    if cleaned.bytes:
        yield f"{job.name}: {verb} {cleaned.bytes:,} bytes in all"
    else:
        yield f"{job.name}: nothing to delete: the job asks every query that has parts"


def _query(query: QueryStatus) -> str:
    """Describe the parts of a query."""
    parts = counted(query.parts, "part")
    records = counted(query.records, "record")
    return f"{parts} of query {query.fingerprint[:8]}, {records}, {query.bytes:,} bytes"
