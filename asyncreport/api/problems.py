"""What a response that is not a success means: one error per *who must act next*. Pure.

The platform describes an error in JSON, the token endpoint in another JSON, gateways and proxies
in HTML or not at all. Only text in the platform's own form is shown, without secrets and cut to
one line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from asyncreport.api.headers import retry_after
from asyncreport.api.redaction import credentials, holds_secret, redact
from asyncreport.api.wire import Request, Response, as_correlation_id
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

#: another attempt may succeed; a query changes nothing, so sending it twice does no harm
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

#: characters of a server's text that are shown
MAX_TEXT = 200
_MAX_CODE = 80
_MAX_URL = 100

_NEXT_STEPS = {
    400: "correct this in the job file",
    404: "check the region or api_url, and the ids in the job file",
    413: "the query is too long: use fewer users and queues in one query",
}

#: words of a 400 that name a field of the query, and the setting in the job file; the first match
#: counts
_SETTINGS = (
    (r"granularity", "check range.granularity, an ISO 8601 duration: `PT1H`, not `1h`"),
    (r"time_?zone", "check range.time_zone, an IANA name such as Europe/Dublin"),
    (r"groupBy", "check split_by: not every metric can be split by every dimension"),
    (r"metrics?", "check metrics: remove the one that the message names"),
    (
        # The entities contract calls the granularity `interval`.
        r"interval|dates?|startTime",
        "check range: dates such as 2024-01-01, and a granularity such as `PT1H`, not `1h`",
    ),
    (
        r"select|where",
        "check contract: aggregates or query-jobs for Genesys Cloud, "
        "entities for a gateway whose queries have select and where",
    ),
    (
        r"filter|clauses?|predicates?|dimension|userId|queueId|divisionId|mediaType",
        "check filter, and the ids of users and queues",
    ),
)

#: the permission that a path needs, if the response does not name it:
#: https://mypurecloud.github.io/platform-client-sdk-python/
_PERMISSIONS = {
    "/analytics/conversations/aggregates/": (
        "analytics:conversationAggregate:view (with contract: entities, the scope api:query)"
    ),
    "/analytics/users/aggregates/": "analytics:userAggregate:view",
    "/api/v2/teams": "groups:team:view",
    "/api/v2/routing/queues": "routing:queue:view",
}

_PERMISSION = re.compile(r"\b[a-z]\w*(?::[A-Za-z]\w*){1,2}", re.ASCII)

#: the error codes of a token endpoint: https://www.rfc-editor.org/rfc/rfc6749#section-5.2
_OAUTH_CODES = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)

_NOT_PLATFORM = "this is not an error message of Genesys Cloud; a proxy or gateway may have sent it"


@dataclass(frozen=True, slots=True)
class _Report:
    """What a server says about an error: text of one line that may be shown, or nothing."""

    code: str = ""
    text: str = ""
    #: the correlation id, as the body gives it
    correlation_id: str | None = None
    #: the token endpoint refuses because it had too many requests
    throttled: bool = False
    #: the body is a JSON object
    is_json: bool = True


def subject(request: Request, correlation_id: str | None) -> str:
    """Name a request as every message does: `[correlation id] METHOD path`."""
    # The path may hold an id that a server gave us.
    name = f"{request.method} {one_line(request.path, MAX_TEXT)}"
    if not correlation_id:
        return name
    return f"[{redact(correlation_id, credentials(request))}] {name}"


def problem(
    request: Request, response: Response, proxy_secrets: Collection[str] = ()
) -> AsyncReportError:
    """Return the error that a response without the requested data means.

    A 401 of the platform is a TransientError, because another token may be accepted; who counts the
    tokens knows when none will.
    """
    secrets = credentials(request) | set(proxy_secrets)
    report = _report(request, response, secrets)
    fact = _fact(request, response, report, secrets)
    status = response.status
    if _is_transient(request, response, report):
        return TransientError(fact, status=status, retry_after=retry_after(response.headers))
    if 300 <= status < 400:
        return _redirected(fact, request, response, secrets)
    if status == 407:
        return ConfigError(
            f"{fact}; the proxy needs credentials: check the connection's proxy, or HTTPS_PROXY"
        )
    if request.host == "login":
        return _no_token(fact, status)
    return _refused(fact, report, request, status)


def _fact(request: Request, response: Response, report: _Report, secrets: Collection[str]) -> str:
    correlation_id = response.correlation_id or report.correlation_id or ""
    name = subject(request, redact(correlation_id, secrets))
    if _is_success(response):
        return f"{name}: {response.status} is not a complete response"
    status = f"{response.status} {report.code}".strip()
    return ": ".join(filter(None, (name, status, report.text)))


def undecodable(
    request: Request,
    response: Response,
    error: TransientError | RejectedError,
    proxy_secrets: Collection[str] = (),
) -> TransientError | RejectedError:
    """Add the request to the error of a decoder.

    That error quotes the body; if the body holds a secret, the quote is left out.
    """
    secrets = credentials(request) | set(proxy_secrets)
    fact = str(error)
    if holds_secret(response.body, secrets):
        fact = "the response is invalid (details are not shown because it contains credentials)"
    name = subject(request, redact(response.correlation_id or "", secrets))
    message = f"{name}: {fact}"
    if isinstance(error, TransientError):
        return TransientError(message, status=response.status)
    return RejectedError(message, status=error.status, code=error.code)


# From status and report to an error --------------------------------------------------------------


def _is_transient(request: Request, response: Response, report: _Report) -> bool:
    status = response.status
    if status in TRANSIENT or report.throttled or _is_success(response):
        return True
    if status == 409:
        # The cause of a conflict is not documented. A query job's status and results may be
        # requested again.
        return "/jobs" in request.path
    if status == 400 and response.correlation_id:
        # The platform names the cause in JSON, and the cause matters (`TOO_LARGE`). A body without
        # JSON was damaged.
        return not report.is_json
    return status == 401 and request.host == "api" and report.code != "ip.not.authorized"


def _is_success(response: Response) -> bool:
    return 200 <= response.status < 300


def _redirected(
    fact: str, request: Request, response: Response, secrets: Collection[str]
) -> ConfigError:
    # The query of the target may hold a secret.
    url = response.headers.get("location", "").partition("?")[0]
    target = one_line(redact(url, secrets), _MAX_URL)
    if target:
        fact += f" (the target is {target})"
    return ConfigError(
        f"{fact}; redirects are not followed: set {request.host}_url to the right host"
    )


def _no_token(fact: str, status: int) -> AuthError | ConfigError:
    if status in {400, 401, 403}:
        return AuthError(
            f"{fact}; check the client id and the client secret "
            "(GENESYS_CLIENT_ID, GENESYS_CLIENT_SECRET), and that they belong to this region"
        )
    return ConfigError(f"{fact}; this is not a token endpoint: check the region or login_url")


def _refused(fact: str, report: _Report, request: Request, status: int) -> AuthError | ApiError:
    if status == 401:
        return AuthError(
            f"{fact}; add the address of this machine to the addresses that the organisation allows"
        )
    if status == 403:
        return AuthError(
            f"{fact}; grant {_permission(report, request)} to a role of the OAuth client, "
            "in all divisions: Admin > Integrations > OAuth > the client > Roles"
        )
    return RejectedError(f"{fact}; {_next_step(report, status)}", status=status, code=report.code)


def _permission(report: _Report, request: Request) -> str:
    """Name the missing permission, from the response or else from the documentation of the path."""
    named = dict.fromkeys(_PERMISSION.findall(report.text))
    if named:
        return " or ".join(named)
    for path, permission in _PERMISSIONS.items():
        if path in request.path:
            return permission
    return "the missing permission"


def _next_step(report: _Report, status: int) -> str:
    if report.code == TOO_LARGE:
        return "request less at once, or set contract: query-jobs"
    if status == 400:
        words = f"{report.code} {report.text}"
        for field, step in _SETTINGS:
            if re.search(rf"\b(?:{field})\b", words, re.IGNORECASE):
                return step
    return _NEXT_STEPS.get(status, "check the region or api_url")


# From a body to a report -------------------------------------------------------------------------


def _report(request: Request, response: Response, secrets: Collection[str]) -> _Report:
    try:
        body = msgspec.json.decode(response.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _foreign_report(request, response)
    if request.host == "login":
        return _token_report(response.status, body)
    return _platform_report(body, secrets)


def _foreign_report(request: Request, response: Response) -> _Report:
    """Report a body without JSON; an empty one says nothing, and the login host needs no hint."""
    if request.host == "login" or not response.body.strip():
        return _Report(is_json=False)
    return _Report(text=_NOT_PLATFORM, is_json=False)


def _token_report(status: int, body: dict[str, Any]) -> _Report:
    """Read an error of the token endpoint; its text may quote the client's secret."""
    code = _text(body, "error")
    # It limits the rate with a 400: https://github.com/MyPureCloud/terraform-provider-genesyscloud
    description = _text(body, "error_description") or _text(body, "description")
    description = _text(body, "message") or description
    if code not in _OAUTH_CODES:
        code = ""
    if status == 400 and description.lower().startswith("rate limit exceeded"):
        return _Report(code=code, text="too many requests for a token", throttled=True)
    return _Report(code=code)


