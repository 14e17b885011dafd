"""The content of a file of any format, to search in it: bytes without their compression."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from gzip import BadGzipFile
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

from asyncreport.formats import as_parquet
from asyncreport.formats.compression import read_gzip, read_plain, read_zstandard

#: bytes that are read at once
_BLOCK = 1 << 20


class UnreadableError(Exception):
    """Report a file that is damaged, or whose library is not installed."""


def read_blocks(path: Path) -> Iterator[bytes]:
    """Walk the content of a file; the kind is known from its first bytes, whatever its name.

    Of a workbook, these are the files inside; of Parquet, the values. Raise OSError or
    UnreadableError.
    """
    with path.open("rb") as file:
        begin = file.read(4)
    with _unreadable_reported(path):
        yield from _reader(begin)(path)


def _reader(begin: bytes) -> Callable[[Path], Iterator[bytes]]:
    """Give what reads a file that begins with these bytes."""
    for magic, read in _READERS.items():
        if begin.startswith(magic):
            return read
    return _plain


@contextmanager
def _unreadable_reported(path: Path) -> Iterator[None]:
    """Turn the errors of all readers into one; a library that is missing is one too."""
    try:
        yield
    except (BadGzipFile, BadZipFile, EOFError, ImportError, ValueError, zlib.error) as error:
        raise UnreadableError(f"{path}: {error}") from error


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Read an open file to its end."""
    while block := file.read(_BLOCK):
        yield block


def _plain(path: Path) -> Iterator[bytes]:
    with read_plain(path) as file:
        yield from _blocks(file)


def _gzip(path: Path) -> Iterator[bytes]:
    with read_gzip(path) as file:
        yield from _blocks(file)


def _zstandard(path: Path) -> Iterator[bytes]:
    with read_zstandard(path) as file:
        yield from _blocks(file)


def _zip(path: Path) -> Iterator[bytes]:
    with ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                yield from _blocks(file)


_READERS: Mapping[bytes, Callable[[Path], Iterator[bytes]]] = {
    b"\x1f\x8b": _gzip,
    b"\x28\xb5\x2f\xfd": _zstandard,
    b"PK\x03\x04": _zip,
    b"PAR1": as_parquet.read_values,
}
