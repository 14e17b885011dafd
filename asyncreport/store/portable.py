"""Calls for files and memory that some systems lack, with fallbacks. Owns nothing."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

#: do not follow a link; systems without this flag follow it
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)

#: write bytes as they are: otherwise Windows writes `\r\n` for `\n`
BINARY: int = getattr(os, "O_BINARY", 0)


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """Read bytes of an open file, fewer at its end; raise OSError.

    Without `pread` the position of the descriptor moves: only one thread may read from it.
    """
    if hasattr(os, "pread"):
        data: bytes = os.pread(descriptor, length, offset)
        return data
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, length)


def sync_folder(folder: Path) -> None:
    """Make durable what was created, renamed and removed in a folder; raise OSError.

    A system that cannot open a folder has no such call. There, the file system decides.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_mode(source: Path, descriptor: int, path: Path) -> None:
    """Give an open file the mode of another file; `path` is the open file's. Raise OSError."""
    mode = stat.S_IMODE(source.stat().st_mode)
    # By descriptor if the system can: somebody may have put another file at the path.
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
    else:
        path.chmod(mode)


def open_file_limit() -> int | None:
    """Count the files that this process may have open; None if the system has no limit."""
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def return_free_memory() -> None:
    """Return freed memory to the system; glibc would keep it for later.

    Other C libraries have no such call, and some Pythons cannot call it.
    """
    if sys.platform != "linux":
        return
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
