"""The response to a conversation aggregates query: its form, and its numbers."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from asyncreport.core.timeline import DAY, HOUR, MINUTE, iso, parse_iso
from asyncreport.emulator.aggregates import count, write
from asyncreport.emulator.containers import refuse_large
from asyncreport.emulator.messages import ApiError
from asyncreport.emulator.query import parse_query
from asyncreport.emulator.sessions import Session
from asyncreport.emulator.world import Emission, World

MONDAY = parse_iso("2023-10-02T00:00Z")
WORLD = World(12)
METRICS = ["tHandle", "tTalkComplete", "tHeldComplete", "tAcw", "nOffered"]
FIELDS = {
    "userId": "user_id",
    "queueId": "queue_id",
    "mediaType": "media_type",
    "direction": "direction",
    "divisionId": "division_id",
}

#: (group, bucket start, metric) -> [count, sum, min, max]
Totals = dict[tuple[tuple[tuple[str, str], ...], str, str], list[int]]


class Fixed(World):
    """A world with exactly the given sessions."""

    def __init__(self, *sessions: Session) -> None:
        super().__init__(1)
        self._given = sessions

    def sessions(self, *_: object) -> Any:
        return iter(self._given)


def _ask(
    world: World,
    start: int,
    end: int,
    *,
    max_rows: int = 0,
    **given: Any,
) -> dict[str, Any]:
    body = {"interval": f"{iso(start)}/{iso(end)}", "metrics": METRICS, **given}
    query = parse_query(body)
    groups = count(query, world)
    refuse_large(max_rows, groups)
    return write(query, groups)


def _read(*responses: dict[str, Any]) -> Totals:
    """Add up responses as a client must."""
    totals: Totals = {}
    for response in responses:
        for container in response.get("results", []):
            group = tuple(sorted(container["group"].items()))
            for entry in container["data"]:
                for metric in entry["metrics"]:
                    stats = metric["stats"]
                    new = [
                        stats["count"],
                        int(stats.get("sum", 0)),
                        int(stats.get("min", 0)),
                        int(stats.get("max", 0)),
                    ]
                    _merge(totals, (group, entry["interval"].split("/")[0], metric["metric"]), new)
    return totals


def _merge(totals: Totals, key: tuple[Any, str, str], new: list[int]) -> None:
    old = totals.get(key)
    totals[key] = (
        new
        if old is None
        else [old[0] + new[0], old[1] + new[1], min(old[2], new[2]), max(old[3], new[3])]
    )


def _count(
    emissions: Iterable[Emission], start: int, step: int, dimensions: Iterable[str]
) -> Totals:
    """Count emissions without the emulator's code."""
    totals: Totals = {}
    for emission in emissions:
        if emission.metric in METRICS:
            values = {name: getattr(emission, FIELDS[name]) for name in dimensions}
            group = tuple(
                sorted((name, value) for name, value in values.items() if value is not None)
            )
            bucket = iso(start + (emission.at - start) // step * step)
            ms = emission.value or 0
            _merge(totals, (group, bucket, emission.metric), [1, ms, ms, ms])
    return totals


def _session(
    user: str | None, queue: str | None, *events: tuple[int, str, int | None], media: str = "voice"
) -> Session:
    return Session(
        conversation_id="c",
        user_id=user,
        queue_id=queue,
        media_type=media,
        direction="inbound",
        division_id="d",
        events=tuple(events),
    )


def test_a_response_has_exactly_the_vendors_form() -> None:
    world = Fixed(
        _session(
            "ada",
            "q1",
            (MONDAY + 5, "tHandle", 412_001),
            (MONDAY + 5, "tTalkComplete", 300_000),
            (MONDAY, "nOffered", None),
        ),
        _session(
            "ada", "q1", (MONDAY + HOUR - 1, "tHandle", 95_500), (MONDAY + HOUR, "tHandle", 7)
        ),
        _session(
            None,
            "q1",
            (MONDAY + HOUR, "nOffered", None),
            (MONDAY + HOUR + 9, "tAbandon", 9),
            media="chat",
        ),
        _session("ada", None, (MONDAY + 2 * HOUR, "tHandle", 8), (MONDAY - 1, "tHandle", 9)),
    )
    response = _ask(
        world,
        MONDAY,
        MONDAY + 2 * HOUR,
        granularity="PT1H",
        groupBy=["queueId", "userId"],
    )
    first, second = (
        "2023-10-02T00:00:00.000Z/2023-10-02T01:00:00.000Z",
        "2023-10-02T01:00:00.000Z/2023-10-02T02:00:00.000Z",
    )
    assert sorted(response["results"], key=lambda container: len(container["group"])) == [
        {
            "group": {"mediaType": "chat", "queueId": "q1"},
            "data": [
                {"interval": second, "metrics": [{"metric": "nOffered", "stats": {"count": 1}}]}
            ],
        },
        {
            "group": {"mediaType": "voice", "queueId": "q1", "userId": "ada"},
            "data": [
                {
                    "interval": first,
                    "metrics": [
                        {
                            "metric": "tHandle",
                            "stats": {"max": 412001.0, "min": 95500.0, "count": 2, "sum": 507501.0},
                        },
                        {
                            "metric": "tTalkComplete",
                            "stats": {
                                "max": 300000.0,
                                "min": 300000.0,
                                "count": 1,
                                "sum": 300000.0,
                            },
                        },
                        {"metric": "nOffered", "stats": {"count": 1}},
                    ],
                },
                {
                    "interval": second,
                    "metrics": [
                        {
                            "metric": "tHandle",
                            "stats": {"max": 7.0, "min": 7.0, "count": 1, "sum": 7.0},
                        }
                    ],
                },
            ],
        },
    ]
    assert type(response["results"][0]["data"][0]["metrics"][0]["stats"].get("sum", 1.0)) is float


def test_an_empty_result_comes_in_both_forms() -> None:
    world = Fixed()
    assert _ask(world, MONDAY, MONDAY + DAY) in ({}, {"results": []})
    assert _ask(world, MONDAY, MONDAY + DAY) != _ask(world, MONDAY + DAY, MONDAY + 2 * DAY)


@pytest.mark.parametrize(
    "dimensions", [["userId"], ["userId", "queueId"], ["queueId", "direction", "divisionId"], []]
)
@pytest.mark.parametrize(
    ("granularity", "step"),
    [("PT15M", 15 * MINUTE), ("PT30M", 30 * MINUTE), ("PT1H", HOUR), ("P1D", DAY)],
)
def test_a_response_adds_up_to_the_emissions(
    dimensions: list[str], granularity: str, step: int
) -> None:
    response = _ask(WORLD, MONDAY, MONDAY + 3 * DAY, granularity=granularity, groupBy=dimensions)
    truth = WORLD.truth(MONDAY, MONDAY + 3 * DAY)
    assert _read(response) == _count(truth, MONDAY, step, [*dimensions, "mediaType"])


def test_queries_by_day_or_by_user_add_up_to_one_query() -> None:
    given: dict[str, Any] = {"granularity": "PT30M", "groupBy": ["userId"]}
    users = {
        "type": "or",
        "predicates": [{"dimension": "userId", "value": person.id} for person in WORLD.people],
    }
    whole = _read(_ask(WORLD, MONDAY, MONDAY + 4 * DAY, filter=users, **given))
    days = [
        _ask(WORLD, MONDAY + n * DAY, MONDAY + (n + 1) * DAY, filter=users, **given)
        for n in range(4)
    ]
    one = [
        {"type": "or", "predicates": [{"dimension": "userId", "value": person.id}]}
        for person in WORLD.people
    ]
    singly = [_ask(WORLD, MONDAY, MONDAY + 4 * DAY, filter=filter_, **given) for filter_ in one]
    assert _read(*days) == whole
    assert _read(*singly) == whole


def test_a_local_day_of_25_hours_contains_25_hours() -> None:
    start, end = parse_iso("2023-10-28T23:00Z"), parse_iso("2023-10-30T00:00Z")
    response = _ask(WORLD, start, end, granularity="P1D", timeZone="Europe/Dublin")
    assert _read(response) == _count(WORLD.truth(start, end), start, 25 * HOUR, ["mediaType"])


def test_filters_change_the_numbers_and_not_only_the_groups() -> None:
    filter_ = {
        "type": "and",
        "predicates": [
            {"dimension": "mediaType", "value": "voice"},
            {"dimension": "direction", "value": "outbound"},
        ],
    }
    response = _ask(WORLD, MONDAY, MONDAY + DAY, filter=filter_)
    kept = [
        e
        for e in WORLD.truth(MONDAY, MONDAY + DAY)
        if (e.media_type, e.direction) == ("voice", "outbound")
    ]
    assert kept
    assert _read(response) == _count(kept, MONDAY, DAY, ["mediaType"])


def test_a_filter_for_two_users_with_and_matches_nothing() -> None:
    filter_ = {
        "type": "and",
        "predicates": [{"dimension": "userId", "value": person.id} for person in WORLD.people[:2]],
    }
    assert not _ask(WORLD, MONDAY, MONDAY + DAY, filter=filter_).get("results")


def test_the_order_of_groups_is_fixed_but_not_sorted() -> None:
    first, again = (_ask(World(12), MONDAY, MONDAY + DAY, groupBy=["userId"]) for _ in range(2))
    users = [container["group"].get("userId", "") for container in first["results"]]
    assert first == again
    assert users != sorted(users)


def test_some_groups_are_split_and_a_client_must_add_them_up() -> None:
    response = _ask(WORLD, MONDAY, MONDAY + 3 * DAY, granularity="PT30M", groupBy=["userId"])
    containers: dict[str, int] = defaultdict(int)
    for container in response["results"]:
        containers[json.dumps(container["group"], sort_keys=True)] += 1
    twice = [
        c for c in response["results"] if len({e["interval"] for e in c["data"]}) < len(c["data"])
    ]
    assert set(containers.values()) == {1, 2}
    assert twice


def test_an_unknown_dimension_is_absent() -> None:
    response = _ask(WORLD, MONDAY, MONDAY + DAY, groupBy=["stationId"])
    assert all(set(container["group"]) == {"mediaType"} for container in response["results"])


def test_messages_have_a_type_and_calls_have_none() -> None:
    response = _ask(WORLD, MONDAY, MONDAY + 7 * DAY, groupBy=["messageType"])
    groups = [container["group"] for container in response["results"]]
    assert all(("messageType" in group) == (group["mediaType"] == "message") for group in groups)


def test_a_response_with_too_many_rows_is_refused() -> None:
    given: dict[str, Any] = {"groupBy": ["userId"], "granularity": "PT1H"}
    found = _read(_ask(WORLD, MONDAY, MONDAY + DAY, **given))
    rows = len({(group, bucket) for group, bucket, _ in found})
    assert _ask(WORLD, MONDAY, MONDAY + DAY, max_rows=rows, **given)
    with pytest.raises(ApiError) as caught:
        _ask(WORLD, MONDAY, MONDAY + DAY, max_rows=rows - 1, **given)
    assert (caught.value.status, caught.value.code) == (400, "response.entity.too.large")
