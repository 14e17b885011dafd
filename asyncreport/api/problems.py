"""What a response that is not a success means: one error per *who must act next*. Pure.

The platform describes an error in JSON, the token endpoint in another JSON, gateways and proxies
in HTML or not at all. Only text in the platform's own form is shown, without secrets and cut to
one line.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from asyncreport.api.error_reports import MAX_TEXT, Report, read_report
from asyncreport.api.headers import retry_after
from asyncreport.api.oauth import TokenRequest
from asyncreport.api.query_hints import try_without
from asyncreport.api.redaction import credentials, holds_secret, redact
from asyncreport.api.wire import Request, Response
from asyncreport.core.errors import (
    TOO_LARGE,
    ApiError,
    AsyncReportError,
    AuthError,
    ConfigError,
    CredentialsError,
    RejectedError,
    TransientError,
)
from asyncreport.core.text import one_line

#: another attempt may succeed; a query changes nothing, so sending it twice does no harm
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

#: the platform's code for a request that ended too early: an accident of the connection
_BROKEN_OFF = "client.failed.request"

#: statuses of a proxy or gateway that are about the request itself, so that it cannot be the same
#: again: proxy credentials, and three that say that it is too long
_ABOUT_THE_REQUEST = frozenset({407, 413, 414, 431})

#: calls that a gateway need not know, and the statuses that say so: a run goes on without them, and
#: must not repeat them for a minute
_OPTIONAL = ("/api/v2/tokens/me", "/api/v2/authorization/division", "/api/v2/organizations/")
_UNKNOWN_CALL = frozenset({404, 405, 501})

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
    "/analytics/conversations/aggregates/": "analytics:conversationAggregate:view",
    "/analytics/users/aggregates/": "analytics:userAggregate:view",
    "/api/v2/teams": "groups:team:view",
    "/api/v2/routing/queues": "routing:queue:view",
}

_PERMISSION = re.compile(r"\b[a-z]\w*(?::[A-Za-z]\w*){1,2}", re.ASCII)


#: what nginx, Go and Apache answer to plain HTTP on a port for TLS
_SPEAKS_TLS = (
    b"plain HTTP request was sent to HTTPS port",
    b"HTTP request to an HTTPS server",
    b"speaking plain HTTP to an SSL-enabled server port",
)


def subject(request: Request, correlation_id: str | None) -> str:
    """Name a request as every message does; an error moves the correlation id to its end."""
    # The path may hold an id that a server gave us.
    name = f"{request.method} {one_line(request.path, MAX_TEXT)}"
    if not correlation_id:
        return name
    return f"{name} [correlation id {redact(correlation_id, credentials(request))}]"


def problem(
    request: Request,
    response: Response,
    proxy_secrets: Collection[str] = (),
    *,
    has_answered: bool = False,
) -> AsyncReportError:
    """Return the error that a response without the requested data means.

    `has_answered`: the server gave a valid response to such a request before. Then the response of
    a captive portal, a firewall or a gateway is an accident that passes.

    A 401 of the platform is a TransientError, because another token may be accepted; who counts the
    tokens knows when none will.
    """
    secrets = credentials(request) | set(proxy_secrets)
    report = read_report(request, response, secrets)
    fact = _fact(request, response, report, secrets)
    foreign = has_answered and _is_accident(request, response, report)
    if foreign or _is_transient(request, response, report):
        return TransientError(
            fact, status=response.status, retry_after=retry_after(response.headers)
        )
    return (
        _misconfigured(fact, request, response, secrets)
        or _no_token(fact, request, response.status)
        or _refused(fact, report, request, response.status)
    )


def _misconfigured(
    fact: str,
    request: Request,
    response: Response,
    secrets: Collection[str],
) -> ConfigError | None:
    """Make the error for a response of the wrong host or port, or of a proxy; None: it is not."""
    if 300 <= response.status < 400:
        return _redirected(fact, request, response, secrets)
    if response.status == 407:
        return _no_proxy_credentials(fact)
    if _speaks_tls(response):
        return ConfigError(f"{fact}; the server speaks TLS here: set {request.host}_url to https")
    return None


def _fact(
    request: Request,
    response: Response,
    report: Report,
    secrets: Collection[str],
) -> str:
    """Write the first part of each message: the request, the status and the server's words."""
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
    return _with_message(error, f"{name}: {fact}", response.status)


def _with_message(
    error: TransientError | RejectedError,
    message: str,
    status: int,
) -> TransientError | RejectedError:
    """Make an error of the same kind; `status` is that of the response."""
    if isinstance(error, TransientError):
        return TransientError(message, status=status)
    return RejectedError(message, status=error.status, code=error.code)


# From status and report to an error --------------------------------------------------------------


