"""JSON lines, compressed: the same lines as without compression."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from asyncreport.core.errors import Interrupted
from asyncreport.core.table import Table
from asyncreport.formats.compression import Opened
from asyncreport.formats.conversion import Conversion

#: bytes that are read at once
_BLOCK = 1 << 20


def convert(conversion: Conversion, opened: Opened) -> None:
    """Copy the lines into a file that `opened` compresses."""
    with conversion.source.open("rb") as lines, opened(conversion.target) as file:
        while block := lines.read(_BLOCK):
            if conversion.stopped.is_set():
                raise Interrupted
            file.write(block)


def read(path: Path, _: Table, *, opened: Opened) -> Iterator[list[Any]]:
    """Read the values of each line."""
    with opened(path) as lines:
        for line in lines:
            yield list(orjson.loads(line).values())
