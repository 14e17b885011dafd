"""A conversation aggregates query, checked: what is asked for, and which sessions it is about. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/analytics-conversation-aggregate-query-guide
Not emulated, and answered with a 400 that says so: views, topN and bottomN, alternateTimeDimension, predicates on metrics and
properties. `flattenMultivaluedDimensions` changes nothing: no emulated dimension has several values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from asyncreport.emulator import shape
from asyncreport.emulator.answers import bad_request
from asyncreport.emulator.periods import Buckets, parse_interval, parse_period, split
from asyncreport.emulator.vocabulary import GROUP_BY, METRICS, PREDICATES, value_of
from asyncreport.emulator.work import Session

_FIELDS = frozenset(
    (
        *(
            "interval",
            "granularity",
            "timeZone",
            "groupBy",
            "filter",
            "metrics",
            "views",
            "flattenMultivaluedDimensions",
        ),
        *("alternateTimeDimension", "queryType", "sortMetric", "limit"),
    )
)

_PREDICATE = frozenset(
    ("type", "dimension", "propertyType", "property", "metric", "operator", "value", "range")
)

Test = Callable[[Session], bool]


class Filter(Struct, frozen=True):
    """What sessions must be: of these users (None: anybody's, and nobody's), and what a test says (None: nothing more)."""

    users: frozenset[str] | None = None
    test: Test | None = None

    def passes(self, session: Session) -> bool:
        """Tell whether a session is asked for."""
        return (self.users is None or session.user_id in self.users) and (
            self.test is None or self.test(session)
        )


class Query(Struct, frozen=True, kw_only=True):
    """A query that makes sense."""

    start: int
    end: int
    buckets: Buckets
    #: dimensions of a group, sorted; of conversations mediaType is always one
    group_by: tuple[str, ...]
    metrics: tuple[str, ...]
    filter: Filter


def parse_query(asked: dict[str, Any]) -> Query:
    """Check a request's body; raise Refused with the vendor's error for what is wrong in it."""
    given = shape.given(asked, "request", _FIELDS)
    _refuse_what_is_not_emulated(given)
    start, end = parse_interval(given.get("interval"))
    period = parse_period(given["granularity"]) if "granularity" in given else None
    return Query(
        start=start,
        end=end,
        buckets=split(start, end, period, shape.zone(given.get("timeZone", "UTC"))),
        group_by=tuple(sorted({*shape.names(given, "groupBy", GROUP_BY), "mediaType"})),
        metrics=shape.required(given, "metrics", METRICS),
        filter=parse_filter(given["filter"]) if "filter" in given else Filter(),
    )


def _refuse_what_is_not_emulated(given: dict[str, Any]) -> None:
    if given.get("queryType", "groupBy") not in ("groupBy", "topN", "bottomN"):
        raise shape.unknown("queryType", given["queryType"])
    if not isinstance(given.get("flattenMultivaluedDimensions", False), bool):
        raise bad_request(
            "The {field} is neither true nor false", field="flattenMultivaluedDimensions"
        )
    asked = {
        name
        for name in ("views", "alternateTimeDimension", "sortMetric", "limit")
        if given.get(name)
    }
    if given.get("queryType", "groupBy") != "groupBy":
        asked.add("queryType")
    for name in sorted(asked):
        raise bad_request("The {field} is not emulated", field=name)


def parse_filter(asked: object) -> Filter:
    """Read and check a filter; raise Refused with the vendor's error for what is wrong in it."""
    given = shape.given(asked, "filter", {"type", "clauses", "predicates"})
    clauses = [
        _joined(shape.given(clause, "clause", {"type", "predicates"}), [])
        for clause in shape.items(given, "clauses")
    ]
    return _joined(given, clauses)


def _joined(given: dict[str, Any], clauses: list[Filter]) -> Filter:
    """Join the predicates and clauses of one level with its `and` or `or`."""
    kind = given.get("type")
    if kind not in ("and", "or"):
        raise bad_request(
            "The {field} [{value}] of a filter is neither and nor or", field="type", value=str(kind)
        )
    parts = [*clauses, *(_predicate(predicate) for predicate in shape.items(given, "predicates"))]
    if not parts:
        raise bad_request("The {field} has neither clauses nor predicates", field="filter")
    if len(parts) == 1:
        return parts[0]
    bounds = [part.users for part in parts if part.users is not None]
    if kind == "and":
        tests = [part.test for part in parts if part.test is not None]
        return Filter(
            frozenset.intersection(*bounds) if bounds else None,
            lambda session: all(test(session) for test in tests),
        )
    users = frozenset.union(*bounds) if len(bounds) == len(parts) else None
    if users is not None and not any(part.test for part in parts):
        return Filter(users)  # a hundred users are one look into a set
    return Filter(users, lambda session: any(part.passes(session) for part in parts))


def _predicate(asked: object) -> Filter:
    given = shape.given(asked, "predicate", _PREDICATE)
    if given.get("type", "dimension") != "dimension":
        raise bad_request(
            "Predicates of {field} [{value}] are not emulated",
            field="type",
            value=str(given["type"]),
        )
    dimension, operator = given.get("dimension"), given.get("operator", "matches")
    if not isinstance(dimension, str) or dimension not in PREDICATES:
        raise shape.unknown("dimension", dimension)
    read = value_of(dimension)
    if operator == "exists":
        return Filter(test=lambda session: read(session) is not None)
    if operator == "notExists":
        return Filter(test=lambda session: read(session) is None)
    if operator != "matches":
        raise shape.unknown("operator", operator)
    wanted = given.get("value")
    if not isinstance(wanted, str):
        raise bad_request("The {field} of a predicate must be one string", field="value")
    if dimension == "userId":
        return Filter(frozenset((wanted,)))
    return Filter(test=lambda session: read(session) == wanted)
