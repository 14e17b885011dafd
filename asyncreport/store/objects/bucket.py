"""One bucket of an object storage: whole objects, and writes under a condition.

Owns the connections to the storage. An object is visible whole or not at all:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel
A condition needs If-None-Match and If-Match:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asyncreport.core.errors import StoreError
from asyncreport.store.objects.problems import reason_and_step
from asyncreport.store.threads import check_stopped, map_in_threads

if TYPE_CHECKING:
    from obstore import PutMode, UpdateVersion
    from obstore.store import ClientConfig, S3Config, S3Store

T = TypeVar("T")
U = TypeVar("U")

#: requests at the same time
_AT_ONCE = 32

#: bytes of a piece of a large object; S3 takes at most 10,000 pieces, so an object has up to 160 GB
_PIECE = 16 << 20

#: seconds after which a request has failed
_TIMEOUT = 120.0

#: seconds in which a request is repeated, at most; in more of them a lease would be lost
_PATIENCE = 15.0

#: the pause is doubled each time, so that the seconds above end first
_MOST_RETRIES = 50


@dataclass(slots=True, frozen=True)
class Found:
    """An object in a list."""

    key: str
    #: bytes
    size: int
    etag: str
    #: ns
    modified: int


@dataclass(slots=True, frozen=True)
class Content:
    """What an object had when it was read."""

    data: bytes
    etag: str
    #: ns
    modified: int


class Bucket:
    """The objects of one bucket; all methods raise StoreError."""

    def __init__(self, name: str, settings: Mapping[str, str], timeout: float = _TIMEOUT) -> None:
        """Open a bucket; `settings` has AWS variables, by name. Sends nothing.

        A request fails after `timeout` seconds, and is repeated for as long again, at most.
        """
        self.name = name
        self._store = _open_store(name, settings, timeout)
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="asyncreport-objects")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def url(self, key: str) -> str:
        """Name an object in messages."""
        return f"s3://{self.name}/{key}"

    def each(self, work: Callable[[T], U], items: Iterable[T]) -> list[U]:
        """Work on many objects at the same time; give the results in the order of the items."""
        return map_in_threads(work, items, self._pool)

    def read(self, key: str) -> Content | None:
        """Read an object; None: it does not exist."""
        import obstore

        with self._reported(key, "read"):
            try:
                found = obstore.get(self._store, key)
                return Content(bytes(found.bytes()), found.meta["e_tag"] or "", _time(found.meta))
            except FileNotFoundError:
                return None

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Read some bytes of an object that exists."""
        import obstore

        with self._reported(key, "read"):
            return bytes(obstore.get_range(self._store, key, start=start, length=length))

    def download(self, key: str, path: Path) -> None:
        """Write the bytes of an object into a file that exists; few of them are in memory."""
        import obstore

        with self._reported(key, "read"), path.open("r+b") as file:
            for piece in obstore.get(self._store, key).stream(min_chunk_size=_PIECE):
                file.write(piece)

    def write(self, key: str, data: bytes) -> str:
        """Write an object, or replace it; give its etag."""
        return self._put(key, data, "overwrite")

    def create(self, key: str, data: bytes) -> str | None:
        """Write an object that does not exist yet; give its etag, None: it exists."""
        from obstore.exceptions import AlreadyExistsError

        try:
            return self._put(key, data, "create")
        except AlreadyExistsError:
            return None

    def replace(self, key: str, data: bytes, etag: str) -> str | None:
        """Replace an object that still has this etag; give its new one, None: it changed."""
        from obstore.exceptions import PreconditionError

        condition: UpdateVersion = {"e_tag": etag}
        try:
            return self._put(key, data, condition)
        except (PreconditionError, FileNotFoundError):
            return None

    def upload(self, key: str, path: Path, go_on: Callable[[], None] = lambda: None) -> str:
        """Write an object from a file, piece by piece; give its etag.

        The object is visible once the last piece is there; if a piece fails, there is none.
        `go_on` is called before each piece; if it raises, there is none either.
        """
        import obstore

        with self._reported(key, "written"), path.open("rb") as file:
            first = file.read(_PIECE)
            if len(first) < _PIECE:
                go_on()
                return self._put(key, first, "overwrite")
            self._write_pieces(key, chain([first], iter(lambda: file.read(_PIECE), b"")), go_on)
            return obstore.head(self._store, key)["e_tag"] or ""

    def _write_pieces(self, key: str, pieces: Iterable[bytes], go_on: Callable[[], None]) -> None:
        """Write an object from its pieces."""
        import obstore

        # An exception in the block discards what was sent.
        with obstore.open_writer(self._store, key, buffer_size=_PIECE, max_concurrency=2) as writer:
            for piece in pieces:
                go_on()
                writer.write(piece)
            go_on()

    def list_all(self, folder: str, after: str = "") -> list[Found]:
        """List the objects in a folder and in its folders, in the order of their keys.

        `after` is a key: only those after it. Raise Interrupted if the work was stopped.
        """
        import obstore

        with self._reported(folder, "listed"):
            found: list[Found] = []
            for page in obstore.list(self._store, folder, offset=after or None, chunk_size=1000):
                check_stopped()
                found += map(_found, page)
            return found

    def list_folder(self, folder: str) -> list[Found]:
        """List the objects in a folder, without those in its folders."""
        import obstore

        with self._reported(folder, "listed"):
            found = obstore.list_with_delimiter(self._store, folder)
            return [_found(each) for each in found["objects"]]

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that does not exist is passed over."""
        import obstore

        gone = list(keys)
        if gone:
            with self._reported(gone[0], "deleted"):
                obstore.delete(self._store, gone)

    def _put(self, key: str, data: bytes, mode: PutMode) -> str:
        """Write an object in one request."""
        import obstore

        with self._reported(key, "written"):
            found = obstore.put(self._store, key, data, mode=mode, use_multipart=False)
            return found["e_tag"] or ""

    @contextmanager
    def _reported(self, key: str, action: str) -> Iterator[None]:
        """Turn an error of the storage into a StoreError; a condition that fails stays as it is."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            raise
        except (BaseError, OSError) as error:
            raise self._error(key, action, error) from error

    def _error(self, key: str, action: str, error: Exception) -> StoreError:
        """Say what could not be done, why, and what to do next."""
        reason, step = reason_and_step(str(error))
        return StoreError(
            f"{self.url(key)} could not be {action}: {reason}; {step}, then run again: "
            "saved parts are kept"
        )


