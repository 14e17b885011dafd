"""Erase one user from the parts of a connection. Owns the order of the durable writes.

1. New part files, without the user's rows, under numbers that no manifest line names yet.
2. `changes.jsonl`, without the user's lines.
3. The manifest, as a whole, with the new parts and without the id: this is the commit.
4. The old part files are deleted.

A process that dies before 3 leaves the parts as they were, so that the same command finds the user
again; one that dies after it leaves files that no line names, which the next command deletes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Event

import orjson
from msgspec.structs import replace

from asyncreport.core.errors import Interrupted
from asyncreport.core.job import Part
from asyncreport.core.records import Block
from asyncreport.store.commit import PartFolder
from asyncreport.store.compaction import change_parts, delete_unnamed
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.manifest import Manifest
from asyncreport.store.parts import Entry, PartReader, write_part
from asyncreport.store.portable import sync_folder
from asyncreport.store.restatements import NAME as CHANGES
from asyncreport.store.restatements import count_restatements, erase_restatements

#: a column that the index of a part lists
_QUEUE_ID = re.compile(rb'"queue_id":("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class UserParts:
    """What the folder of a connection has of one user."""

    #: parts with records of the user, each with their number
    records: Mapping[Part, int]
    #: number of parts that were fetched for a list of users with this one
    listed: int
    #: number of lines in `changes.jsonl`
    changes: int

    @classmethod
    def find(cls, manifest: Manifest, user: str, reader: PartReader) -> UserParts:
        """Search the parts of every query; raise StoreError."""
        records = {}
        parts = [*_may_have(manifest, user)]
        for part, entries in zip(parts, reader.indexes(parts), strict=True):
            count = sum(entry.count for entry in entries if entry.user == user)
            if count:
                records[part] = count
        listed = [part for part in manifest.live_parts() if user in (part.users or ())]
        return cls(records, len(listed), count_restatements(manifest.folder, user))

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self.records or self.listed or self.changes)


def _may_have(manifest: Manifest, user: str) -> Iterator[Part]:
    """Walk the parts whose files exist and that may have records of a user."""
    for part in manifest.parts_on_disk():
        if part.users is None or user in part.users:
            yield part


class PartsWithoutUser:
    """The parts of one connection, as they will be without a user."""

    def __init__(self, folder: PartFolder, user: str, found: UserParts) -> None:
        self._folder = folder
        self._user = user
        self._found = found
        # By the number of the old part. A part whose file was cut or is gone is not among them:
        # a run would fetch it again anyway.
        self._parts = {part.number: part for part in folder.manifest.parts_on_disk()}

    def write(self, reader: PartReader, stopped: Event) -> None:
        """Write the new files, durably; no manifest line names them yet.

        Raise StoreError, also if a part is damaged, and Interrupted once `stopped` is set.
        """
        reader.bring(self._found.records)
        for number, part in enumerate(self._found.records, self._folder.manifest.next_number):
            if stopped.is_set():
                raise Interrupted
            self._parts[part.number] = self._rewrite(part, number, reader)

    def _rewrite(self, part: Part, number: int, reader: PartReader) -> Part:
        """Write a part again under a new number, without the user's rows."""
        entries = [each for each in reader.checked_index(part) if each.user != self._user]
        blocks = [_block(part, entry, reader) for entry in entries]
        manifest = self._folder.manifest
        stats = write_part(manifest.folder, number, blocks)
        new = replace(
            part,
            number=number,
            count=stats.count,
            size=stats.size,
            index_at=stats.index_at,
            sha256=stats.sha256,
        )
        manifest.remote.save_part(new)
        return new

    def of(self, part: Part) -> Part | None:
        """Give what a part becomes; None if it was fetched for nobody else, or its file is gone."""
        new = self._parts.get(part.number)
        if new is None or new.users is None:
            return new
        others = tuple(user for user in new.users if user != self._user)
        return replace(new, users=others) if others else None

    def commit(self) -> None:
        """Make the new parts the parts of the connection; raise StoreError."""
        manifest = self._folder.manifest
        # Before the commit: until then the id is in the manifest, and the same command finds it.
        manifest.changes_length = erase_restatements(
            manifest.folder, self._user, manifest.changes_length
        )
        if self._found.changes:
            manifest.remote.save(manifest.folder / CHANGES)
        self._folder.manifest = change_parts(manifest, self.of)
        delete_unnamed(self._folder.manifest)
        # After a power cut, too, the old files must be gone.
        with oserror_as_store_error(manifest.folder, "written"):
            sync_folder(manifest.folder)


def _block(part: Part, entry: Entry, reader: PartReader) -> Block:
    """Read the rows of another user."""
    lines = reader.block(part, entry)
    queues = {orjson.loads(text) for text in _QUEUE_ID.findall(lines)}
    return Block(entry.user, lines, entry.count, frozenset(queues))
