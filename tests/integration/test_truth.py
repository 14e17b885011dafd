"""An export over a real wire equals the emulator's truth, record by record."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process
from tests.exporting import connection, rows, run_here, write_job
from tests.truth import canonical, milliseconds, ms, records

WORLD = World(agents=30, seed=7)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=30, seed=7, requests_per_minute=0) as handle:
        yield handle


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def span(start: str, end: str, granularity: str, zone: str = "UTC", **rest: Any) -> dict[str, Any]:
    return {"start": start, "end": end, "granularity": granularity, "time_zone": zone, **rest}


def order(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["user_id"] is not None, row["user_id"] or "", row["interval_start"])


def test_a_whole_organisation_over_a_month_by_the_hour_is_exact(
    emulator: Handle, tmp_path: Path
) -> None:
    """No record is missing or doubled; sums are exact in milliseconds, also without a user."""
    summary = run_here(
        write_job(tmp_path, emulator, range=span("2024-01-01", "2024-02-01", "PT1H"))
    )
    found = rows(tmp_path / "out.jsonl")
    expected = records(
        WORLD,
        local("2024-01-01", "UTC"),
        local("2024-02-01", "UTC"),
        granularity="PT1H",
        teams=[("all", None)],
    )
    assert canonical(found) == canonical(expected)
    assert found == sorted(found, key=order)
    assert summary.complete
    assert summary.records == {"all": len(expected)}
    handled = [
        each.value or 0
        for each in WORLD.truth(ms(local("2024-01-01", "UTC")), ms(local("2024-02-01", "UTC")))
        if each.metric == "tHandle"
    ]
    assert sum(row["handled_count"] for row in found) == len(handled)
    assert sum(milliseconds(row["total_handle_time_sec"]) for row in found) == sum(handled)


@pytest.mark.parametrize(
    ("zone", "granularity", "start", "end"),
    [
        ("Europe/Dublin", "P1D", "2023-03-20", "2023-04-03"),
        ("Europe/Dublin", "P1D", "2023-10-23", "2023-11-06"),
        ("America/New_York", "P1D", "2023-03-06", "2023-03-20"),
        ("America/New_York", "P1D", "2023-10-30", "2023-11-13"),
        ("Asia/Kolkata", "PT30M", "2023-12-25", "2024-01-08"),
        ("Asia/Kathmandu", "PT15M", "2023-12-28", "2024-01-04"),
        ("Europe/Berlin", "P1M", "2023-02-01", "2023-05-01"),
        ("Europe/Berlin", "P1W", "2023-02-27", "2023-04-10"),
        ("Europe/Berlin", "P1W", "2023-10-02", "2023-11-13"),
        ("Europe/Dublin", "PT1H", "2023-03-25", "2023-03-28"),
        ("Europe/Dublin", "PT30M", "2023-10-28", "2023-10-31"),
    ],
)
def test_zones_and_clock_changes_are_exact(
    emulator: Handle, tmp_path: Path, zone: str, granularity: str, start: str, end: str
) -> None:
    users = [person.id for person in WORLD.people[:12]]
    teams = [{"name": "some", "users": users}]
    run_here(write_job(tmp_path, emulator, range=span(start, end, granularity, zone), teams=teams))
    expected = records(
        WORLD,
        local(start, zone),
        local(end, zone),
        granularity=granularity,
        zone=zone,
        teams=[("some", users)],
    )
    assert canonical(rows(tmp_path / "out.jsonl")) == canonical(expected)
    assert expected


def test_one_bucket_for_the_whole_range_is_exact(emulator: Handle, tmp_path: Path) -> None:
    run_here(
        write_job(tmp_path, emulator, range=span("2024-01-01T09:17", "2024-01-20T17:41", "none"))
    )
    start, end = local("2024-01-01T09:17", "UTC"), local("2024-01-20T17:41", "UTC")
    expected = records(WORLD, start, end, granularity="none", teams=[("all", None)])
    assert canonical(rows(tmp_path / "out.jsonl")) == canonical(expected)
    assert len(expected) > 1


def test_splits_and_filters_are_exact(emulator: Handle, tmp_path: Path) -> None:
    queues = [queue.id for queue in WORLD.queues[:2]]
    job = write_job(
        tmp_path,
        emulator,
        range=span("2024-01-08", "2024-01-15", "PT1H"),
        split_by=["media_type", "queue_id", "direction"],
        filter={"media_types": ["voice", "message"], "queues": queues},
    )
    run_here(job)
    names = ("media_type", "queue_id", "direction")
    everything = records(
        WORLD,
        local("2024-01-08", "UTC"),
        local("2024-01-15", "UTC"),
        granularity="PT1H",
        teams=[("all", None)],
        split_by=names,
    )
    expected = [
        row
        for row in everything
        if row["media_type"] in {"voice", "message"} and row["queue_id"] in queues
    ]
    assert canonical(rows(tmp_path / "out.jsonl")) == canonical(expected)
    assert len(expected) < len(everything)


def test_teams_that_overlap_and_everyone_are_each_complete(
    emulator: Handle, tmp_path: Path
) -> None:
    """In one file in the order of the job, and in a file for each team."""
    ids = [person.id for person in WORLD.people]
    teams: list[tuple[str, list[str] | None]] = [
        ("sales", ids[5:15]),
        ("billing", ids[10:20]),
        ("everyone", None),
    ]
    job = write_job(
        tmp_path,
        emulator,
        range=span("2024-01-29", "2024-02-05", "PT30M", chunk="P2D"),
        teams=[
            {"name": name, **({"users": users} if users else {"everyone": True})}
            for name, users in teams
        ],
        output={
            "path": str(tmp_path / "out.jsonl"),
            "per_team": str(tmp_path / "by" / "{team}-{month}.jsonl"),
        },
    )
    run_here(job)
    expected = records(
        WORLD,
        local("2024-01-29", "UTC"),
        local("2024-02-05", "UTC"),
        granularity="PT30M",
        teams=teams,
    )
    found = rows(tmp_path / "out.jsonl")
    assert canonical(found) == canonical(expected)
    place = {name: n for n, (name, _) in enumerate(teams)}
    assert found == sorted(
        found, key=lambda row: (row["interval_start"][:7], place[row["team"]], *order(row))
    )
    for name, _ in teams:
        of_team = [
            row
            for month in ("2024-01", "2024-02")
            for row in rows(tmp_path / "by" / f"{name}-{month}.jsonl")
        ]
        assert of_team == [row for row in found if row["team"] == name]


def test_two_organisations_in_one_job_are_not_mixed(emulator: Handle, tmp_path: Path) -> None:
    """Both have the same user ids: the second emulator has the same seed and fewer agents."""
    with emulator_process(agents=3, seed=7, requests_per_minute=0) as second:
        users = [person.id for person in WORLD.people[:6]]
        job = write_job(
            tmp_path,
            emulator,
            connections={"one": connection(emulator), "two": connection(second)},
            range=span("2024-01-08", "2024-01-10", "PT1H"),
            teams=[
                {"name": "first", "connection": "one", "users": users},
                {"name": "second", "connection": "two", "users": users},
            ],
        )
        summary = run_here(job)
    assert 0 < summary.records["second"] < summary.records["first"]
    found = rows(tmp_path / "out.jsonl")
    assert {row["user_id"] for row in found if row["team"] == "second"} <= set(users[:3])


@pytest.mark.parametrize("seed", range(3))
def test_the_bytes_do_not_depend_on_batches_or_chunks_or_earlier_runs(
    emulator: Handle, tmp_path: Path, seed: int
) -> None:
    """After longer ranges, other teams and other chunk lengths, a fresh run writes the same."""
    rng = random.Random(seed)
    ids = [person.id for person in WORLD.people]
    final = {
        "range": span("2024-01-20", "2024-02-20", "PT1H", "Europe/Dublin"),
        "teams": [{"name": "team", "users": ids[4:20]}],
    }
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    run_here(write_job(fresh, emulator, **final))
    aged = tmp_path / "aged"
    aged.mkdir()
    for end in ("2024-01-25", "2024-02-03", "2024-02-14"):
        users = rng.sample(ids, rng.randrange(3, 25))
        length = rng.choice(["P1D", "P3D", "PT6H", "P1M"])
        run_here(
            write_job(
                aged,
                emulator,
                range=span("2024-01-22", end, "PT1H", "Europe/Dublin", chunk=length),
                teams=[{"name": "x", "users": users}],
            )
        )
    run_here(write_job(aged, emulator, **final))
    assert (aged / "out.jsonl").read_bytes() == (fresh / "out.jsonl").read_bytes()


def test_a_job_that_changes_to_everyone_and_back_stays_exact(
    emulator: Handle, tmp_path: Path
) -> None:
    ids = [person.id for person in WORLD.people]
    few = {
        "range": span("2024-01-08", "2024-01-22", "PT1H", chunk="P5D"),
        "teams": [{"name": "few", "users": ids[:5]}],
    }
    run_here(write_job(tmp_path, emulator, **few))
    first = (tmp_path / "out.jsonl").read_bytes()
    run_here(
        write_job(
            tmp_path,
            emulator,
            range=span("2024-01-10", "2024-01-18", "PT1H", chunk="P3D"),
            teams=[{"name": "all", "everyone": True}],
        )
    )
    expected = records(
        WORLD,
        local("2024-01-10", "UTC"),
        local("2024-01-18", "UTC"),
        granularity="PT1H",
        teams=[("all", None)],
    )
    assert canonical(rows(tmp_path / "out.jsonl")) == canonical(expected)
    run_here(write_job(tmp_path, emulator, **few))
    assert (tmp_path / "out.jsonl").read_bytes() == first
