"""The error of a failed response: its class says who acts next, its message what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.api.headers import Budget, budget, retry_after
from asyncreport.api.oauth import token_request
from asyncreport.api.problems import problem, subject
from asyncreport.api.wire import Request, Response
from asyncreport.core.errors import (
    AsyncReportError,
    AuthError,
    ConfigError,
    RejectedError,
    TransientError,
)
from asyncreport.core.job import Client
from asyncreport.core.secret import Secret

QUERY = Request(method="POST", path="/api/v2/analytics/conversations/aggregates/query")
TOKEN = token_request(Client(client_id="c", client_secret=Secret("pa55word")))


def answer(status: int, body: object = b"", headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        status=status,
        headers=headers or {},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
    )


def platform(status: int, code: str, message: str, **rest: object) -> Response:
    """Write an error as the platform does."""
    body = {
        "message": message,
        "code": code,
        "status": status,
        "contextId": "ctx-1",
        "details": [],
        "errors": [],
        **rest,
    }
    return answer(status, body, {"inin-correlation-id": "corr-1"})


def query(**body: object) -> Request:
    return replace(QUERY, body=json.dumps(body).encode())


def some_of(dimension: str, number: int) -> dict[str, object]:
    predicates = [
        {"type": "dimension", "dimension": dimension, "value": str(n)} for n in range(number)
    ]
    return {"type": "or", "predicates": predicates}


@pytest.mark.parametrize(
    ("body", "listed"),
    [
        (
            {
                "metrics": ["tTalkComplete", "tHeldComplete", "tAcw", "tHandle", "nError", "tWait"],
                "groupBy": ["userId", "mediaType", "queueId", "direction"],
                "filter": {
                    "type": "and",
                    "clauses": [
                        some_of("userId", 100),
                        some_of("mediaType", 1),
                        some_of("queueId", 301),
                        some_of("divisionId", 2),
                    ],
                },
            },
            "metrics (nError, tWait), split_by (queue_id, direction), filter.queues (301), "
            "filter.divisions (2), filter.media_types (1)",
        ),
        ({"metrics": ["tAcw"], "groupBy": ["userId", "queueId"]}, "split_by (queue_id)"),
    ],
)
def test_a_refusal_that_names_nothing_lists_what_is_beyond_a_default_query(
    body: dict[str, object], listed: str
) -> None:
    for message in ("Bad Request", "The request could not be understood: malformed syntax."):
        error = problem(query(**body), platform(400, "bad.request", message))
        assert without_id(error).endswith(
            f"{message}; the server does not say what is wrong; remove these from the job file, "
            f"one after another, until it accepts the query: {listed}"
        )
    error = problem(query(**body), platform(400, "bad.request", "The granularity is invalid"))
    assert "one after another" not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"grant_type=client_credentials",
        b'{"metrics": ["tHandle"], "groupBy": ["userId", "mediaType"]}',
        b'{"metrics": ["tAgentRoutingStatus"], "groupBy": ["userId"], "filter": {"type": "or"}}',
        b'{"select": [], "groupBy": ["user"], "where": {"predicates": []}}',
    ],
)
def test_a_refused_default_query_has_nothing_to_try_without(body: bytes | None) -> None:
    error = problem(replace(QUERY, body=body), platform(400, "bad.request", "Bad Request"))
    assert without_id(error).endswith("Bad Request; correct this in the job file")


def test_a_message_is_request_status_code_words_next_step_and_correlation_id() -> None:
    error = problem(QUERY, platform(400, "bad.request", "Too many cooks"))
    assert isinstance(error, RejectedError)
    assert str(error) == (
        "POST /api/v2/analytics/conversations/aggregates/query: 400 bad.request: "
        "Too many cooks; correct this in the job file [correlation id corr-1]"
    )
    assert (error.status, error.code) == (400, "bad.request")


def test_the_id_in_the_body_is_used_if_the_header_is_missing() -> None:
    body = {"contextId": "ctx-9", "message": "No"}
    assert str(problem(QUERY, answer(404, body))).endswith(" [correlation id ctx-9]")
    assert str(problem(QUERY, answer(404))).startswith("POST ")
    assert subject(QUERY, None) == "POST /api/v2/analytics/conversations/aggregates/query"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("request_", [QUERY, TOKEN], ids=["platform", "token"])
def test_a_status_that_may_not_repeat_is_transient(status: int, request_: Request) -> None:
    error = problem(request_, answer(status, b"", {"retry-after": "42"}))
    assert isinstance(error, TransientError)
    assert (error.status, error.retry_after) == (status, 42.0)


@pytest.mark.parametrize(
    "status", [400, 404, 405, 410, 413, 415, 418, 422, 501, 505, 520, 599, 100]
)
def test_every_other_status_rejects_the_query(status: int) -> None:
    error = problem(QUERY, answer(status))
    assert isinstance(error, RejectedError)
    assert "; " in str(error)


def test_the_message_of_a_400_has_the_fields_that_the_response_names() -> None:
    details = [
        {"errorCode": "x", "fieldName": "granularity", "entityId": None},
        "odd",
        {"fieldName": None},
    ]
    error = problem(
        QUERY,
        platform(
            400, "bad.request", "Invalid", messageParams={"field": "interval"}, details=details
        ),
    )
    assert "Invalid (field: interval, field: granularity);" in str(error)


def without_id(error: AsyncReportError) -> str:
    return str(error).removesuffix(" [correlation id corr-1]")


def message_after_request(request: Request, response: Response) -> str:
    """Return a message without its beginning, the request."""
    text = str(problem(request, response))
    head, tail = f"{request.method} {request.path}: ", " [correlation id corr-1]"
    assert text.startswith(head)
    assert text.endswith(tail)
    return text.removeprefix(head).removesuffix(tail)


@pytest.mark.parametrize(
    ("message", "params", "rest"),
    [
        (
            "The value is not an ISO-8601 period",
            {"field": "granularity", "value": "1h"},
            " (field: granularity, value: 1h); "
            "check range.granularity, an ISO 8601 duration: `PT1H`, not `1h`",
        ),
        (
            "The value [1h] of granularity is not an ISO-8601 period",
            {"field": "granularity", "value": "1h"},
            "; check range.granularity, an ISO 8601 duration: `PT1H`, not `1h`",
        ),
        (
            "The value [1h] of interval is not an ISO-8601 period",
            {"field": "interval", "value": "1h"},
            "; check range: dates such as 2024-01-01, and a granularity such as `PT1H`, not `1h`",
        ),
        (
            "The value [2023-13-01] of conversation.startTime is no range of two ISO-8601 instants",
            {},
            "; check range: dates such as 2024-01-01, and a granularity such as `PT1H`, not `1h`",
        ),
        (
            "The value [Mars] of timeZone is no IANA time zone",
            {},
            "; check range.time_zone, an IANA name such as Europe/Dublin",
        ),
        (
            "Requested groupBy dimensions are not supported for aggregate queries in scope [FLOW]",
            {},
            "; check split_by: not every metric can be split by every dimension",
        ),
        (
            "The value [nAnswered] of metrics is unknown",
            {},
            "; check metrics: remove the one that the message names",
        ),
        (
            "The select is missing or empty",
            {"field": "select"},
            "; check contract: aggregates or query-jobs for Genesys Cloud, "
            "entities for a gateway whose queries have select and where",
        ),
        (
            "The value [x] of dimension is unknown",
            {},
            "; check filter, and the ids of users and queues",
        ),
    ],
)
def test_a_400_names_field_and_value_and_where_in_the_job_they_are(
    message: str, params: dict[str, str], rest: str
) -> None:
    answer = platform(400, "bad.request", message, messageParams=params)
    assert message_after_request(QUERY, answer) == f"400 bad.request: {message}{rest}"


def test_a_code_alone_can_name_the_field() -> None:
    assert message_after_request(QUERY, platform(400, "invalid.date", "No")).endswith(
        "; check range: dates such as 2024-01-01, and a granularity such as `PT1H`, not `1h`"
    )


@pytest.mark.parametrize("body", [b"", b'{"message": "The resp', b"\x1f\x8b\x08", b"<html>"])
def test_a_400_of_the_platform_that_is_not_json_was_damaged_and_is_transient(
    body: bytes,
) -> None:
    """It may have said that the response is too large. A 400 without an id is a gateway's."""
    error = problem(QUERY, answer(400, body, {"inin-correlation-id": "c-1"}))
    assert isinstance(error, TransientError)
    assert (error.status, error.correlation_id) == (400, "c-1")
    assert isinstance(problem(QUERY, answer(400, body)), RejectedError)


