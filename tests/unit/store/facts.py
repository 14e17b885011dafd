"""Rows, chunks and parts for the tests of the store. Owns nothing; folders are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson

from asyncreport.core.job import Chunk, Connection, Part, Query
from asyncreport.core.records import Block
from asyncreport.core.table import CsvStyle
from asyncreport.core.timeline import HOUR, Granularity, Grid, Interval, iso, parse_iso
from asyncreport.formats import JSONL
from asyncreport.store.part_filter import PartFilter
from asyncreport.store.parts import part_name, write_part
from asyncreport.store.state import State
from asyncreport.store.target import Form

START = parse_iso("2023-01-01T00:00:00Z")
FINGERPRINT = "f" * 32
CONNECTION = Connection(name="default")
GRID = Grid(Granularity.PT1H, ZoneInfo("UTC"))
FORM = Form(job="job", query=Query(grid=GRID), format=JSONL, csv=CsvStyle())
FILTER = PartFilter({"default": (FINGERPRINT,)}, GRID)


def open_state(folder: Path) -> State:
    """Open the state folder of a job of one connection."""
    return State.open(folder, FILTER)


def part_file(folder: Path, number: int) -> Path:
    """Give the path of a part's file in a job's folder."""
    return folder / "default" / part_name(number)


def hours(first: int, end: int) -> Interval:
    """Give the interval from one hour of January to another."""
    return Interval(START + first * HOUR, START + end * HOUR)


def row(hour: int, *, handled: int = 1, **split: str | None) -> dict[str, object]:
    start = START + hour * HOUR
    return {
        **split,
        "interval_start": iso(start),
        "interval_end": iso(start + HOUR),
        "handled_count": handled,
    }


def chunk(
    interval: Interval,
    users: Sequence[str] | None,
    *,
    replaces: tuple[int, ...] = (),
    month: str = "2023-01",
) -> Chunk:
    return Chunk(
        connection="default",
        month=month,
        interval=interval,
        users=None if users is None else tuple(users),
        replaces=replaces,
    )


def block(user: str | None, rows: Sequence[dict[str, object]]) -> Block:
    """Make a block of rows, as the accumulator would."""
    queues = frozenset(str(row["queue_id"]) for row in rows if row.get("queue_id") is not None)
    return Block(
        user,
        b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows),
        len(rows),
        queues,
    )


def blocks(users: Sequence[str | None], interval: Interval) -> list[Block]:
    """Give each user one row an hour."""
    first, end = ((at - START) // HOUR for at in (interval.start, interval.end))
    return [block(user, [row(hour) for hour in range(first, end)]) for user in users]


def written(folder: Path, number: int, of: Chunk, found: list[Block]) -> Part:
    """Write a part's file into a job's folder, without a manifest."""
    (folder / "default").mkdir(parents=True, exist_ok=True)
    facts = write_part(folder / "default", number, found)
    return Part(
        connection="default",
        number=number,
        fingerprint=FINGERPRINT,
        month=of.month,
        interval=of.interval,
        users=of.users,
        fetched_at=START,
        count=facts.count,
        size=facts.size,
        index_at=facts.index_at,
        sha256=facts.sha256,
        edges=FILTER.edges(of.interval.start),
    )
