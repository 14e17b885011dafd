"""The API without its socket: tokens, rate limit, routes, errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import pytest

from asyncreport.emulator.analytics import AGGREGATES, JOBS, USER_AGGREGATES
from asyncreport.emulator.cloud import Cloud
from asyncreport.emulator.limits import CLIENT_ID, CLIENT_SECRET, credentials
from asyncreport.emulator.messages import Request, Response
from asyncreport.emulator.options import Options
from asyncreport.emulator.world import World

WORLD = World(5)
QUERY = {"interval": "2023-10-02T00:00:00.000Z/2023-10-03T00:00:00.000Z", "metrics": ["tHandle"]}
FORM = {"content-type": "application/x-www-form-urlencoded"}


def _basic(client_id: str = CLIENT_ID, secret: str = CLIENT_SECRET) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def _fetch(
    cloud: Cloud,
    now: float = 0.0,
    headers: dict[str, str] | None = None,
    body: bytes = b"grant_type=client_credentials",
) -> Response:
    given = _basic() if headers is None else headers
    return cloud.respond(
        Request(method="POST", path="/oauth/token", headers=FORM | given, body=body), now
    )


def _json(response: Response) -> Any:
    assert response.headers["content-type"] == "application/json"
    return json.loads(response.body)


class Caller:
    """A client with its own token."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.bearer = {"authorization": f"Bearer {_json(_fetch(cloud))['access_token']}"}

    def __call__(
        self, method: str, path: str, *, now: float = 1.0, body: bytes = b"", **headers: str
    ) -> Response:
        given = (
            {"content-type": "application/json"}
            | self.bearer
            | {name.replace("_", "-"): text for name, text in headers.items()}
        )
        path, _, query = path.partition("?")
        return self.cloud.respond(
            Request(
                method=method, path=path, query=tuple(parse_qsl(query)), headers=given, body=body
            ),
            now,
        )


def _caller(**options: Any) -> Caller:
    return Caller(Cloud(WORLD, Options(**options)))


def test_a_token_response_has_the_vendors_form() -> None:
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
def test_a_refused_client_gets_the_error_form_of_the_token_endpoint(
    headers: dict[str, str], status: int, error: str, description: str
) -> None:
    response = _fetch(Cloud(WORLD), headers=headers)
    assert response.status == status
    assert _json(response) == {
        "error": error,
        "description": description,
        "error_description": description,
    }


def _form(**given: str) -> bytes:
    return urlencode({"grant_type": "client_credentials", **given}).encode()


def test_credentials_may_be_in_the_form_as_in_the_entities_contract() -> None:
    body = _form(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, scope="api:query")
    token = _json(_fetch(Cloud(WORLD), headers={}, body=body))
    assert token["token_type"] == "bearer"


@pytest.mark.parametrize(
    ("form", "status", "description"),
    [
        (_form(client_id="nobody", client_secret=CLIENT_SECRET), 400, "client not found: nobody"),
        (_form(client_id=CLIENT_ID, client_secret="guess"), 401, "authentication failed"),
        (_form(client_id=CLIENT_ID), 401, "authentication failed"),
    ],
)
def test_wrong_credentials_in_the_form_get_the_same_errors(
    form: bytes, status: int, description: str
) -> None:
    response = _fetch(Cloud(WORLD), headers={}, body=form)
    assert (response.status, _json(response)["error"], _json(response)["error_description"]) == (
        status,
        "invalid_client",
        description,
    )


def test_another_grant_is_refused() -> None:
    response = _fetch(Cloud(WORLD), body=b"grant_type=password")
    assert (response.status, _json(response)["error"]) == (400, "unsupported_grant_type")


def test_the_token_endpoint_throttles_with_a_400() -> None:
    cloud = Cloud(WORLD, Options(tokens_per_minute=2))
    assert [_fetch(cloud, now).status for now in (0.0, 1.0, 2.0)] == [200, 200, 400]
    refused = _json(_fetch(cloud, 3.0))
    assert refused["error"] == "invalid_request"
    assert refused["error_description"].startswith("rate limit exceeded;")
    assert _fetch(cloud, 120.0).status == 200


def test_a_request_without_a_token_is_a_401() -> None:
    for headers in ({}, _basic(), {"authorization": "Bearer "}):
        response = Cloud(WORLD).respond(
            Request(method="GET", path="/api/v2/users", headers=headers), 0.0
        )
        assert (response.status, _json(response)["code"]) == (401, "authentication.required")


