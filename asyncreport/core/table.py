"""What a file's rows have: the columns, their types, and how CSV spells them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

#: `instant`: text in UTC; `local`: text with the zone's offset; `date`: `2023-10-01`
Kind = Literal["text", "instant", "local", "date", "integer", "number"]


class Column(Struct, frozen=True):
    """A column of an output file."""

    #: its name in the file
    name: str
    #: its name in the records, such as `interval_start`
    source: str
    kind: Kind


class CsvStyle(Struct, frozen=True, kw_only=True):
    """How CSV files are written.

    A default must never change: the files of every job would be written again.
    """

    delimiter: str = ","
    #: what separates whole numbers from decimals
    decimal: str = "."
    #: begin with a byte order mark
    bom: bool = False
    #: put an apostrophe in front of text that a spreadsheet would run as a formula
    escape_formulas: bool = True


class Table(Struct, frozen=True):
    """What a writer must know of a file's rows."""

    columns: tuple[Column, ...]
    #: the job's time zone
    zone: ZoneInfo
    csv: CsvStyle = CsvStyle()


def names_of(chosen: Sequence[Column]) -> list[str]:
    """List the names of columns, as the header has them."""
    return [each.name for each in chosen]
