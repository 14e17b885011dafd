"""The append-only list of finished parts; a line in it is the commit. Owns `manifest.jsonl`."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part
from asyncreport.core.timeline import Interval, iso, parse_iso
from asyncreport.store.atomic import append, oserror_as_store_error
from asyncreport.store.parts import part_name
from asyncreport.store.restatements import Replaced

_NAME = "manifest.jsonl"
_USERS = b'{"users":'
_AGAIN = b'{"again":'


class _PartLine(Struct, frozen=True, kw_only=True):
    """A part as its line spells it: instants as text, the user set by its digest."""

    part: int
    fingerprint: str
    month: str
    interval: str
    users: str | None
    fetched_at: str
    count: int
    size: int
    index_at: int
    sha256: str
    replaces: tuple[int, ...] = ()


class _UsersLine(Struct, frozen=True, kw_only=True):
    """A user set, stored once and before the first part that has it."""

    users: str
    ids: tuple[str, ...]


class _AgainLine(Struct, frozen=True, kw_only=True):
    """Numbers of parts that stay stale until each is replaced."""

    again: tuple[int, ...]


class Manifest:
    """What the manifest in a folder says; a missing one says nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / _NAME
        self._parts: list[Part] = []
        self._last = 0
        # The parts that each replaced one was replaced by: a part of listed users may lie in several chunks of everyone.
        self._replaced: defaultdict[int, list[Part]] = defaultdict(list)
        self._user_sets: dict[str, tuple[str, ...]] = {}
        self._again: set[int] = set()
        # Where the last good line ends. What lies behind it was never committed.
        self._end = 0

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the lines; raise StoreError for an unreadable one that is not the last, whose writer died."""
        manifest = cls(folder)
        *lines, torn = _content(manifest._path).split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                manifest._take(line)
            except (msgspec.DecodeError, ValueError, KeyError) as error:
                if number == len(lines) and not torn:
                    break
                raise StoreError(
                    f"{manifest._path}, line {number}: cannot be read ({error}); restore the file from a backup, "
                    f"or delete the folder {folder} and run again: everything will be fetched again"
                ) from error
            manifest._end += len(line) + 1
        return manifest

    @property
    def next_number(self) -> int:
        """Give the number of the part to come."""
        return self._last + 1

    def current_parts(self, fingerprint: str) -> list[Part]:
        """List the parts that nothing replaced and whose files have the size they should; raise StoreError."""
        sizes = _sizes(self.folder)
        return [
            structs.replace(part, refresh_pending=True) if part.number in self._again else part
            for part in self._not_replaced()
            if part.fingerprint == fingerprint and sizes.get(part_name(part.number)) == part.size
        ]

    def committed(self, fingerprint: str) -> list[Part]:
        """List the parts that nothing replaced, whether their files are there or not."""
        return [part for part in self._not_replaced() if part.fingerprint == fingerprint]

    def files(self) -> set[str]:
        """Name the files of the parts that nothing replaced, whatever their fingerprint."""
        return {part_name(part.number) for part in self._not_replaced()}

    def replaced(self) -> list[Replaced]:
        """List the parts that were replaced and whose files are still there, each with every part that did; raise StoreError."""
        sizes = _sizes(self.folder)
        pairs = (
            Replaced(old, new)
            for old in self._parts
            if old.number in self._replaced
            for new in self._replaced[old.number]
        )
        return [
            pair
            for pair in pairs
            if all(sizes.get(part_name(part.number)) == part.size for part in pair)
        ]

    def cut_tail(self) -> None:
        """Make the file if there is none and cut off what was never committed; raise StoreError."""
        append(self._path, b"", at=self._end)

    def add(self, part: Part, replaces: tuple[int, ...]) -> None:
        """Commit a part whose file is durable; raise StoreError, and the part is not committed."""
        digest = None if part.users is None else _digest(part.users)
        if digest is not None and digest not in self._user_sets:
            # On its own: every append is one line, so that a crash can tear none but the last.
            self._append(_UsersLine(users=digest, ids=part.users or ()))
        self._append(
            _PartLine(
                part=part.number,
                fingerprint=part.fingerprint,
                month=part.month,
                interval=str(part.interval),
                users=digest,
                fetched_at=iso(part.fetched_at),
                count=part.count,
                size=part.size,
                index_at=part.index_at,
                sha256=part.sha256,
                replaces=replaces,
            )
        )

    def mark_for_refresh(self, numbers: Iterable[int]) -> None:
        """Keep in mind which parts are to be replaced, whatever becomes of the run that wants it; raise StoreError."""
        new = sorted(set(numbers) - self._again)
        if new:
            self._append(_AgainLine(again=tuple(new)))

    def _not_replaced(self) -> Iterable[Part]:
        return (part for part in self._parts if part.number not in self._replaced)

    def _append(self, line: _PartLine | _UsersLine | _AgainLine) -> None:
        data = msgspec.json.encode(line)
        append(self._path, data + b"\n", at=self._end)
        self._end += len(data) + 1
        self._take(data)

    def _take(self, line: bytes) -> None:
        if line.startswith(_USERS):
            users = msgspec.json.decode(line, type=_UsersLine)
            if _digest(users.ids) != users.users:
                raise ValueError("the ids are not those that were written")
            self._user_sets[users.users] = users.ids
            return
        if line.startswith(_AGAIN):
            self._again.update(msgspec.json.decode(line, type=_AgainLine).again)
            return
        said = msgspec.json.decode(line, type=_PartLine)
        start, _, end = said.interval.partition("/")
        part = Part(
            number=said.part,
            fingerprint=said.fingerprint,
            month=said.month,
            interval=Interval(parse_iso(start), parse_iso(end)),
            users=None if said.users is None else self._user_sets[said.users],
            fetched_at=parse_iso(said.fetched_at),
            count=said.count,
            size=said.size,
            index_at=said.index_at,
            sha256=said.sha256,
        )
        self._parts.append(part)
        self._last = max(self._last, part.number)
        for number in said.replaces:
            self._replaced[number].append(part)


def _content(path: Path) -> bytes:
    with oserror_as_store_error(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""


def _sizes(folder: Path) -> dict[str, int]:
    with oserror_as_store_error(folder, "listed"):
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry.stat().st_size for entry in entries}
        except FileNotFoundError:
            return {}


def _digest(users: tuple[str, ...]) -> str:
    return hashlib.sha256(msgspec.json.encode(users)).hexdigest()[:32]
