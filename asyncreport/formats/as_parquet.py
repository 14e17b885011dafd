"""Parquet, written by DuckDB: instants in UTC, nulls as they are."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyncreport.core.table import Column, Kind, Table
from asyncreport.formats.conversion import Conversion

_TYPES: dict[Kind, str] = {
    "text": "VARCHAR",
    "instant": "TIMESTAMPTZ",
    "local": "VARCHAR",
    "date": "DATE",
    "integer": "BIGINT",
    "number": "DOUBLE",
}

# With two threads the same rows give other bytes each time, and the limit of the memory is not
# kept: https://github.com/duckdb/duckdb/issues/11054
_SETTINGS: Mapping[str, str | bool | int] = {
    "threads": 1,
    "memory_limit": "100MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}

#: The types are given: DuckDB would guess them from the first rows. Groups of half the default size
#: take 14 MB less memory; the file is as small.
_COPY = """
COPY (SELECT * FROM read_json(?, format = 'newline_delimited', columns = {{{columns}}}))
TO ? (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 61440, USE_TMP_FILE false)
"""

_SELECT = "SELECT {} FROM read_parquet(?)"

#: rows that are read at once
_ROWS = 1 << 14


def convert(conversion: Conversion) -> None:
    """Let DuckDB write the file; raise OSError."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]]
    settings = {**_SETTINGS, "temp_directory": str(conversion.scratch)}
    copy = _COPY.format(columns=_columns(conversion.table.columns))
    try:
        with duckdb.connect(config=settings) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(copy, [str(conversion.source), str(conversion.target)])
    except duckdb.Error as error:
        raise _as_oserror(error) from error


def read_values(path: Path) -> Iterator[bytes]:
    """Walk the rows of a file, some at a time, as texts; raise ValueError if it is damaged."""
    for rows in _selected("*", path):
        yield "\n".join(map(_as_text, rows)).encode()


#: how an instant and a date of a file become the texts that JSON lines have
_TEXTS: Mapping[Kind, str] = {
    "instant": "strftime({} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ')",
    "date": "strftime({}, '%Y-%m-%d')",
}


def read(path: Path, table: Table) -> Iterator[list[Any]]:
    """Read the values of each row; raise ValueError if the file is damaged."""
    wanted = ", ".join(_TEXTS.get(each.kind, "{}").format(_name(each)) for each in table.columns)
    for rows in _selected(wanted, path):
        yield from map(list, rows)


def _selected(wanted: str, path: Path) -> Iterator[list[tuple[Any, ...]]]:
    """Select columns of a file, some rows at a time; raise ValueError if it is damaged."""
    import duckdb

    try:
        with duckdb.connect(config=dict(_SETTINGS)) as connection:
            found = connection.execute(_SELECT.format(wanted), [str(path)])
            while rows := found.fetchmany(_ROWS):
                yield rows
    except duckdb.Error as error:
        raise ValueError(str(error)) from error


def _name(column: Column) -> str:
    """Write the name of a column in SQL."""
    doubled = column.name.replace('"', '""')
    return f'"{doubled}"'


def _as_text(row: Sequence[object]) -> str:
    """Write the values of a row."""
    return "\t".join(map(str, row))


def _columns(columns: Iterable[Column]) -> str:
    """Write the columns and their types as DuckDB reads them."""
    return ", ".join(f"{_quoted(each.name)}: '{_TYPES[each.kind]}'" for each in columns)


def _quoted(text: str) -> str:
    """Write a text of SQL."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _as_oserror(error: Exception) -> OSError:
    """Give the error of the system that DuckDB reports as text."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    return OSError(errno.EIO, f"DuckDB: {error}")
