"""`list` against an emulator: all entries of each kind, search, missing permissions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asyncreport.api.listings import decode_page
from asyncreport.commands.list import describe
from asyncreport.commands.name_search import folded
from asyncreport.emulator import Emulator, Options, World, running
from asyncreport.emulator.labels import SKILLS, WRAP_UPS
from asyncreport.emulator.rosters import Rosters
from tests.exporting import Call, call

WORLD = World(agents=640, seed=3)


def listed(server: Emulator, *arguments: str, cwd: Path) -> Call:
    client = {
        "GENESYS_CLIENT_ID": server.client_id,
        "GENESYS_CLIENT_SECRET": server.client_secret,
    }
    return call("list", *arguments, "--api-url", server.url, cwd=cwd, **client)


@pytest.mark.parametrize("command", [("list", "teams"), ("query", "--user", "u")])
def test_no_secret_is_sent_to_a_region_that_nobody_named(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    days = ("--start", "2024-01-01", "--end", "2024-01-02") if command[0] == "query" else ()
    refused = call(
        *command, *days, cwd=tmp_path, GENESYS_CLIENT_ID="id", GENESYS_CLIENT_SECRET="secret"
    )
    assert refused.code == 2
    assert refused.err.startswith("error: GENESYS_ENV is not set: write the region of ")
    assert "--job" in refused.err


def expected(kind: str) -> set[str]:
    rosters = Rosters(WORLD)
    return {
        "users": {person.id for person in WORLD.people if person.state != "deleted"},
        "teams": {roster.id for roster in rosters.of("team")},
        "groups": {roster.id for roster in rosters.of("group")},
        "queues": {roster.id for roster in rosters.of("queue")},
        "divisions": {division.id for division in WORLD.divisions},
        "skills": {label.id for label in SKILLS},
        "wrap-up-codes": {label.id for label in WRAP_UPS},
    }[kind]


KINDS = ["users", "teams", "groups", "queues", "divisions", "skills", "wrap-up-codes"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_of_a_kind_is_listed_over_all_pages(tmp_path: Path, kind: str) -> None:
    with running(
        WORLD, Options(requests_per_minute=0, most_per_page=2 if kind != "users" else 0)
    ) as server:
        result = listed(server, kind, cwd=tmp_path)
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert {row["id"] for row in rows} == expected(kind)
    names = [folded(row["name"]) for row in rows]
    assert names == sorted(names)


def test_a_listing_says_what_else_the_server_knows(tmp_path: Path) -> None:
    rosters = Rosters(WORLD)
    people = {person.id: person for person in WORLD.people}
    with running(WORLD, Options(requests_per_minute=0)) as server:
        for row in rows(listed(server, "users", cwd=tmp_path)):
            person = people[row["id"]]
            assert row == {
                "id": person.id,
                "name": person.name,
                "email": person.email,
                "state": person.state,
                "division": person.division.name,
                "division_id": person.division.id,
            }
        for kind, singular in (("teams", "team"), ("groups", "group"), ("queues", "queue")):
            found = {roster.id: roster for roster in rosters.of(singular)}
            for row in rows(listed(server, kind, cwd=tmp_path)):
                roster = found[row["id"]]
                division = {}
                if roster.division is not None:
                    division["division"] = roster.division.name
                    division["division_id"] = roster.division.id
                expected = {"id": roster.id, "name": roster.name, "members": len(roster.members)}
                assert row == {**expected, **division}
        for row in rows(listed(server, "skills", cwd=tmp_path)):
            assert list(row) == ["id", "name"]


def rows(result: Call) -> list[dict[str, object]]:
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


@pytest.mark.parametrize(
    ("odd", "division", "shown"),
    [
        ({}, None, None),
        ({"division": {"id": "d1"}, "memberCount": "7"}, "d1", 7),
        ({"division": "d1", "memberCount": [], "email": 5}, None, None),
        ({"division": {"id": 5, "name": None}}, None, None),
    ],
)
def test_what_a_server_does_not_say_is_null(
    odd: dict[str, object], division: str | None, shown: int | None
) -> None:
    body = json.dumps({"entities": [{"id": "t1", "name": "A", **odd}], "pageNumber": 1})
    (entity,) = decode_page(body.encode()).entities or []
    assert describe("teams", entity) == {
        "id": "t1",
        "name": "A",
        "members": shown,
        "division": None,
        "division_id": division,
    }
    assert describe("users", entity)["email"] is None


def test_a_connection_of_a_job_file_is_used_as_it_is(tmp_path: Path) -> None:
    """Only its own keys count: the rest of the job is for another command."""
    with running(WORLD, Options(requests_per_minute=0)) as server:
        client = {"client_id": server.client_id, "client_secret": server.client_secret}
        place = {"api_url": server.url, "login_url": server.url}
        job = {
            "name": "job",
            "connections": {"east": {**place, **client}, "west": {"emulator": True}},
            "range": {"start": "2024-01-01", "end": "2024-02-01"},
            "teams": [{"name": "all", "connections": "all", "everyone": True}],
            "output": {"path": "out.jsonl"},
        }
        (tmp_path / "job.yaml").write_text(json.dumps(job))
        options = ("--job", "job.yaml", "--connection", "east")
        result = call("list", "queues", *options, cwd=tmp_path)
    assert {row["id"] for row in rows(result)} == expected("queues")


def test_search_keeps_names_with_all_words_in_any_case(tmp_path: Path) -> None:
    result = call("list", "teams", "--emulator", "--search", "EASt bíll", cwd=tmp_path)
    assert result.code == 0
    names = [json.loads(line)["name"] for line in result.out.splitlines()]
    assert names == ["Billing East"]
    nothing = call("list", "teams", "--emulator", "--search", "no such name", cwd=tmp_path)
    assert (nothing.code, nothing.out) == (0, "")
    assert "no teams found" in nothing.err


@pytest.mark.parametrize(
    ("kind", "permission"),
    [
        ("teams", "groups:team:view"),
        ("queues", "routing:queue:view"),
        ("wrap-up-codes", "routing:wrapupCode:view"),
    ],
)
def test_a_missing_permission_is_named(tmp_path: Path, kind: str, permission: str) -> None:
    with running(WORLD, Options(denied=(permission,))) as server:
        result = listed(server, kind, cwd=tmp_path)
    assert (result.code, result.out) == (3, "")
    assert permission in result.err
