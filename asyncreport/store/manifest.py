"""The append-only list of saved parts: a part is committed once its line is in the file.

Owns `manifest.jsonl`.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part
from asyncreport.core.timeline import Interval, iso, parse_iso
from asyncreport.store.atomic import append, oserror_as_store_error
from asyncreport.store.part_filter import PartFilter
from asyncreport.store.parts import part_name
from asyncreport.store.restatements import Replaced

_USERS = b'{"users":'
_AGAIN = b'{"again":'


class _PartLine(Struct, frozen=True, kw_only=True):
    """A part as its line spells it: instants as text, the user ids by their digest."""

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
    """A set of user ids, stored once, before the first part that has it."""

    users: str
    ids: tuple[str, ...]


class _AgainLine(Struct, frozen=True, kw_only=True):
    """Numbers of parts that are stale until each is replaced."""

    again: tuple[int, ...]


def manifest_path(folder: Path) -> Path:
    """Give the path of the manifest in a connection's folder."""
    return folder / "manifest.jsonl"


class Manifest:
    """What the manifest in a connection's folder says; a missing file is an empty one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = manifest_path(folder)
        self._parts: list[Part] = []
        self._last_number = 0
        # By the number of the replaced part; several parts may replace one, if the chunks of
        # everyone are cut elsewhere than those of listed users were.
        self._replaced_by: defaultdict[int, list[Part]] = defaultdict(list)
        self._user_sets: dict[str, tuple[str, ...]] = {}
        self._refresh_pending: set[int] = set()
        # Where the last good line ends. Bytes after it were never committed.
        self._end = 0

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read all lines; raise StoreError if one cannot be read and is not the last.

        The last line may be cut short, if the process that wrote it died.
        """
        manifest = cls(folder)
        *lines, rest = _content(manifest._path).split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                manifest._apply(line)
            except (msgspec.DecodeError, ValueError) as error:
                is_last = number == len(lines) and not rest
                if is_last:
                    break
                raise manifest._unreadable(number, error) from error
            manifest._end += len(line) + 1
        return manifest

    @property
    def next_number(self) -> int:
        """Give the number of the next part."""
        return self._last_number + 1

    def current_parts(self, part_filter: PartFilter) -> list[Part]:
        """List the usable parts that were not replaced and whose files have the right size.

        A file that is missing, or was cut short, is fetched again. Raise StoreError.
        """
        found = _with_files(self.committed(part_filter), self.folder)
        return [self._with_refresh_pending(part) for part in found]

    def committed(self, part_filter: PartFilter) -> list[Part]:
        """List the usable parts that were not replaced, whether their files exist or not."""
        return [part for part in self._not_replaced() if part_filter.is_of_query(part)]

    def files(self) -> set[str]:
        """Name the files of the parts that were not replaced, of any fingerprint."""
        return {part_name(part.number) for part in self._not_replaced()}

    def replaced(self) -> list[Replaced]:
        """Pair each replaced part with every part that replaced it, if both files exist.

        Raise StoreError.
        """
        present = {part.number: part for part in _with_files(self._parts, self.folder)}
        found = []
        for old in present.values():
            news = self._replaced_by.get(old.number, ())
            found += [Replaced(old, new) for new in news if new.number in present]
        return found

    def cut_tail(self) -> None:
        """Create the file if there is none, and cut off what was never committed.

        Raise StoreError.
        """
        append(self._path, b"", at=self._end)

    def add(self, part: Part, replaces: tuple[int, ...]) -> None:
        """Commit a part whose file is durable; raise StoreError, and it is not committed."""
        users = None
        if part.users is not None:
            users = _digest(part.users)
            # Before the part's line, which needs it, and an append of its own: each append is one
            # line, so that a crash can cut short the last line only.
            if users not in self._user_sets:
                self._append(_UsersLine(users=users, ids=part.users))
        self._append(_part_line(part, users, replaces))

    def mark_for_refresh(self, numbers: Iterable[int]) -> None:
        """Note that these parts are stale until each is replaced; raise StoreError.

        The note outlives the run: if a refresh is broken off, the next run finishes it.
        """
        new = sorted(set(numbers) - self._refresh_pending)
        if new:
            self._append(_AgainLine(again=tuple(new)))

    def _not_replaced(self) -> Iterable[Part]:
        return (part for part in self._parts if part.number not in self._replaced_by)

    def _with_refresh_pending(self, part: Part) -> Part:
        if part.number not in self._refresh_pending:
            return part
        return replace(part, refresh_pending=True)

    def _append(self, line: _PartLine | _UsersLine | _AgainLine) -> None:
        data = msgspec.json.encode(line)
        append(self._path, data + b"\n", at=self._end)
        # After the append: if it fails, this manifest still says what the file says.
        self._end += len(data) + 1
        self._apply(data)

    def _apply(self, line: bytes) -> None:
        """Add what one line says; raise DecodeError or ValueError if it is wrong.

        Every start of every command reads all lines: their kind is told from the first bytes,
        and each is decoded once.
        """
        if line.startswith(_USERS):
            self._apply_users(msgspec.json.decode(line, type=_UsersLine))
        elif line.startswith(_AGAIN):
            pending = msgspec.json.decode(line, type=_AgainLine)
            self._refresh_pending.update(pending.again)
        else:
            self._apply_part(msgspec.json.decode(line, type=_PartLine))

    def _apply_users(self, line: _UsersLine) -> None:
        if _digest(line.ids) != line.users:
            raise ValueError("its user ids were changed")
        self._user_sets[line.users] = line.ids

    def _apply_part(self, line: _PartLine) -> None:
        part = _part(self.folder.name, line, self._users(line.users))
        self._parts.append(part)
        self._last_number = max(self._last_number, part.number)
        for number in line.replaces:
            self._replaced_by[number].append(part)

    def _users(self, digest: str | None) -> tuple[str, ...] | None:
        """Find a user set; None stands for everyone."""
        if digest is None:
            return None
        if digest not in self._user_sets:
            raise ValueError("the line with its user ids is missing")
        return self._user_sets[digest]

    def _unreadable(self, number: int, error: Exception) -> StoreError:
        return StoreError(
            f"{self._path}, line {number}: cannot be read ({error}); restore the file from a "
            f"backup, or delete the folder {self.folder} and run again: everything is fetched again"
        )


