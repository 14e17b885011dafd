"""The export of each contract equals the emulator's truth, also with faults and small pages."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from asyncreport.core.timeline import DAY, parse_iso
from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, no_waits, rows, run_here, start, write_job
from tests.truth import bucket, canonical, ms, records, text

WORLD = World(agents=16, seed=11)
RANGE = {"start": "2024-01-08", "end": "2024-01-15", "granularity": "PT1H"}
BEGIN, END = datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 1, 15, tzinfo=UTC)
USERS = [person.id for person in WORLD.people]
#: the pauses between the polls of a query job are real: one poll is enough
QUICK = {"job_polls": 0}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=16, seed=11, requests_per_minute=0, **QUICK) as handle:
        yield handle


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    no_waits(monkeypatch)


def export(folder: Path, emulator: Handle, **sections: Any) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    summary = run_here(write_job(folder, emulator, **{"range": RANGE, **sections}))
    assert summary.complete
    return rows(folder / "out.jsonl")


def truth(**rest: Any) -> list[dict[str, Any]]:
    return records(WORLD, BEGIN, END, **{"granularity": "PT1H", "teams": [("all", None)], **rest})


def by_seconds(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reduce the truth to what the entities contract knows.

    Handle time is talk plus wrap-up; hold time is unknown.
    """
    reduced = []
    for row in found:
        total = Decimal(str(row["total_talk_time_sec"])) + Decimal(str(row["total_wrap_up_sec"]))
        handled = row["handled_count"]
        average = (
            float((total / handled).quantize(Decimal("0.01"), ROUND_HALF_UP)) if handled else None
        )
        reduced.append(
            {
                **row,
                "total_hold_time_sec": None,
                "total_handle_time_sec": float(total),
                "avg_handle_time_sec": average,
            }
        )
    return reduced


