"""A conversation aggregates query, checked: what is asked for, and which sessions it is about. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/analytics-conversation-aggregate-query-guide
Not emulated, and answered with a 400 that says so: views, topN and bottomN, alternateTimeDimension, predicates on metrics and
properties. `flattenMultivaluedDimensions` changes nothing: no emulated dimension has several values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from msgspec import Struct

from asyncreport.emulator.answers import Refused, bad_request
from asyncreport.emulator.periods import Buckets, parse_interval, parse_period, split
from asyncreport.emulator.vocabulary import GROUP_BY, METRICS, PREDICATES, value_of
from asyncreport.emulator.work import Session

#: bytes of one request: `request.bytes.max` of https://developer.genesys.cloud/organization/organization/limits
MOST_BYTES = 512_000

_FIELDS = frozenset(
    (
        *("interval", "granularity", "timeZone", "groupBy", "filter", "metrics", "views", "flattenMultivaluedDimensions"),
        *("alternateTimeDimension", "queryType", "sortMetric", "limit"),
    )
)

Test = Callable[[Session], bool]


class Filter(Struct, frozen=True):
    """What sessions must be: of these users (None: anybody's, and nobody's), and what a test says (None: nothing more)."""

    users: frozenset[str] | None = None
    test: Test | None = None

    def passes(self, session: Session) -> bool:
        """Tell whether a session is asked for."""
        return (self.users is None or session.user_id in self.users) and (self.test is None or self.test(session))


class Query(Struct, frozen=True, kw_only=True):
    """A query that makes sense."""

    start: int
    end: int
    buckets: Buckets
    #: dimensions of a group, sorted; mediaType is always one
    group_by: tuple[str, ...]
    metrics: tuple[str, ...]
    filter: Filter


def parse_query(body: bytes) -> Query:
    """Read and check a request's body; raise Refused with the vendor's error for what is wrong in it."""
    if len(body) > MOST_BYTES:
        raise Refused(413, "request.entity.too.large", "Maximum bytes: {limit}", {"limit": str(MOST_BYTES)})
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request("The request could not be understood by the server: it is no JSON") from error
    if not isinstance(asked, dict):
        raise bad_request("The request could not be understood by the server: it is no JSON object")
    for name in asked:
        if name not in _FIELDS:
            raise bad_request("Unrecognized field [{field}] in the request", field=name)
    given = {name: value for name, value in asked.items() if value is not None}
    _refuse_what_is_not_emulated(given)
    start, end = parse_interval(given.get("interval"))
    period = parse_period(given["granularity"]) if "granularity" in given else None
    return Query(
        start=start,
        end=end,
        buckets=split(start, end, period, _zone(given.get("timeZone", "UTC"))),
        group_by=tuple(sorted({*_names(given, "groupBy", GROUP_BY), "mediaType"})),
        metrics=_metrics(given),
        filter=_filter(given["filter"]) if "filter" in given else Filter(),
    )


def asked_about(body: bytes) -> tuple[str | None, list[str]]:
    """Tell what a log wants to know of a query, however wrong it is: its interval and the user ids of its predicates."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, []
    interval = asked.get("interval") if isinstance(asked, dict) else None
    return interval if isinstance(interval, str) else None, sorted(set(_user_ids(asked)))


