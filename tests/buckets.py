"""A bucket in memory, which can fail, lose responses, and forget its conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar, cast

from asyncreport.core.errors import StoreError
from asyncreport.store.objects.bucket import Bucket, Content, Found
from asyncreport.store.threads import map_in_threads

T = TypeVar("T")
U = TypeVar("U")


@dataclass
class FakeBucket:
    """The objects of a bucket, by their keys."""

    name: str = "bucket"
    objects: dict[str, Content] = field(default_factory=dict)
    #: called before each write, with the key; may raise StoreError
    before_write: Callable[[str], None] = lambda _: None
    #: called after each write, with the key; may raise StoreError: the response is lost
    after_write: Callable[[str], None] = lambda _: None
    #: called before each read, with the key, in the thread that reads
    before_read: Callable[[str], None] = lambda _: None
    conditional: bool = True
    #: keys whose reads began, in their order
    reads: list[str] = field(default_factory=list)
    #: keys that were written, in their order
    written: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    _etags: count[int] = field(default_factory=count)

    @property
    def bucket(self) -> Bucket:
        """Give it as what the product expects."""
        return cast("Bucket", self)

    def url(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def close(self) -> None:
        """Close nothing."""

    def each(self, work: Callable[[T], U], items: Iterable[T]) -> list[U]:
        # In another thread, as in a bucket; one after the other, so that tests can count.
        with ThreadPoolExecutor(1) as pool:
            return map_in_threads(work, items, pool)

    def read(self, key: str) -> Content | None:
        self._begin(key)
        return self.objects.get(key)

    def _begin(self, key: str) -> None:
        self.reads.append(key)
        self.before_read(key)

    def write(self, key: str, data: bytes) -> str:
        self.before_write(key)
        etag = f'"{next(self._etags)}"'
        self.objects[key] = Content(data, etag, 0)
        self.written.append(key)
        self.after_write(key)
        return etag

    def create(self, key: str, data: bytes) -> str | None:
        if self.conditional and key in self.objects:
            return None
        return self.write(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> str | None:
        found = self.objects.get(key)
        if self.conditional and (found is None or found.etag != etag):
            return None
        return self.write(key, data)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        self._begin(key)
        return self.objects[key].data[start : start + length]

    def download(self, key: str, path: Path) -> None:
        self._begin(key)
        path.write_bytes(self.objects[key].data)

    def list_folder(self, folder: str) -> list[Found]:
        start = f"{folder}/" if folder else ""
        found = self.list_all(folder)
        return [each for each in found if "/" not in each.key.removeprefix(start)]

    def upload(self, key: str, path: Path, go_on: Callable[[], None]) -> str:
        go_on()
        return self.write(key, path.read_bytes())

    def list_all(self, folder: str, after: str = "") -> list[Found]:
        return [
            Found(key, len(found.data), found.etag, found.modified)
            for key, found in sorted(self.objects.items())
            if key.startswith(f"{folder}/" if folder else "") and key > after
        ]

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)
            self.deleted.append(key)


def fails(_: str) -> None:
    """Fail as a storage that cannot be reached."""
    raise StoreError("the storage cannot be reached")
