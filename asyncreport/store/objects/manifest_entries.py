"""The manifest of a connection as objects: each commit is an object that only one process creates.

Owns the objects in `manifest/` of the connection's folder:

* `manifest/00000012`: lines that one append added, after a line with the number of the lease. It
  is created once, and that is the commit. Nothing is ever put in its place.
* `manifest/base`: all lines up to an entry, so that a reader reads few objects.

A holder begins with an entry without lines. A holder before it, who does not know yet that its
lease is lost, would create an entry of this number next, and cannot. Entries without lines are
therefore kept, those of many holders; others are deleted once the base has their lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from asyncreport.core.errors import StoreError
from asyncreport.store.objects.bucket import Bucket, Content
from asyncreport.store.objects.lease import Lease
from asyncreport.store.threads import check_stopped

#: entries after which the base is written again
_MOST_ENTRIES = 256

#: entries without lines that are kept: a process would have to be stopped while so many others run
#: to the end, and then go on, to commit what nobody reads
_MOST_EMPTY = 1000

#: times that a reader begins again because a writer deleted entries meanwhile
_MOST_READS = 10


class _Head(Struct, frozen=True, kw_only=True):
    """The first line of an entry."""

    #: number of the lease
    lease: int
    #: of the process that holds it
    token: str


class _BaseHead(Struct, frozen=True, kw_only=True):
    """The first line of the base."""

    #: number of the last entry whose lines it has
    upto: int
    #: numbers of the entries without lines
    empty: tuple[int, ...] = ()


@dataclass(slots=True)
class _Read:
    """The lines of a manifest, and where they came from."""

    lines: bytes
    #: number of the last entry; 0: there is none
    last: int
    head: _BaseHead
    #: of the base; empty: there is none
    etag: str
    #: numbers of the entries that the base does not have
    numbers: list[int] = field(default_factory=list)


class ManifestEntries:
    """The objects of one connection's manifest."""

    def __init__(self, bucket: Bucket, folder: str, lease: Lease | None = None) -> None:
        """Name the connection's folder; without a lease it can only be read."""
        self._bucket = bucket
        self._folder = f"{folder}/manifest"
        self._lease = lease
        self._read = _Read(b"", 0, _BaseHead(upto=0), "")

    def read(self) -> bytes:
        """Read all lines; raise StoreError."""
        for _ in range(_MOST_READS):
            found = self._try_to_read()
            if found is not None:
                self._read = found
                return found.lines
        raise StoreError(
            f"{self._bucket.url(self._folder)}: its entries disappear while they are read; "
            "make sure that nothing else changes them, then run again"
        )

    def start_writing(self) -> bytes:
        """Begin as the holder of the lease; give all lines that count. Raise StoreError."""
        self.read()
        # In this order: what another holder committed before this entry is read after it.
        while self._create(self._read.last + 1, b"") is None:
            self.read()
        return self.read()

    def append(self, lines: bytes, known: Callable[[], bytes]) -> None:
        """Commit lines; raise StoreError, and they are not committed.

        `known` gives all lines before them.
        """
        if len(self._read.numbers) >= _MOST_ENTRIES:
            self.replace(known())
        number = self._read.last + 1
        try:
            created = self._create(number, lines)
        except StoreError:
            # The entry may exist or not: a second one of this number must not be tried.
            self._lose("a commit could not be finished")
            raise
        if created is None:
            raise self._lost()
        self._read.last = number
        self._read.numbers.append(number)

    def replace(self, lines: bytes) -> None:
        """Make these lines the whole manifest; raise StoreError, and it stays as it was."""
        self._checked_lease()
        read = self._read
        head = _BaseHead(upto=read.last, empty=read.head.empty[-_MOST_EMPTY:])
        etag = self._write_base(msgspec.json.encode(head) + b"\n" + lines)
        if etag is None:
            raise self._lost()
        # After the base is written: until then these entries have lines that count.
        self._delete_entries(head)
        self._read = _Read(lines, read.last, head, etag)

    def _delete_entries(self, head: _BaseHead) -> None:
        """Delete the entries whose lines the base has, also those of an interrupted command."""
        kept = {self._key(number) for number in head.empty}
        listed = [each.key for each in self._bucket.list_all(self._folder) if _is_entry(each.key)]
        last = self._key(head.upto)
        self._bucket.delete(key for key in listed if key <= last and key not in kept)

    def _try_to_read(self) -> _Read | None:
        """Read the base and the entries after it; None: a writer deleted one meanwhile."""
        head, lines, etag = self._split_base(self._bucket.read(f"{self._folder}/base"))
        numbers = self._numbers_after(head.upto)
        if numbers and numbers[-1] != head.upto + len(numbers):
            return None
        texts = self._texts(numbers)
        if len(texts) < len(numbers):
            return None
        empty = [number for number, text in zip(numbers, texts, strict=True) if not text]
        return _Read(
            lines=lines + b"".join(texts),
            last=head.upto + len(numbers),
            head=msgspec.structs.replace(head, empty=(*head.empty, *empty)),
            etag=etag,
            numbers=numbers,
        )

    def _texts(self, numbers: Sequence[int]) -> list[bytes]:
        """Read the lines of entries; those of an entry that is gone are missing."""
        found = self._bucket.each(self._read_entry, numbers)
        return [_lines_of(content) for content in found if content is not None]

    def _read_entry(self, number: int) -> Content | None:
        """Read an entry; None: it is gone."""
        check_stopped()
        return self._bucket.read(self._key(number))

    def _numbers_after(self, number: int) -> list[int]:
        """List the numbers of the entries after one."""
        listed = self._bucket.list_all(self._folder, after=self._key(number))
        return [int(each.key.rsplit("/", 1)[1]) for each in listed if _is_entry(each.key)]

    def _split_base(self, base: Content | None) -> tuple[_BaseHead, bytes, str]:
        """Give the head of the base, its lines, and its etag; raise StoreError."""
        if base is None:
            return _BaseHead(upto=0), b"", ""
        first, _, lines = base.data.partition(b"\n")
        try:
            return msgspec.json.decode(first, type=_BaseHead), lines, base.etag
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{self._bucket.url(self._folder)}/base is damaged: {error}; restore an earlier "
                "version of it, or delete this folder and run again: everything is fetched again"
            ) from error

    def _create(self, number: int, lines: bytes) -> int | None:
        """Create an entry; None: another process has created it."""
        lease = self._checked_lease()
        head = _Head(lease=lease.number, token=lease.record.token)
        data = msgspec.json.encode(head) + b"\n" + lines
        if self._bucket.create(self._key(number), data) is not None:
            return number
        # The response may have been lost, and the request repeated.
        found = self._bucket.read(self._key(number))
        return number if found is not None and found.data == data else None

    def _write_base(self, data: bytes) -> str | None:
        """Write the base unless another process has; give its etag."""
        key = f"{self._folder}/base"
        if not self._read.etag:
            etag = self._bucket.create(key, data)
        else:
            etag = self._bucket.replace(key, data, self._read.etag)
        if etag is None:
            found = self._bucket.read(key)
            if found is not None and found.data == data:
                return found.etag
        return etag

    def _checked_lease(self) -> Lease:
        """Give the lease, if it is held; raise StoreError."""
        assert self._lease is not None
        self._lease.check()
        return self._lease

    def _lost(self) -> StoreError:
        """Make the error for a commit that another process prevented."""
        return self._lose("another process took it over").lost_error()

    def _lose(self, reason: str) -> Lease:
        """Commit nothing more."""
        assert self._lease is not None
        self._lease.lost = self._lease.lost or reason
        return self._lease

    def _key(self, number: int) -> str:
        """Give the key of an entry."""
        return f"{self._folder}/{number:08}"


def _lines_of(entry: Content) -> bytes:
    """Give the lines of an entry, without its head."""
    return entry.data.partition(b"\n")[2]


def _is_entry(key: str) -> bool:
    """Tell whether a key is that of an entry, and not that of the base."""
    return key.rsplit("/", 1)[1].isdigit()
