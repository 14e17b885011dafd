"""Which job writes which output file: one table in the folder of the files, links resolved.

Owns `.asyncreport/owners.json` and `.asyncreport/owners.lock` there.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from asyncreport.core.errors import StoreError
from asyncreport.store.atomic import atomic_write, remove_temporaries
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.folders import make_folder
from asyncreport.store.json_files import read_json

#: called with an output file and the state folder of its owner; raises if that is a conflict
Check = Callable[[Path, Path], None]

#: seconds; another process holds the lock only while it replaces a small file
_PATIENCE = 30

#: the folder next to the output files that has the state folders of jobs
_STATE = ".asyncreport"


def owner_of(path: Path) -> Path | None:
    """Give the state folder of the job that writes a file; None if no job does.

    Raise StoreError.
    """
    real = Path(os.path.realpath(path))
    return _Table(real.parent).owner(real.name)


def job_name(state: Path) -> str:
    """Give the name of the job of a state folder: `bureau/acme` if a connection has its own."""
    if state.parent.parent.name == _STATE:
        return f"{state.parent.name}/{state.name}"
    return state.name


def claim(paths: Iterable[Path], state: Path, check: Check) -> None:
    """Make the job of a state folder the owner of files; raise StoreError.

    `check` is called for each file of another owner, while no other process can change the table.
    """
    for folder, files in _by_real_folder(paths).items():
        if not _Table(folder).has_owner(files, state):
            with _locked(folder):
                # Read again, under the lock: another job may have claimed a file meanwhile.
                _Table(folder).claim(files, state, check)


def owned(folders: Iterable[Path], state: Path) -> Iterator[Path]:
    """List the files in these folders that belong to the job of a state folder."""
    for folder in {Path(os.path.realpath(folder)) for folder in folders}:
        yield from _Table(folder).owned(state)


class _Table:
    """The owners of the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = _state(folder) / "owners.json"
        #: by the file's name: a state folder, relative to the folder of the files, so that the
        #: table is right wherever the folder is mounted or moved to
        self._rows: dict[str, str] = read_json(self._path, dict[str, str]) or {}

    def owner(self, name: str) -> Path | None:
        """Give the state folder of a file's owner; None if it has none."""
        row = self._rows.get(name)
        if row is None:
            return None
        return Path(os.path.normpath(self._folder / row))

    def owned(self, state: Path) -> list[Path]:
        """List the files of a state folder."""
        row = self._row(state)
        return [self._folder / name for name, owner in self._rows.items() if owner == row]

    def has_owner(self, files: Iterable[tuple[str, Path]], state: Path) -> bool:
        """Tell whether all these files belong to one state folder."""
        row = self._row(state)
        return all(self._rows.get(name) == row for name, _ in files)

    def claim(self, files: Iterable[tuple[str, Path]], state: Path, check: Check) -> None:
        """Make a state folder the owner of files; the table is locked."""
        row = self._row(state)
        for name, path in files:
            owner = self.owner(name)
            if owner is not None and self._rows[name] != row:
                check(path, owner)
            self._rows[name] = row
        self._write()

    def _row(self, state: Path) -> str:
        """Give the row of an output."""
        return os.path.relpath(os.path.realpath(state), self._folder)

    def _write(self) -> None:
        """Write the whole file."""
        encoded = msgspec.json.encode(dict(sorted(self._rows.items())))
        data = msgspec.json.format(encoded, indent=2) + b"\n"
        remove_temporaries(self._path.parent)
        with atomic_write(self._path, owner=self._path.parent) as sink:
            sink.write(data)


def _state(folder: Path) -> Path:
    """Give the folder of the table of a folder of files."""
    return folder / _STATE


def _by_real_folder(paths: Iterable[Path]) -> dict[Path, list[tuple[str, Path]]]:
    """Group files by the folder that links lead to; each with its name there."""
    groups: defaultdict[Path, list[tuple[str, Path]]] = defaultdict(list)
    for path in paths:
        real = Path(os.path.realpath(path))
        groups[real.parent].append((real.name, path))
    return groups


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder's table; raise StoreError if that is not possible."""
    state = _state(folder)
    make_folder(state)
    path = state / "owners.lock"
    with oserror_as_store_error(path, "taken"):
        # As open as its folder: several users may write files of their own into one folder.
        mode = stat.S_IMODE(state.stat().st_mode) & 0o666
        lock = FileLock(path, mode=mode)
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout as error:
            raise _held_for_too_long(path) from error
    try:
        yield
    finally:
        lock.release()


def _held_for_too_long(path: Path) -> StoreError:
    """Make the error for a file that another process holds."""
    return StoreError(
        f"{path} has been locked by another process for {_PATIENCE} s; "
        "find out which one, then run again"
    )