def _user_ids(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if part.get("dimension") == "userId" and isinstance(part.get("value"), str):
            yield part["value"]
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from _user_ids(inner)


def _refuse_what_is_not_emulated(given: dict[str, Any]) -> None:
    if given.get("queryType", "groupBy") not in ("groupBy", "topN", "bottomN"):
        raise bad_request("The value [{value}] of {field} is unknown", field="queryType", value=str(given["queryType"]))
    if not isinstance(given.get("flattenMultivaluedDimensions", False), bool):
        raise bad_request("The {field} is neither true nor false", field="flattenMultivaluedDimensions")
    asked = {name for name in ("views", "alternateTimeDimension", "sortMetric", "limit") if given.get(name)}
    if given.get("queryType", "groupBy") != "groupBy":
        asked.add("queryType")
    for name in sorted(asked):
        raise bad_request("The {field} is not emulated", field=name)


def _names(given: dict[str, Any], field: str, known: frozenset[str]) -> tuple[str, ...]:
    names = given.get(field, [])
    if not isinstance(names, list):
        raise bad_request("The {field} is no list", field=field)
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise bad_request("The value [{value}] of {field} is unknown", field=field, value=str(name))
    return tuple(dict.fromkeys(names))


def _metrics(given: dict[str, Any]) -> tuple[str, ...]:
    metrics = _names(given, "metrics", METRICS)
    if not metrics:
        raise bad_request("The {field} may not be empty", field="metrics")
    return metrics


def _zone(name: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise bad_request("The value [{value}] of {field} is no IANA time zone", field="timeZone", value=str(name)) from error


def _filter(given: object) -> Filter:
    shape = _object(given, "filter", {"type", "clauses", "predicates"})
    clauses = [_joined(_object(clause, "clause", {"type", "predicates"}), []) for clause in _list(shape, "clauses")]
    return _joined(shape, clauses)


def _joined(shape: dict[str, Any], clauses: list[Filter]) -> Filter:
    """Join the predicates and clauses of one level with its `and` or `or`."""
    kind = shape.get("type")
    if kind not in ("and", "or"):
        raise bad_request("The {field} [{value}] of a filter is neither and nor or", field="type", value=str(kind))
    parts = [*clauses, *(_predicate(predicate) for predicate in _list(shape, "predicates"))]
    if not parts:
        raise bad_request("The {field} has neither clauses nor predicates", field="filter")
    if len(parts) == 1:
        return parts[0]
    bounds = [part.users for part in parts if part.users is not None]
    if kind == "and":
        tests = [part.test for part in parts if part.test is not None]
        return Filter(frozenset.intersection(*bounds) if bounds else None, lambda session: all(test(session) for test in tests))
    users = frozenset.union(*bounds) if len(bounds) == len(parts) else None
    if users is not None and not any(part.test for part in parts):
        return Filter(users)  # a hundred users are one look into a set
    return Filter(users, lambda session: any(part.passes(session) for part in parts))


def _predicate(given: object) -> Filter:
    shape = _object(given, "predicate", {"type", "dimension", "propertyType", "property", "metric", "operator", "value", "range"})
    if shape.get("type", "dimension") != "dimension":
        raise bad_request("Predicates of {field} [{value}] are not emulated", field="type", value=str(shape["type"]))
    dimension, operator = shape.get("dimension"), shape.get("operator", "matches")
    if not isinstance(dimension, str) or dimension not in PREDICATES:
        raise bad_request("The value [{value}] of {field} is unknown", field="dimension", value=str(dimension))
    read = value_of(dimension)
    if operator == "exists":
        return Filter(test=lambda session: read(session) is not None)
    if operator == "notExists":
        return Filter(test=lambda session: read(session) is None)
    if operator != "matches":
        raise bad_request("The value [{value}] of {field} is unknown", field="operator", value=str(operator))
    wanted = shape.get("value")
    if not isinstance(wanted, str):
        raise bad_request("The {field} of a predicate must be one string", field="value")
    if dimension == "userId":
        return Filter(frozenset((wanted,)))
    return Filter(test=lambda session: read(session) == wanted)


def _object(given: object, name: str, known: set[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise bad_request("The {field} is no object", field=name)
    for key in given:
        if key not in known:
            raise bad_request("Unrecognized field [{field}] in a {name}", field=key, name=name)
    return {key: value for key, value in given.items() if value is not None}


def _list(shape: dict[str, Any], name: str) -> list[Any]:
    found = shape.get(name, [])
    if not isinstance(found, list):
        raise bad_request("The {field} is no list", field=name)
    return found
