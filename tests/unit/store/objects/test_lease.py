"""A lease has one holder at a time, whatever happens to processes, responses and clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import cast

import pytest

from asyncreport.core.errors import StoreError
from asyncreport.store.objects.lease import NAME, Lease, Leases, describe_holder
from tests.buckets import FakeBucket, fails

FOLDER = "exports/.asyncreport/job"
KEY = f"{FOLDER}/{NAME}"


@dataclass
class Clock:
    """Time passes only while somebody waits."""

    time: float = 0.0
    #: called at each wait
    meanwhile: list[Event] = field(default_factory=list)

    def __call__(self) -> float:
        return self.time

    def wait(self, seconds: float) -> bool:
        """Wait as an event that nobody sets."""
        self.time += seconds
        return False


@dataclass
class Process:
    """A process that wants the lease."""

    bucket: FakeBucket
    clock: Clock
    lasts: float = 30.0
    said: list[str] = field(default_factory=list)

    def take(self) -> Lease:
        leases = Leases(self.bucket.bucket, self.lasts, self.clock)
        stopped = cast("Event", self.clock)
        return leases.take([FOLDER], self.said.append, stopped)[FOLDER]


def test_a_free_lease_is_taken_at_once() -> None:
    bucket, clock = FakeBucket(), Clock()
    lease = Process(bucket, clock).take()
    lease.check()
    assert lease.number == 1
    lease.release()
    other = Process(bucket, clock)
    assert other.take().number == 2
    assert not other.said
    assert not bucket.deleted
    assert clock.time == 0


def test_a_holder_that_is_gone_is_followed_after_the_time_of_the_lease() -> None:
    bucket, clock = FakeBucket(), Clock()
    Process(bucket, clock).take()
    other = Process(bucket, clock)
    assert other.take().number == 2
    assert 30 < clock.time < 33
    assert len(other.said) == 1
    assert "is in use by process" in other.said[0]
    assert "takes over after 30 s" in other.said[0]


def test_a_holder_that_works_is_not_followed() -> None:
    bucket = FakeBucket()
    holder = Process(bucket, Clock()).take()

    class Renewing(Clock):
        def wait(self, seconds: float) -> bool:
            holder.renew()
            return super().wait(seconds)

    with pytest.raises(StoreError, match=r"is in use by process .* wait until that run ends"):
        Process(bucket, Renewing()).take()
    holder.check()


def test_a_holder_that_was_stopped_finds_out_and_changes_nothing() -> None:
    """Its clock went on while it was stopped; the next holder's lease stays."""
    bucket, clock = FakeBucket(), Clock()
    stopped = Process(bucket, clock).take()
    next_holder = Process(bucket, clock).take()
    with pytest.raises(StoreError, match="lost its lease: it could not be renewed in time"):
        stopped.check()
    before = bucket.objects[KEY]
    stopped.renew()
    stopped.release()
    assert bucket.objects[KEY] == before
    next_holder.check()
    next_holder.renew()
    assert not next_holder.lost


def test_a_holder_whose_clock_stood_still_finds_out_at_its_renewal() -> None:
    """A machine that slept: its clock says that no time has passed."""
    bucket = FakeBucket()
    slept = Process(bucket, Clock()).take()
    Process(bucket, Clock()).take()
    slept.check()
    slept.renew()
    with pytest.raises(StoreError, match="lost its lease: another process took it over"):
        slept.check()


def test_a_holder_stops_before_its_time_is_over_if_it_cannot_renew() -> None:
    bucket, clock = FakeBucket(), Clock()
    lease = Process(bucket, clock).take()
    bucket.before_write = fails
    for _ in range(4):
        clock.time += 5
        with pytest.raises(StoreError, match="cannot be reached"):
            lease.renew()
        lease.check()
    clock.time += 0.1
    with pytest.raises(StoreError, match="could not be renewed in time"):
        lease.check()


@pytest.mark.parametrize("renewals", [0, 1, 3])
def test_a_response_that_is_lost_loses_no_lease(renewals: int) -> None:
    """The storage library repeats a request; the second one finds what the first one wrote."""
    bucket, clock = FakeBucket(), Clock()

    class Repeating(FakeBucket):
        def create(self, key: str, data: bytes) -> str | None:
            super().create(key, data)
            return super().create(key, data)

        def replace(self, key: str, data: bytes, etag: str) -> str | None:
            super().replace(key, data, etag)
            return super().replace(key, data, etag)

    bucket = Repeating()
    lease = Process(bucket, clock).take()
    for _ in range(renewals):
        lease.renew()
    lease.check()
    lease.release()
    assert not lease.lost
    assert Process(bucket, clock).take().number == 2


def test_of_two_processes_one_takes_a_lease() -> None:
    """The second one reads before the first one writes."""
    clock = Clock()

    class Racing(FakeBucket):
        raced = False

        def create(self, key: str, data: bytes) -> str | None:
            if not self.raced:
                self.raced = True
                Process(self, clock).take()
            return super().create(key, data)

    bucket = Racing()
    late = Process(bucket, clock)
    assert late.take().number == 2
    # It waited as for any other holder.
    assert len(late.said) == 1


def test_the_leases_of_a_process_that_is_gone_end_together() -> None:
    """A job has one for each connection: the next run waits once, and says it once."""
    bucket, clock, stopped = FakeBucket(), Clock(), cast("Event", Clock())
    folders = [f"connection-{number}" for number in range(12)]
    Leases(bucket.bucket, 30, clock).take(folders, print, stopped)
    said: list[str] = []
    stopped = cast("Event", clock)
    held = Leases(bucket.bucket, 30, clock).take(folders, said.append, stopped)
    assert [lease.number for lease in held.values()] == [2] * 12
    assert 30 < clock.time < 33
    assert len(said) == 1


def test_a_lease_whose_response_came_late_counts_from_its_request() -> None:
    """Another process may have counted from the moment at which the object was written."""
    clock = Clock()

    class Slow(FakeBucket):
        def create(self, key: str, data: bytes) -> str | None:
            super().create(key, data)
            clock.time += 25
            return None

    lease = Process(Slow(), clock).take()
    with pytest.raises(StoreError, match="could not be renewed in time"):
        lease.check()


def test_a_damaged_lease_is_an_error() -> None:
    bucket = FakeBucket()
    bucket.write(KEY, b"{")
    with pytest.raises(StoreError, match=r"lease\.json is damaged: .* delete it and run again"):
        Process(bucket, Clock()).take()


def test_all_leases_are_renewed_and_released() -> None:
    """The thread works on its own clock; here it must only have run."""
    bucket = FakeBucket()
    with Leases(bucket.bucket, 0.3) as leases:
        held = leases.take(["b", "a"], print, Event())
        assert list(held) == ["a", "b"]
        renewed = Event()
        bucket.after_write = lambda _: renewed.set()
        assert renewed.wait(10)
        leases.check()
    for lease in held.values():
        assert lease.record.free
    assert describe_holder(bucket.bucket, "a", 30) is None
