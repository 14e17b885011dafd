"""Each commit is an entry that one process creates: nothing is lost, no second holder commits."""

from __future__ import annotations

import itertools
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.errors import StoreError
from asyncreport.store.objects.lease import Lease, Leases
from asyncreport.store.objects.manifest_entries import ManifestEntries
from tests.buckets import FakeBucket, fails

FOLDER = "exports/.asyncreport/job/default"


def lease_of(bucket: FakeBucket) -> Lease:
    """Take the lease; a holder before does not know it."""
    bucket.objects.pop(f"{FOLDER}/lease.json", None)
    leases = Leases(bucket.bucket, 30, lambda: 0.0)
    return leases.take([FOLDER], print, Event())[FOLDER]


class Holder:
    """A process that writes the manifest, and the lines that it knows."""

    def __init__(self, bucket: FakeBucket) -> None:
        self.entries = ManifestEntries(bucket.bucket, FOLDER, lease_of(bucket))
        self.lines = self.entries.start_writing()

    def append(self, line: bytes) -> None:
        self.entries.append(line, lambda: self.lines)
        self.lines += line

    def compact(self) -> None:
        self.entries.replace(self.lines)


def read(bucket: FakeBucket) -> bytes:
    return ManifestEntries(bucket.bucket, FOLDER).read()


def entries(bucket: FakeBucket) -> list[str]:
    return [each.key.rsplit("/", 1)[1] for each in bucket.list_all(f"{FOLDER}/manifest")]


def test_lines_are_read_in_the_order_of_their_commits() -> None:
    bucket = FakeBucket()
    holder = Holder(bucket)
    holder.append(b"a\n")
    holder.append(b"b\nc\n")
    assert read(bucket) == b"a\nb\nc\n"
    assert entries(bucket) == ["00000001", "00000002", "00000003"]
    assert Holder(bucket).lines == b"a\nb\nc\n"


def test_nothing_is_an_empty_manifest() -> None:
    assert read(FakeBucket()) == b""


def test_a_base_has_the_lines_of_entries_that_are_deleted() -> None:
    """Entries without lines stay: they are what stops a holder of before."""
    bucket = FakeBucket()
    first = Holder(bucket)
    first.append(b"a\n")
    second = Holder(bucket)
    second.append(b"b\n")
    second.compact()
    assert read(bucket) == b"a\nb\n"
    assert entries(bucket) == ["00000001", "00000003", "base"]
    second.append(b"c\n")
    assert read(bucket) == b"a\nb\nc\n"


def test_the_base_is_written_when_there_are_many_entries() -> None:
    bucket = FakeBucket()
    holder = Holder(bucket)
    for number in range(600):
        holder.append(b"%d\n" % number)
    assert read(bucket) == b"".join(b"%d\n" % number for number in range(600))
    assert len(entries(bucket)) < 260


@pytest.mark.parametrize("compacted", [False, True])
def test_a_holder_of_before_commits_nothing(*, compacted: bool) -> None:
    bucket = FakeBucket()
    before = Holder(bucket)
    before.append(b"a\n")
    after = Holder(bucket)
    after.append(b"b\n")
    if compacted:
        after.compact()
    for work in (lambda: before.append(b"x\n"), before.compact):
        with pytest.raises(StoreError, match="lost its lease: another process took it over"):
            work()
    after.append(b"c\n")
    assert read(bucket) == b"a\nb\nc\n"


def test_after_a_commit_that_may_exist_nothing_is_committed() -> None:
    """The number of that entry must not be used again: a successor may have read and deleted it."""
    bucket = FakeBucket()
    holder = Holder(bucket)
    bucket.after_write = fails
    with pytest.raises(StoreError, match="cannot be reached"):
        holder.append(b"a\n")
    bucket.after_write = lambda _: None
    with pytest.raises(StoreError, match="a commit could not be finished"):
        holder.append(b"b\n")
    assert Holder(bucket).lines == b"a\n"


def test_a_reader_begins_again_if_entries_disappear() -> None:
    bucket = FakeBucket()
    holder = Holder(bucket)
    holder.append(b"a\n")
    listed = bucket.list_all

    def list_then_compact(folder: str, after: str = "") -> list[object]:
        found = listed(folder, after)
        bucket.list_all = listed  # type: ignore[method-assign]
        holder.compact()
        return found  # type: ignore[return-value]

    bucket.list_all = list_then_compact  # type: ignore[assignment,method-assign]
    assert read(bucket) == b"a\n"


def test_a_damaged_base_is_an_error() -> None:
    bucket = FakeBucket()
    bucket.write(f"{FOLDER}/manifest/base", b"?\n")
    with pytest.raises(StoreError, match=r"manifest/base is damaged: .*is fetched again"):
        read(bucket)


#: what happens next, and to which process
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "take over", "compact", "die", "lose"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_what_was_committed_is_read_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    """Processes that do not know of each other append, compact, die, and lose responses."""
    bucket = FakeBucket()
    holders = [Holder(bucket)]
    numbers = itertools.count(1)
    committed: list[bytes] = []
    for step, which in steps:
        holder = holders[which % len(holders)]
        if step == "take over":
            holders.append(Holder(bucket))
            continue
        if step in ("die", "lose"):
            # Before a write or after it, in the middle of whatever the process does.
            setattr(bucket, "before_write" if step == "die" else "after_write", fails)
        line = b"%d\n" % next(numbers)
        try:
            if step == "compact":
                holder.compact()
            else:
                holder.append(line)
                committed.append(line)
                assert holder is holders[-1]
        except StoreError:
            if step == "lose" and line in read(bucket).splitlines(keepends=True):
                committed.append(line)
        bucket.before_write = bucket.after_write = lambda _: None
    assert read(bucket) == b"".join(committed)
    assert Holder(bucket).lines == b"".join(committed)
