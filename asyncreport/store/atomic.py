"""The few writes that all on the disk is made of: replace a file, append to one, remove one. Owns how bytes become durable."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

import msgspec

from asyncreport.core.errors import StoreError

T = TypeVar("T")

#: mode of every file in a state folder
PRIVATE = 0o600

# Small enough to stay in a processor's cache between being joined, hashed and written: half again as fast as 1 MiB.
_BUFFER = 1 << 17

_TEMPORARY = ".asyncreport-{}.tmp"


class Sink:
    """Take bytes, count and hash them, and write them in large pieces."""

    __slots__ = ("_descriptor", "_hash", "_held", "_waiting", "changed", "size")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._held: list[bytes] = []
        self._waiting = 0
        self.size = 0
        #: False once `atomic_write` found that the old file has this content
        self.changed = True

    @property
    def sha256(self) -> str:
        """Digest all that was taken and flushed, as hex."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Take bytes; raise OSError where they do not fit."""
        self._held.append(data)
        self._waiting += len(data)
        self.size += len(data)
        if self._waiting >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Hand what is held to the system; raise OSError where it does not fit."""
        data = b"".join(self._held)
        self._held.clear()
        self._waiting = 0
        self._hash.update(data)
        _write(self._descriptor, data)


@contextmanager
def oserror_as_store_error(
    path: Path, done: str, needs: Callable[[], int] | None = None
) -> Iterator[None]:
    """Turn an OSError into a StoreError that says what could not be `done`, how many bytes that `needs`, and what to do."""
    try:
        yield
    except OSError as error:
        raise trouble(path, done, error, needs) from error


def trouble(
    path: Path, done: str, error: OSError, needs: Callable[[], int] | None = None
) -> StoreError:
    """Say what could not be `done` to a file, why, and what to do; of a full disk, how many bytes that `needs` and how many are free."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        room = (
            f"about {needs():,} bytes are needed and {_free(path.parent)} free; " if needs else ""
        )
        step = f"{room}free some space on the disk of {path.parent} and run again: what is finished is kept"
    elif error.errno == errno.EFBIG:
        step = "raise the limit on the size of files (ulimit -f) and run again: what is finished is kept"
    else:
        step = f"check {path.parent} and what this user may do there, then run again"
    return StoreError(f"{path} could not be {done}: {error.strerror or error}; {step}")


def _free(folder: Path) -> str:
    """Say how much a disk has left, for whom it is counted: a quota may leave less."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return "fewer are"
    return f"{found.f_bavail * found.f_frsize:,} are"


@contextmanager
def atomic_write(
    path: Path,
    *,
    owner: Path,
    mode: int = 0o666,
    needs: Callable[[], int] | None = None,
    keep_equal: bool = False,
) -> Iterator[Sink]:
    """Take a file's new content and put it in place, whole and durable, when the block ends well; raise StoreError otherwise.

    `owner` is the state folder whose lock is held: it keeps two jobs that write the same file out of each other's temporary.
    A file that is replaced leaves its mode to the new one, unless that is to be PRIVATE.
    `keep_equal`: leave the old file untouched, time and all, if it has the same content.
    `needs` tells, where the disk is full, how many bytes the file would have had.
    """
    # A link stays a link, and what it leads to is replaced.
    path = Path(os.path.realpath(path))
    digest = hashlib.sha256(os.fsencode(owner.absolute()) + b"\0" + os.fsencode(path.name))
    temporary = path.with_name(_TEMPORARY.format(digest.hexdigest()[:16]))
    with oserror_as_store_error(path, "written", needs):
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            if mode != PRIVATE and path.exists():
                os.fchmod(
                    descriptor, stat.S_IMODE(path.stat().st_mode)
                )  # whoever closed the old one to others meant the next one too
            sink = Sink(descriptor)
            yield sink
            sink.flush()
            if keep_equal and _has_content(path, sink):
                sink.changed = False
                temporary.unlink()
                return
            # Before the rename: a name that outlives a power cut must not lead to a file that did not.
            os.fsync(descriptor)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        sync_folder(path.parent)


def _has_content(path: Path, sink: Sink) -> bool:
    """Compare a file with what a sink took; a file that cannot be read counts as different."""
    try:
        # Most files that differ have another size, and are not read for it.
        if path.stat().st_size != sink.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sink.sha256
    except OSError:
        return False


def append(path: Path, data: bytes, *, at: int) -> None:
    """Write at the end of a file, which is at `at`: whatever a broken append left behind it is cut off first; raise StoreError."""
    with oserror_as_store_error(path, "written", lambda: len(data)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
        try:
            os.ftruncate(descriptor, at)
            _write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder that outlives a power cut, and plain ones above it; raise StoreError."""
    with oserror_as_store_error(folder, "made"):
        missing = list(takewhile(lambda each: not each.is_dir(), (folder, *folder.parents)))
        for new in reversed(missing):
            new.mkdir(mode if new == folder else 0o777, exist_ok=True)
            sync_folder(new.parent)


def sync_folder(folder: Path) -> None:
    """Make durable what was created, renamed and removed in a folder; raise OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed run left half written in a folder of its own; raise StoreError."""
    with oserror_as_store_error(folder, "tidied"):
        for path in folder.glob(_TEMPORARY.format("*")):
            path.unlink()


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file, private to this user; raise StoreError."""
    data = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    with atomic_write(path, owner=path.parent, mode=PRIVATE, needs=lambda: len(data)) as sink:
        sink.write(data)


def read_json(path: Path, kind: type[T]) -> T | None:
    """Read what `write_json` wrote, or None where there is no such file; raise StoreError where it is something else."""
    with oserror_as_store_error(path, "read"):
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{path} is damaged: {error}; delete it and run again: it will be made anew"
            ) from error


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
