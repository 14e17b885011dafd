"""A conversation aggregates query: check it, and decide which sessions it is about. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/analytics-conversation-aggregate-query-guide
Some fields are not emulated and get a 400 that says so, and so do predicates that do not match one
dimension with one value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.emulator.fields import (
    known_fields,
    list_field,
    name_list,
    required_names,
    time_zone,
    unknown_value,
)
from asyncreport.emulator.messages import bad_request
from asyncreport.emulator.periods import Buckets, parse_interval, parse_period, split
from asyncreport.emulator.sessions import Session
from asyncreport.emulator.vocabulary import GROUP_BY, METRICS, PREDICATES, reader_of

_FIELDS = frozenset(("interval", "granularity", "timeZone", "groupBy", "filter", "metrics"))
#: fields of the vendor's query that are not emulated
_NOT_EMULATED = frozenset(
    (
        "views",
        "flattenMultivaluedDimensions",
        "alternateTimeDimension",
        "queryType",
        "sortMetric",
        "limit",
    )
)
_PREDICATE = frozenset(("type", "dimension", "operator", "value"))

Test = Callable[[Session], bool]


class Filter(Struct, frozen=True):
    """Which sessions a query is about."""

    #: only the sessions of these users; None: all sessions, also those without a user
    users: frozenset[str] | None = None
    #: None: all of them
    test: Test | None = None

    def passes(self, session: Session) -> bool:
        """Tell whether the query is about a session."""
        if self.users is not None and session.user_id not in self.users:
            return False
        return self.test is None or self.test(session)


class Query(Struct, frozen=True, kw_only=True):
    """A valid query."""

    start: int
    end: int
    buckets: Buckets
    #: dimensions of a group, sorted; those of conversations always include mediaType
    group_by: tuple[str, ...]
    metrics: tuple[str, ...]
    filter: Filter


def until(query: Query, horizon: int) -> Query:
    """Leave out what a query asks about the time after `horizon`, in ms.

    The buckets stay: nothing has happened yet in those that lie in the future.
    """
    if query.end <= horizon:
        return query
    return msgspec.structs.replace(query, end=max(query.start, horizon))


def parse_query(body: dict[str, Any]) -> Query:
    """Check a request's body; raise ApiError with the vendor's error for an invalid one."""
    fields = known_fields(body, "request", _FIELDS | _NOT_EMULATED)
    for name in sorted(fields.keys() & _NOT_EMULATED):
        raise bad_request("The {field} is not emulated", field=name)
    start, end, buckets = parse_time(fields)
    group_by = {*name_list(fields, "groupBy", GROUP_BY), "mediaType"}
    return Query(
        start=start,
        end=end,
        buckets=buckets,
        group_by=tuple(sorted(group_by)),
        metrics=required_names(fields, "metrics", METRICS),
        filter=parse_filter(fields["filter"]) if "filter" in fields else Filter(),
    )


def parse_time(fields: dict[str, Any]) -> tuple[int, int, Buckets]:
    """Read interval, granularity and timeZone: start and end in ms, and the buckets between."""
    start, end = parse_interval(fields.get("interval"))
    period = parse_period(fields["granularity"]) if "granularity" in fields else None
    zone = time_zone(fields.get("timeZone", "UTC"))
    return start, end, split(start, end, period, zone)


def parse_filter(value: object) -> Filter:
    """Check a filter; raise ApiError with the vendor's error for an invalid one."""
    fields = known_fields(value, "filter", {"type", "clauses", "predicates"})
    clauses = []
    for clause in list_field(fields, "clauses"):
        clause_fields = known_fields(clause, "clause", {"type", "predicates"})
        clauses.append(_join(clause_fields, []))
    return _join(fields, clauses)


def _join(fields: dict[str, Any], clauses: list[Filter]) -> Filter:
    """Join the predicates and clauses of one level with its `and` or `or`."""
    kind = fields.get("type")
    if kind not in ("and", "or"):
        template = "The {field} [{value}] of a filter is neither and nor or"
        raise bad_request(template, field="type", value=str(kind))
    parts = [*clauses, *map(_predicate, list_field(fields, "predicates"))]
    if not parts:
        raise bad_request("The {field} has neither clauses nor predicates", field="filter")
    if len(parts) == 1:
        return parts[0]
    if kind == "and":
        return _all_of(parts)
    return _any_of(parts)


def _all_of(parts: list[Filter]) -> Filter:
    bounds = [part.users for part in parts if part.users is not None]
    tests = [part.test for part in parts if part.test is not None]
    return Filter(
        frozenset.intersection(*bounds) if bounds else None,
        lambda session: all(test(session) for test in tests),
    )


def _any_of(parts: list[Filter]) -> Filter:
    bounds = [part.users for part in parts if part.users is not None]
    if len(bounds) < len(parts):
        return Filter(None, lambda session: any(part.passes(session) for part in parts))
    users = frozenset.union(*bounds)
    if any(part.test for part in parts):
        return Filter(users, lambda session: any(part.passes(session) for part in parts))
    return Filter(users)  # a hundred users are one look-up in a set


def _predicate(value: object) -> Filter:
    fields = known_fields(value, "predicate", _PREDICATE)
    for name, emulated in (("type", "dimension"), ("operator", "matches")):
        if fields.get(name, emulated) != emulated:
            template = "Predicates with the {field} [{value}] are not emulated"
            raise bad_request(template, field=name, value=str(fields[name]))
    return _matching(fields.get("dimension"), fields.get("value"))


def _matching(dimension: object, wanted: object) -> Filter:
    if not isinstance(dimension, str) or dimension not in PREDICATES:
        raise unknown_value("dimension", dimension)
    if not isinstance(wanted, str):
        raise bad_request("The {field} of a predicate must be one string", field="value")
    if dimension == "userId":
        return Filter(frozenset((wanted,)))
    read = reader_of(dimension)
    return Filter(test=lambda session: read(session) == wanted)