def test_a_token_ends_by_time_by_revocation_and_by_expiry() -> None:
    call = _caller(token_life=100)
    assert (
        call("GET", "/api/v2/users", now=99.9).status,
        call("GET", "/api/v2/users", now=100.0).status,
    ) == (200, 401)
    ends: list[Callable[[Caller], object]] = [
        lambda call: call.cloud.tokens.revoke(),
        lambda call: call.cloud.tokens.expire(1.0),
    ]
    for end in ends:
        call = _caller()
        assert call("GET", "/api/v2/tokens/me").status == 200
        end(call)
        response = call("GET", "/api/v2/users")
        assert (response.status, _json(response)["code"]) == (401, "bad.credentials")
        assert Caller(call.cloud)("GET", "/api/v2/users").status == 200


def test_an_error_has_the_vendors_form_with_the_correlation_id() -> None:
    response = _caller()(
        "POST", AGGREGATES, body=json.dumps(QUERY | {"granularity": "1h"}).encode()
    )
    assert response.status == 400
    correlation_id = response.headers["inin-correlation-id"]
    assert str(UUID(correlation_id)) == correlation_id
    assert _json(response) == {
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
    counts = [
        call("GET", "/api/v2/users", now=now).headers["inin-ratelimit-count"] for now in (1.0, 2.5)
    ]
    response = call("GET", "/api/v2/users", now=21.0)
    assert counts == ["1", "2"]
    assert (
        response.status,
        response.headers["retry-after"],
        response.headers["inin-ratelimit-allowed"],
    ) == (429, "42", "2")
    assert _json(response) == {
        "message": "Rate limit exceeded the maximum. Retry the request in [42] seconds",
        "code": "too.many.requests.retry.after",
        "status": 429,
        "contextId": response.headers["inin-correlation-id"],
        "details": [],
        "errors": [],
    }


def test_every_request_of_a_token_counts_and_each_token_has_its_own_limit() -> None:
    call = _caller(requests_per_minute=3)
    statuses = [
        call(method, path).status
        for method, path in (
            ("GET", "/api/v2/nothing"),
            ("POST", AGGREGATES),
            ("GET", "/api/v2/tokens/me"),
        )
    ]
    assert statuses == [404, 400, 200]
    assert call("GET", "/api/v2/users").status == 429
    assert Caller(call.cloud)("GET", "/api/v2/users").status == 200


def test_without_a_limit_there_are_no_rate_headers() -> None:
    call = _caller(requests_per_minute=0)
    responses = [call("GET", "/api/v2/tokens/me") for _ in range(400)]
    assert {response.status for response in responses} == {200}
    assert not any(
        name.startswith("inin-ratelimit") for response in responses for name in response.headers
    )


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api",
        "/api/v2/nothing",
        "/api/v2/users/a/b",
        "/api/v2/organizations/limits/namespaces/analytics",
        AGGREGATES,
    ],
)
def test_an_unknown_path_is_a_404_in_the_vendors_form(path: str) -> None:
    response = _caller()("GET", path)
    assert (response.status, _json(response)["code"]) == (404, "not.found")


def test_a_query_with_another_content_type_is_a_415() -> None:
    response = _caller()(
        "POST", AGGREGATES, body=json.dumps(QUERY).encode(), content_type="text/plain"
    )
    assert (response.status, _json(response)["code"]) == (415, "unsupported.media.type")


def test_a_missing_permission_is_named() -> None:
    call = _caller(denied=("analytics:conversationAggregate:view",))
    response = call("POST", AGGREGATES, body=json.dumps(QUERY).encode())
    body = _json(response)
    assert (response.status, body["code"]) == (403, "missing.permissions")
    assert body["messageParams"] == {"permissions": "analytics:conversationAggregate:view"}
    assert call("GET", "/api/v2/users").status == 200


def test_a_query_gets_results() -> None:
    response = _caller()(
        "POST",
        AGGREGATES,
        body=json.dumps(QUERY).encode(),
        content_type="application/json; charset=utf-8",
    )
    assert response.status == 200
    assert set(_json(response)["results"][0]) == {"group", "data"}


def test_an_option_limits_the_rows_of_a_response() -> None:
    response = _caller(max_rows=1)(
        "POST", AGGREGATES, body=json.dumps(QUERY | {"groupBy": ["userId"]}).encode()
    )
    assert (response.status, _json(response)["code"]) == (400, "response.entity.too.large")


def test_limits_divisions_and_the_tokens_organisation_are_reported() -> None:
    call = _caller(requests_per_minute=180)
    limits = _json(call("GET", "/api/v2/organizations/limits/namespaces/platform.api"))
    assert {
        "key": "client.credentials.token.rate.per.minute",
        "namespace": "platform.api",
        "value": 180,
    } in limits["entities"]
    token = _json(call("GET", "/api/v2/tokens/me"))
    assert token["organization"]["id"] == WORLD.id
    assert token["OAuthClient"]["id"] == CLIENT_ID
    assert len(_json(call("GET", "/api/v2/authorization/divisions"))["entities"]) == 2


def test_two_clouds_give_the_same_bytes_for_the_same_request() -> None:
    first, second = (
        _caller()("POST", AGGREGATES, body=json.dumps(QUERY).encode()) for _ in range(2)
    )
    assert first == second


