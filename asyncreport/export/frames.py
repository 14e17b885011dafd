"""Data frames of pandas and Polars from the rows of an export. Owns nothing."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

from asyncreport.core.table import Column, Kind
from asyncreport.export.read_records import Export

if TYPE_CHECKING:
    import pandas
    import polars

#: rows that become a frame at once: as values of Python they take ten times the memory
_ROWS = 1 << 16


def pandas_frame(export: Export) -> pandas.DataFrame:
    """Read an export into a data frame of pandas; raise ImportError without pandas."""
    library = _library("pandas")
    frames = [_pandas_block(library, export.columns, rows) for rows in _blocks(export)]
    frame: pandas.DataFrame = library.concat(frames, ignore_index=True)
    return frame


def polars_frame(export: Export) -> polars.DataFrame:
    """Read an export into a data frame of Polars; raise ImportError without Polars."""
    library = _library("polars")
    frames = [_polars_block(library, export.columns, rows) for rows in _blocks(export)]
    frame: polars.DataFrame = library.concat(frames)
    return frame


def _library(name: str) -> Any:
    """Import a library that asyncreport does not need by itself."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        command = f"{shlex.quote(sys.executable)} -m pip install {name}"
        message = f"asyncreport.to_{name} needs {name}: {command}"
        raise ImportError(message, name=name) from None


def _blocks(export: Export) -> Iterator[list[list[Any]]]:
    """Read rows in blocks; the first one may be empty, so that there is always one."""
    rows = export.rows()
    block = list(islice(rows, _ROWS))
    yield block
    while block := list(islice(rows, _ROWS)):
        yield block


def _values(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Iterator[list[Any]]:
    """Give the values of each column."""
    for place in range(len(columns)):
        yield [row[place] for row in rows]


#: types of pandas that do not depend on the values
_PANDAS: Mapping[Kind, str] = {
    "text": "string",
    "local": "string",
    "integer": "int64",
    "number": "float64",
}


def _pandas_block(library: Any, columns: Sequence[Column], rows: list[list[Any]]) -> Any:
    """Make a frame of pandas from some rows."""
    series = {}
    for column, values in zip(columns, _values(columns, rows), strict=True):
        series[column.name] = _pandas_values(library, column.kind, values)
    return library.DataFrame(series)


def _pandas_values(library: Any, kind: Kind, values: list[Any]) -> Any:
    """Give the values of a column as pandas has them."""
    if kind == "instant":
        return library.to_datetime(values, format="ISO8601", utc=True).as_unit("ms")
    if kind == "date":
        return library.to_datetime(values, format="%Y-%m-%d").as_unit("ms")
    return library.array(values, dtype=_PANDAS[kind])


def _polars_block(library: Any, columns: Sequence[Column], rows: list[list[Any]]) -> Any:
    """Make a frame of Polars from some rows."""
    types: dict[Kind, Any] = {"integer": library.Int64, "number": library.Float64}
    series = []
    for column, values in zip(columns, _values(columns, rows), strict=True):
        kind = types.get(column.kind, library.String)
        series.append(_parsed(column, library.Series(column.name, values, dtype=kind)))
    return library.DataFrame(series)


def _parsed(column: Column, series: Any) -> Any:
    """Turn the texts of instants and dates into values of their type."""
    if column.kind == "date":
        return series.str.to_date("%Y-%m-%d")
    if column.kind == "instant":
        return series.str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms", time_zone="UTC")
    return series
