"""A workbook for Excel, written by XlsxWriter: dates in the job's zone, a row in memory.

Excel has no time zones, so the header of an instant's column names the zone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from asyncreport.core.table import Column, Kind, Table
from asyncreport.formats.conversion import Conversion, rows

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.worksheet import Worksheet

#: a sheet has 1,048,576 rows, and the header takes one of them:
#: https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3
MOST_RECORDS = 1_048_575

# The same rows must give the same bytes: the clock would be written into the file.
_CREATED = datetime(1980, 1, 1, tzinfo=UTC).replace(tzinfo=None)

_WIDTHS: dict[Kind, int] = {
    "text": 24,
    "instant": 20,
    "local": 26,
    "date": 12,
    "integer": 12,
    "number": 14,
}

#: instants whose local times are remembered: those of a month
_REMEMBERED = 1 << 12

#: writes a value into a cell: row, column, value
_Write = Callable[[int, int, Any], object]


def convert(conversion: Conversion) -> None:
    """Write one sheet: a header that stays in view, a filter, a row for each record."""
    import xlsxwriter

    options = {
        "constant_memory": True,
        "tmpdir": str(conversion.scratch),
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(str(conversion.target), options) as workbook:
        workbook.set_properties({"created": _CREATED})
        _write_sheet(workbook, conversion)


def _write_sheet(workbook: Workbook, conversion: Conversion) -> None:
    """Write the sheet."""
    table = conversion.table
    sheet = workbook.add_worksheet("records")
    for number, column in enumerate(table.columns):
        sheet.set_column(number, number, _WIDTHS[column.kind])
    sheet.freeze_panes(1, 0)
    _write_header(sheet, table, workbook.add_format({"bold": True}))
    last = _write_rows(conversion, _writers(workbook, sheet, table))
    sheet.autofilter(0, 0, last, len(table.columns) - 1)


def _write_header(sheet: Worksheet, table: Table, bold: Any) -> None:
    """Write the names of the columns."""
    for number, column in enumerate(table.columns):
        sheet.write_string(0, number, _title(column, table.zone), bold)


def _title(column: Column, zone: ZoneInfo) -> str:
    """Name a column; a time names its zone."""
    if column.kind == "instant":
        return f"{column.name} ({zone})"
    return column.name


def _write_rows(conversion: Conversion, writers: Sequence[_Write]) -> int:
    """Write all rows; give the number of the last one."""
    row = 0
    for row, values in enumerate(rows(conversion), 1):
        for number, (write, value) in enumerate(zip(writers, values, strict=True)):
            if value is not None:
                write(row, number, value)
    return row


def _writers(workbook: Workbook, sheet: Worksheet, table: Table) -> list[_Write]:
    """Give what writes the values of each column."""
    moment = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm"})
    day = workbook.add_format({"num_format": "yyyy-mm-dd"})
    local = lru_cache(_REMEMBERED)(_Local(table.zone))

    def write_instant(row: int, number: int, value: str) -> None:
        sheet.write_datetime(row, number, local(value), moment)

    def write_date(row: int, number: int, value: str) -> None:
        sheet.write_datetime(row, number, date.fromisoformat(value), day)

    of_kind: dict[Kind, _Write] = {
        "text": sheet.write_string,
        "instant": write_instant,
        "local": sheet.write_string,
        "date": write_date,
        "integer": sheet.write_number,
        "number": sheet.write_number,
    }
    return [of_kind[column.kind] for column in table.columns]


class _Local:
    """Convert instants to local times without a zone, as Excel has them."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def __call__(self, instant: str) -> datetime:
        return datetime.fromisoformat(instant).astimezone(self._zone).replace(tzinfo=None)
