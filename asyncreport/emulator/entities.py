"""The entities contract, which some gateways speak on the path of the aggregates query. Pure.

Its body is different: only this contract has `select`, `where` and `pageToken` fields, and the
vendor's contract refuses them. So one emulator serves both contracts, and a client that mixes
them up gets an error. Times are in seconds. Hold time is not reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from asyncreport.emulator.aggregates import Cells, Stats
from asyncreport.emulator.containers import Placed, in_place, refuse_large, refuse_slow
from asyncreport.emulator.directory import Directory
from asyncreport.emulator.fields import known_fields, list_field, name_list, unknown_value
from asyncreport.emulator.messages import ApiError, bad_request
from asyncreport.emulator.options import Options
from asyncreport.emulator.paging import page_of, pages_of, token_after
from asyncreport.emulator.periods import parse_interval, parse_period, split, utc_text
from asyncreport.emulator.query import Filter, Query, until
from asyncreport.emulator.view import View
from asyncreport.emulator.zones import load_zone

#: entities on one page
PAGE_SIZE = 1000
#: queries in memory, for as long as their pages are likely to be requested
_CACHED = 8

_FIELDS = frozenset(("select", "where", "groupBy", "interval", "pageToken"))


class _Measure(NamedTuple):
    """What can be selected."""

    #: its type: `count`, or `sum` in seconds
    kind: str
    #: the metric behind it
    metric: str

    def of(self, stats: Stats) -> float:
        """Return its value."""
        number, total, *_ = stats
        if self.kind == "sum":
            return total / 1000
        return number


_SELECT = {
    "handledCount": _Measure("count", "tHandle"),
    "talkTime": _Measure("sum", "tTalkComplete"),
    "wrapUpTime": _Measure("sum", "tAcw"),
}
_START, _USER = "conversation.startTime", "conversation.user.id"
_PREDICATES = (("date", _START, "gte"), ("date", _START, "lt"), ("in", _USER, "in"))


def is_entities(body: dict[str, Any]) -> bool:
    """Tell whether a body speaks this contract."""
    return not body.keys().isdisjoint(("select", "where", "pageToken"))


class Entities:
    """The queries of this contract."""

    def __init__(self, view: View, options: Options, directory: Directory) -> None:
        self._view = view
        self._options = options
        self._directory = directory
        self._pages = lru_cache(maxsize=_CACHED)(self._make_pages)

    def respond(self, body: dict[str, Any], now: float = 0.0) -> dict[str, Any]:
        """Respond with one page; nothing is reported that is later than `now`.

        Raise ApiError for an invalid request or an unknown pageToken.
        """
        fields = known_fields(body, "request", _FIELDS)
        token = str(fields.pop("pageToken", ""))
        text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        end = self._view.until_now(_query(fields), now).end
        return self._page(self._pages(text, end), hashlib.sha256(text).hexdigest(), token)

    def _page(
        self, pages: Sequence[Sequence[dict[str, Any]]], subject: str, token: str
    ) -> dict[str, Any]:
        """Write the page that a token leads to; without a token the first one."""
        number = page_of(token, subject, "pageToken") if token else 0
        page: dict[str, Any] = {"entities": pages[number]}
        repeat = self._options.repeat_cursor
        next_page = token_after(number, len(pages), subject, repeat=repeat)
        if next_page is not None:
            page["nextPage"] = next_page
        return page

    def _make_pages(self, text: bytes, end: int) -> list[Sequence[dict[str, Any]]]:
        """List all pages of what happened before `end`; the order of rows has no meaning."""
        fields = orjson.loads(text)
        query = _query(fields)
        refuse_slow(self._options.slow_above, query, len(self._view.world.people))
        groups = self._view.count(until(query, end))
        refuse_large(self._options.max_rows, groups)
        placed: list[Placed] = []
        for (user,), cells in groups.items():
            placed += self._rows(fields, query, user, cells)
        size = self._options.most_per_page or PAGE_SIZE
        return pages_of(in_place(placed), size, empty=self._options.empty_pages)

    def _rows(
        self, fields: dict[str, Any], query: Query, user: str | None, cells: Cells
    ) -> Iterator[Placed]:
        """Write the rows of one user, each with its place in the response."""
        for bucket, cell in cells.items():
            row = {"user": self._user(user), "metrics": _metrics(fields, cell)}
            if "interval" in fields:
                row["interval"] = {"startTime": utc_text(query.buckets.edges[bucket])}
            yield crc32(f"{user}/{bucket}".encode()), row

    def _user(self, user: str | None) -> dict[str, Any]:
        person = self._directory.person(user or "")
        return {"id": user, "name": None if person is None else person.name}


def _query(fields: dict[str, Any]) -> Query:
    """Read a query as one for the vendor's metrics by user."""
    for name in ("select", "groupBy"):
        if not list_field(fields, name):
            raise bad_request("The {field} is missing or empty", field=name)
    name_list(fields, "groupBy", {"user"})
    selected = [_selected(item) for item in fields["select"]]
    start, end, users = _where(fields.get("where"))
    period = parse_period(fields["interval"], "interval") if "interval" in fields else None
    return Query(
        start=start,
        end=end,
        buckets=split(start, end, period, load_zone("UTC")),
        group_by=("userId",),
        metrics=tuple(measure.metric for measure in selected),
        filter=Filter(users),
    )


