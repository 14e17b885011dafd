"""Files in a folder of this machine and the objects that they are copies of.

Owns what is known about each file: whether it is equal to its object, and whether its content is
there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from asyncreport.core.job import Part
from asyncreport.core.object_urls import SCHEME
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.folders import make_folder
from asyncreport.store.objects.bucket import Bucket, Found


@dataclass(slots=True, frozen=True)
class _State:
    """What a file was like when it was equal to its object."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> _State:
        """Look at a file; raise OSError."""
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


class CopiedFiles:
    """The files of one bucket in a folder; the methods raise StoreError."""

    def __init__(self, bucket: Bucket, root: Path, go_on: Callable[[], None]) -> None:
        """`go_on` is called before each object; it raises an error to stop."""
        self.bucket = bucket
        self._go_on = go_on
        self._root = root
        #: etags of objects, by the path of the file
        self.etags: dict[Path, str] = {}
        self._equal: dict[Path, _State] = {}
        # Of files whose objects have other names.
        self._keys: dict[Path, str] = {}
        # Files whose content the folder does not have.
        self._absent: set[Path] = set()
        # Those of them that have the index of a part.
        self._indexed: set[Path] = set()
        self._folders: set[Path] = set()

    def key(self, path: Path) -> str:
        """Give the key of a file, or of a folder; that of the bucket itself is empty."""
        key = path.relative_to(self._root / self.bucket.name).as_posix()
        return "" if key == "." else key

    def object_key(self, path: Path) -> str:
        """Give the key of the object of a file, which may have another name."""
        return self._keys.get(path) or self.key(path)

    def path(self, key: str) -> Path:
        """Give the file of a key."""
        return self._root / self.bucket.name / key

    def download(self, found: Found) -> None:
        """Copy a small object, if it still exists; paths in JSON become those of the folder."""
        self._go_on()
        content = self.bucket.read(found.key)
        if content is None:
            return
        path = self.path(found.key)
        data = content.data
        if path.suffix == ".json":
            data = data.replace(SCHEME.encode(), f"{self._root}/".encode())
        self.write(path, data, found.modified)
        self._equal[path] = _State.of(path)
        self.etags[path] = content.etag

    def write(self, path: Path, data: bytes, modified: int) -> None:
        """Write a file with the time of an object, in ns."""
        make_folder(path.parent)
        with oserror_as_store_error(path, "written"):
            path.write_bytes(data)
            os.utime(path, ns=(modified, modified))

    def make_empty(self, path: Path, found: Found, modified: int) -> None:
        """Make a file that has the size of an object and a time, and no content yet."""
        if path.parent not in self._folders:
            make_folder(path.parent)
            self._folders.add(path.parent)
        with oserror_as_store_error(path, "written"):
            with path.open("wb") as file:
                file.truncate(found.size)
            os.utime(path, ns=(modified, modified))
            self._equal[path] = _State.of(path)
        self._absent.add(path)
        self._keys[path] = found.key
        self.etags[path] = found.etag

    def fetch(self, paths: Iterable[Path]) -> None:
        """Bring the content of files that lack it, many at the same time."""
        self.bucket.each(self._fetch, [path for path in paths if path in self._absent])

    def fetch_ends(self, ends: Iterable[tuple[Path, Part]]) -> None:
        """Bring only the indexes of parts, which are at the ends of their files."""
        missing = [end for end in ends if end[0] in self._absent and end[0] not in self._indexed]
        self.bucket.each(self._fetch_end, missing)

    def has_changed(self, path: Path) -> bool:
        """Tell whether a file is not equal to its object, or has none."""
        with oserror_as_store_error(path, "read"):
            return self._equal.get(path) != _State.of(path)

    def upload(self, path: Path, key: str | None = None) -> None:
        """Write the object of a file; paths in JSON become those of objects."""
        key = key or self.key(path)
        self._keys[path] = key
        self._go_on()
        if path.suffix == ".json":
            with oserror_as_store_error(path, "read"):
                data = path.read_bytes().replace(f"{self._root}/".encode(), SCHEME.encode())
            etag = self.bucket.write(key, data)
        else:
            etag = self.bucket.upload(key, path, self._go_on)
        self.note_equal(path, etag)

    def note_equal(self, path: Path, etag: str) -> None:
        """Note that a file is equal to its object."""
        with oserror_as_store_error(path, "read"):
            self._equal[path] = _State.of(path)
        self._absent.discard(path)
        self.etags[path] = etag

    def gone(self) -> list[Path]:
        """List the files whose objects exist, and that were deleted here."""
        return [path for path in self._equal if not path.exists()]

    def forget(self, path: Path) -> None:
        """Forget a file whose object was deleted."""
        self._equal.pop(path, None)
        self._keys.pop(path, None)
        self._absent.discard(path)
        self._indexed.discard(path)
        self.etags.pop(path, None)

    def _fetch(self, path: Path) -> None:
        """Bring the content of a file; its time stays."""
        self._go_on()
        with oserror_as_store_error(path, "written"):
            before = path.stat()
            self.bucket.download(self._keys[path], path)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        # Only now: another thread must not read a file that is not complete.
        self._absent.discard(path)

    def _fetch_end(self, end: tuple[Path, Part]) -> None:
        """Bring the index of a part."""
        self._go_on()
        path, part = end
        data = self.bucket.read_range(self._keys[path], part.index_at, part.size - part.index_at)
        with oserror_as_store_error(path, "written"):
            before = path.stat()
            with path.open("r+b") as file:
                file.seek(part.index_at)
                file.write(data)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self._indexed.add(path)