def test_the_next_step_after_too_large_a_response_is_to_request_less() -> None:
    error = problem(
        QUERY,
        platform(
            400,
            "response.entity.too.large",
            "The response is over the size limit, reduce the interval",
        ),
    )
    assert isinstance(error, RejectedError)
    assert error.code == "response.entity.too.large"
    assert without_id(error).endswith(
        "reduce the interval; request less at once, or set contract: query-jobs"
    )


def test_a_request_that_broke_off_is_transient() -> None:
    text = "The client did not produce a request with valid end of stream signaling"
    error = problem(QUERY, platform(400, "client.failed.request", text))
    assert isinstance(error, TransientError)


def test_a_conflict_is_transient_except_when_a_job_is_deleted() -> None:
    job = Request(method="GET", path="/api/v2/analytics/conversations/aggregates/jobs/j-1")
    error = problem(job, platform(409, "conflict", "The query job j-1 is not ready yet"))
    assert isinstance(error, TransientError)
    assert error.status == 409
    assert isinstance(problem(QUERY, platform(409, "conflict", "No")), TransientError)
    deletion = Request(method="DELETE", path=job.path)
    assert isinstance(problem(deletion, platform(409, "conflict", "No")), RejectedError)


def test_a_429_names_the_limit_that_was_reached() -> None:
    """It has no next step: the client waits, and names requests_per_minute when it gives up."""
    limit = {
        "key": "client.credentials.token.rate.per.minute",
        "namespace": "platform.api",
        "value": 300,
    }
    message = "Rate limit exceeded the maximum. Retry the request in [42] seconds"
    assert message_after_request(
        QUERY, platform(429, "too.many.requests.retry.after", message, limit=limit)
    ) == (
        f"429 too.many.requests.retry.after: {message} "
        "(client.credentials.token.rate.per.minute: 300)"
    )