def _selected(item: object) -> _Measure:
    """Read an item of `select`."""
    fields = known_fields(item, "select", {"name", "type"})
    name = fields.get("name")
    if not isinstance(name, str) or name not in _SELECT:
        raise unknown_value("select", name)
    if fields.get("type") != _SELECT[name].kind:
        template = "The value [{value}] of {field} is not the type of {name}"
        raise bad_request(template, field="type", value=str(fields.get("type")), name=name)
    return _SELECT[name]


def _where(value: object) -> tuple[int, int, frozenset[str] | None]:
    """Read the range in ms and the users (None: all)."""
    dates: dict[str, object] = {}
    users: frozenset[str] | None = None
    where = known_fields(value, "where", {"predicates"})
    for predicate in list_field(where, "predicates"):
        operator, fields = _predicate(predicate)
        if operator == "in":
            users = frozenset(map(str, list_field(fields, "value")))
        else:
            dates[operator] = fields.get("value")
    start, end = _range(dates)
    return start, end, users


def _predicate(value: object) -> tuple[str, dict[str, Any]]:
    """Check one predicate: `gte` or `lt` of the start, or `in` of the users."""
    fields = known_fields(value, "predicate", {"type", "path", "operator", "value"})
    operator = fields.get("operator", "in")
    kind = (fields.get("type"), fields.get("path"), operator)
    if kind not in _PREDICATES:
        raise unknown_value("where", " ".join(map(str, kind)))
    return str(operator), fields


def _range(dates: dict[str, object]) -> tuple[int, int]:
    for operator in ("gte", "lt"):
        if operator not in dates:
            template = "The {field} has no predicate {operator} on {path}"
            raise bad_request(template, field="where", operator=operator, path=_START)
    try:
        return parse_interval(f"{dates['gte']}/{dates['lt']}")
    except ApiError as error:
        template = "The value [{value}] of {field} is not a range of two ISO-8601 instants"
        value = f"{dates['gte']} to {dates['lt']}"
        raise bad_request(template, field=_START, value=value) from error


def _metrics(fields: dict[str, Any], cell: dict[str, Stats]) -> dict[str, Any]:
    """Write what was selected and measured."""
    metrics: dict[str, Any] = {}
    for item in fields["select"]:
        measure = _SELECT[item["name"]]
        if measure.metric in cell:
            metrics[item["name"]] = {measure.kind: measure.of(cell[measure.metric])}
    return metrics
