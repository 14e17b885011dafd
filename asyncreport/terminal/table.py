"""Records as a table for a terminal, and what they come to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct
from rich.table import Table
from rich.text import Text

from asyncreport.core.columns import average, occupancy
from asyncreport.core.text import printable
from asyncreport.core.timeline import from_instant, parse_iso

#: columns of a terminal that a name must have to be read
_NAME = 12


class Row(Struct, frozen=True, kw_only=True):
    """One record, as far as a table needs it; times in seconds, null where nothing was measured."""

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
    """Lay rows out, intervals on the clock of a zone; with the column of teams and that of occupancy where asked for.

    Names fold; its least width, as rich measures it, is that at which they can be read.
    """
    made = Table()
    names = (["team"] if teams else []) + ["user"]
    headings = [*names, f"interval ({zone})", "handled", "AHT (s)"] + (
        ["occupancy"] if routing else []
    )
    cells = [list(_cells(row, ZoneInfo(zone), teams=teams, routing=routing)) for row in rows]
    for number, heading in enumerate(headings):
        if heading in names:
            made.add_column(heading, overflow="fold", min_width=_NAME)
        else:
            width = max(map(len, (heading, *(row[number] for row in cells))))
            made.add_column(
                heading,
                justify="left" if number == len(names) else "right",
                no_wrap=True,
                min_width=width,
            )
    for row in cells:
        made.add_row(*map(Text, row))
    return made


def plain(rows: Sequence[Row], *, zone: str, teams: bool, routing: bool) -> Iterator[str]:
    """Write each row in a line, for a terminal that is too narrow for the table."""
    yield f"intervals in {zone}"
    for row in rows:
        *whose, handled, aht = _cells(row, ZoneInfo(zone), teams=teams, routing=False)
        yield ", ".join(
            (
                *whose,
                f"{handled} handled",
                f"AHT {aht} s",
                *((f"occupancy {_share(row.occupancy)}",) if routing else ()),
            )
        )


def _cells(row: Row, zone: ZoneInfo, *, teams: bool, routing: bool) -> Iterator[str]:
    if teams:
        yield printable(row.team)
    yield printable(row.user_name or row.user_id or "no user")
    yield interval(row.interval_start, row.interval_end, zone)
    yield f"{row.handled_count:,}"
    yield _seconds(row.avg_handle_time_sec)
    if routing:
        yield _share(row.occupancy)


def interval(start: str, end: str, zone: ZoneInfo) -> str:
    """Write an interval on the clock of a zone; the day of its end where that is another, no clock where both are midnights."""
    first, last = (from_instant(parse_iso(at)).astimezone(zone) for at in (start, end))
    if _is_midnight(first) and _is_midnight(last):
        return f"{first:%Y-%m-%d} – {last:%Y-%m-%d}"
    same_day = first.date() == last.date()
    return f"{first:%Y-%m-%d %H:%M} – {last:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}}"


def _is_midnight(moment: datetime) -> bool:
    return (moment.hour, moment.minute) == (0, 0)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def total(rows: Sequence[Row], *, routing: bool) -> str:
    """Add rows up in one line; a user's bucket counts once, in however many teams the user is."""
    once = list({(row.user_id, row.interval_start): row for row in rows}.values())
    handled = sum(row.handled_count for row in once)
    aht = average(sum(_ms(row.total_handle_time_sec) for row in once), handled)
    users = len({row.user_id for row in once if row.user_id is not None})
    line = (
        f"{users:,} {'user' if users == 1 else 'users'}, {handled:,} handled, AHT {_seconds(aht)} s"
    )
    if not routing:
        return line
    times = (
        sum(_ms(getattr(row, name)) for row in once)
        for name in ("interacting_sec", "communicating_sec", "idle_sec")
    )
    return f"{line}, occupancy {_share(occupancy(*times))}"


def _ms(seconds: float | None) -> int:
    return round((seconds or 0) * 1000)
