"""The lock of a state folder: one writing process at a time. Owns the lock files."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from filelock import FileLock, Timeout
from msgspec import Meta, Struct

from asyncreport.core.errors import FolderInUseError
from asyncreport.core.timeline import iso
from asyncreport.store.disk_errors import changed_under_a_run, oserror_as_store_error
from asyncreport.store.identity import Identity, identity
from asyncreport.store.json_files import read_json, write_json
from asyncreport.store.replacement import PRIVATE


class _Holder(Struct, frozen=True, kw_only=True):
    """The process that holds the lock; it took it when this was written."""

    pid: Annotated[int, Meta(ge=1, lt=1 << 31)]
    host: str


def merge_lock(folder: Path) -> Path:
    """Give the path of the lock of a job's state folder."""
    return folder / "merge.lock"


@dataclass(slots=True, frozen=True)
class HeldLock:
    """A lock that this process holds."""

    path: Path
    _lock: FileLock
    _identity: Identity | None

    def release(self) -> None:
        """Let another process take it."""
        self._lock.release()

    def check(self) -> None:
        """Check that the lock's file is still there; raise StoreError.

        If somebody emptied, restored or replaced the folder, another process could take the lock.
        """
        with oserror_as_store_error(self.path, "read"):
            found = identity(self.path)
        if found is None or found != self._identity:
            raise changed_under_a_run(self.path)


def take_lock(path: Path) -> HeldLock:
    """Take a lock, and write who holds it; raise StoreError if another process does."""
    # Not bound to the thread: the thread that closes the state releases it.
    lock = FileLock(path, mode=PRIVATE, thread_local=False)
    with oserror_as_store_error(path, "taken"):
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise in_use(path.parent, _describe(_holder_path(path))) from error
    # After the lock: only its holder writes this file. It is a file of its own, because on some
    # systems no other process can read a locked file.
    holder = _Holder(pid=os.getpid(), host=socket.gethostname())
    try:
        write_json(_holder_path(path), holder)
    except BaseException:
        lock.release()
        raise
    return HeldLock(path, lock, identity(path))


def _holder_path(path: Path) -> Path:
    """Give the path of the file that says who holds a lock."""
    return path.with_name(f"{path.name}.json")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock and change nothing else in its folder; raise StoreError if it is taken."""
    lock = take_lock(path)
    try:
        yield
    finally:
        lock.release()


def lock_holder(path: Path) -> str | None:
    """Describe the process that holds a lock, without taking it; None if none does."""
    holder = read_json(_holder_path(path), _Holder)
    if holder is None or not _may_run(holder):
        return None
    return _describe(_holder_path(path)) if _is_locked(path) else None


def _cannot_take(path: Path) -> bool:
    """Try to take a lock, where locks cannot be shared."""
    if not path.exists():
        return False
    with oserror_as_store_error(path, "read"):
        try:
            FileLock(path, mode=PRIVATE).acquire(blocking=False).lock.release()
        except Timeout:
            return True
    return False


def _is_locked(path: Path) -> bool:
    """Try to share a lock, for an instant; raise StoreError.

    Call it only if the holder may still run: a run that starts in this instant would be refused.
    """
    if sys.platform == "win32":
        return _cannot_take(path)
    import fcntl

    with oserror_as_store_error(path, "read"):
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def in_use(folder: Path | str, by: str) -> FolderInUseError:
    """Make the error for a folder that another process holds; `by` describes the process."""
    return FolderInUseError(f"{folder} is in use {by}")


def _may_run(holder: _Holder) -> bool:
    """Tell whether a process may still run: yes, where this process cannot find out."""
    if holder.host != socket.gethostname() or sys.platform == "win32":
        # Windows: there `os.kill` ends the process, even with the signal 0.
        return True
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _describe(path: Path) -> str:
    holder = read_json(path, _Holder)
    if holder is None:
        return "by another process"
    with oserror_as_store_error(path, "read"):
        seconds = path.stat().st_mtime
    since = iso(int(seconds * 1000))
    return f"by process {holder.pid} on {holder.host} since {since}"
