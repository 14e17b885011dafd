"""The API without its socket: tokens, rate, routes, errors, by the letter of the facts page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from asyncreport.emulator.answers import Answer, Ask
from asyncreport.emulator.cloud import AGGREGATES, Cloud
from asyncreport.emulator.limits import CLIENT_ID, CLIENT_SECRET
from asyncreport.emulator.options import Options
from asyncreport.emulator.world import World

WORLD = World(5)
QUERY = {"interval": "2023-10-02T00:00:00.000Z/2023-10-03T00:00:00.000Z", "metrics": ["tHandle"]}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def _basic(client_id: str = CLIENT_ID, secret: str = CLIENT_SECRET) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def _fetch(cloud: Cloud, now: float = 0.0, headers: dict[str, str] | None = None, body: bytes = b"grant_type=client_credentials") -> Answer:
    given = _basic() if headers is None else headers
    return cloud.answer(Ask(method="POST", path="/oauth/token", headers=FORM | given, body=body), now)


def _json(answer: Answer) -> Any:
    assert answer.headers["content-type"] == "application/json"
    return json.loads(answer.body)


class Caller:
    """A client with a token of its own."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.bearer = {"authorization": f"Bearer {_json(_fetch(cloud))['access_token']}"}

    def __call__(self, method: str, path: str, *, now: float = 1.0, body: bytes = b"", **headers: str) -> Answer:
        given = {"content-type": "application/json"} | self.bearer | {name.replace("_", "-"): text for name, text in headers.items()}
        return self.cloud.answer(Ask(method=method, path=path, headers=given, body=body), now)


def _caller(**options: Any) -> Caller:
    return Caller(Cloud(WORLD, Options(**options)))


def test_a_token_is_handed_out_in_the_vendors_form() -> None:
    token = _json(_fetch(Cloud(WORLD, Options(token_life=1200))))
    assert set(token) == {"access_token", "token_type", "expires_in"}
    assert (token["token_type"], token["expires_in"]) == ("bearer", 1200)


@pytest.mark.parametrize(
    ("headers", "status", "error", "description"),
    [
        (_basic(client_id="nobody"), 400, "invalid_client", "client not found: nobody"),
        (_basic(secret="guess"), 401, "invalid_client", "authentication failed"),
        ({}, 400, "invalid_client", "client not found: "),
        ({"authorization": "Basic ???"}, 400, "invalid_client", "client not found: "),
    ],
)
def test_a_refused_client_gets_the_token_endpoints_own_form(headers: dict[str, str], status: int, error: str, description: str) -> None:
    answer = _fetch(Cloud(WORLD), headers=headers)
    assert answer.status == status
    assert _json(answer) == {"error": error, "description": description, "error_description": description}


def test_another_grant_is_refused() -> None:
    answer = _fetch(Cloud(WORLD), body=b"grant_type=password")
    assert (answer.status, _json(answer)["error"]) == (400, "unsupported_grant_type")


def test_the_token_endpoint_throttles_with_a_400() -> None:
    cloud = Cloud(WORLD, Options(tokens_per_minute=2))
    assert [_fetch(cloud, now).status for now in (0.0, 1.0, 2.0)] == [200, 200, 400]
    refused = _json(_fetch(cloud, 3.0))
    assert refused["error"] == "invalid_request"
    assert refused["error_description"].startswith("rate limit exceeded;")
    assert _fetch(cloud, 120.0).status == 200


def test_a_request_without_token_is_told_so() -> None:
    for headers in ({}, _basic(), {"authorization": "Bearer "}):
        answer = Cloud(WORLD).answer(Ask(method="GET", path="/api/v2/users", headers=headers), 0.0)
        assert (answer.status, _json(answer)["code"]) == (401, "authentication.required")


def test_a_token_ends_by_time_by_revocation_and_by_delete() -> None:
    call = _caller(token_life=100)
    assert (call("GET", "/api/v2/users", now=99.9).status, call("GET", "/api/v2/users", now=100.0).status) == (200, 401)
    ends: list[Callable[[Caller], object]] = [
        lambda call: call.cloud.tokens.revoke(),
        lambda call: call.cloud.tokens.expire(1.0),
        lambda call: call("DELETE", "/api/v2/tokens/me"),
    ]
    for end in ends:
        call = _caller()
        assert call("HEAD", "/api/v2/tokens/me").status == 200
        end(call)
        answer = call("GET", "/api/v2/users")
        assert (answer.status, _json(answer)["code"]) == (401, "bad.credentials")
        assert Caller(call.cloud)("GET", "/api/v2/users").status == 200


def test_an_error_has_the_vendors_form_and_bears_the_correlation_id() -> None:
    answer = _caller()("POST", AGGREGATES, body=json.dumps(QUERY | {"granularity": "1h"}).encode())
    assert answer.status == 400
    correlation_id = answer.headers["inin-correlation-id"]
    assert str(UUID(correlation_id)) == correlation_id
    assert _json(answer) == {
        "message": "The value [1h] of granularity is not an ISO-8601 period",
        "code": "bad.request",
        "status": 400,
        "messageWithParams": "The value [{value}] of {field} is not an ISO-8601 period",
        "messageParams": {"field": "granularity", "value": "1h"},
        "contextId": correlation_id,
        "details": [],
        "errors": [],
    }


