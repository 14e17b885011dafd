"""The writes that every file on disk is made with: replace, append, remove.

Owns how bytes become durable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree

from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.portable import BINARY
from asyncreport.store.replacement import (
    PRIVATE,
    SCRATCH,
    TEMPORARY,
    Replacement,
    Sink,
    temporary_path,
)


@contextmanager
def atomic_write(
    path: Path,
    *,
    owner: Path,
    mode: int = 0o666,
    needs: Callable[[], int] | None = None,
    keep_equal: bool = False,
    before_replace: Callable[[], None] = lambda: None,
) -> Iterator[Sink]:
    """Give a sink for a file's new content; the file is replaced when the block ends.

    The new file is complete and durable; if the block fails, the old one stays. Raise StoreError.

    `owner` is the state folder whose lock is held: two jobs that write the same file do not use
    the same temporary file.
    `mode`: unless it is PRIVATE, a file that is replaced passes its own mode on to the new one.
    `needs` counts the bytes of the whole file, for the message if the disk is full.
    `keep_equal`: if the old file has the same content, leave it untouched, its time included.
    `before_replace` may raise an error at the last moment; then the old file stays.
    """
    new = Replacement(path, owner=owner, mode=mode)
    with oserror_as_store_error(new.path, "written", needs):
        with new.writing() as sink:
            yield sink
        new.finish(keep_equal=keep_equal, before_replace=before_replace)


def append(path: Path, data: bytes, *, at: int) -> None:
    """Write durably at `at`, where the file ends; raise StoreError, and nothing was written.

    What a broken append left after that place is cut off first.
    """
    with appending(path, at=at) as sink:
        sink.write(data)


@contextmanager
def appending(path: Path, *, at: int) -> Iterator[Sink]:
    """Give a sink for what follows at `at` in a file; it is durable when the block ends.

    What follows there already is cut off first, and again if the block fails. Raise StoreError.
    """
    with oserror_as_store_error(path, "written"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | BINARY, PRIVATE)
    sink = Sink(descriptor)
    with oserror_as_store_error(path, "written", lambda: sink.size):
        try:
            os.ftruncate(descriptor, at)
            yield sink
            sink.flush()
            os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(descriptor, at)
            raise
        finally:
            os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed run left in a state folder; raise StoreError."""
    with oserror_as_store_error(folder, "cleaned up"):
        for path in folder.glob(TEMPORARY.format("*")):
            path.unlink()
        for path in folder.glob(f"{SCRATCH}*"):
            rmtree(path)


def remove_temporary(path: Path, owner: Path) -> None:
    """Remove the temporary file of a killed run; raise StoreError."""
    path = Path(os.path.realpath(path))
    with oserror_as_store_error(path, "cleaned up"):
        temporary_path(path, owner).unlink(missing_ok=True)
