"""The temporary folder of a working copy. Owns it, and removes those of killed processes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from asyncreport.core.object_urls import COPIES
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.replacement import PRIVATE

#: seconds; a younger folder may be one whose process has not taken its lock yet
_YOUNG = 60


class CopyFolder:
    """A folder that only this process uses, private to this user."""

    def __init__(self) -> None:
        """Make the folder; raise StoreError."""
        parent = Path(tempfile.gettempdir())
        with oserror_as_store_error(parent / COPIES, "created"):
            # Records of people are in the folder of a process that was killed.
            for folder in _abandoned(parent):
                shutil.rmtree(folder, ignore_errors=True)
            self.path = Path(tempfile.mkdtemp(prefix=COPIES)).resolve()
            # Held as long as the process lives: the system releases it in the end.
            self._lock = FileLock(_lock_path(self.path), mode=PRIVATE, thread_local=False)
            self._lock.acquire(blocking=False)

    def remove(self) -> None:
        """Delete the folder."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def _abandoned(parent: Path) -> Iterator[Path]:
    """Walk the folders whose processes have ended; those of other users are not looked at."""
    for folder in parent.glob(f"{COPIES}*"):
        # Another process may remove it now.
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _YOUNG and _is_free(folder):
                yield folder


def _is_free(folder: Path) -> bool:
    """Tell whether no process holds the lock of a folder."""
    try:
        with FileLock(_lock_path(folder), mode=PRIVATE).acquire(blocking=False):
            return True
    except Timeout:
        return False


def _lock_path(folder: Path) -> Path:
    return folder / "in-use.lock"