def test_one_request_too_many_is_the_429_of_the_vendor() -> None:
    call = _caller(requests_per_minute=2)
    counts = [call("GET", "/api/v2/users", now=now).headers["inin-ratelimit-count"] for now in (1.0, 2.5)]
    answer = call("GET", "/api/v2/users", now=21.0)
    assert counts == ["1", "2"]
    assert (answer.status, answer.headers["retry-after"], answer.headers["inin-ratelimit-allowed"]) == (429, "42", "2")
    assert _json(answer) == {
        "message": "Rate limit exceeded the maximum. Retry the request in [42] seconds",
        "code": "too.many.requests.retry.after",
        "status": 429,
        "contextId": answer.headers["inin-correlation-id"],
        "details": [],
        "errors": [],
    }


def test_every_request_of_a_token_counts_and_each_token_has_its_own_limit() -> None:
    call = _caller(requests_per_minute=3)
    statuses = [
        call(method, path).status for method, path in (("GET", "/api/v2/nothing"), ("POST", AGGREGATES), ("HEAD", "/api/v2/tokens/me"))
    ]
    assert statuses == [404, 400, 200]
    assert call("GET", "/api/v2/users").status == 429
    assert Caller(call.cloud)("GET", "/api/v2/users").status == 200


def test_without_a_limit_there_are_no_rate_headers() -> None:
    call = _caller(requests_per_minute=0)
    answers = [call("GET", "/api/v2/tokens/me") for _ in range(400)]
    assert {answer.status for answer in answers} == {200}
    assert not any(name.startswith("inin-ratelimit") for answer in answers for name in answer.headers)


@pytest.mark.parametrize("path", ["/", "/api", "/api/v2/nothing", "/api/v2/users/a/b", "/api/v2/organizations/limits/namespaces/no.such"])
def test_an_unknown_path_is_a_404_in_the_vendors_form(path: str) -> None:
    answer = _caller()("GET", path)
    assert (answer.status, _json(answer)["code"]) == (404, "not.found")


def test_a_known_path_asked_in_the_wrong_way_is_a_405() -> None:
    assert _caller()("GET", AGGREGATES).status == 405


def test_a_query_that_is_not_sent_as_json_is_a_415() -> None:
    answer = _caller()("POST", AGGREGATES, body=json.dumps(QUERY).encode(), content_type="text/plain")
    assert (answer.status, _json(answer)["code"]) == (415, "unsupported.media.type")


def test_a_missing_permission_is_named() -> None:
    call = _caller(denied=("analytics:conversationAggregate:view",))
    answer = call("POST", AGGREGATES, body=json.dumps(QUERY).encode())
    body = _json(answer)
    assert (answer.status, body["code"]) == (403, "missing.permissions")
    assert body["messageParams"] == {"permissions": "analytics:conversationAggregate:view"}
    assert call("GET", "/api/v2/users").status == 200


def test_a_query_is_answered() -> None:
    answer = _caller()("POST", AGGREGATES, body=json.dumps(QUERY).encode(), content_type="application/json; charset=utf-8")
    assert answer.status == 200
    assert set(_json(answer)["results"][0]) == {"group", "data"}


def test_the_options_bound_an_answer() -> None:
    answer = _caller(max_rows=1)("POST", AGGREGATES, body=json.dumps(QUERY | {"groupBy": ["userId"]}).encode())
    assert (answer.status, _json(answer)["code"]) == (400, "response.entity.too.large")


def test_the_organisation_tells_its_limits_and_who_asks() -> None:
    call = _caller(requests_per_minute=180)
    limits = _json(call("GET", "/api/v2/organizations/limits/namespaces/platform.api"))
    assert {"key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": 180} in limits["entities"]
    assert _json(call("GET", "/api/v2/organizations/limits/namespaces/platform.api/defaults")) == limits
    assert _json(call("GET", "/api/v2/organizations/limits/namespaces/analytics")) == {"entities": []}
    me = _json(call("GET", "/api/v2/organizations/me"))
    token = _json(call("GET", "/api/v2/tokens/me"))
    assert token["organization"]["id"] == me["id"]
    assert token["OAuthClient"]["id"] == CLIENT_ID
    assert len(_json(call("GET", "/api/v2/authorization/divisions"))["entities"]) == 2
    assert _json(call("GET", f"/api/v2/users/{WORLD.people[0].id}"))["name"] == WORLD.people[0].name


def test_two_clouds_asked_the_same_give_the_same_bytes() -> None:
    first, second = (_caller()("POST", AGGREGATES, body=json.dumps(QUERY).encode()) for _ in range(2))
    assert first == second
