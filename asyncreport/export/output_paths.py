"""Check that output files can be written. Creates their folders."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from asyncreport.core.errors import ConfigError, StoreError
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.folders import make_folder


def check_targets(paths: Iterable[Path]) -> None:
    """Check that output files can be written, before any work is done; create their folders.

    Raise StoreError, and ConfigError if two paths are the same file.
    """
    first: dict[str, Path] = {}
    for path in paths:
        _check_target(path)
        real = os.path.realpath(path)
        # Some file systems ignore case, or the way in which letters are composed.
        key = unicodedata.normalize("NFC", real).casefold()
        if key in first:
            raise ConfigError(
                f"{path} and {first[key]} are the same file, {real}; give one of them another path"
            )
        first[key] = path


def _check_target(path: Path) -> None:
    """Check one output file; raise StoreError."""
    _check_encoding(path)
    with oserror_as_store_error(path, "reached"):
        if path.exists() and not path.is_file():
            raise StoreError(f"{path} is a folder or a device; give the output the path of a file")
    make_folder(path.parent)
    # A link stays a link: the file that it points to is replaced.
    _check_folder(path, Path(os.path.realpath(path)).parent)


def _check_encoding(path: Path) -> None:
    """Raise StoreError for a path that cannot be remembered."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise StoreError(
            f"{path} is not valid UTF-8 and cannot be remembered; give the output another path"
        ) from error


def _check_folder(path: Path, folder: Path) -> None:
    """Raise StoreError for a folder that cannot be written."""
    if not folder.is_dir():
        raise StoreError(
            f"{path} is a link into {folder}, which is not a folder; "
            "create that folder or fix the link, then run again"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(
            f"{path} cannot be written: this user may not write to {folder}; "
            "change its permissions or give the output another path"
        )
