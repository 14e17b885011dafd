"""Where the files of a job are: on disk, or in a bucket, which is copied while a command works.

Owns the copy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Job
from asyncreport.engine.activity import Activity
from asyncreport.export.targets import all_paths
from asyncreport.store.lock import lock_holder, merge_lock
from asyncreport.store.objects.lease import LEASE_SECONDS
from asyncreport.store.objects.localize import bucket_of
from asyncreport.store.objects.working_copy import WorkingCopy
from asyncreport.store.parts import PartReader
from asyncreport.store.remote import NOWHERE, Remote, nowhere
from asyncreport.store.threads import run_in_thread


class Files(Protocol):
    """The files of a job, open for one command; the methods raise StoreError."""

    #: the job as the command sees it
    job: Job

    @property
    def holder(self) -> str | None:
        """Describe the process that changes the files; None if none does."""

    def remote(self, connection: str) -> Remote:
        """Give where the parts of a connection are kept."""

    def check(self) -> None:
        """Raise StoreError if another process has taken over."""

    def claim_outputs(self, claim: Callable[[], None]) -> None:
        """Claim the output files with a function that does it on disk."""

    def reader(self) -> PartReader:
        """Give what reads the parts, and brings each before; the caller closes it."""

    def fetch_files(self, paths: Iterable[Path]) -> None:
        """Bring the content of output files before they are read."""


class OnDisk:
    """The files of a job on disk: nothing is copied."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @property
    def holder(self) -> str | None:
        """Describe the process that holds the lock."""
        return lock_holder(merge_lock(self.job.state_folder))

    def remote(self, connection: str) -> Remote:
        """Give where the parts of a connection are kept: in its folder only."""
        return nowhere(connection)

    def check(self) -> None:
        """Do nothing: a lock on disk cannot be lost."""

    def claim_outputs(self, claim: Callable[[], None]) -> None:
        """Claim the output files."""
        claim()

    def reader(self) -> PartReader:
        """Give what reads the parts."""
        return PartReader(self.job.parts_folder, NOWHERE)

    def fetch_files(self, paths: Iterable[Path]) -> None:
        """Do nothing."""


@asynccontextmanager
async def writing(
    job: Job,
    activity: Activity,
    say: Callable[[str], None],
    *,
    all_connections: bool = False,
) -> AsyncIterator[Files]:
    """Open the files of a job to change them; what changed is kept when the block ends.

    `say` prints that another process is waited for. `all_connections`: also of connections that
    the job had before.
    If the block fails, the parts and look-ups are kept, and the output files stay as they were.
    Raise StoreError.
    """
    if bucket_of(job) is None:
        yield OnDisk(job)
        return
    copy = _copy(job)
    try:
        activity.phase = "opening the bucket"
        opening = partial(copy.open_to_write, say, all_connections=all_connections)
        await run_in_thread(opening)
        try:
            yield copy
        except BaseException:
            # The failure of the command is the message: this may fail for the same reason.
            with suppress(AsyncReportError):
                await run_in_thread(lambda _: copy.save(failed=True))
            raise
        activity.phase = "uploading"
        await run_in_thread(lambda _: copy.save())
    finally:
        await run_in_thread(lambda _: copy.close())


@asynccontextmanager
async def reading(job: Job) -> AsyncIterator[Files]:
    """Open the files of a job to read them; raise StoreError."""
    if bucket_of(job) is None:
        yield OnDisk(job)
        return
    copy = _copy(job)
    try:
        await run_in_thread(lambda _: copy.open_to_read())
        yield copy
    finally:
        await run_in_thread(lambda _: copy.close())


@contextmanager
def looking(job: Job, *, all_connections: bool = False) -> Iterator[Files]:
    """Open the files of a job as `reading` does, in a function that is not async.

    `all_connections`: also of connections that the job had before.
    """
    if bucket_of(job) is None:
        yield OnDisk(job)
        return
    with closing(_copy(job)) as copy:
        copy.open_to_read(all_connections=all_connections)
        yield copy


def try_bucket(job: Job) -> None:
    """Write, list and delete objects of a job's bucket as a run does; raise StoreError."""
    with closing(_copy(job)) as copy:
        copy.try_bucket()


def _copy(job: Job) -> WorkingCopy:
    """Make the working copy of a job."""
    settings = {name: value.reveal() for name, value in job.storage.items()}
    return WorkingCopy(job, settings, all_paths, LEASE_SECONDS)
