"""The durable file of one finished chunk: rows by user, then an index of which bytes are whose.

Owns the part files.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
import orjson
from msgspec import Struct

from asyncreport.core.errors import DamagedPartError
from asyncreport.core.job import Part, PartKey
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.records import Block
from asyncreport.store.atomic import atomic_write
from asyncreport.store.disk_errors import oserror_as_store_error, store_error
from asyncreport.store.portable import BINARY, open_file_limit, read_at
from asyncreport.store.remote import PartSource
from asyncreport.store.replacement import PRIVATE, Sink

#: descriptors that a reader keeps open, at most: as many parts as a month of most jobs has
OPEN_FILES = 256

#: the part of the process's descriptors that a reader takes: sockets and other files need the rest
_SHARE = 4


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """Where one user's rows are in a part."""

    #: None: interactions without a user
    user: str | None
    #: bytes
    offset: int
    length: int
    #: rows, one line each
    count: int


class _Index(Struct, frozen=True, omit_defaults=True):
    """The last line of a part."""

    users: list[Entry]
    #: ids in the rows' `queue_id`, sorted
    queues: list[str] = []

    @property
    def count(self) -> int:
        """Count the rows of all users."""
        return sum(entry.count for entry in self.users)


@dataclass(slots=True, frozen=True, kw_only=True)
class PartStats:
    """What a manifest line says about a part's file; the fields mean what `Part`'s do."""

    count: int
    size: int
    index_at: int
    sha256: str


def check_entries(entries: Iterable[Entry], end: int) -> None:
    """Check that users' rows follow one another up to `end`; raise ValueError.

    Only then may an offset or a length decide what is read.
    """
    at = 0
    for entry in entries:
        if entry.offset != at or entry.length < 0:
            raise ValueError(f"the rows of user {entry.user} are not where they should be")
        at += entry.length
    if at != end:
        raise ValueError("it does not cover the rows")


def part_name(number: int) -> str:
    """Name a part's file."""
    return f"part-{number:08}.jsonl"


def part_path(folder: Path, part: Part) -> Path:
    """Give the path of a part's file; `folder` is the job's."""
    return folder / part.connection / part_name(part.number)


def write_part(folder: Path, number: int, blocks: Sequence[Block]) -> PartStats:
    """Write a part's file; it is durable when this returns.

    Raise StoreError if it cannot be written; no file is left then.
    """
    path = folder / part_name(number)
    with atomic_write(path, owner=folder, mode=PRIVATE, needs=lambda: _size(blocks)) as sink:
        index = _write_rows(blocks, sink)
        index_at = sink.size
        sink.write(escape_separators(msgspec.json.encode(index)) + b"\n")
    return PartStats(
        count=index.count,
        size=sink.size,
        index_at=index_at,
        sha256=sink.sha256,
    )


def _write_rows(blocks: Sequence[Block], sink: Sink) -> _Index:
    """Write the rows of all users, one user after the other."""
    entries = []
    queues: set[str] = set()
    for block in blocks:
        entries.append(Entry(block.user, sink.size, len(block.lines), block.count))
        queues |= block.queues
        sink.write(block.lines)
    return _Index(entries, sorted(queues))


def _size(blocks: Sequence[Block]) -> int:
    """Add up the bytes of a part's rows; its index is not counted."""
    return sum(len(block.lines) for block in blocks)


