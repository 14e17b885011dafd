"""Listed users that the directory does not know, by id or by e-mail address.

One of several is a warning of check, run and verify. A team of which nobody exists is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreport.core.timeline import DAY
from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, call, rows, run_here, write_job

RANGE = {"start": "2024-01-15", "end": "2024-01-16"}
#: the last two digits of a real id, swapped
USERS = [person.id for person in World(agents=6, seed=5).people]
MISTYPED = f"{USERS[0][:-2]}{USERS[0][:-3:-1]}"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=6, seed=5, requests_per_minute=0) as handle:
        yield handle


def job(folder: Path, emulator: Handle, **sections: object) -> Path:
    assert MISTYPED not in USERS
    return write_job(
        folder,
        emulator,
        **{
            "range": RANGE,
            "teams": [{"name": "sales", "users": [MISTYPED, *USERS[1:]]}],
            **sections,
        },
    )


def name_requests(emulator: Handle) -> int:
    return sum(entry["path"].startswith("/api/v2/users") for entry in emulator.log())


def test_check_reports_an_unknown_user(emulator: Handle, tmp_path: Path) -> None:
    result = call("check", str(job(tmp_path, emulator)), cwd=tmp_path)
    assert result.code == 0
    assert (
        f"WARN  1 listed user is unknown to the directory: {MISTYPED}; "
        "compare with Admin > People\n" in result.out
    )


def test_check_reports_that_all_users_are_known(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator, teams=[{"name": "sales", "users": USERS}])
    assert (
        "OK    6 listed users found in the directory\n"
        in call("check", str(path), cwd=tmp_path).out
    )


def test_every_run_and_every_verification_reports_an_unknown_user(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    for _ in range(2):
        result = call("run", str(path), cwd=tmp_path)
        assert result.code == 0
        assert (
            f"warning: default: 1 listed user is unknown to the directory: {MISTYPED}; "
            in result.err
        )
    result = call("verify", str(path), cwd=tmp_path)
    assert result.code == 0
    assert f"WARN  1 listed user is unknown to the directory: {MISTYPED}; " in result.out


def test_a_known_user_without_records_is_not_reported(emulator: Handle, tmp_path: Path) -> None:
    path = job(
        tmp_path,
        emulator,
        range={"start": "2024-01-15T00:00", "end": "2024-01-15T01:00"},
        teams=[{"name": "few", "users": USERS}],
    )
    result = call("run", str(path), cwd=tmp_path)
    assert (result.code, "warning" in result.err) == (0, False)


def test_the_directory_is_asked_once_a_month(emulator: Handle, tmp_path: Path) -> None:
    """One request names all listed users, before anything is fetched."""
    path = job(tmp_path, emulator)
    before = name_requests(emulator)
    run_here(path)
    assert name_requests(emulator) == before + 1
    run_here(path, now=NOW + 29 * DAY)
    assert name_requests(emulator) == before + 1
    run_here(path, now=NOW + 31 * DAY)
    assert name_requests(emulator) == before + 2


def test_an_id_that_the_directory_refuses_does_not_cost_other_users_their_names(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    worked = {one["user_id"] for one in emulator.truth(1705276800000, 1705363200000)} & set(
        USERS[1:]
    )
    # The second look-up, after the pull, is for the users with records.
    emulator.faults([{"match": {"path": "/api/v2/users", "nth": [1, 3]}, "do": {"status": 400}}])
    try:
        result = call("run", str(path), cwd=tmp_path)
    finally:
        emulator.faults([])
    assert result.code == 0
    assert re.search(r"warning: could not look up \d names: GET ", result.err)
    found = rows(tmp_path / "out.jsonl")
    assert {row["user_id"] for row in found} == worked
    assert all(row["user_name"] for row in found)


NOBODY = [MISTYPED, "00000000-1111-4222-8333-444444444444"]
NOBODY_MESSAGE = (
    "the directory knows none of its 2 listed users: "
    f"{', '.join(sorted(NOBODY))}; compare with Admin > People"
)


def aggregate_queries(emulator: Handle) -> int:
    return sum("aggregates" in entry["path"] for entry in emulator.log())


def test_check_refuses_a_team_whose_listed_users_do_not_exist(
    emulator: Handle, tmp_path: Path
) -> None:
    teams = [{"name": "sales", "users": USERS}, {"name": "nobody", "users": NOBODY}]
    result = call("check", str(job(tmp_path, emulator, teams=teams)), cwd=tmp_path)
    assert result.code == 2
    assert (
        f"FAIL  team 'nobody' (listed users): {NOBODY_MESSAGE}\n"
        "OK    6 listed users found in the directory\n" in result.out
    )


def test_a_run_writes_nothing_for_a_team_whose_listed_users_do_not_exist(
    emulator: Handle, tmp_path: Path
) -> None:
    """It says so before the pull, sends no query, and fails again the next time."""
    path = job(tmp_path, emulator, teams=[{"name": "nobody", "users": NOBODY}])
    before = aggregate_queries(emulator)
    for _ in range(2):
        result = call("run", str(path), cwd=tmp_path)
        assert result.code == 2
        assert result.err.startswith(
            "warning: team 'nobody' (listed users) cannot be looked up: " + NOBODY_MESSAGE
        )
    assert aggregate_queries(emulator) == before
    assert not (tmp_path / "out.jsonl").exists()


def test_the_other_teams_are_exported_if_partial_files_are_allowed(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(
        tmp_path,
        emulator,
        teams=[{"name": "nobody", "users": NOBODY}, {"name": "sales", "users": USERS}],
        output={
            "path": str(tmp_path / "out.jsonl"),
            "per_team": str(tmp_path / "{team}-only.jsonl"),
        },
    )
    result = call("run", str(path), "--allow-partial", cwd=tmp_path)
    assert result.code == 2
    assert {row["team"] for row in rows(tmp_path / "out.jsonl")} == {"sales"}
    assert not (tmp_path / "nobody-only.jsonl").exists()


def test_users_that_the_directory_forgot_stay_if_they_have_records(
    emulator: Handle, tmp_path: Path
) -> None:
    """Their parts prove that the ids are right."""
    path = job(tmp_path, emulator, teams=[{"name": "sales", "users": USERS}])
    run_here(path)
    before = (tmp_path / "out.jsonl").read_bytes()
    emulator.faults(
        [{"match": {"path": "/api/v2/users"}, "do": {"body": '{"entities": [], "total": 0}'}}]
    )
    try:
        assert run_here(path, now=NOW + 31 * DAY).complete
    finally:
        emulator.faults([])
    assert (tmp_path / "out.jsonl").read_bytes() == before


EMAILS = {person.email: person.id for person in World(agents=6, seed=5).people}


def test_users_are_listed_by_their_email_addresses(emulator: Handle, tmp_path: Path) -> None:
    """In upper or lower case, next to ids; the output is that of the ids."""
    by_id = job(tmp_path, emulator, teams=[{"name": "sales", "users": USERS}])
    run_here(by_id)
    expected = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()
    mixed = [USERS[0], *(email.upper() for email in list(EMAILS)[1:])]
    path = job(tmp_path, emulator, teams=[{"name": "sales", "users": mixed}])
    summary = run_here(path)
    assert (summary.complete, summary.chunks_fetched) == (True, 0)
    assert (tmp_path / "out.jsonl").read_bytes() == expected
    checked = call("check", str(path), cwd=tmp_path)
    assert "OK    team 'sales' (listed users) has 6 users today\n" in checked.out
    verified = call("verify", str(path), cwd=tmp_path)
    assert (verified.code, "FAIL" in verified.out) == (0, False)
    assert call("status", str(path), cwd=tmp_path).code == 0


@pytest.mark.parametrize("command", ["check", "run"])
def test_email_addresses_that_nobody_has_are_named(
    command: str, emulator: Handle, tmp_path: Path
) -> None:
    emails = ["anna@example.com", next(iter(EMAILS)), "ben@example.com"]
    path = job(tmp_path, emulator, teams=[{"name": "support", "users": emails}])
    result = call(command, str(path), cwd=tmp_path)
    assert result.code == 2
    assert (
        "no user has the e-mail addresses anna@example.com, ben@example.com; "
        "compare them with Admin > People" in result.out + result.err
    )
    assert not (tmp_path / "out.jsonl").exists()


def test_a_search_that_fails_is_not_a_mistake_in_the_job_file(
    emulator: Handle, tmp_path: Path
) -> None:
    teams = [{"name": "support", "users": list(EMAILS)}]
    path = job(tmp_path, emulator, teams=teams, limits={"max_attempts": 1})
    emulator.faults([{"match": {"path": "/api/v2/users/search"}, "do": {"status": 503}}])
    try:
        assert call("run", str(path), cwd=tmp_path).code == 1
    finally:
        emulator.faults([])
