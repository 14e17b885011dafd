"""Check the folders that a run writes to, and the space on their disks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

from asyncreport.core.errors import StoreError
from asyncreport.core.finding import Finding
from asyncreport.core.job import Job
from asyncreport.export.storage import try_bucket
from asyncreport.export.targets import all_paths
from asyncreport.store.disk_errors import free_bytes, oserror_as_store_error
from asyncreport.store.objects.localize import bucket_of

#: bytes; a run of a year of 1,000 agents needs about ten times as much
_LITTLE = 200_000_000


def check_disk(job: Job) -> Iterator[Finding]:
    """Write a temporary file into each folder of the job; folders are not created.

    In a bucket, try what a run does there.
    """
    if bucket_of(job) is not None:
        yield _check_bucket(job)
        return
    outputs = {path.parent for path in all_paths(job)}
    yield _check_folder("state folder", job.state_folder)
    for folder in sorted(outputs):
        yield _check_folder("output folder", folder)


def _check_bucket(job: Job) -> Finding:
    """Write, read and delete an object, and try conditional writes."""
    name = f"bucket s3://{bucket_of(job)}"
    try:
        try_bucket(job)
    except StoreError as error:
        return Finding("FAIL", f"{name}: {error}", failure_code=error.exit_code)
    return Finding("OK", f"{name}: can be listed and written, and has conditional writes")


def _check_folder(kind: str, folder: Path) -> Finding:
    """Check one folder, or the nearest around it that exists."""
    name = f"{kind} {folder}"
    try:
        free = _write(folder)
    except StoreError as error:
        return Finding("FAIL", f"{name}: {error}", failure_code=error.exit_code)
    if free < _LITTLE:
        return Finding("WARN", f"{name}: can be written, but only {free:,} bytes are free")
    return Finding("OK", f"{name}: can be written, {free / 1e9:,.1f} GB are free")


def _write(folder: Path) -> int:
    """Write a temporary file that no run would take for its own; give the bytes that are free."""
    with oserror_as_store_error(folder / "asyncreport", "written"):
        existing = next(each for each in (folder, *folder.parents) if each.exists())
        with TemporaryFile(dir=existing) as file:
            file.write(b"asyncreport")
            file.flush()
        return free_bytes(existing)
