"""The state folder of one job, open for writing. Owns the writing thread and the job's lock.

`merge.lock` belongs to the process that writes names, members, outputs and summary. Each
connection has a folder of its own with a lock of its own, and a run holds all of them from its
start to its end. Jobs that are one connection each of a larger job share nothing: each has its
names, members and so on in the folder of its connection.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event
from typing import Self, TypeVar

from asyncreport.core.answer_sizes import Totals
from asyncreport.core.job import Chunk, Connection, Job, Part, PartKey
from asyncreport.core.records import Block
from asyncreport.store.answer_totals import read_totals, write_totals
from asyncreport.store.atomic import remove_temporaries
from asyncreport.store.commit import PartFolder
from asyncreport.store.conversion import convert_format_1, format_1_locked, is_format_1
from asyncreport.store.folders import make_folder, make_private
from asyncreport.store.lock import HeldLock, merge_lock, take_lock
from asyncreport.store.memory_budget import MemoryBudget
from asyncreport.store.part_filter import PartFilter
from asyncreport.store.remote import Remotes, nowhere
from asyncreport.store.restatements import Restatements
from asyncreport.store.threads import run_in_thread

T = TypeVar("T")

#: parts that are uploaded to a bucket at the same time: several connections have many small ones
_UPLOADS = 32

#: bytes of these parts, as each is in memory as a whole
_UPLOAD_BYTES = 24 << 20

#: parts that may wait for the disk before the caller has to wait
_WAITING = 2


class State:
    """A state folder that one process holds for writing; to read only, use `JobParts`."""

    def __init__(
        self,
        folder: Path,
        parts_folder: Path,
        part_filter: PartFilter,
        held: ExitStack,
        remotes: Remotes = nowhere,
    ) -> None:
        self.folder = folder
        #: with a folder for each connection
        self._parts_folder = parts_folder
        self._filter = part_filter
        self._remotes = remotes
        #: by the connection's name
        self._connections: dict[str, PartFolder] = {}
        # What `close` ends, the last first.
        self._held = held
        # One thread: part numbers, manifests and files have a single writer, and a cancelled task
        # leaves no commit half done, because the thread finishes it.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="asyncreport-store")
        self._uploads = ThreadPoolExecutor(_UPLOADS, thread_name_prefix="asyncreport-uploads")
        self._upload_memory = MemoryBudget(_UPLOAD_BYTES)
        self._saving = 0
        self._saved = asyncio.Event()

    @classmethod
    def of(cls, job: Job, remotes: Remotes = nowhere) -> State:
        """Open the state folder of a job, as `open` does."""
        return cls.open(
            job.state_folder,
            PartFilter.of(job),
            parts_folder=job.parts_folder,
            remotes=remotes,
        )

    @classmethod
    def open(
        cls,
        folder: Path,
        part_filter: PartFilter,
        *,
        parts_folder: Path | None = None,
        remotes: Remotes = nowhere,
    ) -> State:
        """Lock the folder of a job and read its manifests; create what does not exist.

        `parts_folder` has the folders of the connections; None: the same folder. `remotes` gives
        where the parts of each connection are kept, if the folder is a copy.

        Raise StoreError if another process holds a lock, or if a manifest cannot be read.
        """
        with ExitStack() as stack:
            state = cls(folder, parts_folder or folder, part_filter, stack, remotes)
            state._open()
            # Nothing failed: the locks are held until `close`.
            state._held = stack.pop_all()
        return state

    def _open(self) -> None:
        """Take the locks and read the manifests."""
        # The locks before anything is read or removed: another run may be writing.
        self._lock(merge_lock(self.folder))
        # Sorted: two processes that want the same locks must take them in the same order.
        names = sorted(self._filter.fingerprints)
        locks = {name: self._lock(self._parts_folder / name / "lock") for name in names}
        remove_temporaries(self.folder)
        if self.folder == self._parts_folder:
            with format_1_locked(self.folder):
                convert_format_1(self.folder, self._filter)
        for name, lock in locks.items():
            self._connections[name] = PartFolder.open(
                self._parts_folder / name, lock, self._filter, self._remotes(name)
            )

    def _lock(self, path: Path) -> HeldLock:
        """Take a lock and keep it until `close`; create its folder if it does not exist."""
        make_folder(path.parent, mode=0o700)
        lock = take_lock(path)
        self._held.callback(lock.release)
        # After the lock: a folder that this user must not write to is reported, not opened.
        make_private(path.parent)
        return lock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the commit in progress, then release the locks."""
        # In this order: the next process must not find this one still writing.
        self._uploads.shutdown(cancel_futures=True)
        self._writer.shutdown()
        self._held.close()

    @property
    def folders(self) -> Mapping[str, PartFolder]:
        """Give the folders of the connections, by name."""
        return self._connections

    def current_parts(self, connection: Connection) -> list[Part]:
        """List the parts that were not replaced and whose files exist; raise StoreError."""
        return self._connections[connection.name].manifest.current_parts(self._filter)

    def lost_parts(self, connection: Connection) -> list[Part]:
        """List the parts that were not replaced and whose files are gone or have another size."""
        return self._connections[connection.name].manifest.lost_parts(self._filter)

    def outdated_parts(self, connection: Connection) -> list[Part]:
        """List the parts that cannot be used any more because the time zone's rules changed."""
        return self._connections[connection.name].outdated

    def organization(self, connection: Connection) -> str | None:
        """Give the id of the organisation whose parts a connection has; None: unknown."""
        manifest = self._connections[connection.name].manifest
        return manifest.organizations.get(connection.identity)

    async def note_organization(self, connection: Connection, organization: str) -> None:
        """Keep the id of the organisation that a connection fetches from; raise StoreError."""
        manifest = self._connections[connection.name].manifest
        await self.run_in_writer(
            lambda _: manifest.note_organization(connection.identity, organization)
        )

    def answer_totals(self, connection: Connection) -> Totals:
        """Give what the answers to the job's query held in earlier runs."""
        name = connection.name
        return read_totals(self._parts_folder / name, self._filter.fingerprints[name][0])

    async def keep_answer_totals(self, connection: Connection, totals: Totals) -> None:
        """Keep what the answers to the job's query held, for later runs; raise StoreError."""
        name = connection.name
        fingerprint = self._filter.fingerprints[name][0]
        folder = self._parts_folder / name
        await self.run_in_writer(lambda _: write_totals(folder, fingerprint, totals))

    async def save(self, chunk: Chunk, blocks: list[Block], *, fetched_at: int) -> Part:
        """Save a chunk's rows durably; raise StoreError, and nothing was saved.

        `blocks` are in their final order, the rows without a user first; the list may be empty
        afterwards.
        `fetched_at` is the instant at which the run began.
        """
        folder = self._connections[chunk.connection]
        if not folder.is_copy:
            return await self._write(partial(folder.save, chunk, blocks, fetched_at=fetched_at))
        part = await self._write(partial(folder.write, chunk, blocks, fetched_at=fetched_at))
        # They are in the file now, and an upload may take long.
        blocks.clear()
        loop = asyncio.get_running_loop()
        # Not in the writing thread: several clients fetch more parts in a second than a bucket
        # takes one after the other.
        async with self._upload_memory.holding(part.size):
            await loop.run_in_executor(self._uploads, folder.upload, part, chunk.replaces)
        await loop.run_in_executor(self._writer, folder.commit, part)
        return part

    async def _write(self, work: Callable[[], Part]) -> Part:
        """Write the rows of a chunk in the writing thread."""
        self._saving += 1
        try:
            # Not `run_in_thread`: this is short, and a cancelled task need not wait for it. `close`
            # does.
            return await asyncio.get_running_loop().run_in_executor(self._writer, work)
        finally:
            self._saving -= 1
            self._saved.set()

    @property
    def saving(self) -> int:
        """Count the parts that wait for the disk."""
        return self._saving

    async def wait_for_writer(self) -> None:
        """Wait while many parts wait for the disk.

        Rows that pile up in front of the disk were a third of a run's memory.
        """
        while self._saving > _WAITING:
            self._saved.clear()
            await self._saved.wait()

    async def mark_for_refresh(self, parts: Iterable[Part]) -> None:
        """Note that these parts are stale until each is replaced; raise StoreError."""
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for part in parts:
            numbers[part.connection].append(part.number)
        await self.run_in_writer(lambda _: self._mark_for_refresh(numbers))

    def _mark_for_refresh(self, numbers: dict[str, list[int]]) -> None:
        """Note it in the manifest of each connection."""
        for name, of_connection in numbers.items():
            self._connections[name].manifest.mark_for_refresh(of_connection)

    async def run_in_writer(self, work: Callable[[Event], T]) -> T:
        """Run longer work in the writing thread; if cancelled, set its event and wait for it."""
        return await run_in_thread(work, self._writer)

    def delete_part(self, key: PartKey) -> None:
        """Delete the file of a damaged part, so that it is fetched again; raise StoreError."""
        name, number = key
        self._connections[name].delete_part(number)

    def delete_replaced(self, stopped: Event, *, at: int) -> Restatements:
        """Write down what changed in replaced parts, then delete their files; `at` is now.

        Raise StoreError, and Interrupted once `stopped` is set.
        """
        changed = Restatements()
        for connection in self._connections.values():
            changed += connection.delete_replaced(stopped, at=at)
        return changed

    def delete_other_queries(self, stopped: Event, *, at: int) -> int:
        """Do what `PartFolder.delete_other_queries` does, in all connections."""
        folders = self._connections.values()
        return sum(folder.delete_other_queries(stopped, at=at) for folder in folders)


def convert(job: Job) -> None:
    """Convert the state folder of a whole job if it has format 1; raise StoreError.

    Its connections cannot do that when they run apart: format 1 has one manifest for all of them.
    """
    if is_format_1(job.parts_folder):
        State.of(job).close()
