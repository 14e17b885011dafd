"""CSV as RFC 4180 has it: null is an empty field, an empty text is a pair of quotes.

The standard library's writer cannot tell null from an empty text before Python 3.12.
https://www.rfc-editor.org/rfc/rfc4180
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

from asyncreport.core.table import CsvStyle, Kind, Table, names_of
from asyncreport.formats.compression import Opened
from asyncreport.formats.conversion import Conversion, rows

#: what a spreadsheet takes for the beginning of a formula, and what becomes such a beginning when
#: an apostrophe is taken away: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = re.compile(r"'*[=+\-@\t]")

#: lines that are written at once
_LINES = 1 << 10

#: texts whose field is remembered: names, ids and the instants of a month repeat
_REMEMBERED = 1 << 15


def convert(conversion: Conversion, opened: Opened) -> None:
    """Write a header and a line for each row."""
    table = conversion.table
    style = table.csv
    text = lru_cache(_REMEMBERED)(_Text(style))
    header = style.delimiter.join(map(text, names_of(table.columns)))
    with opened(conversion.target) as file:
        if style.bom:
            file.write(codecs.BOM_UTF8)
        file.write(f"{header}\r\n".encode())
        for block in _blocks(_lines(conversion, text)):
            file.write(block)


def _blocks(lines: Iterator[str]) -> Iterator[bytes]:
    """Join lines until there are enough for one write."""
    while block := "".join(islice(lines, _LINES)):
        yield block.encode()


def _lines(conversion: Conversion, text: _Field) -> Iterator[str]:
    """Write the line of each row."""
    table = conversion.table
    style = table.csv
    fields = [_field(column.kind, style, text) for column in table.columns]
    for values in rows(conversion):
        yield _line(values, fields, style.delimiter)


#: writes the value of a field
_Field = Callable[[Any], str]


def _field(kind: Kind, style: CsvStyle, text: _Field) -> _Field:
    """Give what writes the values of a column, null excepted."""
    if kind == "integer":
        return str
    if kind == "number":
        return _Number(style) if style.decimal != "." else str
    return text


def _line(values: Sequence[Any], fields: Sequence[_Field], delimiter: str) -> str:
    """Write a row."""
    found = []
    for value, field in zip(values, fields, strict=True):
        found.append("" if value is None else field(value))
    return delimiter.join(found) + "\r\n"


class _Number:
    """Write numbers with the decimal separator of a style."""

    def __init__(self, style: CsvStyle) -> None:
        self._decimal = style.decimal

    def __call__(self, value: float) -> str:
        return str(value).replace(".", self._decimal)


class _Text:
    """Write texts, in quotes where a reader needs them."""

    def __init__(self, style: CsvStyle) -> None:
        self._escape = style.escape_formulas
        self._special = {style.delimiter, '"', "\r", "\n"}

    def __call__(self, value: str) -> str:
        if self._escape and _FORMULA.match(value):
            value = f"'{value}"
        if value and self._special.isdisjoint(value):
            return value
        doubled = value.replace('"', '""')
        return f'"{doubled}"'


# Reading -----------------------------------------------------------------------------------------


def read(path: Path, table: Table, *, opened: Opened) -> Iterator[list[Any]]:
    """Read the values of each row; raise ValueError if a line cannot be one of `convert`."""
    style = table.csv
    text = lru_cache(_REMEMBERED)(_FieldText(style))
    values = [_value(column.kind, style, text) for column in table.columns]
    split = _Split(style.delimiter)
    # With or without a byte order mark; line breaks inside quotes stay as they are.
    with opened(path) as file, TextIOWrapper(file, "utf-8-sig", newline="\n") as text_lines:
        lines = _whole_lines(text_lines)
        next(lines, None)
        for line in lines:
            yield [value(field) for value, field in zip(values, split(line), strict=True)]


def _whole_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Put together the pieces of a line whose texts have line breaks."""
    line = ""
    for piece in pieces:
        line += piece
        # Else a quote is open, and the line break belongs to a text.
        if line.count('"') % 2 == 0:
            yield line
            line = ""
    if line:
        raise ValueError("a quote is open at the end")


class _Split:
    """Split a line into its fields, which keep their quotes."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        end = re.escape(delimiter)
        self._fields = re.compile(rf'("(?:[^"]|"")*"|[^{end}"]*){end}')

    def __call__(self, line: str) -> list[str]:
        if not line.endswith("\r\n"):
            raise ValueError("a line is cut")
        line = line[:-2]
        if '"' not in line:
            return line.split(self._delimiter)
        fields: list[str] = self._fields.findall(line + self._delimiter)
        if self._delimiter.join(fields) != line:
            raise ValueError("a quote is in the wrong place")
        return fields


#: gives the value of a field
_Value = Callable[[str], Any]


def _value(kind: Kind, style: CsvStyle, text: _Value) -> _Value:
    """Give what reads the fields of a column; nothing between two delimiters is null."""
    if kind == "integer":
        return _integer
    if kind == "number":
        return _FieldNumber(style)
    return text


def _integer(field: str) -> int | None:
    """Read a count."""
    if not field:
        return None
    return int(field)


class _FieldNumber:
    """Read numbers with the decimal separator of a style."""

    def __init__(self, style: CsvStyle) -> None:
        self._decimal = style.decimal

    def __call__(self, field: str) -> float | None:
        if not field:
            return None
        if field.isdecimal():
            # The JSON had a whole number too.
            return int(field)
        return float(field.replace(self._decimal, "."))


class _FieldText:
    """Read texts; take off what `_Text` added."""

    def __init__(self, style: CsvStyle) -> None:
        self._escaped = style.escape_formulas

    def __call__(self, field: str) -> str | None:
        if not field:
            return None
        if field.startswith('"'):
            field = field[1:-1].replace('""', '"')
        if self._escaped and field.startswith("'") and _FORMULA.match(field):
            return field[1:]
        return field