def _found(listed: Mapping[str, Any]) -> Found:
    """Describe an object of a list."""
    return Found(listed["path"], listed["size"], listed["e_tag"] or "", _time(listed))


def _time(listed: Mapping[str, Any]) -> int:
    """Give when an object was written, in ns."""
    return int(listed["last_modified"].timestamp() * 1000) * 1_000_000


def _open_store(name: str, settings: Mapping[str, str], timeout: float) -> S3Store:
    """Make the client of the library."""
    from datetime import timedelta

    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    # The library reads the AWS variables of the process; these may be of a `.env` file.
    config: dict[str, Any] = {key.lower(): value for key, value in settings.items()}
    allow_http = config.pop("aws_allow_http", "false").lower() == "true"
    client: ClientConfig = {
        "timeout": f"{timeout:g}s",
        "connect_timeout": "5s",
        "allow_http": allow_http,
    }
    patience = timedelta(seconds=min(timeout, _PATIENCE))
    try:
        return S3Store(
            name,
            config=cast("S3Config", config),
            client_options=client,
            retry_config={"max_retries": _MOST_RETRIES, "retry_timeout": patience},
        )
    except BaseError as error:
        reason, step = reason_and_step(str(error))
        raise StoreError(f"s3://{name} cannot be used: {reason}; {step}") from error
