"""Which file has a name now, and how large it is. Owns nothing."""

from __future__ import annotations

from pathlib import Path

from asyncreport.store.disk_errors import oserror_as_store_error

#: device and inode of a file: another file of the same name has another identity
Identity = tuple[int, int]


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