def _part_line(part: Part, users: str | None, replaces: tuple[int, ...]) -> _PartLine:
    return _PartLine(
        part=part.number,
        fingerprint=part.fingerprint,
        month=part.month,
        interval=str(part.interval),
        users=users,
        fetched_at=iso(part.fetched_at),
        count=part.count,
        size=part.size,
        index_at=part.index_at,
        sha256=part.sha256,
        replaces=replaces,
    )


def _part(connection: str, line: _PartLine, users: tuple[str, ...] | None) -> Part:
    start, _, end = line.interval.partition("/")
    return Part(
        connection=connection,
        number=line.part,
        fingerprint=line.fingerprint,
        month=line.month,
        interval=Interval(parse_iso(start), parse_iso(end)),
        users=users,
        fetched_at=parse_iso(line.fetched_at),
        count=line.count,
        size=line.size,
        index_at=line.index_at,
        sha256=line.sha256,
    )


def _content(path: Path) -> bytes:
    with oserror_as_store_error(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""


def _with_files(parts: Iterable[Part], folder: Path) -> list[Part]:
    """Keep the parts whose files have the right size; raise StoreError."""
    sizes = _file_sizes(folder)
    return [part for part in parts if sizes.get(part_name(part.number)) == part.size]


def _file_sizes(folder: Path) -> Mapping[str, int]:
    """List the files of a folder with their sizes: one call for all is faster than one each."""
    with oserror_as_store_error(folder, "listed"):
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry.stat().st_size for entry in entries}
        except FileNotFoundError:
            return {}


def _digest(users: tuple[str, ...]) -> str:
    return hashlib.sha256(msgspec.json.encode(users)).hexdigest()[:32]
