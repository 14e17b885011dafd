"""What each output file was made from, so that one that would come out the same is not touched. Owns `outputs.json`."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from hashlib import sha256
from pathlib import Path
from threading import Event

import msgspec
import orjson
from msgspec import Struct

from asyncreport.core.job import LAYOUT, Part
from asyncreport.core.timeline import Interval
from asyncreport.store.atomic import oserror_as_store_error, read_json, write_json
from asyncreport.store.merge import Target, merge, walk
from asyncreport.store.parts import PartReader


class WrittenFile(Struct, frozen=True, kw_only=True):
    """An output file and what it was made from."""

    #: digest of all that might shape it, known without reading a part
    quick: str
    #: digest of what did shape it: the parts' blocks, the teams, the names of those who have records in it
    exact: str
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
        """Tell whether a file is there as it was written; raise StoreError."""
        with oserror_as_store_error(path, "read"):
            try:
                found = path.stat()
            except FileNotFoundError:
                return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)


class Outputs:
    """The memory of one state folder; what is written now is `partial` where something is missing."""

    def __init__(self, folder: Path, *, partial: bool = False) -> None:
        self._path = folder / "outputs.json"
        self._made = read_json(self._path, dict[str, WrittenFile]) or {}
        self._doubted = False
        self._partial = partial

    def unchanged(self, target: Target) -> WrittenFile | None:
        """Give what is known of a file that surely needs no work, without reading a part; raise StoreError."""
        made = self._standing(target)
        same = made is not None and made.partial == self._partial and made.quick == _quick(target)
        return made if same else None

    def get(self, path: Path) -> WrittenFile | None:
        """Give what was remembered when a file was last written, whatever became of it since."""
        return self._made.get(str(path))

    def mtimes(self) -> dict[Path, int]:
        """Give when each file that is remembered was last written."""
        return {Path(name): made.mtime_ns for name, made in self._made.items()}

    def is_partial(self, path: Path) -> bool:
        """Tell whether a file is there as a run wrote it from which something was missing; raise StoreError."""
        made = self.get(path)
        return made is not None and made.partial and made.matches(path)

    def forget_others(self, paths: Container[Path]) -> list[Path]:
        """Forget the files that a job writes no longer, so that another may; list those that are there. Raise StoreError."""
        others = [path for path in map(Path, self._made) if path not in paths]
        if others:
            for path in others:
                del self._made[str(path)]
            write_json(self._path, self._made)
        return [path for path in others if path.exists()]

    def by_real_path(self) -> dict[str, WrittenFile]:
        """Give what is remembered of each file by the path that links lead to."""
        return {os.path.realpath(name): made for name, made in self._made.items()}

    def paths(self) -> list[str]:
        """List the files that are remembered."""
        return sorted(self._made)

    def mark_stale(self) -> None:
        """Let the next run look closer at every file: something that it is made of could not be had."""
        self._doubted = True

    def write(
        self, targets: Iterable[Target], reader: PartReader, stopped: Event
    ) -> dict[Path, WrittenFile]:
        """Bring files up to date, touching only those that change; raise StoreError, and Interrupted once `stopped` is set."""
        results = {}
        before = dict(self._made)
        try:
            for target in targets:
                made = self.unchanged(target) or self._make(target, reader, stopped)
                results[target.path] = made
                self._made[str(target.path)] = (
                    msgspec.structs.replace(made, quick="") if self._doubted else made
                )
        finally:
            if self._made != before:
                write_json(self._path, self._made)
        return results

    def _make(self, target: Target, reader: PartReader, stopped: Event) -> WrittenFile:
        quick, exact = _quick(target), _exact(target, reader)
        made = self._standing(target)
        if made is None or made.exact != exact:
            merged = merge(target, reader, stopped)
            with oserror_as_store_error(target.path, "read"):
                mtime_ns = target.path.stat().st_mtime_ns
            made = WrittenFile(
                quick=quick,
                exact=exact,
                size=merged.size,
                mtime_ns=mtime_ns,
                sha256=merged.sha256,
                records=merged.records,
            )
        return msgspec.structs.replace(made, quick=quick, partial=self._partial)

    def _standing(self, target: Target) -> WrittenFile | None:
        """Find what a file was made from, as long as it is still the file that was written."""
        made = self._made.get(str(target.path))
        return made if made is not None and made.matches(target.path) else None


def _quick(target: Target) -> str:
    sources = {
        team.connection: target.sources[team.connection].names_digest for team in target.teams
    }
    teams = [(team.name, team.connection, team.users) for team in target.teams]
    parts = [
        (connection, part.sha256, *_within(part, target.interval))
        for month in target.months
        for connection in sources
        for part in target.parts(connection, month)
    ]
    return sha256(orjson.dumps([LAYOUT, teams, list(sources.items()), parts])).hexdigest()


def _exact(target: Target, reader: PartReader) -> str:
    digest = sha256(orjson.dumps([LAYOUT, [team.name for team in target.teams]]))
    for name in sorted({team.connection for team in target.teams}):
        queues = target.sources[name].queues
        if queues is not None:
            seen = reader.queues(
                part for month in target.months for part in target.parts(name, month)
            )
            digest.update(orjson.dumps(sorted((queue, queues.get(queue)) for queue in seen)))
    for stretch in walk(target, reader.index):
        blocks = [
            (part.sha256, entry.offset, *_within(part, target.interval))
            for part, entry in stretch.blocks
        ]
        digest.update(
            orjson.dumps([stretch.prefix.decode(), blocks], option=orjson.OPT_APPEND_NEWLINE)
        )
    return digest.hexdigest()


def _within(part: Part, interval: Interval) -> tuple[int, int]:
    # Not the range itself: one that grows by a day tomorrow changes nothing for the months that it held before.
    return max(part.interval.start, interval.start), min(part.interval.end, interval.end)
