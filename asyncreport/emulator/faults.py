"""Faults by script: which request meets one, and what becomes of its answer. Pure; a `Faults` owns its counters.

A script is a list of rules. Every rule counts the requests whose path and body hold its texts; the first rule that then fires decides:

    {"match": {"path": "aggregates", "nth": [2, 5]}, "do": {"status": 429, "retry_after": 3}}
    {"match": {"every": 3, "after": 10, "times": 5}, "do": [{"reset": "body"}, {"hang": true}]}
    {"match": {"probability": 0.33, "seed": 7}, "do": {"truncate": "json"}}
"""

from __future__ import annotations

import gzip
import random
import zlib
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Literal

import msgspec
import orjson
from msgspec import Struct

from asyncreport.emulator.answers import Answer, Refused, error_body

_HTML = b"<html><head><title>Service</title></head><body><h1>The gateway has something to say</h1></body></html>"
_CODES = {
    400: "bad.request",
    401: "bad.credentials",
    403: "missing.permissions",
    404: "not.found",
    408: "client.timeout",
    413: "request.entity.too.large",
    429: "too.many.requests.retry.after",
    500: "internal.server.error",
    503: "service.unavailable",
    504: "request.timeout",
}


class Match(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a rule counts, and which of those it strikes; conditions left out hold always."""

    #: is in the path
    path: str = ""
    #: is in the body
    body: str = ""
    #: these, counted from 1
    nth: tuple[int, ...] | None = None
    #: each n-th
    every: int = 1
    #: none of the first n
    after: int = 0
    #: so often at most
    times: int | None = None
    #: of each that all else allows
    probability: float = 1.0
    seed: int = 0


class Do(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What becomes of an answer; several may be asked for at once."""

    #: answer this instead
    status: int | None = None
    code: str | None = None
    message: str | None = None
    #: instead of the vendor's form of an error
    body: str | None = None
    #: set or, where null, left out
    headers: dict[str, str | None] = {}
    #: of any form, believable or not
    retry_after: int | float | str | None = None
    content_type: str | None = None
    #: an HTML page, with whatever status
    html: bool = False
    #: bytes that are no JSON
    garble: bool = False
    #: packed: well, to an end in the middle, or to more than anybody would unpack
    gzip: Literal["whole", "broken", "bomb"] | None = None
    #: no inin-ratelimit headers
    drop_headers: bool = False
    #: the body ends in the middle: less than Content-Length says, or well-formed HTTP around half a JSON
    truncate: Literal["length", "json"] | None = None
    #: the connection breaks there
    reset: Literal["before", "headers", "body"] | None = None
    #: no answer until the client leaves
    hang: bool = False
    #: seconds between the tenths of a body
    drip: float | None = None
    #: before the request is looked at, all tokens end
    expire_tokens: bool = False
    revoke_tokens: bool = False
    #: before the request is looked at, this OAuth client is deactivated, by id: its tokens end, and it is granted no other
    deactivate: str | None = None
    #: from now on the limit of every token
    lower_allowed: int | None = None


class _Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    match: Match = Match()
    #: a list is gone through in turns
    do: Do | tuple[Do, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An answer cut into what is written, piece by piece, and how the connection then ends."""

    pieces: tuple[bytes, ...]
    #: seconds before each piece but the first
    pause: float = 0.0
    end: Literal["close", "reset", "hang"]


class _Counter:
    """One rule and how often it has seen and struck."""

    def __init__(self, rule: _Rule) -> None:
        self._match = rule.match
        self._dos = rule.do if isinstance(rule.do, tuple) else (rule.do,)
        self._rng = random.Random(rule.match.seed)
        self._seen = 0
        self._struck = 0

    def choose(self, path: str, body: str) -> Do | None:
        match = self._match
        if match.path not in path or match.body not in body:
            return None
        self._seen += 1
        lucky = (
            self._rng.random() >= match.probability
        )  # drawn each time, so that chance depends on nothing but the order of requests
        spent = match.times is not None and self._struck >= match.times
        listed = match.nth is None or self._seen in match.nth
        if lucky or spent or not listed or self._seen <= match.after or self._seen % match.every:
            return None
        self._struck += 1
        return self._dos[(self._struck - 1) % len(self._dos)]


class Faults:
    """A script at work."""

    def __init__(self, script: object = ()) -> None:
        """Read a script; raise ValueError where it is none."""
        try:
            rules = msgspec.convert(script, tuple[_Rule, ...])
        except msgspec.ValidationError as error:
            raise ValueError(f"the script of faults is none: {error}") from error
        if any(rule.match.every < 1 or rule.do == () for rule in rules):
            raise ValueError("the script of faults is none: every starts at 1, and do is not empty")
        self._counters = [_Counter(rule) for rule in rules]

    def choose(self, path: str, body: str = "") -> Do | None:
        """Count a request and give the fault that it meets, if any."""
        return next(
            (
                do
                for do in [counter.choose(path, body) for counter in self._counters]
                if do is not None
            ),
            None,
        )


def spoil(do: Do, answer: Answer) -> Answer:
    """Change what an answer says."""
    status, headers, body = answer.status, dict(answer.headers), answer.body
    if do.status is not None:
        status, body = (
            do.status,
            b"" if do.status == 204 else _error(do, headers.get("inin-correlation-id", "")),
        )
        headers["content-type"] = "application/json"
        headers.pop("retry-after", None)
    if do.html:
        body, headers["content-type"] = _HTML, "text/html"
    if do.body is not None:
        body = do.body.encode()
    if do.garble:
        body = b"\x00\xff{" + body[::-1]
    if do.truncate == "json":
        body = body[: len(body) // 2]
    if do.gzip is not None:
        packed = _bomb() if do.gzip == "bomb" else gzip.compress(body, mtime=0)
        body, headers["content-encoding"] = (
            packed[: len(packed) // 2] if do.gzip == "broken" else packed,
            "gzip",
        )
    if do.drop_headers:
        headers = {
            name: value for name, value in headers.items() if not name.startswith("inin-ratelimit")
        }
    changes = {
        "content-type": do.content_type,
        "retry-after": None if do.retry_after is None else str(do.retry_after),
    }
    headers |= {name: value for name, value in changes.items() if value is not None}
    return Answer(status=status, headers=_with(headers, do.headers), body=body)


def delivery(do: Do, answer: Answer) -> Delivery | None:
    """Cut an answer into pieces; None where it travels whole."""
    head, body = _head(answer), answer.body
    if do.hang:
        return Delivery(pieces=(), end="hang")
    if do.reset is not None:
        pieces = {
            "before": (),
            "headers": (head[: len(head) // 2],),
            "body": (head, body[: len(body) // 2]),
        }[do.reset]
        return Delivery(pieces=pieces, end="reset")
    if do.truncate == "length":
        return Delivery(pieces=(head, body[: len(body) // 2]), end="close")
    if do.drip is not None:
        step = len(body) // 10 + 1
        return Delivery(
            pieces=(head, *(body[at : at + step] for at in range(0, len(body), step))),
            pause=do.drip,
            end="close",
        )
    return None


@cache
def _bomb() -> bytes:
    """Pack 96 MiB of blanks into less than one."""
    packer, blank = zlib.compressobj(wbits=31), b" " * 2**20
    return b"".join([*(packer.compress(blank) for _ in range(96)), packer.flush()])


def _error(do: Do, correlation_id: str) -> bytes:
    status = do.status or 500
    code = do.code or _CODES.get(status, "internal.server.error")
    return orjson.dumps(
        error_body(Refused(status, code, do.message or "A fault by script"), correlation_id)
    )


def _with(headers: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    changed = headers | {
        name.lower(): value for name, value in changes.items() if value is not None
    }
    return {name: value for name, value in changed.items() if changes.get(name, "") is not None}


def _head(answer: Answer) -> bytes:
    """Write a status line and headers as HTTP/1.1 does."""
    phrase = next((status.phrase for status in HTTPStatus if status == answer.status), "Unknown")
    lines = [
        f"HTTP/1.1 {answer.status} {phrase}",
        f"content-length: {len(answer.body)}",
        "connection: close",
    ]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
