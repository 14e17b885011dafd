"""What the log tells of a request. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request as the log tells it."""

    #: seconds on the loop's clock
    time: float
    method: str
    path: str
    query: str
    #: SHA-256 of the body
    digest: str
    #: of a query, `start/end` as they were written
    interval: str | None
    users: list[str]
    #: counts up from 1; None: no token, or a foreign one
    token: int | None = None
    #: the id of the OAuth client that the token was granted to
    client: str | None = None
    #: None until answered, and for an answer that is broken off
    status: int | None = None
    #: the fault that it met
    fault: dict[str, Any] | None = None


def asked_about(body: bytes) -> tuple[str | None, list[str]]:
    """Tell the interval of a query in whatever contract, and the user ids of its predicates, however wrong it is."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, []
    if not isinstance(asked, dict):
        return None, []
    interval = _range(asked["where"]) if "where" in asked else asked.get("interval")
    return interval if isinstance(interval, str) else None, sorted(set(_user_ids(asked)))


def _objects(part: object) -> Iterator[dict[str, Any]]:
    """Walk a body's objects, however deep."""
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from _objects(inner)


def _user_ids(asked: dict[str, Any]) -> Iterator[str]:
    for part in _objects(asked):
        if part.get("dimension") == "userId" and isinstance(part.get("value"), str):
            yield part["value"]
        elif part.get("path") == "conversation.user.id" and isinstance(part.get("value"), list):
            yield from map(str, part["value"])


def _range(where: object) -> str | None:
    dates = {
        str(part.get("operator")): part.get("value")
        for part in _objects(where)
        if part.get("type") == "date"
    }
    return f"{dates['gte']}/{dates['lt']}" if dates.keys() >= {"gte", "lt"} else None
