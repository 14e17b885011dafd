"""Parquet, written by DuckDB: instants in UTC, nulls as they are."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from asyncreport.core.table import Column, Kind
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
    import duckdb

    try:
        with duckdb.connect(config=dict(_SETTINGS)) as connection:
            found = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
            while rows := found.fetchmany(_ROWS):
                yield "\n".join(map(_as_text, rows)).encode()
    except duckdb.Error as error:
        raise ValueError(str(error)) from error


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
