"""Draw records as a table for a terminal, with their total in a line. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from asyncreport.core.columns import average, occupancy
from asyncreport.core.local_time import from_instant
from asyncreport.core.text import counted, printable
from asyncreport.core.timeline import parse_iso

#: columns of a terminal that is not narrow
_ROOM = 80

#: shown instead of a value that was not measured
_NO_VALUE = "–"


class Row(Struct, frozen=True, kw_only=True):
    """The columns of a record that a table shows; times in seconds, None if not measured."""

    team: str
    user_id: str | None
    user_name: str | None
    interval_start: str
    interval_end: str
    handled_count: int
    total_handle_time_sec: float
    avg_handle_time_sec: float | None
    interacting_sec: float | None = None
    communicating_sec: float | None = None
    idle_sec: float | None = None
    occupancy: float | None = None


def read(records: bytes) -> list[Row]:
    """Read JSON lines."""
    return msgspec.json.Decoder(Row).decode_lines(records)


def print_table(rows: Sequence[Row], *, zone: ZoneInfo, teams: bool, routing: bool) -> None:
    """Print a table of rows and their total; the options are those of `table`. Raise OSError."""
    console = Console(emoji=False)
    console.print(table(rows, zone=zone, teams=teams, routing=routing))
    console.print(total(rows, routing=routing), markup=False, highlight=False)


def print_names(rows: Sequence[Mapping[str, object]]) -> None:
    """Print a table of ids, names and more; all rows have the same columns. Raise OSError."""
    console = Console(emoji=False)
    names = Table(box=None)
    for column in rows[0]:
        # Nothing is cut off. An id is copied, so it stays in one piece if there is room.
        whole = column == "id" and console.width >= _ROOM
        justify: Literal["left", "right"] = "left"
        if column == "members":
            justify = "right"
        names.add_column(column, justify=justify, overflow="fold", no_wrap=whole)
    for row in rows:
        cells = ["" if value is None else printable(str(value)) for value in row.values()]
        names.add_row(*map(Text, cells))
    console.print(names)


def table(rows: Sequence[Row], *, zone: ZoneInfo, teams: bool, routing: bool) -> Table:
    """Make a table of rows, with intervals in local time.

    `teams` and `routing` add the columns team and occupancy. On a narrow
    terminal users and intervals fold: nothing is cut off.
    """
    columns = _columns(zone, teams=teams, routing=routing)
    drawn = Table()
    for column in columns:
        # A number in two pieces would be taken for two numbers.
        whole = column.justify == "right"
        drawn.add_column(column.title, justify=column.justify, overflow="fold", no_wrap=whole)
    for row in rows:
        # Text, not str: rich would read [brackets] in a name as markup.
        cells = [Text(column.cell(row)) for column in columns]
        drawn.add_row(*cells)
    return drawn


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of the table."""

    title: str
    #: write the column's value of a row
    cell: Callable[[Row], str]
    justify: Literal["left", "right"] = "right"


def _columns(zone: ZoneInfo, *, teams: bool, routing: bool) -> list[_Column]:
    """List the columns, from left to right."""
    columns = [
        _Column("user", _user, "left"),
        _Column(f"interval ({zone.key})", partial(_local_interval, zone), "left"),
        _Column("handled", _handled),
        _Column("AHT (s)", _aht),
    ]
    if teams:
        columns.insert(0, _Column("team", _team, "left"))
    if routing:
        columns.append(_Column("occupancy", _occupancy))
    return columns


def _team(row: Row) -> str:
    """Write a team's name."""
    return printable(row.team)


def _user(row: Row) -> str:
    """Write the name or else the id of a user."""
    return printable(row.user_name or row.user_id or "no user")


def _local_interval(zone: ZoneInfo, row: Row) -> str:
    """Write the interval of a row."""
    return interval(row.interval_start, row.interval_end, zone)


def _handled(row: Row) -> str:
    """Write the number of interactions."""
    return f"{row.handled_count:,}"


def _aht(row: Row) -> str:
    """Write the average handle time in seconds."""
    return _seconds(row.avg_handle_time_sec)


def _occupancy(row: Row) -> str:
    """Write the occupancy in percent."""
    return _share(row.occupancy)


def interval(start: str, end: str, zone: ZoneInfo) -> str:
    """Write an interval in local time.

    The end has a date only if it is on another day. Whole days have no clock times.
    """
    first = _local(start, zone)
    last = _local(end, zone)
    if _is_midnight(first) and _is_midnight(last):
        return f"{first:%Y-%m-%d} – {last:%Y-%m-%d}"
    if first.date() == last.date():
        return f"{first:%Y-%m-%d %H:%M} – {last:%H:%M}"
    return f"{first:%Y-%m-%d %H:%M} – {last:%Y-%m-%d %H:%M}"


def _local(instant: str, zone: ZoneInfo) -> datetime:
    """Read an instant of a record, and give its local time."""
    return from_instant(parse_iso(instant)).astimezone(zone)


def _is_midnight(moment: datetime) -> bool:
    """Tell whether a local time is the start of a day."""
    return (moment.hour, moment.minute) == (0, 0)


def _seconds(value: float | None) -> str:
    """Write seconds with two places; a dash for None."""
    if value is None:
        return _NO_VALUE
    return f"{value:,.2f}"


def _share(value: float | None) -> str:
    """Write a share in percent; a dash for None."""
    if value is None:
        return _NO_VALUE
    return f"{value:.2%}"


def total(rows: Iterable[Row], *, routing: bool) -> str:
    """Add rows up in one line. A user who is in several teams counts once in each interval."""
    by_bucket = {(row.user_id, row.interval_start): row for row in rows}
    unique = list(by_bucket.values())
    line = f"{_count_users(unique)}, {_total_handled(unique)}"
    if routing:
        line += f", occupancy {_share(_total_occupancy(unique))}"
    return line


def _count_users(rows: Iterable[Row]) -> str:
    """Count the users of rows; interactions without a user have none."""
    users = {row.user_id for row in rows}
    users.discard(None)
    return counted(len(users), "user")


def _total_handled(rows: Iterable[Row]) -> str:
    """Count interactions and average their handle time."""
    count = handle_time = 0
    for row in rows:
        count += row.handled_count
        handle_time += _ms(row.total_handle_time_sec)
    return f"{count:,} handled, AHT {_seconds(average(handle_time, count))} s"


def _total_occupancy(rows: Iterable[Row]) -> float | None:
    """Divide the sums of all rows."""
    interacting = communicating = idle = 0
    for row in rows:
        interacting += _ms(row.interacting_sec)
        communicating += _ms(row.communicating_sec)
        idle += _ms(row.idle_sec)
    return occupancy(interacting, communicating, idle)


def _ms(seconds: float | None) -> int:
    """Give whole ms: seconds of a record have three places, so rounding is exact."""
    return round((seconds or 0) * 1000)
