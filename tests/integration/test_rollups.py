"""A roll-up equals the sum over the records of the export, whatever it is of."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.emulator_process import Handle, emulator_process
from tests.exporting import rows, run_here, write_job

#: from a Wednesday on, over two months and a day of 25 hours
RANGE = {
    "start": "2023-10-25",
    "end": "2023-11-08",
    "time_zone": "America/New_York",
    "granularity": "PT30M",
}
ZONE = ZoneInfo("America/New_York")
TIMES = (
    "total_talk_time_sec",
    "total_hold_time_sec",
    "total_wrap_up_sec",
    "total_handle_time_sec",
)
COLUMNS = {"user": "user_id"}

BY = [["team"], ["user"], ["queue_id"], ["team", "user", "queue_id"], ["media_type", "team"]]
EVERY = ["PT1H", "P1D", "P1W", "P1M", "weekday_hour"]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=8, seed=5, requests_per_minute=0) as handle:
        yield handle


def job(folder: Path, emulator: Handle, rollups: list[dict[str, Any]]) -> Path:
    """Write a job of two teams that share users."""
    users = sorted({one["user_id"] for one in emulator.truth(*SPAN)} - {None})
    return write_job(
        folder,
        emulator,
        range=RANGE,
        split_by=["queue_id", "media_type"],
        teams=[{"name": "all", "everyone": True}, {"name": "few", "users": users[:3]}],
        output={"path": str(folder / "out.jsonl"), "rollups": rollups},
    )


SPAN = tuple(
    round(datetime.fromisoformat(day).replace(tzinfo=ZONE).timestamp() * 1000)
    for day in ("2023-10-25", "2023-11-08")
)


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZONE)


def bucket(start: str, every: str) -> tuple[str, str] | tuple[int, int]:
    """Work out the bucket of a record with the standard library alone."""
    at = datetime.fromisoformat(start)
    local = at.astimezone(ZONE)
    if every == "weekday_hour":
        return local.isoweekday(), local.hour
    if every == "PT1H":
        first = at.replace(minute=0)
        return written(first), written(first + timedelta(hours=1))
    day = local.date()
    if every == "P1D":
        ends = day, day + timedelta(days=1)
    elif every == "P1W":
        monday = day - timedelta(days=day.weekday())
        ends = monday, monday + timedelta(days=7)
    else:
        ends = day.replace(day=1), (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    low, high = date(2023, 10, 25), date(2023, 11, 8)
    return written(midnight(max(ends[0], low))), written(midnight(min(ends[1], high)))


def written(moment: datetime) -> str:
    return moment.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def expected(records: list[dict[str, Any]], by: list[str], every: str) -> dict[Any, list[int]]:
    """Add up records: the count, then the times in ms."""
    sums: defaultdict[Any, list[int]] = defaultdict(lambda: [0] * 5)
    for record in records:
        key = (
            *(record[COLUMNS.get(name, name)] for name in by),
            *bucket(record["interval_start"], every),
        )
        numbers = [record["handled_count"], *(round(record[name] * 1000) for name in TIMES)]
        sums[key] = [one + other for one, other in zip(sums[key], numbers, strict=True)]
    return dict(sums)


@pytest.fixture(scope="module")
def export(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollups")
    rollups = [
        {"by": by, "every": every, "path": str(folder / f"{'-'.join(by)}-{every}.jsonl")}
        for by in BY
        for every in EVERY
    ]
    run_here(job(folder, emulator, rollups))
    return folder


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("by", BY, ids="-".join)
def test_a_rollup_is_the_sum_over_the_records(export: Path, by: list[str], every: str) -> None:
    found = {}
    for row in rows(export / f"{'-'.join(by)}-{every}.jsonl"):
        ends = (
            ("weekday", "hour") if every == "weekday_hour" else ("interval_start", "interval_end")
        )
        key = tuple(row[COLUMNS.get(name, name)] for name in (*by, *ends))
        assert key not in found
        found[key] = [row["handled_count"], *(round(row[name] * 1000) for name in TIMES)]
        handle, count = round(row["total_handle_time_sec"] * 1000), row["handled_count"]
        mean = (handle + 5 * count) // (10 * count) / 100 if count else None
        assert row["avg_handle_time_sec"] == mean
    assert found == expected(rows(export / "out.jsonl"), by, every)


def test_the_rows_of_a_user_or_a_team_are_in_order_of_time(export: Path) -> None:
    found = rows(export / "team-user-queue_id-P1D.jsonl")
    for key in {(row["team"], row["user_id"]) for row in found}:
        starts = [row["interval_start"] for row in found if (row["team"], row["user_id"]) == key]
        assert starts == sorted(starts)


def test_empty_buckets_are_filled_only_where_the_data_is(emulator: Handle, tmp_path: Path) -> None:
    """Each hour of each day for each member; none after the end of what was fetched."""
    out = tmp_path / "hours.jsonl"
    rollup = {"by": ["team", "user"], "every": "PT1H", "path": str(out), "fill": "zero"}
    path = job(tmp_path, emulator, [rollup])
    run_here(path)
    found = [row for row in rows(out) if row["team"] == "few"]
    hours = 14 * 24 + 1
    assert len(found) == 3 * hours
    assert {row["handled_count"] for row in found} >= {0, 1}
    assert all((row["avg_handle_time_sec"] is None) == (not row["handled_count"]) for row in found)


def test_the_future_is_not_filled(emulator: Handle, tmp_path: Path) -> None:
    out = tmp_path / "hours.jsonl"
    rollup = {"by": ["team", "user"], "every": "PT1H", "path": str(out), "fill": "zero"}
    run_here(job(tmp_path, emulator, [rollup]), now=SPAN[0] + 86_400_000)
    empty = [row for row in rows(out) if not row["handled_count"]]
    assert len(empty) > 24
    # The emulator knows the future; what it says of it is there, but nothing is filled in.
    assert max(row["interval_start"] for row in empty) == "2023-10-26T03:00:00.000Z"


MISTAKES = [
    ({"by": ["tema"]}, "output.rollups[0].by[0]: 'tema' is nothing to roll up by (did you mean"),
    ({"by": ["direction"]}, "direction needs split_by: [direction]"),
    ({"by": ["division_id"]}, "division_id"),
    ({"every": "PT15M"}, "output.rollups[0].every: must be a known length"),
    ({"fill": "null"}, "output.rollups[0].fill: must be zero or none"),
    ({"every": "P1W", "path": "x-{month}.csv"}, "must not contain {month}"),
    ({"path": "x.tsv"}, "must be a file with a known extension"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=lambda each: json.dumps(each)[:30])
def test_a_mistake_has_its_key_and_its_cause(
    emulator: Handle, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    from asyncreport.core.errors import ConfigError

    rollup = {"by": ["team"], "every": "P1D", "path": str(tmp_path / "x.csv"), **change}
    with pytest.raises(ConfigError) as caught:
        run_here(job(tmp_path, emulator, [rollup]))
    assert message in str(caught.value)


def test_an_hour_that_the_zone_does_not_have_is_refused(emulator: Handle, tmp_path: Path) -> None:
    from asyncreport.core.errors import ConfigError

    path = job(tmp_path, emulator, [{"by": ["team"], "every": "PT1H", "path": "x.csv"}])
    with pytest.raises(ConfigError, match="not a whole number of PT1H buckets"):
        run_here(path, "range.time_zone=Australia/Lord_Howe", "range.start=2023-09-25")
