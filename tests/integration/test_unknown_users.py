"""A listed user that the directory does not know and that has no records is reported.

By check, run and verify. The directory is asked about such a user once a month.
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
        f"WARN  default: 1 listed user is unknown to the directory: {MISTYPED}; "
        "compare with Admin > People\n" in result.out
    )


def test_check_reports_that_all_users_are_known(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator, teams=[{"name": "sales", "users": USERS}])
    assert (
        "OK    default: 6 listed users found in the directory\n"
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
    assert f"WARN  default: 1 listed user is unknown to the directory: {MISTYPED}; " in result.out


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
    """One request for users with records, and one for listed users without records."""
    path = job(tmp_path, emulator)
    before = name_requests(emulator)
    run_here(path)
    assert name_requests(emulator) == before + 2
    run_here(path, now=NOW + 29 * DAY)
    assert name_requests(emulator) == before + 2
    run_here(path, now=NOW + 31 * DAY)
    assert name_requests(emulator) == before + 4


def test_an_id_that_the_directory_refuses_does_not_cost_other_users_their_names(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    worked = {one["user_id"] for one in emulator.truth(1705276800000, 1705363200000)} & set(
        USERS[1:]
    )
    emulator.faults([{"match": {"path": "/api/v2/users", "after": 1}, "do": {"status": 400}}])
    try:
        result = call("run", str(path), cwd=tmp_path)
    finally:
        emulator.faults([])
    assert result.code == 0
    assert re.search(r"warning: could not look up \d names: \[", result.err)
    found = rows(tmp_path / "out.jsonl")
    assert {row["user_id"] for row in found} == worked
    assert all(row["user_name"] for row in found)