def test_a_401_has_the_text_of_the_platform() -> None:
    """After two in a row, `Tokens.refuse` raises an AuthError with the next step."""
    assert (
        message_after_request(QUERY, platform(401, "bad.credentials", "Invalid login credentials."))
        == "401 bad.credentials: Invalid login credentials."
    )


def test_the_next_step_after_a_413_is_fewer_users_and_queues() -> None:
    error = problem(QUERY, platform(413, "request.entity.too.large", "Maximum bytes: 512000"))
    assert "fewer users and queues" in str(error)


def test_a_401_is_transient_because_another_token_may_be_accepted() -> None:
    error = problem(QUERY, platform(401, "bad.credentials", "Invalid login credentials."))
    assert isinstance(error, TransientError)
    assert error.status == 401


def test_an_address_that_is_not_allowed_is_fatal_at_once() -> None:
    error = problem(QUERY, platform(401, "ip.not.authorized", "No"))
    assert isinstance(error, AuthError)
    assert "addresses that the organisation allows" in str(error)


@pytest.mark.parametrize(
    "permissions",
    ["analytics:conversationAggregate:view", ["analytics:conversationAggregate:view"]],
)
def test_a_403_names_the_permission_and_where_it_is_granted(permissions: object) -> None:
    error = problem(
        QUERY,
        platform(
            403, "missing.any.permissions", "Missing", messageParams={"permissions": permissions}
        ),
    )
    assert isinstance(error, AuthError)
    assert "(permissions: analytics:conversationAggregate:view)" in str(error)
    assert "Admin > Integrations > OAuth > the client > Roles" in str(error)
    assert "all divisions" in str(error)


GRANTED = (
    "to a role of the OAuth client, in all divisions "
    "(Admin > Integrations > OAuth > the client > Roles); "
)


@pytest.mark.parametrize(
    ("path", "params", "granted"),
    [
        (
            "/api/v2/x",
            {"permissions": "routing:queue:view, routing:queue:edit"},
            "routing:queue:view or routing:queue:edit",
        ),
        ("/api/v2/x", {"permissions": ["api:query"]}, "api:query"),
        ("/api/v2/x", {}, "what this request needs"),
        (
            QUERY.path,
            {},
            "analytics:conversationAggregate:view",
        ),
        ("/api/v2/analytics/conversations/aggregates/jobs/j-1", {"permissions": "a:b:c"}, "a:b:c"),
        ("/api/v2/analytics/users/aggregates/query", {}, "analytics:userAggregate:view"),
        ("/api/v2/teams/t-1/members", {}, "groups:team:view"),
        ("/api/v2/routing/queues", {}, "routing:queue:view"),
    ],
)
def test_a_403_names_the_permission_from_its_text_or_else_from_the_path(
    path: str, params: dict[str, object], granted: str
) -> None:
    answered = platform(403, "missing.permissions", "Denied by proxy:8080", messageParams=params)
    text = str(problem(Request(method="GET", path=path), answered))
    assert text.startswith(f"missing permission: grant {granted} {GRANTED}GET {path}: 403 missing")
    assert text.endswith(" [correlation id corr-1]")


