"""User aggregates: their form by the letter, their numbers against the raw statuses."""

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


class Told(World):
    """A world whose agents were just what it is told."""

    def __init__(self, *spans: Span) -> None:
        super().__init__(2)
        self._told = spans

    def statuses(self, *_: object) -> Any:
        return iter(self._told)


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


def _read(answer: dict[str, Any]) -> Counter[tuple[str, str, str, str]]:
    """Add up an answer as a client must: user, bucket, metric, qualifier."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for container in answer.get("results", []):
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
    """Cut raw spans at the edges of buckets without any of the emulator's code."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for span in spans:
        at = span.start
        while at < span.end:
            until = min(span.end, start + ((at - start) // step + 1) * step)
            bucket = iso(start + (at - start) // step * step)
            found[span.user_id, bucket, metric, span.status] += until - at
            at = until
    return found


def test_an_answer_has_the_vendors_form_to_the_letter() -> None:
    ada = World(2).people[0].id
    world = Told(
        Span(ada, "IDLE", MONDAY + 10 * MINUTE, MONDAY + 20 * MINUTE),
        Span(ada, "INTERACTING", MONDAY + 20 * MINUTE, MONDAY + HOUR),
    )
    answer = _ask(world, interval=f"{iso(MONDAY)}/{iso(MONDAY + HOUR)}")
    assert set(answer) == {"systemToOrganizationMappings", "results"}
    first, second = (
        "2023-10-02T00:00:00.000Z/2023-10-02T00:30:00.000Z",
        "2023-10-02T00:30:00.000Z/2023-10-02T01:00:00.000Z",
    )
    assert answer["results"] == [
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
def test_an_answer_adds_up_to_the_raw_statuses_and_no_bucket_overflows(
    granularity: str, step: int
) -> None:
    found = _read(_ask(granularity=granularity))
    assert found == _count(WORLD.statuses(MONDAY, MONDAY + 3 * DAY), MONDAY, step)
    buckets: Counter[tuple[str, str]] = Counter()
    for (user, bucket, _, _), ms in found.items():
        buckets[user, bucket] += ms
    assert max(buckets.values()) == step or step == DAY
    assert max(buckets.values()) <= step


def test_users_narrow_the_numbers() -> None:
    users = [person.id for person in WORLD.people[:3]]
    filter_ = {"type": "or", "predicates": [_is(user) for user in users]}
    found = _read(_ask(filter=filter_))
    assert found == _count(WORLD.statuses(MONDAY, MONDAY + 3 * DAY, users), MONDAY, 30 * MINUTE)
    nested = {"type": "and", "clauses": [filter_]}
    assert _read(_ask(filter=nested)) == found


def test_some_groups_come_in_pieces_that_a_client_must_add_up() -> None:
    containers = _ask()["results"]
    assert len(containers) > len({container["group"]["userId"] for container in containers})


def test_hidden_divisions_make_smaller_numbers() -> None:
    parts = [_read(_ask(divisions=frozenset((division.id,)))) for division in WORLD.divisions]
    assert all(parts)
    assert parts[0] + parts[1] == _read(_ask())


def test_a_hundred_users_are_asked_for_and_no_more() -> None:
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
def test_what_user_aggregates_do_not_know_is_a_400_that_names_it(
    given: dict[str, Any], named: str
) -> None:
    refused = _refusal(**given)
    assert (refused.status, refused.code) == (400, "bad.request")
    assert named in refused.message


def test_less_than_the_half_hour_may_be_refused() -> None:
    for granularity in ("PT30M", "PT1H", "P1D", None):
        parse_user_query(_query(granularity=granularity), half_hours_only=True)
    with pytest.raises(ApiError, match="PT15M"):
        parse_user_query(_query(granularity="PT15M"), half_hours_only=True)
