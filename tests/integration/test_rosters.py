"""Nothing is asked twice in a run: lists of groups, teams and queues, members, counts, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, write_job

DAY = {"start": "2024-01-01", "end": "2024-01-02", "granularity": "PT1H"}
WORLD = World(agents=12, seed=1)
NAMES = {
    "group": ["Everyone", "Night Shift", "Pilot", "Équipe d'accueil", "Leavers of Long Ago"],
    "team": ["Customer Care", "Billing East", "Billing West", "Sales", "Sales Nights"],
    # Two queues are called Sales.
    "queue": [queue.name for queue in WORLD.queues if queue.name != "Sales"],
}
PATHS = {"group": "/api/v2/groups", "team": "/api/v2/teams", "queue": "/api/v2/routing/queues"}


@pytest.fixture
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=12, seed=1, requests_per_minute=30_000) as handle:
        yield handle


def asked(emulator: Handle, command: str, path: Path, *, code: int = 0) -> Counter[str]:
    """Run a command; count its requests by path and query."""
    before = len(emulator.log())
    result = call(command, str(path), cwd=path.parent)
    assert result.code == code, result.err
    return Counter(
        f"{entry['method']} {entry['path']}?{entry.get('query', '')}"
        for entry in emulator.log()[before:]
        if entry["method"] == "GET"
    )


def job(folder: Path, emulator: Handle, kind: str, names: list[str], **rest: Any) -> Path:
    teams = [{"name": f"t{n}", kind: name} for n, name in enumerate(names)]
    return write_job(folder, emulator, range=DAY, teams=teams, **rest)


@pytest.mark.parametrize("kind", ["group", "team", "queue"])
def test_many_names_of_a_kind_take_one_list_and_each_its_members(
    emulator: Handle, tmp_path: Path, kind: str
) -> None:
    names = NAMES[kind]
    assert len(names) >= 5
    path = job(tmp_path, emulator, kind, [*names, names[0]])
    for command in ("run", "run", "plan"):
        found = asked(emulator, command, path)
        assert max(found.values()) == 1, found
        lists = [each for each in found if each.startswith(f"GET {PATHS[kind]}?")]
        members = [each for each in found if each.startswith(f"GET {PATHS[kind]}/")]
        assert (len(lists), len(members)) == (1, len(names)), found


@pytest.mark.parametrize("kind", ["team", "queue"])
def test_one_name_is_looked_up_with_the_filter_of_the_vendor(
    emulator: Handle, tmp_path: Path, kind: str
) -> None:
    path = job(tmp_path, emulator, kind, NAMES[kind][:1])
    (first, *_) = [each for each in asked(emulator, "run", path) if f"GET {PATHS[kind]}?" in each]
    assert "name" in first


def test_unknown_names_read_the_list_once_for_their_hints(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator, "queue", ["No Such", "Nor This"])
    found = asked(emulator, "run", path, code=2)
    lists = [each for each in found if each.startswith(f"GET {PATHS['queue']}?")]
    assert len(lists) == 3, "two with the filter, and one of all"
    assert max(found.values()) == 1


def test_a_plan_of_everyone_asks_for_their_number_once(emulator: Handle, tmp_path: Path) -> None:
    path = write_job(tmp_path, emulator, range=DAY)
    found = asked(emulator, "plan", path)
    assert list(found.values()) == [1], found


def test_listed_users_that_the_directory_refuses_are_asked_for_once(
    emulator: Handle, tmp_path: Path
) -> None:
    users = ["00000000-0000-4000-8000-00000000000a"]
    path = write_job(tmp_path, emulator, range=DAY, teams=[{"name": "few", "users": users}])
    emulator.faults([{"match": {"path": "/api/v2/users"}, "do": {"status": 403}}])
    result = call("run", str(path), cwd=tmp_path)
    assert "could not look up 1 name: missing permission" in result.err
    assert len([entry for entry in emulator.log() if entry["path"] == "/api/v2/users"]) == 1
