"""What each output file was made from, so that a file without changes is not touched.

Owns `outputs.json`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from threading import Event

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from asyncreport.core.fingerprint import LAYOUT
from asyncreport.core.job import Team
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.json_files import read_json, write_json
from asyncreport.store.merge_outputs import Merged, merge
from asyncreport.store.parts import PartReader
from asyncreport.store.target import Target


class WrittenFile(Struct, frozen=True, kw_only=True):
    """An output file and what it was made from."""

    #: of everything that can shape the file, known without reading a part; empty: look again
    digest: str = field(name="quick")
    #: bytes
    size: int
    mtime_ns: int
    #: hex
    sha256: str
    #: by the team's name
    records: dict[str, int]
    #: something was missing when it was written
    partial: bool = False

    def matches(self, path: Path) -> bool:
        """Tell whether the file still has the size and time it was left with; raise StoreError."""
        with oserror_as_store_error(path, "read"):
            try:
                found = path.stat()
            except FileNotFoundError:
                return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)


class Outputs:
    """The output files that one state folder remembers.

    `partial`: something is missing in the files that are written now. `check` is called right
    before a file is replaced, and may raise an error.
    """

    def __init__(
        self,
        folder: Path,
        *,
        partial: bool = False,
        check: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._path = folder / "outputs.json"
        self._files = read_json(self._path, dict[str, WrittenFile]) or {}
        self._partial = partial
        self._check = check
        #: files whose content `write` changed
        self.changed: set[Path] = set()

    def unchanged(self, target: Target) -> WrittenFile | None:
        """Give what is known of a file that needs no work; no part is read. Raise StoreError."""
        file = self._current(target, _digest(target))
        return file if file is not None and file.partial == self._partial else None

    def get(self, path: Path) -> WrittenFile | None:
        """Give what was remembered when a file was last written, even if it has changed since."""
        return self._files.get(str(path))

    def is_current(self, target: Target) -> bool:
        """Tell whether a file is what a run would write now; no part is read. Raise StoreError."""
        return self._current(target, _digest(target)) is not None

    def is_partial(self, path: Path) -> bool:
        """Tell whether a file is still as a run with missing data left it; raise StoreError."""
        file = self.get(path)
        return file is not None and file.partial and file.matches(path)

    def forget_others(self, paths: Container[Path]) -> list[Path]:
        """Forget the files that the job does not write any more, so that another job may.

        List those that still exist. Raise StoreError.
        """
        # By the names as they are stored: somebody may have edited them, as in `/a//b`.
        others = {name: Path(name) for name in self._files if Path(name) not in paths}
        if others:
            for name in others:
                del self._files[name]
            write_json(self._path, self._files)
        return [path for path in others.values() if path.exists()]

    def by_real_path(self) -> dict[str, WrittenFile]:
        """Give the remembered files by their paths without links."""
        return {os.path.realpath(name): file for name, file in self._files.items()}

    def paths(self) -> list[str]:
        """List the paths that are remembered."""
        return sorted(self._files)

    def write(
        self,
        targets: Sequence[Target],
        reader: PartReader,
        stopped: Event,
        *,
        names_complete: bool = True,
    ) -> dict[Path, WrittenFile]:
        """Bring files up to date; a file whose content stays the same is not touched.

        Unless `names_complete`, the next run looks at every file again, for the missing names.
        Raise StoreError, and Interrupted once `stopped` is set.
        """
        results = {}
        before = dict(self._files)
        try:
            for target, file in self._update(targets, reader, stopped):
                results[target.path] = file
                self._files[str(target.path)] = file if names_complete else replace(file, digest="")
        finally:
            # Also after an error: the files before it were replaced, and must not be merged again.
            if self._files != before:
                write_json(self._path, self._files)
        # In the order of the job, whichever was complete first.
        return {target.path: results[target.path] for target in targets}

    def _update(
        self,
        targets: Iterable[Target],
        reader: PartReader,
        stopped: Event,
    ) -> Iterator[tuple[Target, WrittenFile]]:
        """Give each file once it is up to date; those that need no work first."""
        outdated = []
        for target in targets:
            file = self._current(target, _digest(target))
            if file is None:
                outdated.append(target)
            else:
                yield target, replace(file, partial=self._partial)
        with closing(merge(outdated, reader, stopped, self._check)) as files:
            for target, merged in files:
                yield target, self._written(target, merged)

    def _written(self, target: Target, merged: Merged) -> WrittenFile:
        """Describe a file that was just merged."""
        if merged.changed:
            self.changed.add(target.path)
        return WrittenFile(
            digest=_digest(target),
            size=merged.size,
            mtime_ns=_mtime(target.path),
            sha256=merged.sha256,
            records=merged.records,
            partial=self._partial,
        )

    def _current(self, target: Target, digest: str) -> WrittenFile | None:
        """Find a file that was made from the same and has not changed since."""
        file = self.get(target.path)
        if file is None or file.digest != digest or not file.matches(target.path):
            return None
        return file


def _mtime(path: Path) -> int:
    """Give the time of a file's last change, in ns; raise StoreError."""
    with oserror_as_store_error(path, "read"):
        return path.stat().st_mtime_ns


def _shape_of(team: Team) -> tuple[str, str, tuple[str, ...] | None]:
    """Give what a team adds to a digest: its name, connection and users; None: everyone."""
    if team.everyone:
        return team.name, team.connection, None
    return team.name, team.connection, team.users


def _digest(target: Target) -> str:
    """Hash all that can shape a file: teams, names, and which parts overlap its months and range.

    It may differ though the file would not, as after a new name of a user of other months.
    """
    teams = []
    names = {}
    for team in target.teams:
        teams.append(_shape_of(team))
        names[team.connection] = target.sources[team.connection].names_digest
    parts = []
    for month in target.months:
        for connection in names:
            parts += _parts(target, connection, month)
    hashed = orjson.dumps([LAYOUT, teams, list(names.items()), parts])
    return sha256(hashed).hexdigest()


def _parts(target: Target, connection: str, month: str) -> list[tuple[str, str, int, int]]:
    """List the parts of a month, and how much of each lies in the range.

    The range itself is not hashed: if it grows by a day, the months before stay the same.
    """
    found = []
    for part in target.parts(connection, month):
        start = max(part.interval.start, target.interval.start)
        end = min(part.interval.end, target.interval.end)
        found.append((connection, part.sha256, start, end))
    return found
