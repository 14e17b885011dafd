"""Name the columns of a record, order them, and divide its ratios. Pure."""

from __future__ import annotations

import re

from asyncreport.core.job import Query

#: metrics of every query; they count per session, not per segment:
#: https://help.mypurecloud.com/glossary/average-handle-time-aht/
METRICS = ("tTalkComplete", "tHeldComplete", "tAcw", "tHandle")

#: columns of every record, after those of the split
_COLUMNS = (
    "interval_start",
    "interval_end",
    "handled_count",
    "total_talk_time_sec",
    "total_hold_time_sec",
    "total_wrap_up_sec",
    "total_handle_time_sec",
    "avg_handle_time_sec",
)

#: the metric of routing-status times
STATUS_METRIC = "tAgentRoutingStatus"

#: routing statuses, in the order of their columns:
#: https://help.mypurecloud.com/glossary/agent-status/
STATUSES = ("INTERACTING", "COMMUNICATING", "IDLE", "NOT_RESPONDING", "OFF_QUEUE")
STATUS_COLUMNS = tuple(f"{status.lower()}_sec" for status in STATUSES)


def columns(query: Query) -> list[str]:
    """List the columns of a part's rows, in order."""
    names = [*map(column, query.split_by), *_COLUMNS, *metric_columns(query)]
    if query.occupancy:
        names += [*STATUS_COLUMNS, "occupancy"]
    return names


def metric_columns(query: Query) -> list[str]:
    """List the columns of the metrics that the job adds: a count and a sum each."""
    names = []
    for metric in query.metrics:
        names += [f"{column(metric)}_count", f"{column(metric)}_sum_ms"]
    return names


def metrics_of(query: Query) -> tuple[str, ...]:
    """List the metrics to ask for: those of every record, and those that the job adds."""
    return tuple(dict.fromkeys((*METRICS, *query.metrics)))


def average(total_ms: float, count: int) -> float | None:
    """Divide whole ms by a count: seconds with 2 decimals, half up; None if the count is 0."""
    if not count:
        return None
    return (total_ms + 5 * count) // (10 * count) / 100


def occupancy(interacting: int, communicating: int, idle: int) -> float | None:
    """Give the interacting share of the time on queue: 4 decimals, half up; None without time.

    https://community.genesys.com/discussion/does-occupancy-include-all-busy-time
    """
    on_queue = interacting + communicating + idle
    if not on_queue:
        return None
    return (20_000 * interacting + on_queue) // (2 * on_queue) / 10_000


def column(name: str) -> str:
    """Name the column of a dimension or a metric: `mediaType` becomes `media_type`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def null_first(value: str | None) -> tuple[bool, str]:
    """Give the sort key of user ids and split values: null before all text."""
    return (value is not None, value or "")
