"""Files that are compressed while they are written: the same bytes for the same content.

Each is one member or one frame, without a time or a name: some readers stop after the first.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, cast

#: opens a file for writing, or for reading
Opened = Callable[[Path], AbstractContextManager[BinaryIO]]

#: the level at which gzip ends to gain much
_GZIP_LEVEL = 6

#: on records level 1 is smaller than level 3, and twice as fast
_ZSTD_LEVEL = 1

# Zstandard is in Python from 3.14 on.
ZSTD_MODULE = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


@contextmanager
def plain(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is not compressed."""
    with path.open("wb") as file:
        yield file


@contextmanager
def gzipped(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is compressed with gzip."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(
            filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0
        ) as packed,
    ):
        yield cast("BinaryIO", packed)


@contextmanager
def zstandard(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is compressed with Zstandard: one frame, with a checksum."""
    zstd = import_module(ZSTD_MODULE)
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: _ZSTD_LEVEL, parameter.checksum_flag: 1}
    with path.open("wb") as file, zstd.ZstdFile(file, "wb", options=options) as packed:
        # Without a write there would be no frame.
        packed.write(b"")
        yield packed


@contextmanager
def read_plain(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is not compressed, for reading."""
    with path.open("rb") as file:
        yield file


@contextmanager
def read_gzip(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is compressed with gzip, for reading."""
    with gzip.open(path, "rb") as file:
        yield cast("BinaryIO", file)


@contextmanager
def read_zstandard(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is compressed with Zstandard, for reading; raise ValueError if damaged."""
    zstd = import_module(ZSTD_MODULE)
    try:
        with zstd.ZstdFile(path, "rb") as file:
            yield file
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error
