"""What an export must contain, computed from the emulator's emissions without the product.

Pure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from asyncreport.emulator import World

_STEPS = {"PT15M": 15, "PT30M": 30, "PT1H": 60}
_COLUMNS = {"tTalkComplete": "talk", "tHeldComplete": "held", "tAcw": "acw", "tHandle": "handle"}


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def midnight(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def bucket(at: datetime, granularity: str, zone: str) -> tuple[datetime, datetime]:
    """Find the bucket of an instant, for zones whose clocks never change at midnight."""
    day = at.astimezone(ZoneInfo(zone)).date()
    if granularity in _STEPS:
        step = timedelta(minutes=_STEPS[granularity])
        start = midnight(day, zone) + ((at - midnight(day, zone)) // step) * step
        return start, start + step
    if granularity == "P1D":
        return midnight(day, zone), midnight(day + timedelta(days=1), zone)
    if granularity == "P1W":
        monday = day - timedelta(days=day.weekday())
        return midnight(monday, zone), midnight(monday + timedelta(days=7), zone)
    assert granularity == "P1M"
    first = day.replace(day=1)
    return midnight(first, zone), midnight((first + timedelta(days=32)).replace(day=1), zone)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def seconds(value: int) -> float:
    return float(Decimal(value).scaleb(-3))


def records(
    world: World,
    start: datetime,
    end: datetime,
    *,
    granularity: str,
    zone: str = "UTC",
    teams: Sequence[tuple[str, Sequence[str] | None]],
    split_by: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """List every record of a job, in no order; `end` is exclusive, `split_by` in snake case."""
    cells: defaultdict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for emission in world.truth(ms(start), ms(end)):
        if emission.metric in _COLUMNS:
            at = datetime.fromtimestamp(emission.at / 1000, UTC)
            span = (start, end) if granularity == "none" else bucket(at, granularity, zone)
            key = (
                emission.user_id,
                *span,
                *(getattr(emission, name) for name in split_by),
            )
            cells[key][_COLUMNS[emission.metric]] += emission.value or 0
            cells[key]["count"] += emission.metric == "tHandle"
    people = {person.id: person.name for person in world.people}
    queues = {queue.id: queue.name for queue in world.queues}
    found = []
    for (user, begin, until, *values), cell in cells.items():
        dimensions = dict(zip(split_by, values, strict=True))
        if "queue_id" in dimensions:
            dimensions["queue_name"] = queues.get(dimensions["queue_id"])
        record = {
            "user_id": user,
            "user_name": people.get(user),
            **dimensions,
            "interval_start": text(begin),
            "interval_end": text(until),
            **_columns(cell),
        }
        found += [
            {"team": team, **record} for team, users in teams if users is None or user in users
        ]
    return found


def _columns(cell: dict[str, int]) -> dict[str, Any]:
    return {
        "handled_count": cell["count"],
        "total_talk_time_sec": seconds(cell["talk"]),
        "total_hold_time_sec": seconds(cell["held"]),
        "total_wrap_up_sec": seconds(cell["acw"]),
        "total_handle_time_sec": seconds(cell["handle"]),
        "avg_handle_time_sec": _average(cell),
    }


def _average(cell: dict[str, int]) -> float | None:
    if not cell["count"]:
        return None
    average = Decimal(cell["handle"]) / cell["count"] / 1000
    return float(average.quantize(Decimal("0.01"), ROUND_HALF_UP))


def canonical(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Make rows comparable in any order; two equal rows stay two."""
    return sorted(str(sorted(row.items())) for row in rows)


def milliseconds(value: float) -> int:
    """Convert a column of seconds back into the ms that it was made from."""
    return math.floor(value * 1000 + 0.5)
