"""The entities contract: its form, its numbers and its pages."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from asyncreport.core.timeline import DAY, HOUR, iso, parse_iso
from asyncreport.emulator.directory import Directory
from asyncreport.emulator.entities import Entities, is_entities
from asyncreport.emulator.messages import ApiError
from asyncreport.emulator.options import Options
from asyncreport.emulator.view import View
from asyncreport.emulator.world import World

MONDAY = parse_iso("2023-10-02T00:00Z")
WORLD = World(20)
SELECT = [
    {"name": "handledCount", "type": "count"},
    {"name": "wrapUpTime", "type": "sum"},
    {"name": "talkTime", "type": "sum"},
]
USER = next(
    person for person in WORLD.people if any(WORLD.emissions(MONDAY, MONDAY + DAY, [person.id]))
)


def _dates(
    start: object = iso(MONDAY), end: object = iso(MONDAY + 2 * DAY)
) -> list[dict[str, Any]]:
    return [
        {"type": "date", "path": "conversation.startTime", "operator": operator, "value": value}
        for operator, value in (("gte", start), ("lt", end))
    ]


def _users(*ids: str) -> dict[str, Any]:
    return {"type": "in", "path": "conversation.user.id", "value": list(ids)}


def _body(*predicates: dict[str, Any], **given: Any) -> dict[str, Any]:
    where = {"predicates": [*_dates(), *predicates]}
    return {"select": SELECT, "groupBy": ["user"], "where": where, "interval": "PT1H", **given}


def _gateway(
    world: World = WORLD, divisions: frozenset[str] | None = None, **options: Any
) -> Entities:
    given = Options(**options)
    return Entities(View(world=world, divisions=divisions), given, Directory(world, given))


def _rows(gateway: Entities, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Follow nextPage to the end."""
    page = gateway.respond(body)
    rows = list(page["entities"])
    while page.get("nextPage"):
        page = gateway.respond({**body, "pageToken": page["nextPage"]})
        rows += page["entities"]
    return rows


