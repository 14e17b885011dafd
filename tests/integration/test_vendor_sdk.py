"""The vendor's own SDK reads the responses of the emulator, as it reads those of Genesys Cloud.

It needs an interpreter with PureCloudPlatformClientV2, which is too large (170 MB) to depend on:

    python -m venv sdk && sdk/bin/pip install PureCloudPlatformClientV2
    ASYNCREPORT_SDK_PYTHON=sdk/bin/python python -m pytest tests/integration/test_vendor_sdk.py
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from asyncreport.core.timeline import parse_iso
from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process

_PYTHON = os.environ.get("ASYNCREPORT_SDK_PYTHON", "")
_START, _END = "2023-10-02T00:00:00.000Z", "2023-10-03T00:00:00.000Z"
_SCRIPT = """
import json, sys
from urllib.parse import parse_qs, urlsplit
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
    predicate.type, predicate.dimension = "dimension", "userId"
    predicate.operator, predicate.value = "matches", user.id
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
query.metrics = ["tHandle"]

# A query job, to its last page.
asked = sdk.ConversationAsyncAggregationQuery()
asked.interval, asked.granularity = query.interval, "PT30M"
asked.group_by, asked.metrics = ["userId"], ["tHandle"]
asked.filter, asked.page_size = query.filter, 7
job = analytics.post_analytics_conversations_aggregates_jobs(asked).job_id
states = []
while "FULFILLED" not in states:
    status = analytics.get_analytics_conversations_aggregates_job(job)
    states.append(status.state)
pages = [analytics.get_analytics_conversations_aggregates_job_results(job)]
while pages[-1].cursor:
    cursor = pages[-1].cursor
    pages.append(analytics.get_analytics_conversations_aggregates_job_results(job, cursor=cursor))
paged = []
for page in pages:
    for container in page.results or []:
        for entry in container.data:
            paged += [metric.stats for metric in entry.metrics]
analytics.delete_analytics_conversations_aggregates_job(job)
try:
    analytics.get_analytics_conversations_aggregates_job(job)
except ApiException as error:
    gone = error.status

# Routing statuses, of a hundred users at most.
status_query = sdk.UserAggregationQuery()
status_query.interval, status_query.granularity = query.interval, "PT30M"
status_query.group_by = ["userId"]
status_query.metrics = ["tAgentRoutingStatus"]
user_predicates = []
for user in users.entities:
    predicate = sdk.UserAggregateQueryPredicate()
    predicate.type, predicate.dimension = "dimension", "userId"
    predicate.operator, predicate.value = "matches", user.id
    user_predicates.append(predicate)
status_query.filter = sdk.UserAggregateQueryFilter()
status_query.filter.type, status_query.filter.predicates = "or", user_predicates
told = analytics.post_analytics_users_aggregates_query(status_query)
times = {}
for container in told.results:
    for entry in container.data:
        for metric in entry.metrics:
            times[metric.qualifier] = times.get(metric.qualifier, 0) + metric.stats.sum

# Groups, teams and queues and their members, each by its own paging.
def numbered(call, *ids, **given):
    found, number = [], 1
    while True:
        page = call(*ids, page_size=3, page_number=number, **given)
        found += page.entities
        number += 1
        if not page.next_uri:
            return found

def followed(call, *ids):
    page = call(*ids, page_size=2)
    found = list(page.entities)
    while page.next_uri:
        after = parse_qs(urlsplit(page.next_uri).query)["after"][0]
        page = call(*ids, page_size=2, after=after)
        found += page.entities
    return found

groups_api, teams_api = sdk.GroupsApi(client), sdk.TeamsApi(client)
routing_api = sdk.RoutingApi(client)
groups, teams = numbered(groups_api.get_groups), followed(teams_api.get_teams)
queues = numbered(routing_api.get_routing_queues)
by_name = {one.name: one.id for one in [*groups, *teams, *queues]}
in_group = numbered(groups_api.get_group_members, by_name["Everyone"])
in_team = followed(teams_api.get_team_members, by_name["Customer Care"])
in_queue = numbered(routing_api.get_routing_queue_members, by_name["Billing"])
members = {
    "Everyone": [user.name for user in in_group],
    "Customer Care": [user.id for user in in_team],
    "Billing": [member.user.name for member in in_queue],
}
authorization = sdk.AuthorizationApi(client)
divisions = authorization.get_authorization_divisions()
permitted = authorization.get_authorization_divisionspermitted_paged_me(
    "analytics:conversationAggregate:view"
)

