"""CSV as RFC 4180 has it: null is an empty field, an empty text is a pair of quotes.

The standard library's writer cannot tell null from an empty text before Python 3.12.
https://www.rfc-editor.org/rfc/rfc4180
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from asyncreport.core.table import CsvStyle, names_of
from asyncreport.formats.compression import Opened
from asyncreport.formats.conversion import Conversion, rows

#: what a spreadsheet takes for the beginning of a formula:
#: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t")

#: lines that are written at once
_LINES = 1 << 10

#: texts whose field is remembered: names, ids and the instants of a month repeat
_REMEMBERED = 1 << 15


def convert(conversion: Conversion, opened: Opened) -> None:
    """Write a header and a line for each row."""
    table = conversion.table
    style = table.csv
    text = lru_cache(_REMEMBERED)(_Text(style))
    fields = [_field(column.kind, style, text) for column in table.columns]
    header = style.delimiter.join(map(text, names_of(table.columns)))
    lines = (_line(values, fields, style.delimiter) for values in rows(conversion))
    with opened(conversion.target) as file:
        if style.bom:
            file.write(codecs.BOM_UTF8)
        file.write(f"{header}\r\n".encode())
        while block := "".join(islice(lines, _LINES)):
            file.write(block.encode())


_Field = Callable[[Any], str]


def _field(kind: str, style: CsvStyle, text: _Field) -> _Field:
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
        if self._escape and value.startswith(_FORMULA):
            value = f"'{value}"
        if value and self._special.isdisjoint(value):
            return value
        doubled = value.replace('"', '""')
        return f'"{doubled}"'
