"""What an answer that is no success means: one error per *who must act next*. Pure.

The platform and the token endpoint describe their troubles in two shapes, gateways and proxies in HTML or not at all:
nothing in a body is relied on, and all of it is cut before a person sees it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.api.wire import Request, Response
from asyncreport.core.errors import (
    TOO_LARGE,
    ApiError,
    AsyncReportError,
    AuthError,
    ConfigError,
    RejectedError,
    TransientError,
)
from asyncreport.core.text import one_line

#: another attempt may mend these: a query changes nothing, so that sending it twice does no harm
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

#: characters of the server's own words that are shown
SHOWN = 200

#: seconds; the vendor counts by the minute, so no budget starts anew later than that
_WINDOW = 60

_NEXT_STEPS = {
    400: "change what it names in the job file",
    404: "check the region or api_url, and the ids in the job file",
    413: "name fewer users and queues per query",
}

#: what a 400 may be about, in the words of the query's fields, and what in a job file to look at; the first that fits is told
_FIELDS = (
    (r"granularity", "check range.granularity, an ISO 8601 duration: `1h` is not `PT1H`"),
    (r"time_?zone", "check range.time_zone, an IANA name such as Europe/Dublin"),
    (r"groupBy", "check split_by: not every metric can be split by every dimension"),
    (r"metrics?", "check metrics: remove the one it names"),
    # The entities contract calls the granularity so.
    (
        r"interval|dates?|startTime",
        "check range: dates such as 2024-01-01, and a granularity such as `PT1H`, which `1h` is not",
    ),
    (
        r"select|where",
        "check contract: entities for a gateway that speaks select and where, aggregates or query-jobs for Genesys Cloud",
    ),
    (
        r"filter|clauses?|predicates?|dimension|userId|queueId|divisionId|mediaType",
        "check filter, and the ids of users and queues",
    ),
)

#: what a client needs where an answer does not say it, as the vendor's SDK documents each call: https://mypurecloud.github.io/platform-client-sdk-python/
_PERMISSIONS = (
    (
        "/analytics/conversations/aggregates/",
        "analytics:conversationAggregate:view (with contract: entities, the scope api:query)",
    ),
    ("/analytics/users/aggregates/", "analytics:userAggregate:view"),
    ("/api/v2/teams", "groups:team:view"),
    ("/api/v2/routing/queues", "routing:queue:view"),
)

_PERMISSION = re.compile(r"\b[a-z]\w*(?::[A-Za-z]\w*){1,2}", re.ASCII)


class Budget(Struct, frozen=True):
    """What the server says of one token's requests in its current minute."""

    allowed: int
    #: requests so far; 0 where the server does not say
    count: int
    #: seconds until the count starts anew; 0 where the server does not say
    reset: int


class _Said(Struct, frozen=True):
    """The server's own words, each cut to one line that may be shown; empty where there was none."""

    code: str
    text: str
    #: the correlation id as the body gives it
    id: str
    #: in the platform's form
    clear: bool = True


def subject(request: Request, correlation_id: str | None) -> str:
    """Name a request as every message does: `[correlation id] METHOD path`."""
    name = f"{request.method} {one_line(request.path, SHOWN)}"  # it may hold an id of the server's
    return f"[{one_line(correlation_id, 80)}] {name}" if correlation_id else name


def problem(request: Request, response: Response) -> AsyncReportError:
    """Give the error that an answer stands for which does not hold what was asked for.

    Credentials that came back are to be gone from it, see `echoes`. A 401 of the platform is a TransientError, for another
    token may mend it; who counts the tokens knows when none will.
    """
    if 200 <= response.status < 300:
        return TransientError(
            f"{subject(request, response.correlation_id)}: {response.status} is no whole answer",
            status=response.status,
        )
    said = _said(response.body)
    status = f"{response.status} {said.code}".strip()
    fact = ": ".join(
        filter(None, (subject(request, response.correlation_id or said.id), status, said.text))
    )
    # A query job's status and results may be asked for again; why there is a conflict is documented nowhere.
    if response.status in TRANSIENT or (response.status == 409 and "/jobs" in request.path):
        return TransientError(
            fact, status=response.status, retry_after=retry_after(response.headers)
        )
    if response.status == 400 and response.correlation_id and not said.clear:
        # The platform says in JSON what is wrong, and it matters (`TOO_LARGE`): this was spoilt on its way.
        return TransientError(fact, status=400)
    if 300 <= response.status < 400:
        return _redirected(fact, request, response)
    if response.status == 407:
        return ConfigError(
            f"{fact}; the proxy wants credentials: check the connection's proxy, or HTTPS_PROXY"
        )
    return (
        _no_token(fact, said, response)
        if request.host == "login"
        else _refused(fact, said, request, response)
    )


