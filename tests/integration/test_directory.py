"""Teams of every kind, looked up by id and name: complete, and no user is fetched twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asyncreport.emulator import World
from asyncreport.emulator.rosters import Kind, Roster, Rosters
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection, rows, run_here, write_job
from tests.truth import canonical, records

WORLD = World(agents=480, seed=4)
ROSTERS = Rosters(WORLD)
DAY = {"start": "2024-01-10", "end": "2024-01-11", "granularity": "P1D"}
BEGIN, END = datetime(2024, 1, 10, tzinfo=UTC), datetime(2024, 1, 11, tzinfo=UTC)
QUERY = "aggregates/query"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=480, seed=4, requests_per_minute=0) as handle:
        yield handle


@pytest.fixture
def moved(emulator: Handle) -> Iterator[Handle]:
    """Start an emulator whose teams a test may change."""
    yield emulator
    for kind in ("group", "team", "queue"):
        for roster in ROSTERS.of(kind):
            emulator.members(kind, roster.id, roster.members)


def named(kind: Kind, name: str) -> Roster:
    return next(roster for roster in ROSTERS.of(kind) if roster.name == name)


def stranger_to(roster: Roster) -> str:
    """Give the id of an active user who is not a member."""
    return next(
        person.id
        for person in WORLD.people
        if person.id not in roster.members and person.state == "active"
    )


def listed(roster: Roster) -> list[str]:
    """Leave out deleted users: the directory does not list them as members."""
    states = {person.id: person.state for person in WORLD.people}
    return [user for user in roster.members if states[user] != "deleted"]


def queried(emulator: Handle, since: int) -> Counter[tuple[str, str]]:
    """Count how often each user was requested in each interval."""
    seen = emulator.log()[since:]
    return Counter(
        (entry["interval"], user)
        for entry in seen
        if QUERY in entry["path"]
        for user in entry["users"]
    )


def lookups() -> list[tuple[str, dict[str, str], Roster]]:
    care, everyone, night = (
        named("team", "Customer Care"),
        named("group", "Everyone"),
        named("group", "Night Shift"),
    )
    queue = next(roster for roster in ROSTERS.of("queue") if roster.name != "Sales")
    return [
        ("care", {"team": "Customer Care"}, care),
        ("everyone", {"group": everyone.id}, everyone),
        ("night", {"group": "Night Shift"}, night),
        ("queue by name", {"queue": queue.name}, queue),
        (
            "team by id",
            {"team": named("team", "Billing East").id.upper()},
            named("team", "Billing East"),
        ),
        ("queue by id", {"queue": queue.id}, queue),
    ]


@pytest.mark.parametrize("most", [0, 13])
def test_teams_of_hundreds_by_every_kind_of_lookup_are_complete(tmp_path: Path, most: int) -> None:
    """With overlaps and users who left; all files and names are right, no user is fetched twice."""
    with emulator_process(
        agents=480, seed=4, requests_per_minute=0, most_per_page=most
    ) as emulator:
        job = write_job(
            tmp_path,
            emulator,
            range=DAY,
            teams=[{"name": name, **selector} for name, selector, _ in lookups()],
            output={
                "path": str(tmp_path / "out.jsonl"),
                "per_team": str(tmp_path / "{team}.jsonl"),
            },
        )
        summary = run_here(job)
        asked = queried(emulator, 0)
    teams: list[tuple[str, Sequence[str] | None]] = [
        (name, listed(roster)) for name, _, roster in lookups()
    ]
    expected = records(WORLD, BEGIN, END, granularity="P1D", teams=teams)
    assert len(listed(named("team", "Customer Care"))) > 220
    assert canonical(rows(tmp_path / "out.jsonl")) == canonical(expected)
    for name, _ in teams:
        assert canonical(rows(tmp_path / f"{name}.jsonl")) == canonical(
            [row for row in expected if row["team"] == name]
        )
    assert all(row["user_name"] for row in expected)
    assert set(asked.values()) == {1}
    assert summary.members == {}


@pytest.mark.parametrize(
    ("kind", "name"), [("group", "Everyone"), ("team", "Customer Care"), ("queue", "Billing")]
)
def test_a_member_who_leaves_between_two_pages_costs_nobody_else_a_row(
    moved: Handle, tmp_path: Path, kind: Kind, name: str
) -> None:
    """Without the first member, the 101st moves from page 2 to page 1, which was already read."""
    roster = named(kind, name)
    _, *stayed = listed(roster)
    assert len(stayed) > 100
    change = {"members": {kind: roster.id, "members": stayed}}
    moved.faults([{"match": {"path": f"{roster.id}/members", "nth": [2]}, "do": change}])
    job = write_job(tmp_path, moved, range=DAY, teams=[{"name": "them", kind: roster.id}])
    since = len(moved.log())
    run_here(job)
    moved.faults([])
    assert {user for _, user in queried(moved, since)} == set(stayed)
    expected = records(WORLD, BEGIN, END, granularity="P1D", teams=[("them", stayed)])
    assert canonical(rows(tmp_path / "out.jsonl")) == canonical(expected)


def test_a_user_who_is_deactivated_between_two_pages_costs_nobody_else_a_row(
    tmp_path: Path,
) -> None:
    """Occupancy needs the ids of everyone, who are listed."""
    by_name = sorted(WORLD.people, key=lambda person: (person.name, person.id))
    first = next(person for person in by_name if person.state == "active")
    with emulator_process(agents=480, seed=4, requests_per_minute=0, most_per_page=100) as emulator:
        emulator.faults(
            [
                {
                    "match": {"path": "/api/v2/users", "nth": [3]},
                    "do": {"states": {first.id: "inactive"}},
                }
            ]
        )
        job = write_job(tmp_path, emulator, range=DAY, occupancy=True)
        run_here(job)
        asked = {
            user
            for entry in emulator.log()
            if "users/aggregates" in entry["path"]
            for user in entry["users"]
        }
    assert asked == {person.id for person in WORLD.people}


def test_after_a_change_of_members_only_new_members_are_fetched(
    moved: Handle, tmp_path: Path
) -> None:
    team = named("team", "Sales")
    newcomer = stranger_to(team)
    job = write_job(tmp_path, moved, range=DAY, teams=[{"name": "sales", "team": "Sales"}])
    run_here(job)
    moved.members("team", team.id, [*team.members[1:], newcomer])
    since = len(moved.log())
    result = call("run", str(job), cwd=tmp_path)
    assert set(queried(moved, since)) == {
        ("2024-01-10T00:00:00.000Z/2024-01-11T00:00:00.000Z", newcomer)
    }
    gone = [user for user in team.members[:1] if user in listed(team)]
    summary = json.loads((tmp_path / ".asyncreport" / "job" / "summary.json").read_text())
    assert summary["members"] == {"sales": {"joined": [newcomer], "left": gone}}
    assert f"1 joined, {len(gone)} left since the last run" in result.err
    expected = records(
        WORLD,
        BEGIN,
        END,
        granularity="P1D",
        teams=[("sales", [*(user for user in listed(team) if user not in gone), newcomer])],
    )
    assert canonical(rows(tmp_path / "out.jsonl")) == canonical(expected)


def sections(**rest: Any) -> dict[str, Any]:
    return {
        "range": DAY,
        "teams": [
            {"name": "known", "team": "Billing East"},
            {"name": "lost", "group": "Quality Circle"},
        ],
        **rest,
    }


def test_a_failed_look_up_is_reported_first_and_the_other_teams_are_fetched(
    emulator: Handle, tmp_path: Path
) -> None:
    """Two groups have the name; the message lists their ids. No output is written."""
    job = write_job(tmp_path, emulator, **sections())
    result = call("run", str(job), cwd=tmp_path)
    assert result.code == 2
    warning = result.err.splitlines()[0]
    assert warning.startswith("warning: team 'lost' (group Quality Circle) cannot be looked up: ")
    assert all(
        roster.id in warning for roster in ROSTERS.of("group") if roster.name == "Quality Circle"
    )
    assert not (tmp_path / "out.jsonl").exists()
    assert call("run", str(job), "--allow-partial", cwd=tmp_path).code == 2
    assert {row["team"] for row in rows(tmp_path / "out.jsonl")} == {"known"}


def test_strict_stops_before_the_first_query(emulator: Handle, tmp_path: Path) -> None:
    since = len(emulator.log())
    result = call("run", "--strict", str(write_job(tmp_path, emulator, **sections())), cwd=tmp_path)
    assert result.code == 2
    assert result.err.startswith("error: team 'lost' (group Quality Circle) cannot be looked up: ")
    assert not queried(emulator, since)


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ({"group": "Nigth Shift"}, "Night Shift"),
        ({"queue": "11111111-2222-4333-8444-555555555555"}, "11111111-2222-4333-8444-555555555555"),
        ({"team": "billing east"}, "Billing East"),
    ],
)
def test_an_unknown_name_or_id_is_reported(
    emulator: Handle, tmp_path: Path, selector: dict[str, str], words: str
) -> None:
    result = call(
        "run",
        str(write_job(tmp_path, emulator, range=DAY, teams=[{"name": "t", **selector}])),
        cwd=tmp_path,
    )
    assert result.code == 2
    assert words in result.err.splitlines()[0]


def test_queue_names_are_next_to_their_ids_and_a_deleted_queue_has_none(tmp_path: Path) -> None:
    gone = next(queue for queue in WORLD.queues if queue.name != "Sales")
    with emulator_process(
        agents=480, seed=4, requests_per_minute=0, deleted_queues=[gone.name]
    ) as emulator:
        users = [person.id for person in WORLD.people[:60]]
        run_here(
            write_job(
                tmp_path,
                emulator,
                range=DAY,
                split_by=["queue_id"],
                teams=[{"name": "t", "users": users}],
            )
        )
    names = {queue.id: queue.name for queue in WORLD.queues if queue != gone} | {
        gone.id: None,
        None: None,
    }
    found = rows(tmp_path / "out.jsonl")
    assert all(row["queue_name"] == names[row["queue_id"]] for row in found)
    assert gone.id in {row["queue_id"] for row in found}
    assert list(found[0])[2:5] == ["user_name", "queue_id", "queue_name"]


def test_users_who_are_unknown_to_the_directory_stay_ids(tmp_path: Path) -> None:
    deleted = [person.id for person in WORLD.people if person.state == "deleted"]
    users = [WORLD.people[0].id, *deleted]
    month = {"start": "2023-01-01", "end": "2024-01-01", "granularity": "P1M"}
    with emulator_process(agents=480, seed=4, requests_per_minute=0, purged=True) as emulator:
        run_here(write_job(tmp_path, emulator, range=month, teams=[{"name": "t", "users": users}]))
    found = [row for row in rows(tmp_path / "out.jsonl") if row["user_id"] in deleted]
    assert found
    assert {row["user_name"] for row in found} == {None}


def test_a_split_by_divisions_warns_that_its_rows_do_not_add_up(
    emulator: Handle, tmp_path: Path
) -> None:
    users = [person.id for person in WORLD.people[:5]]
    job = write_job(
        tmp_path,
        emulator,
        range=DAY,
        split_by=["division_id"],
        teams=[{"name": "t", "users": users}],
    )
    for command in ("plan", "run"):
        result = call(command, str(job), cwd=tmp_path)
        assert (
            "warning: an interaction can have several values of division_id: "
            "its records do not add up to the total" in result.out + result.err
        )


def test_a_filter_of_divisions_is_applied(emulator: Handle, tmp_path: Path) -> None:
    division = WORLD.divisions[1]
    users = [person.id for person in WORLD.people[:40]]
    run_here(
        write_job(
            tmp_path,
            emulator,
            range=DAY,
            filter={"divisions": [division.id]},
            split_by=["division_id"],
            teams=[{"name": "t", "users": users}],
        )
    )
    everything = records(
        WORLD, BEGIN, END, granularity="P1D", teams=[("t", users)], split_by=["division_id"]
    )
    expected = [row for row in everything if row["division_id"] == division.id]
    assert canonical(rows(tmp_path / "out.jsonl")) == canonical(expected)
    assert 0 < len(expected) < len(everything)


def test_a_run_without_any_known_team_does_not_change_the_output(
    moved: Handle, tmp_path: Path
) -> None:
    job = write_job(tmp_path, moved, range=DAY, teams=[{"name": "t", "team": "Billing East"}])
    run_here(job)
    before = (tmp_path / "out.jsonl").read_bytes()
    write_job(tmp_path, moved, range=DAY, teams=[{"name": "t", "team": "Billing Nowhere"}])
    assert call("run", "--allow-partial", str(job), cwd=tmp_path).code == 2
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_a_new_member_is_reported_by_the_run_that_shows_the_member(
    moved: Handle, tmp_path: Path
) -> None:
    """Not by an earlier run whose output had gaps."""
    team = named("team", "Sales")
    newcomer = stranger_to(team)
    job = write_job(
        tmp_path,
        moved,
        range=DAY,
        teams=[{"name": "sales", "team": "Sales"}],
        limits={"max_attempts": 1},
    )
    run_here(job)
    moved.members("team", team.id, [*team.members, newcomer])
    moved.faults([{"match": {"path": QUERY}, "do": {"status": 503}}])
    try:
        assert not run_here(job).complete
    finally:
        moved.faults([])
    assert run_here(job).members["sales"].joined == [newcomer]


def test_a_wrong_host_is_not_an_unknown_team(moved: Handle, tmp_path: Path) -> None:
    hosts = {"default": {**connection(moved), "login_url": moved.url + "/elsewhere"}}
    result = call(
        "run",
        str(
            write_job(
                tmp_path,
                moved,
                connections=hosts,
                range=DAY,
                teams=[{"name": "t", "team": "Sales"}],
            )
        ),
        cwd=tmp_path,
    )
    assert result.code == 2
    assert "this is not a token endpoint: check the region or login_url" in result.err


def test_check_looks_up_each_team_as_run_does(emulator: Handle, tmp_path: Path) -> None:
    care = named("team", "Customer Care")
    teams = [
        {"name": "care", "team": "Customer Care"},
        {"name": "lost", "group": "Everybody"},
        {"name": "listed", "users": care.members[:1]},
    ]
    path = write_job(tmp_path, emulator, range=DAY, teams=teams)
    result = call("check", str(path), cwd=tmp_path)
    *_, found, lost, listed_team, known, _, _ = result.out.splitlines()
    assert found == f"OK    team 'care' (team Customer Care) has {len(listed(care))} users today"
    assert lost.startswith(
        "FAIL  team 'lost' (group Everybody): group 'Everybody': the OAuth client sees "
    )
    assert "did you mean 'Everyone'?" in lost
    assert listed_team == "OK    team 'listed' (listed users) has 1 user today"
    assert known == "OK    1 listed user found in the directory"
    assert result.code == 2 == call("run", "--strict", str(path), cwd=tmp_path).code


def test_check_and_run_have_the_same_exit_code_if_the_directory_refuses_a_team(
    tmp_path: Path,
) -> None:
    with emulator_process(
        agents=4, seed=4, requests_per_minute=0, denied=["groups:team:view"]
    ) as closed:
        path = write_job(
            tmp_path, closed, range=DAY, teams=[{"name": "care", "team": "Customer Care"}]
        )
        result = call("check", str(path), cwd=tmp_path)
        assert result.code == 3 == call("run", str(path), cwd=tmp_path).code
    assert "FAIL  team 'care' (team Customer Care): missing permission: grant groups:" in result.out
