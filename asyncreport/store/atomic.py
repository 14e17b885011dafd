"""The writes that every file on disk is made with: replace, append, remove.

Owns how bytes become durable.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from asyncreport.core.errors import StoreError
from asyncreport.core.json_lines import escape_separators

T = TypeVar("T")

#: device and inode of a file: another file has another identity, whatever its name
Identity = tuple[int, int]

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
def oserror_as_store_error(
    path: Path, action: str, needs: Callable[[], int] | None = None
) -> Iterator[None]:
    """Turn an OSError into a StoreError; the arguments are those of `store_error`."""
    try:
        yield
    except OSError as error:
        raise store_error(path, action, error, needs) from error


def store_error(
    path: Path, action: str, error: OSError, needs: Callable[[], int] | None = None
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
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _next_step(folder: Path, error: OSError) -> str:
    if _is_full(error):
        return f"free some space on the disk of {folder} and run again: finished work is kept"
    if error.errno == errno.EFBIG:
        return "raise the file size limit (ulimit -f) and run again: finished work is kept"
    return f"check {folder} and the permissions of this user there, then run again"


def _free_space(folder: Path) -> str:
    """Say how many bytes are free on a disk; a quota may leave less."""
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


def file_size(path: Path) -> int | None:
    """Give the size of a file, None if there is none; raise StoreError."""
    with oserror_as_store_error(path, "read"):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None


def identity(path: Path) -> Identity | None:
    """Identify the file that has a name now; None if there is none; raise OSError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def changed_under_a_run(path: Path) -> StoreError:
    """Make the error for a file of this run that another process changed, moved or deleted."""
    return StoreError(
        f"{path} was deleted, replaced or changed by another process while this run used it; "
        f"make sure that nothing else changes {path.parent}, then run again: "
        "existing parts are reused"
    )


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Create a folder and its parents, durably; `mode` is the folder's own. Raise StoreError."""
    with oserror_as_store_error(folder, "created"):
        # The outermost first, each durable before the next is created in it.
        for parent in reversed(folder.parents):
            _create_folder(parent, mode=0o777)
        _create_folder(folder, mode=mode)


def make_private(folder: Path) -> None:
    """Let only this user enter a folder; raise StoreError."""
    with oserror_as_store_error(folder, "made private"):
        # Bits are only taken away: the owner may have closed the folder to writers.
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) & 0o700)


def _create_folder(folder: Path, *, mode: int) -> None:
    if not folder.is_dir():
        folder.mkdir(mode, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make durable what was created, renamed and removed in a folder; raise OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed run left in a state folder; raise StoreError."""
    with oserror_as_store_error(folder, "cleaned up"):
        for path in folder.glob(_TEMPORARY.format("*")):
            path.unlink()


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file that only this user can read; raise StoreError."""
    encoded = msgspec.json.encode(value)
    data = escape_separators(msgspec.json.format(encoded, indent=2)) + b"\n"
    with atomic_write(path, owner=path.parent, mode=PRIVATE, needs=lambda: len(data)) as sink:
        sink.write(data)


def read_json(path: Path, kind: type[T]) -> T | None:
    """Read a file of `write_json`, or give None if there is none; raise StoreError."""
    with oserror_as_store_error(path, "read"):
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{path} is damaged: {error}; delete it and run again: it is written again"
            ) from error


def _write(descriptor: int, data: bytes) -> None:
    """Write all bytes: one call of the system may write fewer."""
    left = memoryview(data)
    while left:
        written = os.write(descriptor, left)
        left = left[written:]
