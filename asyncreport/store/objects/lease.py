"""A lease: one holder at a time of a folder in a bucket, taken over when its holder is gone.

Owns the lease object and the thread that renews it.

No clocks are compared. A holder counts from the beginning of its last renewal that succeeded, and
gives up before its time is over. Another process takes over if the object has not changed for as
long as the holder may count, by its own clock. Each change is a conditional write, so that of two
processes one succeeds. The object is never deleted: a late deletion could be that of the next
holder's lease.

What a holder may do without looking at its lease is bounded by `ManifestEntries`: each commit is an
entry that only one process can create.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from asyncreport.core.errors import StoreError
from asyncreport.core.timeline import iso
from asyncreport.store.lock import in_use
from asyncreport.store.objects.bucket import Bucket

#: seconds after which a lease that is not renewed is taken over
LEASE_SECONDS = 30.0

#: renewals within that time, if none fails
RENEWALS = 6

#: the part of that time after which a holder that could not renew its lease stops
_SAFE_SHARE = 2 / 3

#: seconds between two looks at another process's lease, at most
_LOOK_EVERY = 1.0

NAME = "lease.json"


class LeaseRecord(Struct, frozen=True, kw_only=True):
    """What the lease object says."""

    #: of the holder; each process has another one
    token: str
    pid: int
    host: str
    #: ascending: each holder has a higher one than the holder before
    number: int
    #: UTC; when it was taken, by the holder's clock
    since: str
    renewals: int = 0
    #: the holder has ended
    free: bool = False

    def __str__(self) -> str:
        return f"by process {self.pid} on {self.host} since {self.since}"


def describe_holder(bucket: Bucket, folder: str, lasts: float) -> str | None:
    """Describe who seems to hold the lease of a folder; None: nobody. Raise StoreError.

    For people only: it compares the clock of the storage with that of this machine.
    """
    found = bucket.read(f"{folder}/{NAME}")
    if found is None:
        return None
    held = _decoded(bucket, folder, found.data)
    if held.free or time.time() - found.modified / 1e9 > 2 * lasts:
        return None
    return str(held)


@dataclass(slots=True)
class Lease:
    """The lease of one folder, held by this process."""

    bucket: Bucket
    folder: str
    #: seconds
    lasts: float
    record: LeaseRecord
    etag: str
    #: monotonic; the beginning of the last renewal that succeeded
    renewed: float
    #: the clock that counts; nobody can set it, and it goes on in a stopped process
    now: Callable[[], float]
    #: why it is lost; empty: it is held
    lost: str = ""
    # A renewal and the release must not cross.
    _lock: Lock = field(default_factory=Lock)

    @property
    def number(self) -> int:
        """Give the number of the lease: each holder has a higher one than the holder before."""
        return self.record.number

    def check(self) -> None:
        """Raise StoreError unless the lease is held; nothing is sent."""
        # Before the time is over: another process may take over right at its end.
        if not self.lost and self.now() - self.renewed > self.lasts * _SAFE_SHARE:
            self.lost = "it could not be renewed in time"
        if self.lost:
            raise self.lost_error()

    def lost_error(self) -> StoreError:
        """Make the error for a lease that this process does not hold any more."""
        return StoreError(
            f"{self.bucket.url(self.folder)}: this process lost its lease: {self.lost}; "
            "nothing more was saved; run again: existing parts are reused"
        )

    def renew(self) -> None:
        """Renew the lease; if another process has it, it is lost. Raise StoreError."""
        with self._lock:
            if self.lost or self.record.free:
                return
            begun = self.now()
            self._write(replace(self.record, renewals=self.record.renewals + 1))
            if not self.lost:
                self.renewed = begun

    def release(self) -> None:
        """Let another process take the lease at once; raise StoreError."""
        with self._lock:
            if not self.lost:
                self._write(replace(self.record, free=True))

    def _write(self, record: LeaseRecord) -> None:
        """Replace the object if it is still as this process left it."""
        key, data = f"{self.folder}/{NAME}", msgspec.json.encode(record)
        etag = self.bucket.replace(key, data, self.etag)
        if etag is None:
            etag = _etag_if_written(self.bucket, key, data)
        if etag is None:
            self.lost = "another process took it over"
            return
        self.record, self.etag = record, etag


@dataclass(slots=True)
class _Taker:
    """One attempt to take a lease."""

    bucket: Bucket
    folder: str
    lasts: float
    #: prints a line
    say: Callable[[str], None]
    #: tokens of the holders that a line was printed about
    announced: set[str]
    stopped: Event
    now: Callable[[], float]
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    #: the etag that was seen first, and when
    seen: tuple[str, float] | None = None

    def look(self) -> None:
        """Begin to count the time of a holder, if there is one; raise StoreError."""
        found = self.bucket.read(f"{self.folder}/{NAME}")
        if found is not None:
            held = _decoded(self.bucket, self.folder, found.data)
            if not held.free:
                self.seen = (found.etag, self.now())

    def take(self) -> Lease:
        """Wait until nobody holds the lease; raise StoreError if its holder works."""
        while True:
            lease = self._try()
            if lease is not None:
                return lease
            if self.stopped.wait(min(_LOOK_EVERY, self.lasts / 10)):
                raise StoreError(f"{self.bucket.url(self.folder)}: stopped while it was in use")

    def _try(self) -> Lease | None:
        """Take the lease if nobody holds it; None: look again."""
        found = self.bucket.read(f"{self.folder}/{NAME}")
        if found is None:
            return self._write(1, None)
        held = _decoded(self.bucket, self.folder, found.data)
        if held.free or self._is_over(held, found.etag):
            return self._write(held.number + 1, found.etag)
        return None

    def _is_over(self, held: LeaseRecord, etag: str) -> bool:
        """Tell whether nobody renewed a lease for its time, by the clock of this process."""
        now = self.now()
        if self.seen is None:
            self.seen = (etag, now)
        first, since = self.seen
        if etag == first:
            if now - since > self.lasts:
                return True
            self._tell_waiting(held)
            return False
        # It was renewed or taken meanwhile: its holder works.
        raise in_use(self.bucket.url(self.folder), str(held))

    def _tell_waiting(self, held: LeaseRecord) -> None:
        """Say once who is waited for."""
        if held.token not in self.announced:
            self.announced.add(held.token)
            self.say(
                f"{self.bucket.url(self.folder)} is in use {held}; waiting: if that process does "
                f"not work any more, this one takes over after {self.lasts:g} s"
            )

    def _write(self, number: int, etag: str | None) -> Lease | None:
        """Try to be the holder with this number; None: another process was faster."""
        begun = self.now()
        record = LeaseRecord(
            token=self.token,
            pid=os.getpid(),
            host=socket.gethostname(),
            number=number,
            since=iso(time.time_ns() // 1_000_000),
        )
        key, data = f"{self.folder}/{NAME}", msgspec.json.encode(record)
        if etag is None:
            new = self.bucket.create(key, data)
        else:
            new = self.bucket.replace(key, data, etag)
        if new is None:
            new = _etag_if_written(self.bucket, key, data)
        if new is None:
            return None
        return Lease(self.bucket, self.folder, self.lasts, record, new, begun, self.now)


class Leases:
    """The leases that one command holds, and the thread that renews them."""

    def __init__(
        self, bucket: Bucket, lasts: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._bucket = bucket
        self._now = now
        self._lasts = lasts
        self._held: list[Lease] = []
        self._ended = Event()
        self._thread = Thread(target=self._renew, name="asyncreport-lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(
        self,
        folders: Iterable[str],
        say: Callable[[str], None],
        stopped: Event,
    ) -> dict[str, Lease]:
        """Take the leases of folders; give them by folder. Raise StoreError.

        `say` prints a line about a holder that may not work any more, and is waited for. `stopped`
        ends the wait.
        """
        announced: set[str] = set()
        # Sorted: two processes that want the same leases must take them in the same order.
        takers = [
            _Taker(self._bucket, folder, self._lasts, say, announced, stopped, self._now)
            for folder in sorted(folders)
        ]
        # First: the times of several leases of a process that is gone end together.
        self._bucket.each(_Taker.look, takers)
        found = {}
        for taker in takers:
            lease = taker.take()
            self._held.append(lease)
            found[taker.folder] = lease
        return found

    def check(self) -> None:
        """Raise StoreError unless all leases are held; nothing is sent."""
        for lease in self._held:
            lease.check()

    def close(self) -> None:
        """Stop to renew the leases and release them."""
        self._ended.set()
        self._thread.join()
        self._bucket.each(_release, self._held)

    def _renew(self) -> None:
        """Renew all leases, again and again."""
        while not self._ended.wait(self._lasts / RENEWALS):
            self._bucket.each(_renew, list(self._held))


def _renew(lease: Lease) -> None:
    """Renew a lease; a failure is repeated next time, and ends at `check`."""
    try:
        lease.renew()
    except StoreError:
        return


def _release(lease: Lease) -> None:
    """Release a lease; if that fails, another process waits until its time is over."""
    try:
        lease.release()
    except StoreError:
        return


def _etag_if_written(bucket: Bucket, key: str, data: bytes) -> str | None:
    """Give the etag if the object is what was to be written: only the response was lost."""
    found = bucket.read(key)
    if found is None or found.data != data:
        return None
    return found.etag


def _decoded(bucket: Bucket, folder: str, data: bytes) -> LeaseRecord:
    """Decode a lease object; raise StoreError."""
    try:
        return msgspec.json.decode(data, type=LeaseRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{bucket.url(folder)}/{NAME} is damaged: {error}; make sure that no run is in "
            "progress, delete it and run again"
        ) from error
