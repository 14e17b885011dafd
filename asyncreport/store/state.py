"""The state folder of one job: who may write, which parts stand, and the commit. Owns the lock and the writing thread."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Self, TypeVar

from filelock import FileLock, Timeout
from msgspec import Struct

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Chunk, Part
from asyncreport.core.records import Block
from asyncreport.core.timeline import iso
from asyncreport.store.atomic import (
    PRIVATE,
    make_folder,
    oserror_as_store_error,
    read_json,
    remove_temporaries,
    sync_folder,
    write_json,
)
from asyncreport.store.manifest import Manifest
from asyncreport.store.parts import part_name, write_part
from asyncreport.store.restatements import Changed, note_changes

T = TypeVar("T")

#: parts that may wait for the disk before whoever brings more is to wait
_WAITING = 2

_PART = re.compile(r"part-\d{8,}\.jsonl")


class _Holder(Struct, frozen=True, kw_only=True):
    """The process that holds the lock; it took it when this was written."""

    pid: int
    host: str


class State:
    """A state folder held open for writing, by one process at a time; `Manifest.read` is for those who only look."""

    def __init__(self, folder: Path, lock: FileLock, manifest: Manifest) -> None:
        self.folder = folder
        self._lock = lock
        self._manifest = manifest
        # One thread: numbers, manifest and files have a single writer, and a cancelled task leaves no commit half done.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="asyncreport-store")
        self._saving = 0
        self._saved = asyncio.Event()

    @classmethod
    def open(cls, folder: Path) -> State:
        """Take the folder, made where it is missing; raise StoreError where another process holds it or it cannot be read."""
        make_folder(folder, mode=0o700)
        lock = _take_lock(folder)
        try:
            with oserror_as_store_error(folder, "made private"):
                folder.chmod(0o700)
            remove_temporaries(folder)
            manifest = Manifest.read(folder)
            manifest.mend()
            with oserror_as_store_error(folder, "written"):
                sync_folder(folder)
        except BaseException:
            lock.release()
            raise
        return cls(folder, lock, manifest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the commit under way and let the folder go."""
        self._writer.shutdown()
        self._lock.release()

    def standing(self, fingerprint: str) -> list[Part]:
        """List the parts that nothing replaced and whose files are there; raise StoreError."""
        return self._manifest.standing(fingerprint)

    async def save(
        self, chunk: Chunk, blocks: Sequence[Block], *, fingerprint: str, fetched_at: int
    ) -> Part:
        """Make a chunk's rows durable; raise StoreError, and nothing was saved.

        `blocks` are in their final order, the rows of no user first; `fetched_at` is the instant at which the run began.
        """
        commit = partial(
            self._commit, chunk, blocks, fingerprint=fingerprint, fetched_at=fetched_at
        )
        self._saving += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writer, commit)
        finally:
            self._saving -= 1
            self._saved.set()

    async def room(self) -> None:
        """Wait while many parts wait for the disk: rows that pile up before it were a third of a run's memory."""
        while self._saving > _WAITING:
            self._saved.clear()
            await self._saved.wait()

    async def ask_again(self, numbers: Sequence[int]) -> None:
        """Keep in mind which parts are to be replaced: they are stale until they are; raise StoreError."""
        await self.work(lambda _: self._manifest.ask_again(numbers))

    async def work(self, write: Callable[[Event], T]) -> T:
        """Run longer work on the writing thread; cancelled, set the event that it is given and wait until it has ended."""
        stopped = Event()
        future = asyncio.get_running_loop().run_in_executor(self._writer, write, stopped)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # Whoever cancels closes files and lets the lock go next: the thread must be done with them.
            stopped.set()
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # looked at, so that nothing is said of it
            raise

    def drop(self, number: int) -> None:
        """Delete the file of a part that is not what was saved, so that it stands no more; raise StoreError."""
        path = self.folder / part_name(number)
        with oserror_as_store_error(path, "deleted"):
            path.unlink(missing_ok=True)
            sync_folder(self.folder)

    def discard_replaced(self, stopped: Event, *, at: int) -> Changed:
        """Delete the files of replaced parts and of commits that never came to be; what changed is noted first.

        Raise StoreError, and Interrupted once `stopped` is set.
        """
        changed = note_changes(self.folder, self._manifest.replaced(), stopped, at=at)
        wanted = self._manifest.files()
        with oserror_as_store_error(self.folder, "tidied"):
            for path in self.folder.iterdir():
                if _PART.fullmatch(path.name) and path.name not in wanted:
                    path.unlink()
        return changed

    def _commit(
        self, chunk: Chunk, blocks: Sequence[Block], *, fingerprint: str, fetched_at: int
    ) -> Part:
        number = self._manifest.next_number
        facts = write_part(self.folder, number, blocks)
        part = Part(
            number=number,
            fingerprint=fingerprint,
            month=chunk.month,
            interval=chunk.interval,
            users=chunk.users,
            fetched_at=fetched_at,
            count=facts.count,
            size=facts.size,
            index_at=facts.index_at,
            sha256=facts.sha256,
        )
        # After the file and its name are durable: the line is the commit.
        self._manifest.add(part, chunk.replaces)
        return part


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every other process out of a folder and change nothing in it; raise StoreError where one is in."""
    lock = _take_lock(folder)
    try:
        yield
    finally:
        lock.release()


def holder(folder: Path) -> str | None:
    """Say which process holds a folder, without taking it; None: none does."""
    found = read_json(folder / "lock.json", _Holder)
    if found is None or (found.host == socket.gethostname() and not _alive(found.pid)):
        return None
    with oserror_as_store_error(folder / "lock", "read"):
        try:
            descriptor = os.open(folder / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return None
    try:
        # Only for the blink of an eye, and only where a process with that number lives: nobody is kept out who comes meanwhile.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _by_whom(folder / "lock.json")
    finally:
        os.close(descriptor)
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take_lock(folder: Path) -> FileLock:
    # Not bound to the thread: whoever closes the state lets the lock go.
    lock = FileLock(folder / "lock", mode=PRIVATE, thread_local=False)
    # Beside the lock and not in it: on some systems nobody else can read a locked file.
    holder = folder / "lock.json"
    with oserror_as_store_error(folder / "lock", "taken"):
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise StoreError(
                f"{folder} is in use {_by_whom(holder)}; wait until that run ends, or stop it, then run again"
            ) from error
    try:
        write_json(holder, _Holder(pid=os.getpid(), host=socket.gethostname()))
    except BaseException:
        lock.release()
        raise
    return lock


def _by_whom(holder: Path) -> str:
    found = read_json(holder, _Holder)
    if found is None:
        return "by another process"
    with oserror_as_store_error(holder, "read"):
        since = int(holder.stat().st_mtime * 1000)
    return f"by process {found.pid} on {found.host} since {iso(since)}"
