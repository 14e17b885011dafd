"""Draw records as a table for a terminal, with their total in a line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from rich.table import Table
from rich.text import Text

from asyncreport.core.columns import average, occupancy
from asyncreport.core.local_time import from_instant
from asyncreport.core.text import counted, printable
from asyncreport.core.timeline import parse_iso

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


def table(rows: Sequence[Row], *, zone: str, teams: bool, routing: bool) -> Table:
    """Make a table of rows, with intervals in local time.

    `zone` is an IANA name; `teams` and `routing` add the columns team and occupancy. On a narrow
    terminal the cells fold, the widest first: nothing is cut off.
    """
    drawn = Table()
    if teams:
        drawn.add_column("team", overflow="fold")
    drawn.add_column("user", overflow="fold")
    drawn.add_column(f"interval ({zone})", overflow="fold")
    drawn.add_column("handled", justify="right", overflow="fold")
    drawn.add_column("AHT (s)", justify="right", overflow="fold")
    if routing:
        drawn.add_column("occupancy", justify="right", overflow="fold")

    time_zone = ZoneInfo(zone)
    for row in rows:
        cells = _cells(row, time_zone, teams=teams, routing=routing)
        # Text, not str: rich would read [brackets] in a name as markup.
        drawn.add_row(*map(Text, cells))
    return drawn


def _cells(row: Row, zone: ZoneInfo, *, teams: bool, routing: bool) -> Iterator[str]:
    """Give the texts of a row."""
    if teams:
        yield printable(row.team)
    yield printable(row.user_name or row.user_id or "no user")
    yield interval(row.interval_start, row.interval_end, zone)
    yield f"{row.handled_count:,}"
    yield _seconds(row.avg_handle_time_sec)
    if routing:
        yield _share(row.occupancy)


def interval(start: str, end: str, zone: ZoneInfo) -> str:
    """Write an interval in local time.

    The end has a date only if it is on another day. Whole days have no clock times.
    """
    first = from_instant(parse_iso(start)).astimezone(zone)
    last = from_instant(parse_iso(end)).astimezone(zone)
    if _is_midnight(first) and _is_midnight(last):
        return f"{first:%Y-%m-%d} – {last:%Y-%m-%d}"
    if first.date() == last.date():
        return f"{first:%Y-%m-%d %H:%M} – {last:%H:%M}"
    return f"{first:%Y-%m-%d %H:%M} – {last:%Y-%m-%d %H:%M}"


def _is_midnight(moment: datetime) -> bool:
    return (moment.hour, moment.minute) == (0, 0)


def _seconds(value: float | None) -> str:
    if value is None:
        return _NO_VALUE
    return f"{value:,.2f}"


def _share(value: float | None) -> str:
    if value is None:
        return _NO_VALUE
    return f"{value:.2%}"


def total(rows: Iterable[Row], *, routing: bool) -> str:
    """Add rows up in one line. A user who is in several teams counts once in each interval."""
    by_bucket = {(row.user_id, row.interval_start): row for row in rows}
    unique = list(by_bucket.values())
    users = {row.user_id for row in unique if row.user_id is not None}
    line = f"{counted(len(users), 'user')}, {_handled(unique)}"
    if routing:
        line += f", occupancy {_share(_total_occupancy(unique))}"
    return line


def _handled(rows: Iterable[Row]) -> str:
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
    return round((seconds or 0) * 1000)
