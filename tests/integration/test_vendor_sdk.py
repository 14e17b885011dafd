"""The vendor's own SDK reads what the emulator answers: it is the nearest thing to a Genesys Cloud that can be had on loopback.

It needs an interpreter that has PureCloudPlatformClientV2 (of some 170 MB, so no dependency of ours):

    python -m venv sdk && sdk/bin/pip install PureCloudPlatformClientV2
    ASYNCREPORT_SDK_PYTHON=sdk/bin/python python -m pytest tests/integration/test_vendor_sdk.py
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from asyncreport.timeline import parse_iso
from tests.emulator_process import Handle, emulator_process

_PYTHON = os.environ.get("ASYNCREPORT_SDK_PYTHON", "")
_START, _END = "2023-10-02T00:00:00.000Z", "2023-10-03T00:00:00.000Z"
_SCRIPT = """
import json, sys
import PureCloudPlatformClientV2 as sdk
from PureCloudPlatformClientV2.rest import ApiException

url, client_id, secret, start, end = sys.argv[1:]
sdk.configuration.host = url
client = sdk.api_client.ApiClient(host=url).get_client_credentials_token(client_id, secret)
query = sdk.ConversationAggregationQuery()
query.interval, query.granularity, query.time_zone = f"{start}/{end}", "PT30M", "Europe/Dublin"
query.group_by, query.metrics = ["userId", "queueId"], ["tHandle", "tTalkComplete", "nOffered"]
users = sdk.UsersApi(client).get_users(page_size=100, state="any")
predicates = []
for user in users.entities:
    predicate = sdk.ConversationAggregateQueryPredicate()
    predicate.type, predicate.dimension, predicate.operator, predicate.value = "dimension", "userId", "matches", user.id
    predicates.append(predicate)
clause = sdk.ConversationAggregateQueryClause()
clause.type, clause.predicates = "or", predicates
query.filter = sdk.ConversationAggregateQueryFilter()
query.filter.type, query.filter.clauses = "and", [clause]
analytics = sdk.AnalyticsApi(client)
answer = analytics.post_analytics_conversations_aggregates_query(query)
handles = [
    metric.stats
    for container in answer.results
    for entry in container.data
    for metric in entry.metrics
    if metric.metric == "tHandle" and entry.interval and "mediaType" in container.group
]
query.metrics = ["tHold"]
try:
    analytics.post_analytics_conversations_aggregates_query(query)
except ApiException as error:
    refused = [error.status, json.loads(error.body)["code"]]
limits = sdk.OrganizationApi(client).get_organizations_limits_namespace("platform.api")
token = sdk.TokensApi(client).get_tokens_me()
print(json.dumps({
    "count": sum(stats.count for stats in handles),
    "sum": sum(stats.sum for stats in handles),
    "least": min(stats.min for stats in handles),
    "users": [[user.id, user.name, user.email, user.state, user.division.name] for user in users.entities],
    "total": [users.total, users.page_count, users.page_number],
    "one": sdk.UsersApi(client).get_user(users.entities[0].id).name,
    "divisions": [division.name for division in sdk.AuthorizationApi(client).get_authorization_divisions().entities],
    "limit": [limit.value for limit in limits.entities if limit.key == "client.credentials.token.rate.per.minute"],
    "client": token.o_auth_client.id,
    "refused": refused,
}))
"""

pytestmark = pytest.mark.skipif(not _PYTHON, reason="ASYNCREPORT_SDK_PYTHON names no interpreter with PureCloudPlatformClientV2")


def _read_by_sdk(emulator: Handle, home: Path) -> dict[str, Any]:
    command = [_PYTHON, "-c", _SCRIPT, emulator.url, emulator.client_id, emulator.client_secret, _START, _END]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, cwd=home, env={"HOME": str(home), "NO_PROXY": "*"})
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_vendors_sdk_reads_every_kind_of_answer(tmp_path: Path) -> None:
    with emulator_process(agents=20) as emulator:
        read = _read_by_sdk(emulator, tmp_path)
        truth = emulator.truth(parse_iso(_START), parse_iso(_END))
    handles = [emission["value"] for emission in truth if emission["metric"] == "tHandle"]
    assert [read["count"], read["sum"], read["least"]] == [len(handles), sum(handles), min(handles)]
    assert read["total"] == [20, 1, 1]
    assert {state for _, _, _, state, _ in read["users"]} == {"active", "inactive", "deleted"}
    assert read["one"] == read["users"][0][1]
    assert read["divisions"] == ["Home", "Nordics & Baltics"]
    assert read["limit"] == [300]
    assert read["client"] == emulator.client_id
    assert read["refused"] == [400, "bad.request"]