def _platform_report(body: dict[str, Any], secrets: Collection[str]) -> _Report:
    correlation_id = as_correlation_id(_text(body, "contextId"))
    code = _shown(_text(body, "code"), secrets, _MAX_CODE)
    message = _shown(_text(body, "message"), secrets)
    if body and not (message or code):
        return _Report(text=_NOT_PLATFORM, correlation_id=correlation_id)
    # The message itself may name the value already.
    named = [f"{name}: {value}" for name, value in _details(body) if value not in message]
    details = _shown(", ".join(dict.fromkeys(named)), secrets)
    if details:
        message = f"{message} ({details})".strip()
    return _Report(code=code, text=message, correlation_id=correlation_id)


def _shown(text: str, secrets: Collection[str], longest: int = MAX_TEXT) -> str:
    # In this order: a secret that is cut is not recognized.
    return one_line(redact(text, secrets), longest)


def _details(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the platform names next to its message: fields, values, permissions, limits."""
    for name, value in _object(body, "messageParams").items():
        yield name, _shown_value(value)
    for field in _wrong_fields(body.get("details")):
        yield "field", field
    limit = _object(body, "limit")
    yield _text(limit, "key"), _shown_value(limit.get("value"))


def _wrong_fields(details: object) -> Iterator[str]:
    if not isinstance(details, list):
        return
    for detail in details:
        if isinstance(detail, dict):
            yield _text(detail, "fieldName")


def _shown_value(value: object) -> str:
    """Write a text, a number or a list of them.

    Nothing else: a `repr` spells a secret in a way that `redact` does not recognize.
    """
    if not isinstance(value, list):
        value = [value]
    return ", ".join(str(each) for each in value if isinstance(each, str | int | float))


def _object(body: dict[str, Any], key: str) -> dict[str, Any]:
    value = body.get(key)
    if isinstance(value, dict):
        return value
    return {}


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if isinstance(value, str):
        return value
    return ""
