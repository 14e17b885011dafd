"""The files that `asyncreport init` writes: `.env`, then the job file. Owns both meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

from asyncreport.config.env_text import with_variables
from asyncreport.core.errors import ConfigError
from asyncreport.store.atomic import atomic_write
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.replacement import PRIVATE


def check_new(path: Path) -> None:
    """Check that a file does not exist: nothing is ever overwritten. Raise ConfigError."""
    # A link that leads nowhere exists too.
    if os.path.lexists(path):
        raise ConfigError(
            f"{path}: exists already and is left as it is; give the new job file another name: "
            f"asyncreport init {path.with_stem(f'{path.stem}-2')}"
        )


def check_writable(path: Path) -> None:
    """Check that a file can be made in the folder of a path; raise StoreError."""
    with oserror_as_store_error(path, "written"), TemporaryFile(dir=path.parent):
        pass


def add_variables(path: Path, variables: Mapping[str, str]) -> None:
    """Add variables to a `.env`, or make it; only its owner can read it. Raise StoreError."""
    with oserror_as_store_error(path, "read"):
        # Not decoded and encoded as text: line breaks stay as they are.
        before = path.read_bytes().decode() if path.exists() else ""
    with atomic_write(path, owner=path.parent, mode=PRIVATE) as sink:
        sink.write(with_variables(before, variables).encode())


def is_private(path: Path) -> bool:
    """Tell whether the mode of a file keeps other users of this machine from reading it."""
    with oserror_as_store_error(path, "read"):
        return path.stat().st_mode & 0o077 == 0


def write_new(path: Path, text: str) -> None:
    """Write a file that does not exist; raise ConfigError if it does, or StoreError."""
    new = atomic_write(path, owner=path.parent, before_replace=lambda: check_new(path))
    with new as sink:
        sink.write(text.encode())


def read_secret_file(path: Path) -> str:
    """Read a secret from a file, without blanks and line breaks around it; `-` is standard input.

    Raise StoreError, or ConfigError for a file that is not text.
    """
    with oserror_as_store_error(path, "read"):
        data = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    try:
        return data.decode().strip()
    except UnicodeDecodeError as error:
        raise ConfigError(
            "--client-secret-file: is not UTF-8; save the secret as plain text"
        ) from error