def _most_open() -> int:
    """Give how many files may be open: fewer if the limit of the process (`ulimit -n`) is low."""
    limit = open_file_limit()
    if limit is None:
        return OPEN_FILES
    return max(1, min(OPEN_FILES, limit // _SHARE))


class PartReader:
    """Read part files of a job, whose folder is given. Owns their descriptors, few at a time.

    `source` brings what is not in the folder before it is read: parts that are read together are
    brought together.
    """

    def __init__(self, folder: Path, source: PartSource) -> None:
        self.folder = folder
        self._source = source
        self._most_open = _most_open()
        # Descriptors of parts whose whole content is in the folder, by part; the one that was not
        # used for longest first.
        self._open: dict[PartKey, int] = {}
        # The parts whose hash is right: each is hashed once.
        self._checked: set[PartKey] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        while self._open:
            os.close(self._open.popitem()[1])

    def index(self, part: Part) -> list[Entry]:
        """Read which users have rows in a part, without hashing it; raise StoreError."""
        index = self._index(part)
        if index.count != part.count:
            raise self._damaged(part, f"its index does not have {part.count} records")
        return index.users

    def checked_index(self, part: Part) -> list[Entry]:
        """Read which users have rows in a part, and hash it before; raise StoreError."""
        if part.key not in self._checked:
            if self._hash(part) != part.sha256:
                raise self._damaged(part, "its SHA-256 is wrong")
            self._checked.add(part.key)
        return self.index(part)

    def indexes(self, parts: Sequence[Part]) -> Iterator[list[Entry]]:
        """Read the index of each part as `index` does."""
        self._source.fetch_indexes(parts)
        return map(self.index, parts)

    def checked_indexes(self, parts: Sequence[Part]) -> Iterator[list[Entry]]:
        """Read the index of each part as `checked_index` does."""
        self.bring(parts)
        return map(self.checked_index, parts)

    def block(self, part: Part, entry: Entry) -> bytes:
        """Read one user's rows; raise StoreError if their number is not the index's."""
        block = self.read(part, entry.offset, entry.length)
        self.check_rows(part, entry.user, block, entry.count)
        return block

    def check_rows(self, part: Part, user: str | None, lines: bytes, count: int) -> None:
        """Raise DamagedPartError if a user has another number of rows than the index says."""
        if lines.count(b"\n") != count:
            raise self._damaged(part, f"user {user} does not have {count} records")

    def users(self, parts: Sequence[Part]) -> set[str]:
        """Collect the ids of the users who have rows in any of the parts; raise StoreError."""
        found: set[str | None] = set()
        for entries in self.indexes(parts):
            found.update(entry.user for entry in entries)
        return {user for user in found if user is not None}

    def queues(self, parts: Sequence[Part]) -> set[str]:
        """Collect the ids of the queues in the rows of any of the parts; raise StoreError."""
        self._source.fetch_indexes(parts)
        found: set[str] = set()
        for part in parts:
            found.update(self._index(part).queues)
        return found

    def values(self, parts: Sequence[Part], column: str) -> set[str]:
        """Collect the texts in a column of the rows of any of the parts; raise StoreError."""
        self.bring(parts)
        # In JSON the quotes inside a value are escaped, so this can only be the column.
        pattern = re.compile(b'"%b":("(?:[^"\\\\]|\\\\.)*")' % column.encode())
        found: set[bytes] = set()
        for part in parts:
            found.update(pattern.findall(self.read(part, 0, part.index_at)))
        return {orjson.loads(each) for each in found}

    def damaged(self, parts: Sequence[Part]) -> list[DamagedPartError]:
        """Hash parts and give an error for each damaged one; raise StoreError."""
        self.bring(parts)
        found = []
        for part in parts:
            try:
                self.checked_index(part)
            except DamagedPartError as error:
                found.append(error)
        return found

    def _index(self, part: Part) -> _Index:
        """Decode the index of a part; raise DamagedPartError."""
        data = self._read_index(part)
        try:
            index = msgspec.json.decode(data, type=_Index)
            check_entries(index.users, part.index_at)
        except (msgspec.DecodeError, ValueError) as error:
            raise self._damaged(part, f"its index cannot be read ({error})") from error
        return index

    def _hash(self, part: Part) -> str:
        """Hash the whole file of a part; raise StoreError."""
        with oserror_as_store_error(self._path(part), "read"):
            descriptor = self._descriptor(part)
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

    def bring(self, parts: Iterable[Part]) -> None:
        """Bring parts that will be read, together; without it, each is brought when it is opened.

        Raise StoreError.
        """
        self._source.fetch(parts)

    def read(self, part: Part, offset: int, length: int) -> bytes:
        """Read bytes of a part; raise StoreError."""
        # No context manager: this is called once per user and part.
        try:
            data = read_at(self._descriptor(part), length, offset)
        except OSError as error:
            raise store_error(self._path(part), "read", error) from error
        if len(data) != length:
            raise self._damaged(part, "it is too short")
        return data

    def _read_index(self, part: Part) -> bytes:
        """Read the bytes of the index of a part; raise StoreError."""
        length = part.size - part.index_at
        if part.key in self._open:
            return self.read(part, part.index_at, length)
        # The file is opened and closed here: its rows may not be in the folder yet, and `read`
        # expects the rows in every open file.
        self._source.fetch_indexes([part])
        with oserror_as_store_error(self._path(part), "read"):
            descriptor = self._open_file(part)
            try:
                data = read_at(descriptor, length, part.index_at)
            finally:
                os.close(descriptor)
        if len(data) != length:
            raise self._damaged(part, "it is too short")
        return data

    def _descriptor(self, part: Part) -> int:
        """Give the open file of a part; the one that was not used for longest may be closed."""
        descriptor = self._open.pop(part.key, None)
        if descriptor is None:
            self._source.fetch([part])
            self._make_room()
            descriptor = self._open_file(part)
        # Put in again, so that it is the last one in the order of use.
        self._open[part.key] = descriptor
        return descriptor

    def _open_file(self, part: Part) -> int:
        """Open the file of a part; raise OSError or DamagedPartError."""
        try:
            return os.open(self._path(part), os.O_RDONLY | BINARY)
        except FileNotFoundError as error:
            # It existed when it was listed.
            raise self._damaged(part, "it has disappeared") from error

    def _make_room(self) -> None:
        """Close the file that was not used for longest, if there are too many."""
        if len(self._open) >= self._most_open:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest))

    def _path(self, part: Part) -> Path:
        """Give the path of a part's file."""
        return part_path(self.folder, part)

    def _damaged(self, part: Part, fact: str) -> DamagedPartError:
        """Make the error for a part."""
        return DamagedPartError(
            f"{self._path(part)} ({part.interval}) is damaged: {fact}", part=part.key
        )
