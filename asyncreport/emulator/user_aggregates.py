"""The answer to a user aggregates query: routing statuses and presences, split at the edges of buckets. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/user-query
Believed: whatever the filter, a group is a user or nothing; stats hold the sum alone; who is logged out has no status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from asyncreport.emulator import shape
from asyncreport.emulator.answers import bad_request
from asyncreport.emulator.containers import Key, refuse_beyond, results
from asyncreport.emulator.people import shaped_id
from asyncreport.emulator.periods import parse_interval, parse_period, split
from asyncreport.emulator.query import Filter, Query, parse_filter
from asyncreport.emulator.world import Span, World

#: userId predicates in one query
MOST_USERS = 100
METRICS = frozenset(("tAgentRoutingStatus", "tOrganizationPresence", "tSystemPresence"))

_FIELDS = frozenset(
    (
        "interval",
        "granularity",
        "timeZone",
        "groupBy",
        "filter",
        "metrics",
        "flattenMultivaluedDimensions",
    )
)
_DIMENSIONS = frozenset(("userId",))
_PRESENCES = ("AVAILABLE", "ON_QUEUE", "MEAL", "TRAINING")
_HALF_HOUR = 1_800_000

#: bucket -> (metric, qualifier) -> ms
Cells = dict[int, dict[tuple[str, str], int]]


def parse_user_query(asked: dict[str, Any], *, half_hours_only: bool = False) -> Query:
    """Check a request's body; raise Refused with the vendor's error for what is wrong in it."""
    given = shape.given(asked, "request", _FIELDS)
    start, end = parse_interval(given.get("interval"))
    period = parse_period(given["granularity"]) if "granularity" in given else None
    if half_hours_only and period is not None and period.shortest < _HALF_HOUR:
        raise bad_request(
            "The value [{value}] of {field} is not supported for user aggregates",
            field="granularity",
            value=given["granularity"],
        )
    return Query(
        start=start,
        end=end,
        buckets=split(start, end, period, shape.zone(given.get("timeZone", "UTC"))),
        group_by=shape.names(given, "groupBy", _DIMENSIONS),
        metrics=shape.required(given, "metrics", METRICS),
        filter=_users(given["filter"]) if "filter" in given else Filter(),
    )


def evaluate_users(
    query: Query,
    world: World,
    *,
    divisions: frozenset[str] | None = None,
    max_rows: int = 0,
    split_groups: bool = True,
) -> dict[str, Any]:
    """Add up what a query asks for of the users of these divisions (None: all); raise Refused beyond `max_rows` rows (0: no bound)."""
    users = [
        person.id for person in world.people if divisions is None or person.division.id in divisions
    ]
    if query.filter.users is not None:
        users = [user for user in users if user in query.filter.users]
    groups: dict[Key, Cells] = {}
    for metric, spans, qualify in _sources(query, world, users):
        for span in spans:
            cells = groups.setdefault((span.user_id,) if query.group_by else (), {})
            for bucket, ms in _pieces(query, span):
                cell = cells.setdefault(bucket, {})
                key = metric, qualify(span.status)
                cell[key] = cell.get(key, 0) + ms
    refuse_beyond(max_rows, groups)
    rows = {
        key: {bucket: _metrics(cell) for bucket, cell in cells.items()}
        for key, cells in groups.items()
    }
    mappings = {presence: [_presence_id(world, presence)] for presence in _PRESENCES}
    return {"systemToOrganizationMappings": mappings} | results(
        query, rows, split_groups=split_groups
    )


def _users(asked: object) -> Filter:
    """Read the one kind of filter there is: by users, at most so many."""
    dimensions = list(_dimensions(asked))
    for dimension in dimensions:
        if dimension not in _DIMENSIONS:
            raise shape.unknown("dimension", dimension)
    if len(dimensions) > MOST_USERS:
        raise bad_request(
            "At most {max} predicates on {field} are allowed", field="userId", max=str(MOST_USERS)
        )
    return parse_filter(asked)


def _dimensions(part: object) -> Iterator[object]:
    if isinstance(part, dict):
        if "dimension" in part:
            yield part["dimension"]
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from _dimensions(inner)


def _sources(
    query: Query, world: World, users: Sequence[str]
) -> Iterator[tuple[str, Iterator[Span], Callable[[str], str]]]:
    """Give the spans of each metric, and how their qualifier is written."""
    for metric in query.metrics:
        if metric == "tAgentRoutingStatus":
            yield metric, world.statuses(query.start, query.end, users), str
        elif metric == "tSystemPresence":
            yield metric, world.presences(query.start, query.end, users), str
        else:
            yield (
                metric,
                world.presences(query.start, query.end, users),
                lambda presence: _presence_id(world, presence),
            )


def _pieces(query: Query, span: Span) -> Iterator[tuple[int, int]]:
    """Cut a span at the edges of buckets; give each piece's bucket and ms."""
    edges, index = query.buckets.edges, query.buckets.index
    for bucket in range(index(span.start), index(span.end - 1) + 1):
        yield bucket, min(edges[bucket + 1], span.end) - max(edges[bucket], span.start)


def _metrics(cell: dict[tuple[str, str], int]) -> list[dict[str, Any]]:
    return [
        {"metric": metric, "qualifier": qualifier, "stats": {"sum": float(ms)}}
        for (metric, qualifier), ms in cell.items()
    ]


def _presence_id(world: World, presence: str) -> str:
    return shaped_id(world.seed, "presence", presence)
