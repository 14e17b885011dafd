"""Name the columns of a record, order them, and divide its ratios. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from asyncreport.core.job import Query
from asyncreport.core.table import Column, Kind

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


#: columns of the id that they name, by name; the first of several that the records have
NAMES: Mapping[str, tuple[str, ...]] = {
    "queue_name": ("queue_id",),
    "wrap_up_name": ("wrap_up_code",),
    "division_name": ("division_id",),
    "skill_name": ("active_skill_id", "requested_routing_skill_id"),
    "language_name": ("requested_language_id",),
}

#: columns of every job that `output.columns` may add
_ADDED: Mapping[str, Kind] = {
    "interval_start_local": "local",
    "interval_end_local": "local",
    "date": "date",
    "weekday": "integer",
    "job": "text",
    "connection": "text",
}

_INSTANTS = ("interval_start", "interval_end")

#: how the names of columns with whole numbers end
_WHOLE = ("_count", "_sum_ms")


def columns(query: Query) -> list[str]:
    """List the columns of a part's rows, in order."""
    names = [*map(column, query.split_by), *_COLUMNS, *metric_columns(query)]
    if query.occupancy:
        names += [*STATUS_COLUMNS, "occupancy"]
    return names


def default_columns(query: Query) -> tuple[Column, ...]:
    """List the columns of a record, in order."""
    names = ["team", "user_id", "user_name"]
    for name in columns(query):
        names.append(name)
        if name == "queue_id":
            names.append("queue_name")
    return tuple(_column(name) for name in names)


def known_columns(query: Query) -> dict[str, Column]:
    """List all columns that a file of a query may have, by name: the default ones first."""
    found = {each.name: each for each in default_columns(query)}
    for name, kind in _ADDED.items():
        found[name] = Column(name, name, kind)
    for name in NAMES:
        if id_column(name, query) is not None:
            found[name] = Column(name, name, "text")
    return found


def id_column(name: str, query: Query) -> str | None:
    """Give the column of ids that a column of names belongs to; None if the records lack it."""
    split = list(map(column, query.split_by))
    for each in NAMES[name]:
        if each in split:
            return each
    return None


def names_wanted(chosen: Iterable[Column]) -> list[str]:
    """List the columns of names among some columns; `user_name` is not one of them."""
    return [each.source for each in chosen if each.source in NAMES]


def _column(name: str) -> Column:
    """Describe a column of the records."""
    return Column(name, name, _kind(name))


def _kind(name: str) -> Kind:
    """Give the type of a column of the records."""
    if name in _INSTANTS:
        return "instant"
    if name.endswith(_WHOLE):
        return "integer"
    if name.endswith("_sec") or name == "occupancy":
        return "number"
    return "text"


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
