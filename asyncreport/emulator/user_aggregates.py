"""The response to a user aggregates query: routing statuses, split at the edges of buckets. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/user-query
Presences are not emulated. Believed: stats have the sum alone; a user who is logged out has no
status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asyncreport.emulator.containers import Key, Row, results
from asyncreport.emulator.fields import known_fields, required_names, unknown_value
from asyncreport.emulator.messages import bad_request
from asyncreport.emulator.people import shaped_id
from asyncreport.emulator.periods import parse_period
from asyncreport.emulator.query import Filter, Query, parse_filter, parse_time
from asyncreport.emulator.world import Span, World

#: userId predicates in one query, at most
MAX_USERS = 100
METRIC = "tAgentRoutingStatus"

_FIELDS = frozenset(("interval", "granularity", "timeZone", "groupBy", "filter", "metrics"))
_HALF_HOUR = 1_800_000

#: bucket -> status -> ms
Cells = dict[int, dict[str, int]]


def parse_user_query(body: dict[str, Any], *, half_hours_only: bool = False) -> Query:
    """Check a request's body; raise ApiError with the vendor's error for an invalid one."""
    fields = known_fields(body, "request", _FIELDS)
    start, end, buckets = parse_time(fields)
    if half_hours_only and "granularity" in fields:
        _refuse_short(fields["granularity"])
    return Query(
        start=start,
        end=end,
        buckets=buckets,
        group_by=required_names(fields, "groupBy", {"userId"}),
        metrics=required_names(fields, "metrics", {METRIC}),
        filter=_users(fields["filter"]) if "filter" in fields else Filter(),
    )


def _refuse_short(granularity: str) -> None:
    if parse_period(granularity).shortest_ms < _HALF_HOUR:
        template = "The value [{value}] of {field} is not supported for user aggregates"
        raise bad_request(template, field="granularity", value=granularity)


def count_statuses(
    query: Query, world: World, divisions: frozenset[str] | None = None
) -> dict[Key, Cells]:
    """Add up, by user, bucket and status, the ms of the users of these divisions (None: all)."""
    groups: dict[Key, Cells] = {}
    users = _asked_users(query, world, divisions)
    for span in world.statuses(query.start, query.end, users):
        cells = groups.setdefault((span.user_id,), {})
        for bucket, ms in _pieces(query, span):
            cell = cells.setdefault(bucket, {})
            cell[span.status] = cell.get(span.status, 0) + ms
    return groups


def write_statuses(query: Query, world: World, groups: Mapping[Key, Cells]) -> dict[str, Any]:
    """Write what was added up as the response."""
    rows: dict[Key, Row] = {}
    for key, cells in groups.items():
        rows[key] = {bucket: _metrics(cell) for bucket, cell in cells.items()}
    mappings = {"ON_QUEUE": [shaped_id(world.seed, "presence", "ON_QUEUE")]}
    return {"systemToOrganizationMappings": mappings, **results(query, rows)}


def _asked_users(query: Query, world: World, divisions: frozenset[str] | None) -> list[str]:
    users = []
    for person in world.people:
        visible = divisions is None or person.division.id in divisions
        asked = query.filter.users is None or person.id in query.filter.users
        if visible and asked:
            users.append(person.id)
    return users


def _users(value: object) -> Filter:
    """Read a filter, which may be about users alone."""
    dimensions = list(_dimensions(value))
    for dimension in dimensions:
        if dimension != "userId":
            raise unknown_value("dimension", dimension)
    if len(dimensions) > MAX_USERS:
        template = "At most {max} predicates on {field} are allowed"
        raise bad_request(template, field="userId", max=str(MAX_USERS))
    return parse_filter(value)


def _dimensions(part: object) -> Iterator[object]:
    """Walk the dimensions of a filter at any depth, however wrong it is."""
    if isinstance(part, dict):
        if "dimension" in part:
            yield part["dimension"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _dimensions(inner)


def _pieces(query: Query, span: Span) -> Iterator[tuple[int, int]]:
    """Cut a span at the edges of buckets; give each piece's bucket and ms."""
    edges, index = query.buckets.edges, query.buckets.index
    for bucket in range(index(span.start), index(span.end - 1) + 1):
        yield bucket, min(edges[bucket + 1], span.end) - max(edges[bucket], span.start)


def _metrics(cell: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"metric": METRIC, "qualifier": status, "stats": {"sum": float(ms)}}
        for status, ms in cell.items()
    ]
