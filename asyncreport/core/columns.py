"""What the columns of a record are called, in which order, and how its ratios are divided. Pure."""

from __future__ import annotations

import re

from asyncreport.core.job import Query

#: what every query asks for; per session, not per segment: https://help.mypurecloud.com/glossary/average-handle-time-aht/
METRICS = ("tTalkComplete", "tHeldComplete", "tAcw", "tHandle")
#: the columns of every record, after those of the split
_COLUMNS = (
    *(
        "interval_start",
        "interval_end",
        "handled_count",
        "total_talk_time_sec",
        "total_hold_time_sec",
    ),
    *("total_wrap_up_sec", "total_handle_time_sec", "avg_handle_time_sec"),
)

#: routing statuses in the order of their columns: https://help.mypurecloud.com/glossary/agent-status/
STATUSES = ("INTERACTING", "COMMUNICATING", "IDLE", "NOT_RESPONDING", "OFF_QUEUE")
STATUS_COLUMNS = tuple(f"{status.lower()}_sec" for status in STATUSES)


def columns(query: Query) -> list[str]:
    """List the columns that a part's rows have, in their order."""
    found = [*map(column, query.split_by), *_COLUMNS]
    found += [
        f"{column(metric)}_{what}" for metric in query.metrics for what in ("count", "sum_ms")
    ]
    return [*found, *STATUS_COLUMNS, "occupancy"] if query.occupancy else found


def metrics_of(query: Query) -> tuple[str, ...]:
    """List what to ask for: what every record needs, and what the job adds."""
    return tuple(dict.fromkeys((*METRICS, *query.metrics)))


def average(total_ms: float, count: int) -> float | None:
    """Divide whole ms by a count into seconds with 2 places, half up; None where nothing was handled."""
    return (total_ms + 5 * count) // (10 * count) / 100 if count else None


def occupancy(interacting: int, communicating: int, idle: int) -> float | None:
    """Give the share of the time on queue that was spent interacting, with 4 places, half up; None for no time on queue.

    https://community.genesys.com/discussion/does-occupancy-include-all-busy-time
    """
    on_queue = interacting + communicating + idle
    return (20_000 * interacting + on_queue) // (2 * on_queue) / 10_000 if on_queue else None


def column(name: str) -> str:
    """Name the column of a dimension or a metric: `mediaType` is `media_type`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def null_first(value: str | None) -> tuple[bool, str]:
    """Give the sort key of user ids and split values: null before all text."""
    return (value is not None, value or "")
