"""The entities contract, which gateways built after a tutorial speak on the path of the conversation aggregates query. Pure.

It is known by its body: only there are `select`, `where` and `pageToken` fields, and the vendor's contract refuses them all.
So one emulator serves both contracts, and whoever mixes them up is told so. Times are seconds; there is no hold time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

import orjson

from asyncreport.emulator import shape
from asyncreport.emulator.analytics import Stats, count
from asyncreport.emulator.answers import Refused, bad_request
from asyncreport.emulator.containers import refuse_beyond, refuse_late
from asyncreport.emulator.directory import Directory
from asyncreport.emulator.options import Options
from asyncreport.emulator.paging import page_of, pages_of, token_after
from asyncreport.emulator.periods import parse_interval, parse_period, split, written
from asyncreport.emulator.query import Filter, Query
from asyncreport.emulator.world import World

#: entities on one page
PAGE_SIZE = 1000
#: queries
_KEPT = 8

_FIELDS = frozenset(("select", "where", "groupBy", "interval", "pageToken"))
#: what can be selected: the type it has, the metric behind it, and which of its stats
_SELECT = {
    "handledCount": ("count", "tHandle", 0),
    "talkTime": ("sum", "tTalkComplete", 1),
    "wrapUpTime": ("sum", "tAcw", 1),
}
_START, _USER = "conversation.startTime", "conversation.user.id"


def is_entities(asked: dict[str, Any]) -> bool:
    """Tell whether a body speaks this contract."""
    return not asked.keys().isdisjoint(("select", "where", "pageToken"))


class Entities:
    """The queries of this contract, each kept for as long as its pages are likely to be asked for."""

    def __init__(
        self,
        world: World,
        options: Options,
        directory: Directory,
        *,
        divisions: frozenset[str] | None = None,
    ) -> None:
        self._world, self._options, self._directory, self._divisions = (
            world,
            options,
            directory,
            divisions,
        )
        self._pages = lru_cache(maxsize=_KEPT)(self._made)

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer one page; raise Refused for what is wrong in the request, or a pageToken that is none of this query's."""
        given = shape.given(asked, "request", _FIELDS)
        token = str(given.pop("pageToken", ""))
        text = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
        pages = self._pages(text)
        subject = hashlib.sha256(text).hexdigest()
        number = page_of(token, subject, "pageToken") if token else 0
        onward = token_after(number, len(pages), subject, repeat=self._options.repeat_cursor)
        return {"entities": pages[number]} | ({"nextPage": onward} if onward else {})

    def _made(self, text: bytes) -> list[Sequence[dict[str, Any]]]:
        """List every page, its rows in an order that is fixed but means nothing."""
        given = orjson.loads(text)
        query = _query(given)
        refuse_late(self._options.slow_above, query, len(self._world.people))
        groups = count(query, self._world, self._divisions)
        refuse_beyond(self._options.max_rows, groups)
        found = []
        for (user,), cells in groups.items():
            for bucket, cell in cells.items():
                row: dict[str, Any] = {"user": self._user(user), "metrics": _metrics(given, cell)}
                if "interval" in given:
                    row["interval"] = {"startTime": written(query.buckets.edges[bucket])}
                found.append((crc32(f"{user}/{bucket}".encode()), row))
        rows = [row for _, row in sorted(found, key=lambda pair: pair[0])]
        return pages_of(
            rows, self._options.most_per_page or PAGE_SIZE, empty=self._options.empty_pages
        )

    def _user(self, user: str | None) -> dict[str, Any]:
        person = self._directory.person(user or "")
        return {"id": user, "name": person.name if person else None}


def _query(given: dict[str, Any]) -> Query:
    """Read a query as one for the vendor's metrics by user."""
    for field in ("select", "groupBy"):
        if not shape.items(given, field):
            raise bad_request("The {field} is missing or empty", field=field)
    shape.names(given, "groupBy", frozenset(("user",)))
    selected = [_selected(item) for item in given["select"]]
    start, end, users = _where(given.get("where"))
    period = parse_period(given["interval"], "interval") if "interval" in given else None
    return Query(
        start=start,
        end=end,
        buckets=split(start, end, period, ZoneInfo("UTC")),
        group_by=("userId",),
        metrics=tuple(_SELECT[name][1] for name in selected),
        filter=Filter(users),
    )


def _selected(item: object) -> str:
    given = shape.given(item, "select", {"name", "type"})
    name = given.get("name")
    if not isinstance(name, str) or name not in _SELECT:
        raise shape.unknown("select", name)
    if given.get("type") != _SELECT[name][0]:
        raise bad_request(
            "The value [{value}] of {field} is not the type of {name}",
            field="type",
            value=str(given.get("type")),
            name=name,
        )
    return name


def _where(asked: object) -> tuple[int, int, frozenset[str] | None]:
    """Read the range and the users (None: all)."""
    dates: dict[str, object] = {}
    users: frozenset[str] | None = None
    for predicate in shape.items(shape.given(asked, "where", {"predicates"}), "predicates"):
        given = shape.given(predicate, "predicate", {"type", "path", "operator", "value"})
        kind = given.get("type"), given.get("path"), given.get("operator", "in")
        if kind in (("date", _START, "gte"), ("date", _START, "lt")):
            dates[given["operator"]] = given.get("value")
        elif kind == ("in", _USER, "in"):
            users = frozenset(map(str, shape.items(given, "value")))
        else:
            raise shape.unknown("where", " ".join(map(str, kind)))
    for operator in ("gte", "lt"):
        if operator not in dates:
            raise bad_request(
                "The {field} has no predicate {operator} on {path}",
                field="where",
                operator=operator,
                path=_START,
            )
    return *_range(dates), users


def _range(dates: dict[str, object]) -> tuple[int, int]:
    try:
        return parse_interval(f"{dates['gte']}/{dates['lt']}")
    except Refused as refused:
        value = f"{dates['gte']} to {dates['lt']}"
        raise bad_request(
            "The value [{value}] of {field} is no range of two ISO-8601 instants",
            field=_START,
            value=value,
        ) from refused


def _metrics(given: dict[str, Any], cell: dict[str, Stats]) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for item in given["select"]:
        kind, metric, place = _SELECT[item["name"]]
        if metric in cell:
            value = cell[metric][place]
            metrics[item["name"]] = {kind: value / 1000 if kind == "sum" else value}
    return metrics