def test_a_403_of_the_entities_contract_names_its_scope() -> None:
    request = Request(method="POST", path=QUERY.path, body=b'{"select": []}')
    text = str(problem(request, platform(403, "missing.permissions", "No")))
    assert text.startswith(f"missing permission: grant the scope api:query {GRANTED}POST ")


def test_a_permission_in_the_message_is_not_repeated() -> None:
    message = "You are missing the following permission(s): analytics:conversationAggregate:view"
    params = {"permissions": "analytics:conversationAggregate:view"}
    text = str(problem(QUERY, platform(403, "missing.permissions", message, messageParams=params)))
    assert text == (
        f"missing permission: grant analytics:conversationAggregate:view {GRANTED}"
        f"POST {QUERY.path}: 403 missing.permissions: {message} [correlation id corr-1]"
    )


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            400,
            {
                "error": "invalid_client",
                "description": "client not found: c",
                "error_description": "client not found: c",
            },
        ),
        (
            401,
            {
                "error": "invalid_client",
                "description": "authentication failed",
                "error_description": "authentication failed",
            },
        ),
        (401, b""),
        (400, b"<html>no</html>"),
        (403, b""),
    ],
)
def test_a_refusal_of_the_token_endpoint_names_the_credentials(status: int, said: object) -> None:
    secret = Secret("pa55word", ("ACME_ID", "ACME_SECRET"))
    client = Client(client_id="c", client_secret=secret)
    error = problem(token_request(client, login_url="https://l.test"), answer(status, said))
    assert isinstance(error, AuthError)
    assert (
        "check the client id and the client secret (ACME_ID, ACME_SECRET), "
        "and that they belong to https://l.test" in str(error)
    )
    if isinstance(said, dict):
        assert f"{status} invalid_client; " in str(error)
    assert "no" not in str(error).split()
    assert "client not found" not in str(error)
    assert "authentication failed" not in str(error)


def test_the_token_endpoint_throttles_with_a_400() -> None:
    said = {"error": "invalid_request", "error_description": "rate limit exceeded; try later"}
    error = problem(TOKEN, answer(400, said, {"retry-after": "3"}))
    assert isinstance(error, TransientError)
    assert error.retry_after == 3
    assert isinstance(problem(QUERY, answer(400, said)), RejectedError), (
        "of the token endpoint only"
    )


def test_a_host_without_a_token_endpoint_is_a_configuration_error() -> None:
    error = problem(TOKEN, answer(404, b"<html>Not here</html>"))
    assert isinstance(error, ConfigError)
    assert "login_url" in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_names_the_setting(status: int) -> None:
    error = problem(
        QUERY, answer(status, b"", {"location": "https://sso.example/in?ticket=t1cket"})
    )
    assert isinstance(error, ConfigError)
    assert "https://sso.example/in" in str(error)
    assert "set api_url" in str(error)
    assert "t1cket" not in str(error)
    assert "set login_url" in str(problem(TOKEN, answer(status)))


@pytest.mark.parametrize(
    "page",
    [
        b"<center>The plain HTTP request was sent to HTTPS port</center>",
        b"Client sent an HTTP request to an HTTPS server.",
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
    ],
)
def test_plain_http_onto_a_port_for_tls_is_a_configuration_error(page: bytes) -> None:
    error = problem(QUERY, answer(400, page))
    assert isinstance(error, ConfigError)
    assert str(error).endswith("; the server speaks TLS here: set api_url to https")


def test_a_proxy_that_needs_credentials_is_a_configuration_error() -> None:
    assert isinstance(problem(QUERY, answer(407)), ConfigError)