def _redirected(fact: str, request: Request, response: Response) -> ConfigError:
    # Its query may hold a secret.
    target = one_line(response.headers.get("location", "").partition("?")[0], 100)
    return ConfigError(
        f"{fact}; redirects are not followed{f' (this one goes to {target})' if target else ''}: set {request.host}_url to the right host"
    )


def _no_token(fact: str, said: _Said, response: Response) -> AsyncReportError:
    if response.status == 400 and said.text.lower().startswith("rate limit exceeded"):
        # The token endpoint throttles with a 400: https://github.com/MyPureCloud/terraform-provider-genesyscloud
        return TransientError(fact, status=400, retry_after=retry_after(response.headers))
    if response.status in {400, 401, 403}:
        return AuthError(
            f"{fact}; check the client id and secret (GENESYS_CLIENT_ID, GENESYS_CLIENT_SECRET) and that they are of this region"
        )
    return ConfigError(f"{fact}; this is no token endpoint: check the region or login_url")


def _refused(fact: str, said: _Said, request: Request, response: Response) -> AuthError | ApiError:
    if response.status == 401 and said.code == "ip.not.authorized":
        return AuthError(
            f"{fact}; add this machine's address to the addresses that the organisation allows"
        )
    if response.status == 401:
        return TransientError(fact, status=401)
    if response.status == 403:
        return AuthError(
            f"{fact}; grant {_permission(said, request)} to a role of the OAuth client, in all divisions: "
            "Admin > Integrations > OAuth > the client > Roles"
        )
    return RejectedError(
        f"{fact}; {_next_step(said, response.status)}", status=response.status, code=said.code
    )


def _permission(said: _Said, request: Request) -> str:
    """Name what a client lacks: as the answer does, or as the documentation of the path does."""
    named = dict.fromkeys(_PERMISSION.findall(said.text))
    return " or ".join(named) or next(
        (name for path, name in _PERMISSIONS if path in request.path), "what is missing"
    )


def _next_step(said: _Said, status: int) -> str:
    if said.code == TOO_LARGE:
        return "ask for less at once, or set contract: query-jobs"
    words = f"{said.code} {said.text}"
    fields = (
        step
        for field, step in _FIELDS
        if status == 400 and re.search(rf"\b(?:{field})\b", words, re.IGNORECASE)
    )
    return next(fields, _NEXT_STEPS.get(status, "check the region or api_url"))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read when to come back, in seconds, from a number or from a date; None where neither is given.

    A date is measured against the answer's own clock: ours may be wrong. https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        then, now = _date(text), _date(headers.get("date", ""))
        return max(0.0, (then - now).total_seconds()) if then and now else None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def budget(headers: Mapping[str, str]) -> Budget | None:
    """Read the `inin-ratelimit-*` headers; None without a usable limit, as in answers of gateways.

    `reset` is seconds to go and no epoch: https://developer.genesys.cloud/forum/t/normalized-platform-api-429-responses/12028
    """
    allowed = _number(headers, "inin-ratelimit-allowed")
    if not allowed:
        return None
    return Budget(
        allowed,
        _number(headers, "inin-ratelimit-count"),
        min(_WINDOW, _number(headers, "inin-ratelimit-reset")),
    )


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "").strip()
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else 0


def _said(body: bytes) -> _Said:
    try:
        return _platform(msgspec.json.decode(body, type=dict[str, Any]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        page = body[: 20 * SHOWN].decode("utf-8", "replace")
        return _Said("", one_line(re.sub("<[^>]*>", " ", page), SHOWN), "", clear=False)


def _platform(said: dict[str, Any]) -> _Said:
    code, text = (
        _first(said, "code", "error"),
        one_line(_first(said, "message", "error_description", "description"), SHOWN),
    )
    named = one_line(
        ", ".join(
            dict.fromkeys(f"{name}: {value}" for name, value in _named(said) if value not in text)
        ),
        SHOWN,
    )
    return _Said(
        one_line(code, 80),
        " ".join(filter(None, (text, f"({named})" if named else ""))),
        _first(said, "contextId"),
    )


def _first(said: dict[str, Any], *keys: str) -> str:
    return next((value for key in keys if isinstance(value := said.get(key), str) and value), "")


def _named(said: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Walk what the platform names beside its message: fields and values that are wrong, permissions that are missing, limits."""
    params, details, limit = said.get("messageParams"), said.get("details"), said.get("limit")
    for key, value in params.items() if isinstance(params, dict) else ():
        yield key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(field := detail.get("fieldName"), str):
            yield "field", field
    if isinstance(limit, dict) and isinstance(key := limit.get("key"), str):
        yield key, str(limit.get("value"))
