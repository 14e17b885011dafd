"""The emulator's texts and fields are those of the vendor's models and documentation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asyncreport.emulator.analytics import AGGREGATES, USER_AGGREGATES
from asyncreport.emulator.cloud import Cloud
from asyncreport.emulator.faults import Fault, change_response
from asyncreport.emulator.messages import Response
from asyncreport.emulator.options import Options
from asyncreport.emulator.vocabulary import GROUP_BY, METRICS, PREDICATES
from asyncreport.emulator.world import World
from tests.unit.emulator.test_cloud import Caller

WORLD = World(5)
#: noon of 2 October 2023, in seconds since 1970
NOON = 1_696_248_000


def call(method: str, path: str, *, body: object = None, **options: Any) -> tuple[int, Any]:
    caller = Caller(Cloud(WORLD, Options(**options)))
    text = b"" if body is None else json.dumps(body).encode()
    response = caller(method, path, body=text)
    return response.status, json.loads(response.body)


def test_divisions_have_a_description() -> None:
    _, page = call("GET", "/api/v2/authorization/divisions")
    assert all(entity["description"] for entity in page["entities"])


def test_groups_say_whether_their_rules_are_visible() -> None:
    _, page = call("GET", "/api/v2/groups")
    assert {entity["rulesVisible"] for entity in page["entities"]} == {True}


def test_a_request_about_me_needs_a_user() -> None:
    status, error = call("GET", "/api/v2/users/me")
    assert (status, error["code"]) == (400, "bad.request")
    assert error["message"].startswith("This request requires a user context.")


def test_one_of_several_missing_permissions_has_a_text_of_its_own() -> None:
    denied = (
        "routing:queue:view",
        "routing:queue:edit",
        "routing:queue:readonly",
        "routing:queueMember:manage",
    )
    status, error = call("GET", "/api/v2/routing/queues/x/members", denied=denied)
    assert (status, error["code"]) == (403, "missing.any.permissions")
    assert error["message"] == (
        "Unable to perform the requested action. You must have at least one of the following "
        f"permissions assigned: {', '.join(denied)}"
    )


def test_a_response_that_is_too_large_has_the_vendors_text() -> None:
    interval = "2023-10-02T00:00:00.000Z/2023-10-03T00:00:00.000Z"
    body = {"interval": interval, "metrics": ["tHandle"], "groupBy": ["userId"]}
    status, error = call("POST", AGGREGATES, body=body, max_rows=1)
    assert (status, error["code"]) == (400, "response.entity.too.large")
    assert error["message"] == (
        "The response is over the size limit. Reduce pageSize or expand list to reduce response "
        "size if applicable"
    )


def test_malformed_json_is_a_bad_request_that_names_nothing() -> None:
    response = Caller(Cloud(WORLD))("POST", AGGREGATES, body=b"{")
    error = json.loads(response.body)
    assert (response.status, error["code"]) == (400, "bad.request")
    assert error["message"].endswith("due to malformed syntax.")


def test_metrics_and_dimensions_of_2026_are_complete() -> None:
    assert (len(METRICS), len(GROUP_BY), len(PREDICATES)) == (82, 83, 84)
    assert {"nAgentDeclined", "nAlertExpired"} <= METRICS


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad.request"),
        (409, "conflict"),
        (413, "request.entity.too.large"),
        (415, "unsupported.media.type"),
        (422, "bad.request"),
        (500, "internal.server.error"),
        (504, "request.timeout"),
    ],
)
def test_a_fault_carries_the_code_of_its_status(status: int, code: str) -> None:
    changed = change_response(Fault(status=status), Response())
    assert json.loads(changed.body)["code"] == code


@pytest.mark.parametrize("seconds", [0, 90])
def test_nothing_is_reported_after_now(seconds: int) -> None:
    """At noon, a whole day of 2 October shows what happened before noon, and no more."""
    interval = "2023-10-02T00:00:00.000Z/2023-10-03T00:00:00.000Z"
    query = {"interval": interval, "granularity": "PT1H", "metrics": ["tHandle"]}
    body = json.dumps(query).encode()
    whole = Caller(Cloud(WORLD))("POST", AGGREGATES, body=body)
    at_noon = Caller(Cloud(WORLD, epoch=NOON))("POST", AGGREGATES, body=body, now=float(seconds))

    def buckets(response: Response) -> dict[str, list[str]]:
        return {
            str(each["group"]): [entry["interval"][11:13] for entry in each["data"]]
            for each in json.loads(response.body)["results"]
        }

    assert any(hour >= "12" for hours in buckets(whole).values() for hour in hours)
    shown = buckets(at_noon)
    assert shown
    assert all(hour <= "12" for hours in shown.values() for hour in hours)


def test_no_status_lasts_beyond_now() -> None:
    interval = "2023-10-02T00:00:00.000Z/2023-10-03T00:00:00.000Z"
    metrics = ["tAgentRoutingStatus"]
    body = json.dumps({"interval": interval, "groupBy": ["userId"], "metrics": metrics}).encode()
    caller = Caller(Cloud(WORLD, epoch=NOON))
    response = json.loads(caller("POST", USER_AGGREGATES, body=body, now=0.0).body)
    sums = [
        sum(metric["stats"]["sum"] for entry in each["data"] for metric in entry["metrics"])
        for each in response["results"]
    ]
    assert sums
    assert max(sums) <= 12 * 3_600_000
