"""`list` against an emulator: all entries of each kind, search, missing permissions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
