"""The new content of a file, in a temporary file until it is complete. Owns that file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asyncreport.store.portable import BINARY, NO_FOLLOW, copy_mode, sync_folder

#: mode of every file in a state folder
PRIVATE = 0o600

#: name of a temporary file; braces: a digest
TEMPORARY = ".asyncreport-{}.tmp"

#: how the name of a folder begins that a library writes into meanwhile
SCRATCH = ".asyncreport-convert-"

# Small enough to stay in a processor's cache while it is joined, hashed and written:
# half again as fast as 1 MiB.
_BUFFER = 1 << 17


class Sink:
    """Take bytes, count and hash them, and write them in large pieces to a descriptor."""

    __slots__ = ("_hash", "_pending", "_pieces", "_section", "changed", "descriptor", "size")

    def __init__(self, descriptor: int = -1) -> None:
        #: of the file that is open now
        self.descriptor = descriptor
        self._hash = hashlib.sha256()
        self._section = self._hash
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

    def start_section(self) -> None:
        """Begin to hash a part of the content by itself too; nothing may be pending."""
        self._section = hashlib.sha256()

    @property
    def section_sha256(self) -> str:
        """Give the digest of what was flushed since the section began, as hex."""
        return self._section.hexdigest()

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
        if self._section is not self._hash:
            self._section.update(data)
        _write(self.descriptor, data)


class Replacement:
    """The new content of a file, in a temporary file that takes its name at the end.

    Between two writes no descriptor is open: an export may write a thousand files side by side.
    The methods raise OSError, except for what `before_replace` raises.
    """

    def __init__(self, path: Path, *, owner: Path, mode: int = 0o666) -> None:
        # A link stays a link: the file that it points to is replaced.
        self.path = Path(os.path.realpath(path))
        #: in the folder of the file
        self.temporary = temporary_path(self.path, owner)
        self._mode = mode
        self._exists = False
        self._filled: tuple[int, str] | None = None
        self.sink = Sink()

    @property
    def content(self) -> tuple[int, str]:
        """Give the bytes and the SHA-256 of the new content."""
        return self._filled or (self.sink.size, self.sink.sha256)

    @contextmanager
    def writing(self) -> Iterator[Sink]:
        """Give a sink for what follows in the file; all of it is in the file when the block ends.

        If the block fails, the file is as it was, and the temporary file is gone.
        """
        try:
            with self._opened() as descriptor:
                self.sink.descriptor = descriptor
                yield self.sink
                self.sink.flush()
        except BaseException:
            self.discard()
            raise

    def fill(self, write: Callable[[Path], None]) -> None:
        """Let a function write the whole content into a file that exists and is empty.

        If it fails, the temporary file is gone.
        """
        try:
            with self._opened():
                pass
            write(self.temporary)
            self._filled = size_and_sha256(self.temporary)
        except BaseException:
            self.discard()
            raise

    def finish(
        self,
        *,
        keep_equal: bool = False,
        before_replace: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the new content durable under the file's name; see `atomic_write`."""
        try:
            if keep_equal and _has_content(self.path, *self.content):
                self.sink.changed = False
                self.temporary.unlink()
                return
            # Before the rename: after a power cut the name may lead to the new file, so the new
            # file's bytes must already be on the disk.
            with self._opened() as descriptor:
                os.fsync(descriptor)
            before_replace()
            self.temporary.replace(self.path)
        except BaseException:
            self.discard()
            raise
        # After the rename, and before the caller goes on: what it writes next may name this file.
        sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove the temporary file; the old file stays."""
        self.temporary.unlink(missing_ok=True)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the temporary file at its end; create it at first."""
        if self._exists:
            descriptor = os.open(self.temporary, os.O_WRONLY | os.O_APPEND | NO_FOLLOW | BINARY)
        else:
            descriptor = self._create()
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _create(self) -> int:
        """Create the temporary file, with the mode of the old one."""
        self.temporary.unlink(missing_ok=True)
        # O_EXCL: a link that somebody put there is not followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY
        descriptor = os.open(self.temporary, flags, self._mode)
        self._exists = True
        if self._mode != PRIVATE and self.path.exists():
            # A file that was closed to others stays closed.
            copy_mode(self.path, descriptor, self.temporary)
        return descriptor


def temporary_path(path: Path, owner: Path) -> Path:
    """Name the temporary file of an owner for a path, in the same folder."""
    key = os.fsencode(owner.absolute()) + b"\0" + os.fsencode(path.name)
    digest = hashlib.sha256(key).hexdigest()
    return path.with_name(TEMPORARY.format(digest[:16]))


def size_and_sha256(path: Path) -> tuple[int, str]:
    """Give a file's bytes and its SHA-256 as hex; raise OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


def _has_content(path: Path, size: int, sha256: str) -> bool:
    """Compare a file with new content; a file that cannot be read counts as different."""
    try:
        # Most files that differ have another size, and need not be read.
        if path.stat().st_size != size:
            return False
        return size_and_sha256(path)[1] == sha256
    except OSError:
        return False


def _write(descriptor: int, data: bytes) -> None:
    """Write all bytes: one call of the system may write fewer."""
    left = memoryview(data)
    while left:
        written = os.write(descriptor, left)
        left = left[written:]
