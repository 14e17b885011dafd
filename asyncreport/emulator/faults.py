"""Faults by script: which request meets one, and how its response changes. Pure.

`Faults` owns the counters of a script. A script is a list of rules. Every rule counts the requests
whose path and body contain its texts; the first rule that applies decides:

    {"match": {"path": "aggregates", "nth": [2, 5]}, "do": {"status": 429, "retry_after": 3}}
    {"match": {"every": 3, "after": 10, "times": 5}, "do": [{"reset": "body"}, {"hang": true}]}
    {"match": {"probability": 0.33, "seed": 7}, "do": {"truncate": "json"}}
"""

from __future__ import annotations

import gzip
import random
import zlib
from functools import cache
from typing import Literal

import msgspec
import orjson
from msgspec import Struct

from asyncreport.emulator.messages import ApiError, Response, error_body
from asyncreport.emulator.people import State

_HTML = (
    b"<html><head><title>Service</title></head>"
    b"<body><h1>The gateway has something to say</h1></body></html>"
)
_CODES = {
    400: "bad.request",
    401: "bad.credentials",
    403: "missing.permissions",
    404: "not.found",
    408: "client.timeout",
    409: "conflict",
    413: "request.entity.too.large",
    415: "unsupported.media.type",
    429: "too.many.requests.retry.after",
    500: "internal.server.error",
    503: "service.unavailable",
    504: "request.timeout",
}


#: where a connection is reset: before the response, in its headers, or in its body
ResetPoint = Literal["before", "headers", "body"]


