"""What to say about a file that the system refuses. Owns nothing."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncreport.core.errors import StoreError


@contextmanager
def oserror_as_store_error(
    path: Path,
    action: str,
    needs: Callable[[], int] | None = None,
) -> Iterator[None]:
    """Turn an OSError into a StoreError; the arguments are those of `store_error`."""
    try:
        yield
    except OSError as error:
        raise store_error(path, action, error, needs) from error


def store_error(
    path: Path,
    action: str,
    error: OSError,
    needs: Callable[[], int] | None = None,
) -> StoreError:
    """Say what could not be done to a file, why, and what to do next.

    `action` is a participle such as `written`. `needs` counts the bytes of the whole file; it is
    called only if the disk is full.
    """
    fact = f"{path} could not be {action}: {error.strerror or error}"
    if needs is not None and _is_full(error):
        free = _free_space(path.parent)
        fact = f"{fact}; about {needs():,} bytes are needed and {free} free"
    return StoreError(f"{fact}; {_next_step(path.parent, error)}")


def _is_full(error: OSError) -> bool:
    """Tell whether a disk or a quota is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


_KEPT = "and run again: finished work is kept"

#: what helps, by the error of the system; `{folder}` is that of the file
_NEXT_STEPS = {
    errno.ENOSPC: "free some space on the disk of {folder} " + _KEPT,
    errno.EDQUOT: "free some of this user's quota on the disk of {folder}, or raise it, " + _KEPT,
    errno.EFBIG: "raise the file size limit (ulimit -f) " + _KEPT,
    errno.EMFILE: "raise the limit of open files (ulimit -n) " + _KEPT,
    errno.ENFILE: "close other programs that have many files open " + _KEPT,
    errno.EROFS: "the disk of {folder} cannot be written: mount it for writing, or give another "
    "path, then run again",
}

_CHECK_FOLDER = "check {folder} and the permissions of this user there, then run again"


def _next_step(folder: Path, error: OSError) -> str:
    """Say what helps against an error of the system."""
    step = _NEXT_STEPS.get(error.errno or 0, _CHECK_FOLDER)
    return step.format(folder=folder)


def _free_space(folder: Path) -> str:
    """Say how many bytes are free on a disk."""
    try:
        return f"{free_bytes(folder):,} are"
    except OSError:
        return "fewer are"


def free_bytes(folder: Path) -> int:
    """Count the bytes that are free on a disk; a quota may leave less. Raise OSError."""
    return shutil.disk_usage(folder).free


def changed_under_a_run(path: Path) -> StoreError:
    """Make the error for a file of this run that another process changed, moved or deleted."""
    return StoreError(
        f"{path} was deleted, replaced or changed by another process while this run used it; "
        f"make sure that nothing else changes {path.parent}, then run again: "
        "existing parts are reused"
    )
