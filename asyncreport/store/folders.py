"""Folders, durably created and private. Owns nothing."""

from __future__ import annotations

import stat
from pathlib import Path

from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.portable import sync_folder


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
    """Create a folder, and make its name durable."""
    if not folder.is_dir():
        folder.mkdir(mode, exist_ok=True)
        sync_folder(folder.parent)