class Match(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a rule counts, and to which of those it applies."""

    #: a part of the path
    path: str = ""
    #: a part of the body
    body: str = ""
    #: only to these, counted from 1
    nth: tuple[int, ...] | None = None
    #: only to each n-th
    every: int = 1
    #: not to the first n
    after: int = 0
    #: at most so often
    times: int | None = None
    #: to each request that all other conditions allow
    probability: float = 1.0
    seed: int = 0


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a response changes; several changes may be made at once."""

    #: respond with this status instead
    status: int | None = None
    code: str | None = None
    message: str | None = None
    #: instead of the vendor's form of an error
    body: str | None = None
    #: set these; null: remove the header
    headers: dict[str, str | None] = {}
    #: of any form
    retry_after: int | float | str | None = None
    content_type: str | None = None
    #: an HTML page, with any status
    html: bool = False
    #: bytes that are not JSON
    garble: bool = False
    #: compressed: correctly, cut in the middle, or to much more than a client may unpack
    gzip: Literal["whole", "broken", "bomb"] | None = None
    #: no inin-ratelimit headers
    drop_headers: bool = False
    #: the body ends in the middle: with a Content-Length of the whole, or as correct HTTP
    truncate: Literal["length", "json"] | None = None
    reset: ResetPoint | None = None
    #: no response until the client leaves
    hang: bool = False
    #: seconds between the tenths of a body
    drip: float | None = None
    #: before the request is checked, all tokens end
    expire_tokens: bool = False
    revoke_tokens: bool = False
    #: before the request is checked, the OAuth client with this id loses its tokens and gets no
    #: other
    deactivate: str | None = None
    #: before the request is answered, one group, team or queue gets these members, in the form of
    #: `PUT /emulator/members`
    members: dict[str, str | list[str]] | None = None
    #: before the request is answered, these users get these states
    states: dict[str, State] = {}


class _Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    match: Match = Match()
    #: the faults of a list take turns
    do: Fault | tuple[Fault, ...]


class _RuleState:
    """One rule, and how often it has counted a request and applied."""

    def __init__(self, rule: _Rule) -> None:
        self._match = rule.match
        self._faults = rule.do if isinstance(rule.do, tuple) else (rule.do,)
        self._rng = random.Random(rule.match.seed)
        self._seen = 0
        self._applied = 0

    def choose(self, path: str, body: str) -> Fault | None:
        if self._match.path not in path or self._match.body not in body:
            return None
        self._seen += 1
        # Drawn for each request, so that chance depends on the order of requests alone.
        spared = self._rng.random() >= self._match.probability
        if spared or not self._applies():
            return None
        fault = self._faults[self._applied % len(self._faults)]
        self._applied += 1
        return fault

    def _applies(self) -> bool:
        match = self._match
        if match.times is not None and self._applied >= match.times:
            return False
        if match.nth is not None and self._seen not in match.nth:
            return False
        return self._seen > match.after and self._seen % match.every == 0


class Faults:
    """A script that is running."""

    def __init__(self, script: object = ()) -> None:
        """Read a script; raise ValueError for an invalid one."""
        try:
            rules = msgspec.convert(script, tuple[_Rule, ...])
        except msgspec.ValidationError as error:
            raise ValueError(f"the script of faults is not valid: {error}") from error
        for rule in rules:
            if rule.match.every < 1 or rule.do == ():
                raise ValueError(
                    "the script of faults is not valid: `every` must be at least 1, and `do` must "
                    "not be empty"
                )
        self._rules = [_RuleState(rule) for rule in rules]

    def choose(self, path: str, body: str = "") -> Fault | None:
        """Count a request and return the fault that it meets, if any."""
        # All rules count each request, also those after the rule that decides.
        for fault in [rule.choose(path, body) for rule in self._rules]:
            if fault is not None:
                return fault
        return None


def change_response(fault: Fault, response: Response) -> Response:
    """Change what a response says."""
    headers = dict(response.headers)
    status = response.status
    body = response.body
    if fault.status is not None:
        status = fault.status
        body = _error(fault, headers.get("inin-correlation-id", ""))
        headers["content-type"] = "application/json"
        headers.pop("retry-after", None)
    body = _changed_body(fault, body)
    return Response(status=status, headers=_changed_headers(fault, headers), body=body)


def _changed_body(fault: Fault, body: bytes) -> bytes:
    if fault.html:
        body = _HTML
    if fault.body is not None:
        body = fault.body.encode()
    if fault.garble:
        body = b"\x00\xff{" + body[::-1]
    if fault.truncate == "json":
        body = body[: len(body) // 2]
    if fault.gzip == "bomb":
        return _bomb()
    if fault.gzip == "whole":
        return gzip.compress(body, mtime=0)
    if fault.gzip == "broken":
        packed = gzip.compress(body, mtime=0)
        return packed[: len(packed) // 2]
    return body


def _changed_headers(fault: Fault, headers: dict[str, str]) -> dict[str, str]:
    changes = _header_changes(fault)
    if fault.drop_headers:
        limits = [name for name in headers if name.startswith("inin-ratelimit")]
        changes = {**dict.fromkeys(limits), **changes}
    changed = {**headers, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def _header_changes(fault: Fault) -> dict[str, str | None]:
    """List the headers that a fault sets or, with None, removes."""
    changes: dict[str, str | None] = {}
    if fault.html:
        changes["content-type"] = "text/html"
    if fault.gzip is not None:
        changes["content-encoding"] = "gzip"
    if fault.content_type is not None:
        changes["content-type"] = fault.content_type
    if fault.retry_after is not None:
        changes["retry-after"] = str(fault.retry_after)
    for name, value in fault.headers.items():
        changes[name.lower()] = value
    return changes


def _error(fault: Fault, correlation_id: str) -> bytes:
    status = fault.status or 500
    if status == 204:
        return b""
    other = "internal.server.error" if status >= 500 else "bad.request"
    code = fault.code or _CODES.get(status, other)
    message = fault.message or "A fault by script"
    return orjson.dumps(error_body(ApiError(status, code, message), correlation_id))


@cache
def _bomb() -> bytes:
    """Compress 96 MiB of blanks into less than one."""
    packer = zlib.compressobj(wbits=31)
    blank = b" " * 2**20
    packed = [packer.compress(blank) for _ in range(96)]
    return b"".join([*packed, packer.flush()])
