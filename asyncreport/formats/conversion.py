"""What a writer of a format is given, and the rows that it reads. Owns the file that is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import orjson
from msgspec import Struct

from asyncreport.core.errors import Interrupted
from asyncreport.core.table import Table


class Conversion(Struct, frozen=True, kw_only=True):
    """One file to write from JSON lines."""

    #: JSON lines whose keys are the table's columns, in order
    source: Path
    #: exists, and is empty
    target: Path
    table: Table
    #: a folder for what a library writes meanwhile
    scratch: Path
    #: set if the work must stop
    stopped: Event


#: writes the target of a conversion; raises OSError, StoreError, or Interrupted
Convert = Callable[[Conversion], None]

#: reads the values of each row of a file, as its JSON lines had them, in the order of the columns;
#: raises OSError, or ValueError if the file is damaged
Read = Callable[[Path, Table], Iterator[list[Any]]]

#: rows between two looks at `stopped`
_ROWS = 1 << 12


def rows(conversion: Conversion) -> Iterator[list[Any]]:
    """Read the values of each row, in the order of the columns; raise Interrupted."""
    with conversion.source.open("rb") as lines:
        for number, line in enumerate(lines):
            if number % _ROWS == 0 and conversion.stopped.is_set():
                raise Interrupted
            yield list(orjson.loads(line).values())
