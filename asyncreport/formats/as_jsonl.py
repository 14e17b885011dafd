"""JSON lines, compressed: the same lines as without compression."""

from __future__ import annotations

from asyncreport.core.errors import Interrupted
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