def _post(call: Caller, path: str, body: object) -> Response:
    return call("POST", path, body=json.dumps(body).encode())


def test_a_query_job_goes_from_its_submission_to_its_deletion() -> None:
    call = _caller(job_polls=1, most_per_page=2)
    submitted = _post(call, JOBS, QUERY | {"groupBy": ["userId"], "pageSize": 100})
    path = f"{JOBS}/{_json(submitted)['jobId']}"
    assert submitted.status == 202
    assert [_json(call("GET", path))["state"] for _ in range(2)] == ["QUEUED", "FULFILLED"]
    first = _json(call("GET", f"{path}/results"))
    second = call("GET", f"{path}/results?{urlencode({'cursor': first['cursor']})}")
    assert (second.status, len(first["results"])) == (200, 2)
    assert call("GET", f"{path}/results?pageSize=100").status == 400
    gone = call("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert {
        call("GET", path).status,
        call("GET", f"{path}/results").status,
        call("DELETE", path).status,
    } == {404}


ENTITIES = {
    "select": [{"name": "handledCount", "type": "count"}],
    "groupBy": ["user"],
    "where": {
        "predicates": [
            {"type": "date", "path": "conversation.startTime", "operator": operator, "value": value}
            for operator, value in (
                ("gte", "2023-10-02T00:00:00.000Z"),
                ("lt", "2023-10-03T00:00:00.000Z"),
            )
        ]
    },
}


def test_one_path_speaks_both_contracts() -> None:
    call = _caller()
    entities, results = (
        _json(_post(call, AGGREGATES, ENTITIES)),
        _json(_post(call, AGGREGATES, QUERY | {"groupBy": ["userId"]})),
    )
    counts = [entity["metrics"]["handledCount"]["count"] for entity in entities["entities"]]
    reported = [
        m["stats"]["count"]
        for c in results["results"]
        for entry in c["data"]
        for m in entry["metrics"]
    ]
    assert sum(counts) == sum(reported) > 0
    assert _post(call, AGGREGATES, QUERY | {"select": []}).status == 400


USERS = QUERY | {"groupBy": ["userId"], "metrics": ["tAgentRoutingStatus"]}


def test_user_aggregates_get_results_within_limits() -> None:
    assert _json(_post(_caller(), USER_AGGREGATES, USERS))["results"]
    assert (
        _post(
            _caller(half_hours_only=True), USER_AGGREGATES, USERS | {"granularity": "PT15M"}
        ).status
        == 400
    )
    assert (
        _json(_post(_caller(max_rows=1), USER_AGGREGATES, USERS))["code"]
        == "response.entity.too.large"
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "permission"),
    [
        ("POST", JOBS, QUERY, "analytics:conversationAggregate:view"),
        ("GET", f"{JOBS}/a", None, "analytics:conversationAggregate:view"),
        ("GET", f"{JOBS}/a/results", None, "analytics:conversationAggregate:view"),
        ("DELETE", f"{JOBS}/a", None, "analytics:conversationAggregate:view"),
        ("POST", AGGREGATES, ENTITIES, "analytics:conversationAggregate:view"),
        ("POST", USER_AGGREGATES, USERS, "analytics:userAggregate:view"),
        ("GET", "/api/v2/teams", None, "groups:team:view"),
        ("GET", "/api/v2/teams/a/members", None, "groups:team:view"),
        ("GET", "/api/v2/routing/queues", None, "routing:queue:view"),
        ("GET", "/api/v2/routing/queues/a", None, "routing:queue:view"),
    ],
)
def test_each_call_needs_its_permission(
    method: str, path: str, body: object, permission: str
) -> None:
    allowed, denied = (
        _caller(denied=given)(method, path, body=b"" if body is None else json.dumps(body).encode())
        for given in ((), (permission,))
    )
    assert allowed.status != 403
    assert (denied.status, _json(denied)["code"], _json(denied)["messageParams"]) == (
        403,
        "missing.permissions",
        {"permissions": permission},
    )


def test_the_members_of_a_queue_need_any_one_of_four_permissions() -> None:
    path = f"/api/v2/routing/queues/{WORLD.queues[0].id}/members"
    four = (
        "routing:queue:view",
        "routing:queue:edit",
        "routing:queue:readonly",
        "routing:queueMember:manage",
    )
    assert _caller(denied=four[:3])("GET", path).status == 200
    refused = _json(_caller(denied=four)("GET", path))
    assert (refused["status"], refused["code"], refused["messageParams"]) == (
        403,
        "missing.any.permissions",
        {"permissions": ", ".join(four)},
    )


def test_some_calls_need_no_permission() -> None:
    call = _caller(denied=("routing:queue:view", "groups:team:view"))
    for path in ("users", "groups", "authorization/divisions", "tokens/me"):
        assert call("GET", f"/api/v2/{path}").status == 200