def _is_transient(request: Request, response: Response, report: Report) -> bool:
    """Tell whether another attempt may succeed."""
    status = response.status
    if status in TRANSIENT or report.throttled or _is_success(response):
        return True
    if status == 409:
        # The cause of a conflict is not documented, and any operation may report one. Nothing that
        # is read is changed, so it may be requested again.
        return request.method != "DELETE"
    if status == 400:
        return report.code == _BROKEN_OFF or _was_damaged(response, report)
    return status == 401 and _needs_another_token(request, report)


def _is_accident(request: Request, response: Response, report: Report) -> bool:
    """Tell whether something between us and the server has answered in its place."""
    # The deletion of a query job has a few seconds, and no data depends on it.
    if report.is_platform or request.method == "DELETE":
        return False
    if response.status in _UNKNOWN_CALL and request.path.startswith(_OPTIONAL):
        return False
    return response.status not in _ABOUT_THE_REQUEST


def _was_damaged(response: Response, report: Report) -> bool:
    """Tell whether the body of a 400 of the platform is not JSON.

    The platform names the cause in JSON, and the cause matters (`TOO_LARGE`).
    """
    return bool(response.correlation_id) and not report.is_json


def _needs_another_token(request: Request, report: Report) -> bool:
    """Tell whether a 401 is about the token, and not about the address of this machine."""
    return request.host == "api" and report.code != "ip.not.authorized"


def _is_success(response: Response) -> bool:
    """Tell whether a response has the status of a success, which its body then contradicts."""
    return 200 <= response.status < 300


def _speaks_tls(response: Response) -> bool:
    """Tell whether a server refuses plain HTTP because it expects TLS on this port."""
    return any(words in response.body for words in _SPEAKS_TLS)


def _no_proxy_credentials(fact: str) -> ConfigError:
    """Make the error for a proxy that does not accept us."""
    return ConfigError(
        f"{fact}; the proxy needs credentials: check the connection's proxy, or HTTPS_PROXY"
    )


def _redirected(
    fact: str,
    request: Request,
    response: Response,
    secrets: Collection[str],
) -> ConfigError:
    """Make the error for a redirect; the query of its target may hold a secret."""
    url = response.headers.get("location", "").partition("?")[0]
    target = one_line(redact(url, secrets), _MAX_URL)
    if target:
        fact += f" (the target is {target})"
    return ConfigError(
        f"{fact}; redirects are not followed: set {request.host}_url to the right host"
    )


def _no_token(fact: str, request: Request, status: int) -> AuthError | ConfigError | None:
    """Make the error of a login host that gives no token; None: another host has answered."""
    if not isinstance(request, TokenRequest):
        return None
    if status in {400, 401, 403}:
        return CredentialsError(f"{fact}; {request.hint}")
    return ConfigError(f"{fact}; this is not a token endpoint: check the region or login_url")


def _refused(fact: str, report: Report, request: Request, status: int) -> AuthError | ApiError:
    """Make the error of an API host that refuses the client or the request."""
    if status == 401:
        return AuthError(
            f"{fact}; add the address of this machine to the addresses that the organisation allows"
        )
    if status == 403:
        return AuthError(
            f"missing permission: grant {_permission(report, request)} to a role of the OAuth "
            "client, in all divisions (Admin > Integrations > OAuth > the client > Roles); "
            f"{fact}"
        )
    message = f"{fact}; {_next_step(report, request, status)}"
    return RejectedError(message, status=status, code=report.code)


def _permission(report: Report, request: Request) -> str:
    """Name the missing permission, from the response or else from the documentation of the path."""
    named = dict.fromkeys(_PERMISSION.findall(report.text))
    if named:
        return " or ".join(named)
    return _documented_permission(request)


def _documented_permission(request: Request) -> str:
    """Name the permission that the documentation gives for a request."""
    if b'"select":' in (request.body or b""):
        # A query of the entities contract; such a gateway has scopes of its own.
        return "the scope api:query"
    for part, permission in _PERMISSIONS.items():
        if part in request.path:
            return permission
    return "what this request needs"


def _next_step(report: Report, request: Request, status: int) -> str:
    """Say what to do about a refused request."""
    step = _NEXT_STEPS.get(status, "check the region or api_url")
    if report.code == TOO_LARGE:
        return "request less at once, or set contract: query-jobs"
    if status == 400:
        return _setting(f"{report.code} {report.text}") or try_without(request.body) or step
    return step


def _setting(words: str) -> str | None:
    """Name the setting of the job file that a 400 is about; None if its words name none."""
    for field, step in _SETTINGS:
        if re.search(rf"\b(?:{field})\b", words, re.IGNORECASE):
            return step
    return None