@pytest.mark.parametrize(
    "page", [b"<html><title>502 Bad Gateway</title></html>", b"busy", b'{"error": "busy"}', b"[1]"]
)
def test_text_that_is_not_in_the_form_of_the_platform_is_not_shown(page: bytes) -> None:
    text = str(problem(QUERY, answer(502, page)))
    assert text == (
        f"POST {QUERY.path}: 502: this is not an error message of Genesys Cloud; "
        "a proxy or gateway may have sent it"
    )


@pytest.mark.parametrize("page", [b"", b" ", b"{}"])
def test_an_error_without_a_body_is_its_status(page: bytes) -> None:
    assert str(problem(QUERY, answer(502, page))) == f"POST {QUERY.path}: 502"


def test_control_characters_and_line_breaks_of_a_message_are_not_shown() -> None:
    text = str(problem(QUERY, platform(502, "bad", "sorry \x1b[31m\x00\r\n sorry")))
    assert text.endswith(": 502 bad: sorry [31m sorry [correlation id corr-1]")
    assert text.isprintable()


def test_long_text_is_cut() -> None:
    text = str(
        problem(
            QUERY, platform(400, "c" * 1000, "m" * 10_000, messageParams={"field": "f" * 10_000})
        )
    )
    assert len(text) < 800
    assert "…" in text


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
keys = st.sampled_from(
    [
        "code",
        "message",
        "messageParams",
        "details",
        "limit",
        "contextId",
        "error",
        "error_description",
        "description",
    ]
)


@given(
    st.sampled_from([QUERY, TOKEN]),
    st.integers(min_value=300, max_value=599),
    st.binary() | st.dictionaries(keys, json_values).map(lambda body: json.dumps(body).encode()),
    st.dictionaries(
        st.sampled_from(["retry-after", "date", "location", "inin-correlation-id"]), st.text()
    ),
)
def test_any_response_gives_an_error_of_one_line(
    request_: Request, status: int, body: bytes, headers: dict[str, str]
) -> None:
    error = problem(request_, Response(status=status, headers=headers, body=body))
    assert isinstance(error, AsyncReportError)
    assert str(error).isprintable()


def test_a_deeply_nested_body_has_no_text() -> None:
    assert isinstance(problem(QUERY, answer(400, b'{"a":' + b"[" * 200_000)), RejectedError)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("42", 42.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("2.5", 2.5),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 -0000", 30.0),
        ("Wed, 99 Oct 2026 07:28:30 GMT", None),
    ],
)
def test_retry_after_is_a_number_or_a_date_by_the_servers_own_clock(
    text: str, seconds: float | None
) -> None:
    assert retry_after({"retry-after": text, "date": "Wed, 21 Oct 2026 07:28:00 GMT"}) == seconds


def test_a_date_without_the_servers_clock_is_ignored() -> None:
    assert retry_after({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}) is None
    assert retry_after({}) is None


@given(st.text(), st.text())
def test_any_retry_after_can_be_read(text: str, date: str) -> None:
    seconds = retry_after({"retry-after": text, "date": date})
    assert seconds is None or seconds >= 0


LIMITS = ("inin-ratelimit-allowed", "inin-ratelimit-count", "inin-ratelimit-reset")


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (("300", "12", "48"), Budget(300, 12, 48)),
        (("300", None, None), Budget(300, 0, 0)),
        (("300", "many", "-3"), Budget(300, 0, 0)),
        (("300", "301", "1767225600"), Budget(300, 301, 60)),
        ((None, "12", "48"), None),
        (("0", "12", "48"), None),
        (("none", "12", "48"), None),
        (("١٢", "12", "48"), None),
    ],
)
def test_a_budget_is_read_from_the_headers_that_are_there(
    values: tuple[str | None, ...], read: Budget | None
) -> None:
    assert (
        budget(
            {name: value for name, value in zip(LIMITS, values, strict=True) if value is not None}
        )
        == read
    )


@pytest.mark.parametrize("path", ["/api/v2/tokens/me", "/api/v2/authorization/divisions"])
@pytest.mark.parametrize("status", [404, 405])
def test_a_call_that_a_gateway_does_not_know_is_not_repeated(path: str, status: int) -> None:
    """Even if it has answered others: a run can do without these, and would wait for a minute."""
    response = Response(status=status, headers={}, body=b"<html>not here</html>")
    needed = Request(method="GET", path="/api/v2/users")
    assert isinstance(problem(needed, response, has_answered=True), TransientError)
    optional = Request(method="GET", path=path)
    assert isinstance(problem(optional, response, has_answered=True), RejectedError)