def test_hidden_divisions_make_smaller_numbers_with_status_200_in_every_contract() -> None:
    def reported(*divisions: str) -> list[float]:
        call = Caller(Cloud(World(30), Options(divisions=divisions)))
        responses = [
            _post(call, path, body)
            for path, body in (
                (AGGREGATES, QUERY),
                (AGGREGATES, ENTITIES),
                (USER_AGGREGATES, USERS),
            )
        ]
        assert {response.status for response in responses} == {200}
        conversations, entities, users = map(_json, responses)
        return [
            _sum(conversations, "count"),
            sum(
                entity["metrics"].get("handledCount", {}).get("count", 0)
                for entity in entities["entities"]
            ),
            _sum(users, "sum"),
        ]

    home, other, both = reported("Home"), reported("Nordics & Baltics"), reported()
    assert all(home)
    assert all(other)
    assert [one + two for one, two in zip(home, other, strict=True)] == both


def _sum(response: Any, stat: str) -> float:
    return sum(
        m["stats"][stat]
        for c in response["results"]
        for entry in c["data"]
        for m in entry["metrics"]
    )


def test_options_with_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no division 'Mars'; it has Home"):
        Cloud(WORLD, Options(divisions=("Mars",)))
    with pytest.raises(ValueError, match="no queue 'Mars'"):
        Cloud(WORLD, Options(deleted_queues=("Mars",)))


@pytest.mark.parametrize(
    ("most", "status"), [(len(WORLD.people) * 24 - 1, 504), (len(WORLD.people) * 24, 200)]
)
def test_a_query_about_too_many_users_and_buckets_times_out(most: int, status: int) -> None:
    """A query without a filter is about all users."""
    call = _caller(slow_above=most)
    day = {"interval": "2023-10-02T00:00:00.000Z/2023-10-03T00:00:00.000Z", "granularity": "PT1H"}
    assert _post(call, AGGREGATES, QUERY | day).status == status
    assert _post(call, USER_AGGREGATES, USERS | day).status == status
    dates = [
        {
            "type": "date",
            "path": "conversation.startTime",
            "operator": operator,
            "value": f"2023-10-0{day}T00:00:00.000Z",
        }
        for operator, day in (("gte", 2), ("lt", 3))
    ]
    select = [{"name": "talkTime", "type": "sum"}]
    entities = {
        "select": select,
        "groupBy": ["user"],
        "where": {"predicates": dates},
        "interval": "PT1H",
    }
    assert _post(call, AGGREGATES, entities).status == status
    one = {
        "filter": {
            "type": "or",
            "predicates": [{"dimension": "userId", "value": WORLD.people[0].id}],
        }
    }
    assert _post(call, AGGREGATES, QUERY | day | one).status == 200


def test_a_token_endpoint_may_report_a_wrong_life_of_a_token() -> None:
    assert (
        _json(_fetch(Cloud(WORLD, Options(token_life=2, token_life_reported=86_400))))["expires_in"]
        == 86_400
    )


def test_each_client_has_its_own_tokens_and_limits_and_can_be_deactivated() -> None:
    cloud = Cloud(WORLD, Options(clients=2, tokens_per_minute=1, requests_per_minute=1))
    (one, two), secrets = zip(*credentials(2), strict=True)
    assert one != two
    tokens = []
    for client_id, secret in zip((one, two), secrets, strict=True):
        asked = Request(
            method="POST",
            path="/oauth/token",
            headers=_basic(client_id, secret),
            body=b"grant_type=client_credentials",
        )
        tokens.append(json.loads(cloud.respond(asked, 0.0).body)["access_token"])
        assert cloud.respond(asked, 0.0).status == 400, "one token a minute for each"
    asks = [
        Request(
            method="GET", path="/api/v2/tokens/me", headers={"authorization": f"Bearer {token}"}
        )
        for token in tokens
    ]
    assert [json.loads(cloud.respond(ask, 0.0).body)["OAuthClient"]["id"] for ask in asks] == [
        one,
        two,
    ]
    assert [cloud.respond(ask, 0.0).status for ask in asks] == [429, 429]
    cloud.tokens.deactivate(one)
    assert [cloud.respond(ask, 61.0).status for ask in asks] == [401, 200]
    again = Request(
        method="POST",
        path="/oauth/token",
        headers=_basic(one, secrets[0]),
        body=b"grant_type=client_credentials",
    )
    assert json.loads(cloud.respond(again, 120.0).body)["error"] == "invalid_client"
    crossed = Request(
        method="POST",
        path="/oauth/token",
        headers=_basic(two, secrets[0]),
        body=b"grant_type=client_credentials",
    )
    assert cloud.respond(crossed, 120.0).status == 401
