"""What the peers share, so that they differ only in how they send queries: settings, queries, rows.

Each peer is a script, `python PEER.py SETTINGS.json`, for an interpreter with the peer's packages.
Pure, except `settings`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

PATH = "/api/v2/analytics/conversations/aggregates/query"
METRICS = ("tTalkComplete", "tHeldComplete", "tAcw", "tHandle")
#: users in one query
BATCH = 100
#: a cell: the sums of METRICS in ms, and the number of handled interactions
EMPTY = (0, 0, 0, 0, 0)


def settings() -> dict[str, Any]:
    """Read what to pull.

    The settings are url, client_id, client_secret, users, start, days, out, per_minute, and option.
    """
    found: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return found


def queries(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Write one query for each day and each hundred users."""
    first = date.fromisoformat(asked["start"])
    for day in range(asked["days"]):
        start, end = first + timedelta(days=day), first + timedelta(days=day + 1)
        for at in range(0, len(asked["users"]), BATCH):
            yield {
                "interval": f"{start}T00:00:00.000Z/{end}T00:00:00.000Z",
                "granularity": "PT30M",
                "groupBy": ["userId"],
                "metrics": list(METRICS),
                "filter": {
                    "type": "or",
                    "predicates": [predicate(user) for user in asked["users"][at : at + BATCH]],
                },
            }


def predicate(user: str) -> dict[str, str]:
    """Write the predicate for one user."""
    return {"type": "dimension", "dimension": "userId", "operator": "matches", "value": user}


def rows(answer: dict[str, Any] | None, names: dict[str, str]) -> list[dict[str, Any]]:
    """Make a row for each user and half hour of a response.

    The vendor always groups by media type, so a half hour may come several times.
    """
    cells: dict[tuple[str, str], list[int]] = {}
    for container in (answer or {}).get("results") or ():
        user = container["group"]["userId"]
        for datum in container["data"]:
            cell = cells.setdefault((user, datum["interval"]), list(EMPTY))
            for each in datum["metrics"]:
                place, stats = METRICS.index(each["metric"]), each["stats"]
                cell[place] += int(stats["sum"])
                if place == 3:
                    cell[4] += stats["count"]
    return [row(user, interval, cell, names) for (user, interval), cell in cells.items()]


def row(user: str, interval: str, cell: list[int], names: dict[str, str]) -> dict[str, Any]:
    """Write one row, with asyncreport's columns."""
    talk, held, acw, handle, count = cell
    start, end = interval.split("/")
    return {
        "team": "all",
        "user_id": user,
        "user_name": names.get(user),
        "interval_start": start,
        "interval_end": end,
        "handled_count": count,
        "total_talk_time_sec": talk / 1000,
        "total_hold_time_sec": held / 1000,
        "total_wrap_up_sec": acw / 1000,
        "total_handle_time_sec": handle / 1000,
        "avg_handle_time_sec": round(handle / count / 1000, 2) if count else None,
    }


def lines(found: Iterable[dict[str, Any]]) -> str:
    """Write rows as JSONL."""
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found)