def without_hold_alone(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out buckets with hold time only: this contract does not report them."""
    return [
        row
        for row in found
        if row["handled_count"] or row["total_talk_time_sec"] or row["total_wrap_up_sec"]
    ]


@pytest.mark.parametrize("most", [1, 7, 0])
def test_query_jobs_give_the_bytes_of_aggregates(
    emulator: Handle, tmp_path: Path, most: int
) -> None:
    """With pages of 1 bucket, 7 buckets or everything, and empty pages between them.

    A group may continue on the next page.
    """
    export(
        tmp_path / "sync", emulator, split_by=["media_type"], range={**RANGE, "end": "2024-01-10"}
    )
    with emulator_process(
        agents=16, seed=11, requests_per_minute=0, most_per_page=most, empty_pages=True, **QUICK
    ) as paged:
        found = export(
            tmp_path / "jobs",
            paged,
            contract="query-jobs",
            split_by=["media_type"],
            range={**RANGE, "end": "2024-01-10"},
        )
        assert paged.jobs() == []
    assert (tmp_path / "jobs" / "out.jsonl").read_bytes() == (
        tmp_path / "sync" / "out.jsonl"
    ).read_bytes()
    assert found


@pytest.mark.parametrize(
    "outcomes", [["expire"], ["vanish"], ["vanish_later"], ["cancel", "expire"]]
)
def test_a_lost_query_job_is_submitted_again(tmp_path: Path, outcomes: list[str]) -> None:
    with emulator_process(
        agents=16,
        seed=11,
        requests_per_minute=0,
        most_per_page=500,
        job_outcomes=outcomes,
        job_conflicts=1,
        **QUICK,
    ) as emulator:
        found = export(tmp_path, emulator, contract="query-jobs")
        assert emulator.jobs() == []
    assert canonical(found) == canonical(truth())


def test_a_failed_query_job_is_reported(tmp_path: Path) -> None:
    with emulator_process(
        agents=16, seed=11, requests_per_minute=0, job_outcomes=["fail"], **QUICK
    ) as emulator:
        result = call(
            "run",
            str(write_job(tmp_path, emulator, range=RANGE, contract="query-jobs")),
            cwd=tmp_path,
        )
    assert result.code == 4
    assert "the query job failed: " in result.err


def test_an_interrupted_run_leaves_no_query_job(tmp_path: Path) -> None:
    with emulator_process(agents=16, seed=11, requests_per_minute=0, job_polls=10_000) as emulator:
        path = write_job(tmp_path, emulator, range={**RANGE, "chunk": "P1D"}, contract="query-jobs")
        with start("run", str(path), cwd=tmp_path) as process:
            # One poll of each: before, the answer with a job's id may still be on its way, and a
            # job whose id nobody knows cannot be deleted.
            requests = 1 + 7 + 7
            emulator.wait(requests)
            while not all(job["polls"] for job in emulator.jobs()):
                # One was polled twice before another one was at all.
                requests += 1
                emulator.wait(requests)
            assert len(emulator.jobs()) == 7
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 143
        assert emulator.jobs() == []


@pytest.mark.parametrize("most", [1, 9, 0])
def test_entities_are_followed_to_the_last_page(tmp_path: Path, most: int) -> None:
    few = {**RANGE, "end": "2024-01-09"} if most == 1 else RANGE
    with emulator_process(
        agents=16, seed=11, requests_per_minute=0, most_per_page=most, empty_pages=True
    ) as emulator:
        found = export(tmp_path, emulator, contract="entities", range=few)
        forms = [entry for entry in emulator.log() if entry["path"] == "/oauth/token"]
    until = datetime(2024, 1, 9, tzinfo=UTC) if most == 1 else END
    expected = without_hold_alone(
        by_seconds(records(WORLD, BEGIN, until, granularity="PT1H", teams=[("all", None)]))
    )
    assert canonical(found) == canonical(expected)
    assert len(forms) == 1


def test_entities_of_local_days_and_of_listed_users_are_exact(
    emulator: Handle, tmp_path: Path
) -> None:
    dublin = {
        "start": "2023-10-27",
        "end": "2023-11-01",
        "granularity": "P1D",
        "time_zone": "Europe/Dublin",
    }
    found = export(
        tmp_path,
        emulator,
        contract="entities",
        range=dublin,
        teams=[{"name": "few", "users": USERS[:5]}],
    )
    begin, end = (
        datetime.fromisoformat(day).replace(tzinfo=ZoneInfo("Europe/Dublin")).astimezone(UTC)
        for day in ("2023-10-27", "2023-11-01")
    )
    expected = records(
        WORLD, begin, end, granularity="P1D", zone="Europe/Dublin", teams=[("few", USERS[:5])]
    )
    assert canonical(found) == canonical(without_hold_alone(by_seconds(expected)))


def test_a_cursor_that_leads_back_ends_the_run(tmp_path: Path) -> None:
    with emulator_process(
        agents=16, seed=11, requests_per_minute=0, most_per_page=5, repeat_cursor=True
    ) as emulator:
        result = call(
            "run",
            str(write_job(tmp_path, emulator, range=RANGE, contract="entities")),
            cwd=tmp_path,
        )
    assert result.code == 4
    assert "leads back to a page that was already read" in result.err


@pytest.mark.parametrize("contract", ["query-jobs", "entities"])
def test_faults_do_not_change_the_records(emulator: Handle, tmp_path: Path, contract: str) -> None:
    storm: list[dict[str, Any]] = [
        {"status": 503},
        {"reset": "body"},
        {"truncate": "json"},
        {"html": True},
        {"revoke_tokens": True},
        {"garble": True},
    ]
    calm = export(tmp_path / "calm", emulator, contract=contract)
    emulator.faults([{"match": {"path": "/api/", "every": 3}, "do": storm}])
    try:
        stormy = export(
            tmp_path / "stormy", emulator, contract=contract, range={**RANGE, "chunk": "P2D"}
        )
    finally:
        emulator.faults([])
    assert stormy == calm


def occupancies(
    begin: datetime, end: datetime, granularity: str, zone: str
) -> dict[tuple[str, str], dict[str, int]]:
    """Add up the raw statuses by user and bucket, split at bucket edges; ms."""
    found: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for span in WORLD.statuses(ms(begin), ms(end)):
        at = span.start
        while at < span.end:
            first, last = bucket(datetime.fromtimestamp(at / 1000, UTC), granularity, zone)
            until = min(span.end, ms(last))
            found[span.user_id, text(first)][span.status] += until - at
            at = until
    return found


@pytest.mark.parametrize(
    ("granularity", "zone", "users"),
    [
        ("PT30M", "UTC", None),
        ("PT30M", "UTC", USERS[:6]),
        ("PT15M", "Asia/Kathmandu", USERS[:6]),
        ("P1D", "Europe/Dublin", None),
    ],
)
def test_occupancy_equals_the_truth_to_4_places(
    emulator: Handle, tmp_path: Path, granularity: str, zone: str, users: list[str] | None
) -> None:
    """A bucket with off-queue time only has no record.

    The handled interactions are those of a run without occupancy.
    """
    when = {
        "start": "2024-01-08",
        "end": "2024-01-11",
        "granularity": granularity,
        "time_zone": zone,
    }
    teams = [{"name": "all", **({"users": users} if users else {"everyone": True})}]
    found = export(tmp_path, emulator, range=when, teams=teams, occupancy=True)
    begin, end = (
        datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for day in ("2024-01-08", "2024-01-11")
    )
    handled = {
        (row["user_id"], row["interval_start"]): row
        for row in records(
            WORLD, begin, end, granularity=granularity, zone=zone, teams=[("all", users)]
        )
    }
    spent = {
        key: times
        for key, times in occupancies(begin, end, granularity, zone).items()
        if users is None or key[0] in users
    }
    worked = {
        key
        for key, times in spent.items()
        if any(time for status, time in times.items() if status != "OFF_QUEUE")
    }
    assert {(row["user_id"], row["interval_start"]) for row in found} == worked | handled.keys()
    for row in found:
        key = (row["user_id"], row["interval_start"])
        assert row["handled_count"] == (handled[key]["handled_count"] if key in handled else 0)
        times = spent.get(key)
        if times is None:
            assert row["interacting_sec"] is row["occupancy"] is None
            continue
        on_queue = times["INTERACTING"] + times["COMMUNICATING"] + times["IDLE"]
        expected = (
            float(
                (Decimal(times["INTERACTING"]) / on_queue).quantize(
                    Decimal("0.0001"), ROUND_HALF_UP
                )
            )
            if on_queue
            else None
        )
        assert row["occupancy"] == expected
        assert round(row["off_queue_sec"] * 1000) == times["OFF_QUEUE"]


def test_refused_quarter_hours_of_occupancy_suggest_half_hours(tmp_path: Path) -> None:
    with emulator_process(
        agents=4, seed=11, requests_per_minute=0, half_hours_only=True
    ) as emulator:
        path = write_job(
            tmp_path, emulator, range={**RANGE, "granularity": "PT15M"}, occupancy=True
        )
        result = call("run", str(path), cwd=tmp_path)
    assert result.code == 4
    assert "set range.granularity to PT30M, or occupancy to false" in result.err


def test_further_metrics_are_counted_and_summed_exactly(emulator: Handle, tmp_path: Path) -> None:
    metrics = ["tAnswered", "tContacting", "tDialing", "nTransferred", "nOffered", "tHandle"]
    found = export(tmp_path, emulator, metrics=metrics)
    sums: defaultdict[tuple[str | None, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for emission in WORLD.truth(ms(BEGIN), ms(END)):
        if emission.metric in metrics:
            first, _ = bucket(datetime.fromtimestamp(emission.at / 1000, UTC), "PT1H", "UTC")
            cell = sums[emission.user_id, text(first), emission.metric]
            cell[0] += 1
            cell[1] += emission.value or 0
    names = {
        metric: "".join(f"_{char.lower()}" if char.isupper() else char for char in metric)
        for metric in metrics
    }
    reported = {
        (row["user_id"], row["interval_start"], metric): [
            row[f"{name}_count"],
            row[f"{name}_sum_ms"],
        ]
        for row in found
        for metric, name in names.items()
        if row[f"{name}_count"]
    }
    assert reported == dict(sums)


def test_a_stale_part_of_everyone_keeps_its_occupancy_when_the_job_lists_users(
    emulator: Handle, tmp_path: Path
) -> None:
    """It is fetched again as a whole, with the statuses of everyone."""
    soon = parse_iso("2024-01-15T06:00Z")
    sections: dict[str, Any] = {
        "range": RANGE,
        "occupancy": True,
        "output": {"path": str(tmp_path / "out.jsonl"), "settle": "P20D"},
    }
    run_here(write_job(tmp_path, emulator, **sections), now=soon)
    first = (tmp_path / "out.jsonl").read_bytes()
    run_here(
        write_job(tmp_path, emulator, **sections, teams=[{"name": "few", "users": USERS[:2]}]),
        now=soon + DAY,
    )
    run_here(write_job(tmp_path, emulator, **sections), now=soon + 2 * DAY)
    assert (tmp_path / "out.jsonl").read_bytes() == first


def test_a_gateway_without_a_directory_can_export_everyone(
    emulator: Handle, tmp_path: Path
) -> None:
    emulator.faults([{"match": {"path": "/api/v2/users"}, "do": {"status": 404}}])
    try:
        found = export(tmp_path, emulator, contract="entities")
    finally:
        emulator.faults([])
    assert {row["user_name"] for row in found} == {None}