limits = sdk.OrganizationApi(client).get_organizations_limits_namespace("platform.api")
rate = "client.credentials.token.rate.per.minute"
token = sdk.TokensApi(client).get_tokens_me()
print(json.dumps({
    "count": sum(stats.count for stats in handles),
    "sum": sum(stats.sum for stats in handles),
    "least": min(stats.min for stats in handles),
    "users": [
        [user.id, user.name, user.email, user.state, user.division.name] for user in users.entities
    ],
    "total": [users.total, users.page_count, users.page_number],
    "divisions": [division.name for division in divisions.entities],
    "limit": [limit.value for limit in limits.entities if limit.key == rate],
    "client": token.o_auth_client.id,
    "refused": refused,
    "states": states,
    "dates": [status.submission_date <= status.completion_date < status.expiration_date],
    "paged": [len(pages), sum(stats.count for stats in paged), sum(stats.sum for stats in paged)],
    "gone": gone,
    "times": times,
    "mappings": sorted(told.system_to_organization_mappings),
    "groups": [group.name for group in groups],
    "teams": [[team.name, team.member_count, team.division.name] for team in teams],
    "queues": [[queue.name, queue.division.name] for queue in queues],
    "members": members,
    "permitted": [permitted.all_divs_permitted, [division.name for division in permitted.entities]],
}))
"""

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(
        not _PYTHON, reason="ASYNCREPORT_SDK_PYTHON names no Python with PureCloudPlatformClientV2"
    ),
]


def _read_by_sdk(emulator: Handle, home: Path) -> dict[str, Any]:
    command = [
        _PYTHON,
        "-c",
        _SCRIPT,
        emulator.url,
        emulator.client_id,
        emulator.client_secret,
        _START,
        _END,
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        timeout=120,
        check=False,
        cwd=home,
        env={"HOME": str(home), "NO_PROXY": "*"},
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_vendors_sdk_reads_every_kind_of_response(tmp_path: Path) -> None:
    with emulator_process(agents=20) as emulator:
        read = _read_by_sdk(emulator, tmp_path)
        truth = emulator.truth(parse_iso(_START), parse_iso(_END))
        statuses = emulator.statuses(parse_iso(_START), parse_iso(_END))
        assert emulator.jobs() == []
    handles = [emission["value"] for emission in truth if emission["metric"] == "tHandle"]
    assert [read["count"], read["sum"], read["least"]] == [len(handles), sum(handles), min(handles)]
    assert read["total"] == [20, 1, 1]
    assert {state for _, _, _, state, _ in read["users"]} == {"active", "inactive", "deleted"}
    assert read["divisions"] == ["Home", "Nordics & Baltics"]
    assert read["limit"] == [300]
    assert read["client"] == emulator.client_id
    assert read["refused"] == [400, "bad.request"]
    assert (read["states"], read["dates"], read["gone"]) == (
        ["QUEUED", "PENDING", "FULFILLED"],
        [True],
        404,
    )
    assert read["paged"][0] > 5
    assert read["paged"][1:] == [len(handles), sum(handles)]
    times: Counter[str] = Counter()
    for span in statuses:
        times[span["status"]] += span["end"] - span["start"]
    assert read["times"] == times
    assert "ON_QUEUE" in read["mappings"]
    _check_directory(read, World(20))


def _check_directory(read: dict[str, Any], world: World) -> None:
    shown = [person for person in world.people if person.state != "deleted"]
    assert read["groups"] == sorted(read["groups"])
    assert read["groups"].count("Quality Circle") == 2
    assert ["Billing East", 3, "Home"] in read["teams"]
    assert ["Rückgabe & Umtausch", "Nordics & Baltics"] in read["queues"]
    assert read["members"] == {
        "Everyone": [person.name for person in shown],
        "Customer Care": [person.id for person in world.people[::2]],
        "Billing": [person.name for person in shown if world.queues[0] in person.queues],
    }
    assert read["permitted"] == [True, ["Home", "Nordics & Baltics"]]
