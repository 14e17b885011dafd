"""User aggregates: their form, and their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from asyncreport.core.timeline import DAY, HOUR, MINUTE, iso, parse_iso
from asyncreport.emulator.messages import ApiError
from asyncreport.emulator.user_aggregates import count_statuses, parse_user_query, write_statuses
from asyncreport.emulator.world import Span, World

MONDAY = parse_iso("2023-10-02T00:00Z")
WORLD = World(12)
INTERVAL = f"{iso(MONDAY)}/{iso(MONDAY + 3 * DAY)}"


class Fixed(World):
    """A world with exactly the given statuses."""

    def __init__(self, *spans: Span) -> None:
        super().__init__(2)
        self._given = spans

    def statuses(self, *_: object) -> Any:
        return iter(self._given)


def _is(user: str) -> dict[str, Any]:
    return {"type": "dimension", "dimension": "userId", "operator": "matches", "value": user}


def _query(**given: Any) -> dict[str, Any]:
    return {
        "interval": INTERVAL,
        "granularity": "PT30M",
        "groupBy": ["userId"],
        "metrics": ["tAgentRoutingStatus"],
        **given,
    }


def _ask(
    world: World = WORLD, divisions: frozenset[str] | None = None, **given: Any
) -> dict[str, Any]:
    query = parse_user_query(_query(**given))
    return write_statuses(query, world, count_statuses(query, world, divisions))


def _refusal(**given: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse_user_query(_query(**given))
    return caught.value


def _read(response: dict[str, Any]) -> Counter[tuple[str, str, str, str]]:
    """Add up a response as a client must: user, bucket, metric, qualifier."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for container in response.get("results", []):
        for entry in container["data"]:
            for metric in entry["metrics"]:
                key = (
                    container["group"].get("userId", ""),
                    entry["interval"].split("/")[0],
                    metric["metric"],
                    metric["qualifier"],
                )
                found[key] += int(metric["stats"]["sum"])
    return found


def _count(
    spans: Iterable[Span], start: int, step: int, metric: str = "tAgentRoutingStatus"
) -> Counter[tuple[str, str, str, str]]:
    """Cut spans at the edges of buckets without the emulator's code."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for span in spans:
        at = span.start
        while at < span.end:
            until = min(span.end, start + ((at - start) // step + 1) * step)
            bucket = iso(start + (at - start) // step * step)
            found[span.user_id, bucket, metric, span.status] += until - at
            at = until
    return found


def test_a_response_has_exactly_the_vendors_form() -> None:
    ada = World(2).people[0].id
    world = Fixed(
        Span(ada, "IDLE", MONDAY + 10 * MINUTE, MONDAY + 20 * MINUTE),
        Span(ada, "INTERACTING", MONDAY + 20 * MINUTE, MONDAY + HOUR),
    )
    response = _ask(world, interval=f"{iso(MONDAY)}/{iso(MONDAY + HOUR)}")
    assert set(response) == {"systemToOrganizationMappings", "results"}
    first, second = (
        "2023-10-02T00:00:00.000Z/2023-10-02T00:30:00.000Z",
        "2023-10-02T00:30:00.000Z/2023-10-02T01:00:00.000Z",
    )
    assert response["results"] == [
        {
            "group": {"userId": ada},
            "data": [
                {
                    "interval": first,
                    "metrics": [
                        {
                            "metric": "tAgentRoutingStatus",
                            "qualifier": "IDLE",
                            "stats": {"sum": 600_000.0},
                        },
                        {
                            "metric": "tAgentRoutingStatus",
                            "qualifier": "INTERACTING",
                            "stats": {"sum": 600_000.0},
                        },
                    ],
                },
                {
                    "interval": second,
                    "metrics": [
                        {
                            "metric": "tAgentRoutingStatus",
                            "qualifier": "INTERACTING",
                            "stats": {"sum": 1_800_000.0},
                        }
                    ],
                },
            ],
        }
    ]


@pytest.mark.parametrize(
    ("granularity", "step"),
    [("PT15M", 15 * MINUTE), ("PT30M", 30 * MINUTE), ("PT1H", HOUR), ("P1D", DAY)],
)
def test_a_response_adds_up_to_the_statuses_and_no_bucket_overflows(
    granularity: str, step: int
) -> None:
    found = _read(_ask(granularity=granularity))
    assert found == _count(WORLD.statuses(MONDAY, MONDAY + 3 * DAY), MONDAY, step)
    buckets: Counter[tuple[str, str]] = Counter()
    for (user, bucket, _, _), ms in found.items():
        buckets[user, bucket] += ms
    assert max(buckets.values()) == step or step == DAY
    assert max(buckets.values()) <= step


def test_a_filter_on_users_limits_the_numbers() -> None:
    users = [person.id for person in WORLD.people[:3]]
    filter_ = {"type": "or", "predicates": [_is(user) for user in users]}
    found = _read(_ask(filter=filter_))
    assert found == _count(WORLD.statuses(MONDAY, MONDAY + 3 * DAY, users), MONDAY, 30 * MINUTE)
    nested = {"type": "and", "clauses": [filter_]}
    assert _read(_ask(filter=nested)) == found


def test_some_groups_are_split_and_a_client_must_add_them_up() -> None:
    containers = _ask()["results"]
    assert len(containers) > len({container["group"]["userId"] for container in containers})


def test_hidden_divisions_make_numbers_smaller() -> None:
    parts = [_read(_ask(divisions=frozenset((division.id,)))) for division in WORLD.divisions]
    assert all(parts)
    assert parts[0] + parts[1] == _read(_ask())


def test_a_query_has_at_most_a_hundred_users() -> None:
    users = [_is(f"user {n}") for n in range(101)]
    parse_user_query(_query(filter={"type": "or", "predicates": users[:100]}))
    refused = _refusal(filter={"type": "and", "clauses": [{"type": "or", "predicates": users}]})
    assert (refused.status, refused.message) == (
        400,
        "At most 100 predicates on userId are allowed",
    )


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"metrics": ["tHandle"]}, "tHandle"),
        ({"metrics": []}, "metrics"),
        ({"groupBy": ["queueId"]}, "queueId"),
        ({"groupBy": ["mediaType"]}, "mediaType"),
        (
            {
                "filter": {
                    "type": "and",
                    "predicates": [{"dimension": "mediaType", "value": "voice"}],
                }
            },
            "mediaType",
        ),
        ({"interval": None}, "interval"),
        ({"granularity": "1h"}, "1h"),
        ({"queryType": "groupBy"}, "queryType"),
        ({"views": []}, "views"),
        ({"pageSize": 100}, "pageSize"),
    ],
)
def test_an_unsupported_user_query_is_a_400_that_names_the_mistake(
    given: dict[str, Any], named: str
) -> None:
    refused = _refusal(**given)
    assert (refused.status, refused.code) == (400, "bad.request")
    assert named in refused.message


def test_an_option_refuses_less_than_half_an_hour() -> None:
    for granularity in ("PT30M", "PT1H", "P1D", None):
        parse_user_query(_query(granularity=granularity), half_hours_only=True)
    with pytest.raises(ApiError, match="PT15M"):
        parse_user_query(_query(granularity="PT15M"), half_hours_only=True)
