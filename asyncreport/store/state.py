"""The state folder of one job, open for writing.

Owns the writing thread and the order of durable writes.

Four writes must survive a power cut, in this order, each only after the one before it is durable:

1. the bytes of the part's file, in a temporary file
2. its name in the folder: the temporary file is renamed, then the folder is synced
3. the line with its user ids in the manifest, if these ids are new
4. the part's own line in the manifest; this line is the commit

A process that dies anywhere before the end of 4 leaves the parts as they were: a file that no line
names is deleted by a later run, and a line that is cut short is ignored and overwritten.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Self, TypeVar

from filelock import FileLock

from asyncreport.core.job import Chunk, Part
from asyncreport.core.records import Block
from asyncreport.store.atomic import (
    make_folder,
    oserror_as_store_error,
    remove_temporaries,
    sync_folder,
)
from asyncreport.store.lock import take_lock
from asyncreport.store.manifest import Manifest
from asyncreport.store.parts import part_name, write_part
from asyncreport.store.restatements import Restatements, write_restatements
from asyncreport.store.threads import run_in_thread

T = TypeVar("T")

#: parts that may wait for the disk before the caller has to wait
_WAITING = 2

_PART = re.compile(r"part-\d{8,}\.jsonl")


class State:
    """A state folder that one process holds for writing; to read only, use `Manifest.read`."""

    def __init__(self, folder: Path, lock: FileLock, manifest: Manifest) -> None:
        self.folder = folder
        self._lock = lock
        self._manifest = manifest
        # One thread: part numbers, manifest and files have a single writer, and a cancelled task
        # leaves no commit half done, because the thread finishes it.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="asyncreport-store")
        self._saving = 0
        self._saved = asyncio.Event()

    @classmethod
    def open(cls, folder: Path) -> State:
        """Lock the folder and read its manifest; create the folder if it does not exist.

        Raise StoreError if another process holds the lock, or if the manifest cannot be read.
        """
        make_folder(folder, mode=0o700)
        # Before anything is read or removed: another run may be writing.
        lock = take_lock(folder)
        try:
            manifest = _prepare(folder)
        except BaseException:
            lock.release()
            raise
        return cls(folder, lock, manifest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the commit in progress, then release the lock."""
        # In this order: the next process must not find this one still writing.
        self._writer.shutdown()
        self._lock.release()

    def current_parts(self, *fingerprints: str) -> list[Part]:
        """List the parts that were not replaced and whose files exist; raise StoreError."""
        return self._manifest.current_parts(*fingerprints)

    async def save(
        self, chunk: Chunk, blocks: Sequence[Block], *, fingerprint: str, fetched_at: int
    ) -> Part:
        """Save a chunk's rows durably; raise StoreError, and nothing was saved.

        `blocks` are in their final order, the rows without a user first.
        `fetched_at` is the instant at which the run began.
        """
        commit = partial(
            self._commit, chunk, blocks, fingerprint=fingerprint, fetched_at=fetched_at
        )
        self._saving += 1
        try:
            # Not `run_in_thread`: a commit is short, and a cancelled task need not wait for it.
            # `close` does.
            return await asyncio.get_running_loop().run_in_executor(self._writer, commit)
        finally:
            self._saving -= 1
            self._saved.set()

    async def wait_for_writer(self) -> None:
        """Wait while many parts wait for the disk.

        Rows that pile up in front of the disk were a third of a run's memory.
        """
        while self._saving > _WAITING:
            self._saved.clear()
            await self._saved.wait()

    async def mark_for_refresh(self, numbers: Sequence[int]) -> None:
        """Note that these parts are stale until each is replaced; raise StoreError."""
        await self.run_in_writer(lambda _: self._manifest.mark_for_refresh(numbers))

    async def run_in_writer(self, work: Callable[[Event], T]) -> T:
        """Run longer work in the writing thread; if cancelled, set its event and wait for it."""
        return await run_in_thread(work, self._writer)

    def delete_part(self, number: int) -> None:
        """Delete the file of a damaged part, so that it is fetched again; raise StoreError."""
        path = self.folder / part_name(number)
        with oserror_as_store_error(path, "deleted"):
            path.unlink(missing_ok=True)
            sync_folder(self.folder)

    def delete_replaced(self, stopped: Event, *, at: int) -> Restatements:
        """Write down what changed in replaced parts, then delete their files; `at` is now.

        Files that no manifest line names are deleted too: their commits did not happen.
        Raise StoreError, and Interrupted once `stopped` is set.
        """
        # Before the deletion: the old values are in these files only. If the process dies between
        # the two, the next run finds the pairs already listed.
        changed = write_restatements(self.folder, self._manifest.replaced(), stopped, at=at)
        named = self._manifest.files()
        with oserror_as_store_error(self.folder, "cleaned up"):
            for path in self.folder.iterdir():
                if _PART.fullmatch(path.name) and path.name not in named:
                    path.unlink()
        # The folder is not synced: a file that comes back after a power cut is deleted next time.
        return changed

    def _commit(
        self, chunk: Chunk, blocks: Sequence[Block], *, fingerprint: str, fetched_at: int
    ) -> Part:
        number = self._manifest.next_number
        stats = write_part(self.folder, number, blocks)
        part = Part(
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
        self._manifest.add(part, chunk.replaces)
        return part


def _prepare(folder: Path) -> Manifest:
    """Clean up after a run that was killed; raise StoreError."""
    with oserror_as_store_error(folder, "made private"):
        folder.chmod(0o700)
    remove_temporaries(folder)
    manifest = Manifest.read(folder)
    # Read first: an unreadable manifest must stay as it is, for a person to look at.
    manifest.cut_tail()
    # The manifest may be new, and its name must be durable before the first commit is.
    with oserror_as_store_error(folder, "written"):
        sync_folder(folder)
    return manifest
