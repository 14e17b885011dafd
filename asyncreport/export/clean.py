"""Delete the parts of queries that a job no longer asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain

from asyncreport.core.job import Job
from asyncreport.engine.activity import Activity
from asyncreport.export.queries_on_disk import QueryStatus, describe_queries
from asyncreport.export.run_context import Say, silent
from asyncreport.export.storage import Files, looking, writing
from asyncreport.store.job_parts import JobParts, manifest_times, restore_times
from asyncreport.store.state import State


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was deleted, or would be."""

    #: by the connection's name
    queries: Mapping[str, list[QueryStatus]]
    #: bytes of files that an interrupted command left
    left_over: int = 0

    @property
    def bytes(self) -> int:
        """Count all bytes."""
        queries = chain.from_iterable(self.queries.values())
        return self.left_over + sum(query.bytes for query in queries)


def find_other_queries(job: Job) -> Cleaned:
    """List what `clean` would delete; no lock is needed. Raise StoreError."""
    with looking(job) as files:
        return _find(files.job)


def _find(job: Job) -> Cleaned:
    """List the queries that the job no longer asks."""
    on_disk = JobParts.read(job)
    found = {}
    for connection in job.connections:
        name = connection.name
        asked = on_disk.part_filter.fingerprints[name]
        queries = describe_queries(on_disk.on_disk(connection), asked)
        found[name] = [query for query in queries if not query.asked]
    return Cleaned(found)


async def clean(job: Job, *, now: int, say: Say = silent) -> Cleaned:
    """Delete the parts of queries that the job no longer asks; `now` is an instant.

    Raise StoreError, also if a run is in progress.
    """
    async with writing(job, Activity(job.name), say) as files:
        return await _clean(files, now=now)


async def _clean(files: Files, *, now: int) -> Cleaned:
    """Delete them, if the job ever ran."""
    job = files.job
    times = manifest_times(job)
    if not times:
        # No folder is made for a job that never ran.
        return Cleaned({})
    with State.of(job, files.remote) as state:
        # Under the lock, and before the deletion: afterwards nothing says what there was.
        found = _find(job)
        left_over = await state.run_in_writer(partial(state.delete_other_queries, at=now))
        # `status` compares them with the time of the summary, to tell whether a run was broken off.
        restore_times(times)
    return Cleaned(found.queries, left_over)