def _refusal(body: dict[str, Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        _gateway().respond(body)
    return caught.value


def _truth(
    start: int, step: int, users: set[str] | None = None, span: int = 2 * DAY
) -> dict[tuple[str, int], dict[str, dict[str, float]]]:
    """Count emissions without the emulator's code, in the form of the response."""
    names = {"tHandle": "handledCount", "tTalkComplete": "talkTime", "tAcw": "wrapUpTime"}
    sums: Counter[tuple[str, int, str]] = Counter()
    for emission in WORLD.truth(start, start + span):
        if (
            emission.metric in names
            and emission.user_id
            and (users is None or emission.user_id in users)
        ):
            bucket = start + (emission.at - start) // step * step
            sums[emission.user_id, bucket, names[emission.metric]] += (
                1 if emission.metric == "tHandle" else emission.value or 0
            )
    found: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
    for (user, bucket, name), total in sums.items():
        stat = {"count": total} if name == "handledCount" else {"sum": total / 1000}
        found.setdefault((user, bucket), {})[name] = stat
    return found


def test_a_row_has_exactly_the_form_of_the_tutorial() -> None:
    row = next(
        row
        for row in _gateway().respond(_body(_users(USER.id)))["entities"]
        if len(row["metrics"]) == 3
    )
    bucket = parse_iso(row["interval"]["startTime"])
    assert row == {
        "user": {"id": USER.id, "name": USER.name},
        "interval": {"startTime": iso(bucket)},
        "metrics": _truth(MONDAY, HOUR)[USER.id, bucket],
    }


def test_the_rows_add_up_to_the_emissions_without_absent_metrics() -> None:
    rows = _rows(_gateway(most_per_page=7), _body(interval="PT15M"))
    reported = {
        (row["user"]["id"], parse_iso(row["interval"]["startTime"])): row["metrics"] for row in rows
    }
    assert reported == _truth(MONDAY, HOUR // 4)
    assert len(reported) == len(rows)
    assert any(len(metrics) < 3 for metrics in reported.values())


def test_users_limit_the_rows_and_buckets_are_anchored_at_the_start() -> None:
    start = MONDAY + 20 * 60_000
    users = [person.id for person in WORLD.people[:3]]
    rows = _rows(
        _gateway(),
        _body(where={"predicates": [*_dates(iso(start), iso(start + DAY)), _users(*users)]}),
    )
    reported = {
        (row["user"]["id"], parse_iso(row["interval"]["startTime"])): row["metrics"] for row in rows
    }
    assert reported == _truth(start, HOUR, set(users), DAY)


def test_without_interval_there_is_one_row_for_the_whole_range() -> None:
    body = _body()
    del body["interval"]
    rows = _rows(_gateway(), body)
    assert {row["user"]["id"]: row["metrics"] for row in rows} == {
        user: m for (user, _), m in _truth(MONDAY, 2 * DAY).items()
    }
    assert not any("interval" in row for row in rows)


def test_only_selected_metrics_are_returned() -> None:
    rows = _rows(_gateway(), _body(select=[{"name": "talkTime", "type": "sum"}]))
    assert {name for row in rows for name in row["metrics"]} == {"talkTime"}


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_every_page_size_gives_the_same_rows(size: int) -> None:
    assert _rows(_gateway(most_per_page=size), _body()) == _rows(_gateway(), _body())


def test_an_empty_page_is_not_the_end() -> None:
    gateway, body = _gateway(most_per_page=50, empty_pages=True), _body()
    assert _rows(gateway, body) == _rows(_gateway(), body)
    page = gateway.respond(body)
    while page["entities"]:
        page = gateway.respond({**body, "pageToken": page["nextPage"]})
    assert page["nextPage"]


def test_a_page_token_may_lead_to_itself_forever() -> None:
    gateway = _gateway(most_per_page=5, repeat_cursor=True)
    token = gateway.respond(_body())["nextPage"]
    assert [gateway.respond(_body(pageToken=token))["nextPage"] for _ in range(3)] == [token] * 3


def test_a_page_token_belongs_to_its_query() -> None:
    gateway = _gateway(most_per_page=5)
    token = gateway.respond(_body())["nextPage"]
    for body in (
        _body(_users(USER.id), pageToken=token),
        _body(pageToken="next"),
        _body(pageToken=token + "A"),
    ):
        with pytest.raises(ApiError, match="pageToken"):
            gateway.respond(body)


def test_a_range_without_work_has_no_rows_and_no_next_page() -> None:
    nothing = _body(
        where={"predicates": _dates("2199-01-01T00:00:00.000Z", "2199-01-02T00:00:00.000Z")}
    )
    assert _gateway().respond(nothing) == {"entities": []}


def test_a_user_unknown_to_the_directory_has_no_name() -> None:
    world = World(20)
    deleted = next(person for person in world.people if person.state == "deleted")
    assert deleted.left is not None
    dates = _dates(iso((deleted.left - 20) * DAY), iso(deleted.left * DAY))
    body = _body(where={"predicates": [*dates, _users(deleted.id)]})
    for purged, name in ((False, deleted.name), (True, None)):
        rows = _gateway(world, purged=purged).respond(body)["entities"]
        assert {row["user"]["name"] for row in rows} == {name}


def test_hidden_divisions_make_numbers_smaller() -> None:
    def handled(divisions: frozenset[str] | None) -> int:
        rows = _rows(_gateway(divisions=divisions), _body())
        return sum(row["metrics"].get("handledCount", {}).get("count", 0) for row in rows)

    parts = [handled(frozenset((division.id,))) for division in WORLD.divisions]
    assert all(parts)
    assert sum(parts) == handled(None)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"select": None}, "select"),
        ({"select": []}, "select"),
        ({"select": "handledCount"}, "select"),
        ({"select": ["handledCount"]}, "select"),
        ({"select": [{"name": "holdTime", "type": "sum"}]}, "holdTime"),
        ({"select": [{"name": "talkTime", "type": "average"}]}, "average"),
        ({"groupBy": None}, "groupBy"),
        ({"groupBy": []}, "groupBy"),
        ({"groupBy": ["queue"]}, "queue"),
        ({"interval": "1h"}, "[1h] of interval"),
        ({"where": None}, "where"),
        ({"where": {"predicates": []}}, "where"),
        ({"where": {"predicates": _dates()[:1]}}, "lt"),
        ({"where": {"predicates": _dates("2023-10-01", "2023-10-02")}}, "2023-10-01 to 2023-10-02"),
        ({"where": {"predicates": _dates("yesterday")}}, "conversation.startTime"),
        ({"where": {"predicates": _dates(iso(MONDAY), iso(MONDAY))}}, "conversation.startTime"),
        ({"where": {"predicates": [*_dates(), {**_users("ada"), "value": "ada"}]}}, "value"),
        ({"where": {"predicates": [*_dates(), {**_users("ada"), "path": "queue.id"}]}}, "queue.id"),
        ({"where": {"clauses": []}}, "clauses"),
        ({"metrics": ["tHandle"]}, "metrics"),
    ],
)
def test_an_invalid_query_is_a_400_that_names_the_mistake(
    given: dict[str, Any], named: str
) -> None:
    refused = _refusal(_body(**given))
    assert (refused.status, refused.code) == (400, "bad.request")
    assert named in refused.message


def test_the_contract_is_recognised_by_its_body() -> None:
    assert all(is_entities({name: None}) for name in ("select", "where", "pageToken"))
    assert not is_entities({"interval": "", "groupBy": [], "metrics": []})


def test_a_response_with_too_many_rows_is_refused() -> None:
    rows = len(_rows(_gateway(), _body()))
    assert len(_rows(_gateway(max_rows=rows), _body())) == rows
    with pytest.raises(ApiError) as caught:
        _gateway(max_rows=rows - 1).respond(_body())
    assert caught.value.code == "response.entity.too.large"
