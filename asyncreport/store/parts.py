"""The durable file of one finished chunk: its facts by user, then an index of which bytes are whose. Owns the part files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from asyncreport.core.errors import DamagedPartError
from asyncreport.core.job import Part
from asyncreport.core.records import Block
from asyncreport.store.atomic import PRIVATE, atomic_write, oserror_as_store_error, trouble

#: descriptors that a reader keeps open, at most
OPEN_FILES = 64


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """Where one user's rows are in a part."""

    #: None: what no user handled
    user: str | None
    offset: int
    length: int
    #: rows, one line each
    count: int


class _Index(Struct, frozen=True, omit_defaults=True):
    """The last line of a part."""

    users: list[Entry]
    #: ids in the rows' `queue_id`, sorted
    queues: list[str] = []


class PartStats(Struct, frozen=True, kw_only=True):
    """What a manifest line says of a part's file; the fields mean what `Part`'s do."""

    count: int
    size: int
    index_at: int
    sha256: str


def part_name(number: int) -> str:
    """Name a part's file."""
    return f"part-{number:08}.jsonl"


def write_part(folder: Path, number: int, blocks: Iterable[Block]) -> PartStats:
    """Write a part's file, durable under its name when this returns; raise StoreError, and there is no such file."""
    index = []
    queues: set[str] = set()
    blocks = list(blocks)
    needs = partial(sum, [len(block.lines) for block in blocks])
    with atomic_write(folder / part_name(number), owner=folder, mode=PRIVATE, needs=needs) as sink:
        for block in blocks:
            queues |= block.queues
            index.append(Entry(block.user, sink.size, len(block.lines), block.count))
            sink.write(block.lines)
        index_at = sink.size
        sink.write(msgspec.json.encode(_Index(index, sorted(queues))) + b"\n")
    return PartStats(
        count=sum(entry.count for entry in index),
        size=sink.size,
        index_at=index_at,
        sha256=sink.sha256,
    )


class PartReader:
    """Read part files, each hashed once before its rows are used. Owns the descriptors, few at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # In order of use, the stalest first.
        self._open: dict[int, int] = {}
        self._checked: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every file."""
        while self._open:
            os.close(self._open.popitem()[1])

    def index(self, part: Part) -> list[Entry]:
        """Read who has rows in a part, unchecked but for their number; raise StoreError."""
        entries = self._index(part).users
        if sum(entry.count for entry in entries) != part.count:
            raise self._damaged(part, f"its index does not count {part.count} records")
        return entries

    def _index(self, part: Part) -> _Index:
        try:
            return msgspec.json.decode(
                self._read(part, part.index_at, part.size - part.index_at), type=_Index
            )
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._damaged(part, f"its index cannot be read ({error})") from error

    def checked_index(self, part: Part) -> list[Entry]:
        """Read who has rows in a part once its hash is right; raise StoreError."""
        if part.number not in self._checked:
            with (
                oserror_as_store_error(self._path(part), "read"),
                open(self._descriptor(part), "rb", buffering=0, closefd=False) as file,
            ):
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != part.sha256:
                raise self._damaged(part, "its SHA-256 is another")
            self._checked.add(part.number)
        return self.index(part)

    def block(self, part: Part, entry: Entry) -> bytes:
        """Read one user's rows; raise StoreError where they are not as many lines as the index says."""
        block = self._read(part, entry.offset, entry.length)
        if block.count(b"\n") != entry.count:
            raise self._damaged(
                part, f"user {entry.user} has not the {entry.count} records that its index says"
            )
        return block

    def users(self, parts: Sequence[Part]) -> set[str]:
        """Collect the ids that have rows in any of the parts; raise StoreError."""
        return {
            entry.user for part in parts for entry in self.index(part) if entry.user is not None
        }

    def queues(self, parts: Iterable[Part]) -> set[str]:
        """Collect the ids of the queues that rows of any of the parts name; raise StoreError."""
        return {queue for part in parts for queue in self._index(part).queues}

    def _read(self, part: Part, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._descriptor(part), length, offset)
        except OSError as error:
            raise trouble(self._path(part), "read", error) from error
        if len(data) != length:
            raise self._damaged(part, "it is too short")
        return data

    def _descriptor(self, part: Part) -> int:
        descriptor = self._open.pop(part.number, None)
        if descriptor is None:
            if len(self._open) >= OPEN_FILES:
                os.close(self._open.pop(next(iter(self._open))))
            descriptor = os.open(self._path(part), os.O_RDONLY)
        self._open[part.number] = descriptor
        return descriptor

    def _path(self, part: Part) -> Path:
        return self.folder / part_name(part.number)

    def damaged(self, parts: Iterable[Part]) -> list[DamagedPartError]:
        """Hash parts, and tell of each that is not what was saved; raise StoreError."""
        found = []
        for part in parts:
            try:
                self.checked_index(part)
            except DamagedPartError as error:
                found.append(error)
        return found

    def _damaged(self, part: Part, what: str) -> DamagedPartError:
        return DamagedPartError(
            f"{self._path(part)} ({part.interval}) is not what was saved: {what}",
            number=part.number,
        )
