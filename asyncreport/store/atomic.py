"""The writes that every file on disk is made with: replace, append, remove.

Owns how bytes become durable.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.folders import sync_folder

#: mode of every file in a state folder
PRIVATE = 0o600

# Small enough to stay in a processor's cache while it is joined, hashed and written:
# half again as fast as 1 MiB.
_BUFFER = 1 << 17

_TEMPORARY = ".asyncreport-{}.tmp"


class Sink:
    """Take bytes, count and hash them, and write them in large pieces."""

    __slots__ = ("_descriptor", "_hash", "_pending", "_pieces", "changed", "size")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._pieces: list[bytes] = []
        #: bytes in `_pieces`
        self._pending = 0
        self.size = 0
        #: False once `atomic_write` found that the old file has this content
        self.changed = True

    @property
    def sha256(self) -> str:
        """Give the digest of all bytes that were flushed, as hex."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Take bytes; raise OSError if they cannot be written."""
        self._pieces.append(data)
        self._pending += len(data)
        self.size += len(data)
        if self._pending >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write the pending bytes; raise OSError if they cannot be written."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._pending = 0
        self._hash.update(data)
        _write(self._descriptor, data)


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
    # A link stays a link: the file that it points to is replaced.
    path = Path(os.path.realpath(path))
    temporary = _temporary(path, owner)
    with oserror_as_store_error(path, "written", needs):
        with _new_file(temporary, mode) as descriptor:
            if mode != PRIVATE:
                _copy_mode(path, descriptor)
            sink = Sink(descriptor)
            yield sink
            sink.flush()
            if keep_equal and _has_content(path, sink):
                sink.changed = False
                temporary.unlink()
                return
            # Before the rename: after a power cut the name may lead to the new file, so the new
            # file's bytes must already be on the disk.
            os.fsync(descriptor)
            before_replace()
            temporary.replace(path)
        # After the rename, and before the caller goes on: what it writes next may name this file.
        sync_folder(path.parent)


@contextmanager
def _new_file(path: Path, mode: int) -> Iterator[int]:
    """Create a file and give its descriptor; remove the file if the block fails."""
    path.unlink(missing_ok=True)
    # O_EXCL: a link that somebody put there is not followed.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        yield descriptor
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _temporary(path: Path, owner: Path) -> Path:
    """Name the temporary file of an owner for a path, in the same folder."""
    key = os.fsencode(owner.absolute()) + b"\0" + os.fsencode(path.name)
    digest = hashlib.sha256(key).hexdigest()
    return path.with_name(_TEMPORARY.format(digest[:16]))


def _copy_mode(path: Path, descriptor: int) -> None:
    """Give an open file the mode of the file that it will replace: a closed file stays closed."""
    if path.exists():
        os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))


def _has_content(path: Path, sink: Sink) -> bool:
    """Compare a file with what a sink took; a file that cannot be read counts as different."""
    try:
        # Most files that differ have another size, and need not be read.
        if path.stat().st_size != sink.size:
            return False
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest() == sink.sha256
    except OSError:
        return False


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
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
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
        for path in folder.glob(_TEMPORARY.format("*")):
            path.unlink()


def remove_temporary(path: Path, owner: Path) -> None:
    """Remove what a killed run left beside a file that it wrote; raise StoreError."""
    path = Path(os.path.realpath(path))
    with oserror_as_store_error(path, "cleaned up"):
        _temporary(path, owner).unlink(missing_ok=True)


def _write(descriptor: int, data: bytes) -> None:
    """Write all bytes: one call of the system may write fewer."""
    left = memoryview(data)
    while left:
        written = os.write(descriptor, left)
        left = left[written:]
