"""What the log reports about a request. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(slots=True, kw_only=True)
class LogEntry:
    """One request."""

    #: seconds on the loop's clock
    time: float
    method: str
    path: str
    query: str
    #: SHA-256 of the body
    digest: str
    #: of a query, `start/end` as the client wrote them
    interval: str | None
    users: list[str]
    #: counts up from 1; None: no token, or an unknown one
    token: int | None = None
    #: the id of the token's OAuth client
    client: str | None = None
    #: None before the response, and for a response that breaks off
    status: int | None = None
    #: the fault that it met
    fault: dict[str, Any] | None = None


def query_summary(body: bytes) -> tuple[str | None, list[str]]:
    """Return the interval of a query and the user ids of its predicates.

    The query may be of any contract, and invalid.
    """
    try:
        query = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, []
    if not isinstance(query, dict):
        return None, []
    interval = _range(query["where"]) if "where" in query else query.get("interval")
    users = sorted(set(_user_ids(query)))
    return interval if isinstance(interval, str) else None, users


def _objects(part: object) -> Iterator[dict[str, Any]]:
    """Walk a body's objects at any depth."""
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _objects(inner)


def _user_ids(query: dict[str, Any]) -> Iterator[str]:
    for part in _objects(query):
        value = part.get("value")
        if part.get("dimension") == "userId" and isinstance(value, str):
            yield value
        elif part.get("path") == "conversation.user.id" and isinstance(value, list):
            yield from map(str, value)


def _range(where: object) -> str | None:
    """Read the interval of a query of the entities contract."""
    dates = {}
    for part in _objects(where):
        if part.get("type") == "date":
            dates[str(part.get("operator"))] = part.get("value")
    if "gte" in dates and "lt" in dates:
        return f"{dates['gte']}/{dates['lt']}"
    return None
