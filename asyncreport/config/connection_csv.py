"""Reads connections from a CSV table, as spreadsheets write it: a header, a line for each. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asyncreport.config.literal_secrets import A_VARIABLE, check_has_no_secret
from asyncreport.config.validate import VALUE_SHOWN, Place, did_you_mean
from asyncreport.config.yaml import Node, Scalar, plain_scalar
from asyncreport.core.errors import ConfigError
from asyncreport.core.text import shorten

_NAME = "name"
_SECRET = "client_secret"  # noqa: S105  # the name of a column

#: columns of numbers and booleans; all other cells are text, even `null` or `2024`
_NOT_TEXT = ("requests_per_minute", "allow_http")

COLUMNS = (
    _NAME,
    "region",
    "api_url",
    "login_url",
    "client_id",
    _SECRET,
    *_NOT_TEXT,
    "proxy",
)

#: columns without an empty cell, and what to write there
_REQUIRED = {_NAME: "a name", _SECRET: A_VARIABLE}

#: keys of a connection that have no place in a cell
_ONLY_YAML = ("clients", "emulator")

_ACCEPTED = ", ".join(COLUMNS)
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class _Row:
    """The cells of a row that is not blank."""

    #: the line that the row begins on, as an editor counts
    line: int
    cells: list[str]


def read_csv(text: str, label: str) -> Iterator[tuple[str, Node]]:
    """Read a table of connections: the name and the node of each, in the order of the rows.

    The delimiter is the comma or the semicolon, whichever the header has. Blanks around a cell do
    not count, and a cell that is empty is a key that is not given. `label` names the file. Raise
    ConfigError for what is not such a table, and for a secret that is not in a variable.
    """
    delimiter = _delimiter(text)
    rows = _rows(text, delimiter, label)
    header = next(rows, None)
    if header is None:
        raise ConfigError(f"{label}: is empty; the first line names the columns: {_ACCEPTED}")
    table = _Table(label, delimiter, len(header.cells), _columns(header, label))
    yield from map(table.connection, rows)


def _delimiter(text: str) -> str:
    """Find what separates the cells: spreadsheets use the semicolon where the comma is decimal."""
    for line in io.StringIO(text):
        if line.strip(" ,;\t\r\n"):
            return max(",", ";", key=line.count)
    return ","


def _rows(text: str, delimiter: str, label: str) -> Iterator[_Row]:
    """Split a text into rows; skip blank ones, and those that only have delimiters."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        skipinitialspace=True,
        strict=True,
    )
    line = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield _Row(line, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise _not_csv(f"{label}:{line}", error) from None


def _not_csv(where: str, error: csv.Error) -> ConfigError:
    """Say what is wrong in a row that begins at a position; the cells are not shown."""
    if "limit" in str(error):
        fact = "has a cell that is too large; a quote may not be closed"
    elif "end of data" in str(error):
        fact = "has a quote that is not closed"
    else:
        fact = "has text after a closing quote; write a quote inside of a cell twice"
    return ConfigError(f"{where}: {fact}")


def _columns(header: _Row, label: str) -> list[str]:
    """Check the names of the columns; the last ones may be empty."""
    where = f"{label}:{header.line}"
    names = [cell.strip() for cell in header.cells]
    while not names[-1]:
        del names[-1]
    if set(COLUMNS).isdisjoint(names):
        # The line is not shown: without a header, it may contain a secret.
        raise ConfigError(
            f"{where}: must name the columns, separated by commas or semicolons; "
            f"accepted: {_ACCEPTED}"
        )
    for number, name in enumerate(names):
        _check_column(where, names[:number], name)
    for name in _REQUIRED:
        if name not in names:
            raise ConfigError(f"{where}: the column {name} is missing; each connection needs it")
    return names


def _check_column(where: str, earlier: Sequence[str], name: str) -> None:
    """Check the name of a column; `earlier` are those on its left."""
    label = f"{where}: column {shorten(name, VALUE_SHOWN)!r}"
    if not name:
        raise ConfigError(f"{where}: column {len(earlier) + 1} has no name")
    if name in _ONLY_YAML:
        raise ConfigError(f"{label} needs YAML; write this connection in a YAML file")
    if name not in COLUMNS:
        suggestion = did_you_mean(name.lower(), COLUMNS)
        raise ConfigError(f"{label} is not a known column{suggestion}; accepted: {_ACCEPTED}")
    if name in earlier:
        raise ConfigError(f"{label} is repeated; remove one of the two")


@dataclass(frozen=True, slots=True)
class _Table:
    """What the header says about the rows below it."""

    #: the name of the file
    label: str
    delimiter: str
    #: cells of the header, also those without a name at its end
    width: int
    columns: list[str]

    def connection(self, row: _Row) -> tuple[str, Node]:
        """Read a row: the name, and the node of the connection."""
        where = f"{self.label}:{row.line}"
        self._check_width(where, row)
        cells = dict(self._cells(row))
        for column in _REQUIRED:
            if column not in cells:
                raise self._no_cell(where, row, column)
        name = cells.pop(_NAME).text
        node = Node(where, cells)
        _check_secrets(Place(node, where, ("connections", name)))
        return name, node

    def _check_width(self, where: str, row: _Row) -> None:
        """Refuse more cells than the header has, and a cell under an empty name."""
        # Not even one empty cell more: a delimiter in a name moves a secret into another column.
        if len(row.cells) > self.width or any(map(str.strip, row.cells[len(self.columns) :])):
            raise ConfigError(
                f"{where}: has {len(row.cells)} cells, but the header names {len(self.columns)} "
                f"columns; put a cell that contains {self.delimiter} in quotes"
            )

    def _no_cell(self, where: str, row: _Row, column: str) -> ConfigError:
        """Make the error for a cell that each connection needs."""
        # The name is not shown: in a row with cells missing, it may be a secret.
        fact = f"{where}: the cell of the column {column} is empty; write {_REQUIRED[column]}"
        if len(row.cells) < len(self.columns):
            fact += (
                f"; the row has {len(row.cells)} of {len(self.columns)} cells, "
                f"separated by {self.delimiter}"
            )
        return ConfigError(fact)

    def _cells(self, row: _Row) -> Iterator[tuple[str, Node]]:
        """Give the cells that are not empty, by column; a cell may have several lines."""
        line = row.line
        for column, cell in zip(self.columns, row.cells, strict=False):
            text = cell.strip()
            if text:
                yield column, Node(f"{self.label}:{line}", _value(column, text), text)
            line += len(_LINE_BREAK.findall(cell))


def _value(column: str, text: str) -> Scalar:
    """Give the value of a cell."""
    if column in _NOT_TEXT:
        return plain_scalar(text)
    return text


def _check_secrets(place: Place) -> None:
    """Refuse secrets in the table itself: tables are mailed, and shared in folders."""
    check_has_no_secret(
        place, "a table contains no secret: set the variable in the environment or in .env"
    )
