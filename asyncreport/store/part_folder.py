"""The parts of one connection, open for writing. Owns the order of durable writes.

Four writes must survive a power cut, in this order, each only after the one before it is durable:

1. the bytes of the part's file, in a temporary file
2. its name in the folder: the temporary file is renamed, then the folder is synced
3. the line with its user ids in the manifest, if these ids are new
4. the part's own line in the manifest; this line is the commit

A process that dies anywhere before the end of 4 leaves the parts as they were: a file that no line
names is deleted by a later run, and a line that is cut short is ignored and overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from filelock import FileLock

from asyncreport.core.job import Chunk, Part
from asyncreport.core.records import Block
from asyncreport.store.atomic import (
    make_private_folder,
    oserror_as_store_error,
    remove_temporaries,
    sync_folder,
)
from asyncreport.store.lock import take_lock
from asyncreport.store.manifest import Manifest
from asyncreport.store.parts import part_name, write_part
from asyncreport.store.restatements import Restatements, write_restatements

_LOCK = "lock"

_PART = re.compile(r"part-\d{8,}\.jsonl")


class PartFolder:
    """The folder of one connection; its name is the connection's."""

    def __init__(self, folder: Path, lock: FileLock, manifest: Manifest) -> None:
        self._folder = folder
        self._lock = lock
        self.manifest = manifest

    @classmethod
    def open(cls, folder: Path) -> PartFolder:
        """Lock the folder and read its manifest; create the folder if it does not exist.

        Raise StoreError if another process holds the lock, or if the manifest cannot be read.
        """
        make_private_folder(folder)
        # Before anything is read or removed: another run may be writing.
        lock = take_lock(folder / _LOCK)
        try:
            manifest = _prepare(folder)
        except BaseException:
            lock.release()
            raise
        return cls(folder, lock, manifest)

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def commit(
        self,
        chunk: Chunk,
        blocks: Sequence[Block],
        *,
        fingerprint: str,
        fetched_at: int,
    ) -> Part:
        """Save a chunk's rows durably; raise StoreError, and nothing was saved."""
        number = self.manifest.next_number
        stats = write_part(self._folder, number, blocks)
        part = Part(
            connection=chunk.connection,
            number=number,
            fingerprint=fingerprint,
            month=chunk.month,
            interval=chunk.interval,
            users=chunk.users,
            fetched_at=fetched_at,
            count=stats.count,
            size=stats.size,
            index_at=stats.index_at,
            sha256=stats.sha256,
        )
        # After the file and its name are durable: the line is the commit, and a committed part
        # whose file a power cut took would be a hole.
        self.manifest.add(part, chunk.replaces)
        return part

    def delete_part(self, number: int) -> None:
        """Delete the file of a damaged part, so that it is fetched again; raise StoreError."""
        path = self._folder / part_name(number)
        with oserror_as_store_error(path, "deleted"):
            path.unlink(missing_ok=True)
            sync_folder(self._folder)

    def delete_replaced(self, stopped: Event, *, at: int) -> Restatements:
        """Write down what changed in replaced parts, then delete their files; `at` is now.

        Files that no manifest line names are deleted too: their commits did not happen.
        Raise StoreError, and Interrupted once `stopped` is set.
        """
        # Before the deletion: the old values are in these files only. If the process dies between
        # the two, the next run finds the pairs already listed.
        changed = write_restatements(self._folder, self.manifest.replaced(), stopped, at=at)
        named = self.manifest.files()
        with oserror_as_store_error(self._folder, "cleaned up"):
            for path in self._folder.iterdir():
                if _PART.fullmatch(path.name) and path.name not in named:
                    path.unlink()
        # The folder is not synced: a file that comes back after a power cut is deleted next time.
        return changed


def _prepare(folder: Path) -> Manifest:
    """Clean up after a run that was killed; raise StoreError."""
    remove_temporaries(folder)
    manifest = Manifest.read(folder)
    # Read first: an unreadable manifest must stay as it is, for a person to look at.
    manifest.cut_tail()
    # The manifest may be new, and its name must be durable before the first commit is.
    with oserror_as_store_error(folder, "written"):
        sync_folder(folder)
    return manifest
