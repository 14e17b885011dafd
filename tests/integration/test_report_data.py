"""Every number of a report equals the sum over the records of the export."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from asyncreport.commands.report_page import report_facts
from asyncreport.config import load_job, refresh_interval
from asyncreport.export.run import run_job
from asyncreport.export.run_context import Choices
from asyncreport.export.snapshot import Snapshot
from asyncreport.report.data import page_data
from asyncreport.report.model import PageData, Scope, Span
from asyncreport.report.numbers import Numbers
from asyncreport.store.parts import PartReader
from asyncreport.store.remote import NOWHERE
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, connection, restate, rows, run_here, write_job
from tests.manifests import edit_lines

ZONE = ZoneInfo("America/New_York")
#: a day of 25 hours is in it
RANGE = {"start": "2023-10-25", "end": "2023-11-12", "time_zone": str(ZONE), "granularity": "PT30M"}

Record = dict[str, Any]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=9, seed=5, requests_per_minute=0) as handle:
        yield handle


@pytest.fixture(scope="module")
def other() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=6, requests_per_minute=0) as handle:
        yield handle


def users(emulator: Handle) -> list[str]:
    start = round(datetime(2023, 10, 25, tzinfo=ZONE).timestamp() * 1000)
    found = {one["user_id"] for one in emulator.truth(start, start + 10 * 86_400_000)}
    return sorted(found - {None})


def data_of(path: Path, *, now: int = NOW, team: str | None = None) -> PageData:
    """Read what a report would show."""
    job = load_job(path, environ={}, now=now)
    facts = report_facts(Snapshot.read(job, now=now), command="asyncreport report", team=team)
    with PartReader(job.parts_folder, NOWHERE) as reader:
        return page_data(facts, reader, Event(), of_team=team is not None)


def local(record: Record) -> datetime:
    return datetime.fromisoformat(record["interval_start"]).astimezone(ZONE)


def check(numbers: Numbers | None, found: Iterable[Record]) -> None:
    """Compare numbers with the sum over records."""
    assert numbers is not None
    records = list(found)
    handled = sum(record["handled_count"] for record in records)
    assert numbers.handled == handled
    pairs = {
        "aht": "total_handle_time_sec",
        "talk": "total_talk_time_sec",
        "hold": "total_hold_time_sec",
        "wrap_up": "total_wrap_up_sec",
    }
    for name, column in pairs.items():
        total = sum(round(record[column] * 1000) for record in records)
        average = getattr(numbers, name)
        assert (average is None) == (handled == 0)
        assert handled == 0 or abs(average * 1000 - total / handled) <= 5.000001
    total = sum(round(record["total_handle_time_sec"] * 1000) for record in records)
    assert round(numbers.handle_time * 1000) == total
    if records and "idle_sec" in records[0]:
        interacting = sum(round(record["interacting_sec"] * 1000) for record in records)
        names = ("interacting_sec", "communicating_sec", "idle_sec")
        queue = sum(round(record[name] * 1000) for record in records for name in names)
        assert queue == 0 or abs((numbers.occupancy or 0) - interacting / queue) <= 0.00005001


def check_scope(scope: Scope, data: PageData, records: list[Record]) -> None:
    """Compare everything about a team, or all of them, with its records."""
    check(scope.total, records)
    assert scope.missing == 0
    for step, span in zip(scope.steps, data.steps, strict=True):
        inside = [each for each in records if span.start <= each["interval_start"] < span.end]
        check(step.numbers, inside)
    hours = group(records, lambda record: (local(record).isoweekday(), local(record).hour))
    assert scope.week is not None
    for day, line in enumerate(scope.week):
        for hour, cell in enumerate(line):
            inside = hours[day + 1, hour]
            assert cell.handled == sum(record["handled_count"] for record in inside)
            total = sum(record["total_handle_time_sec"] for record in inside)
            assert (cell.aht is None) == (cell.handled == 0)
            assert not cell.handled or abs((cell.aht or 0) - total / cell.handled) <= 0.0051
    check_agents_of(scope, records)


def check_agents_of(scope: Scope, records: list[Record]) -> None:
    # Of an agent in several teams the records are the same in each of them.
    by_agent = group(records, lambda record: record["user_id"])
    by_agent.pop(None, None)
    assert scope.agents == len(by_agent)
    times = []
    for found in by_agent.values():
        handled = sum(record["handled_count"] for record in found)
        if handled:
            times.append(sum(record["total_handle_time_sec"] for record in found) / handled)
    assert scope.distribution is not None
    assert scope.distribution.agents == len(times)
    assert abs(scope.distribution.quartiles[0] - min(times)) <= 0.0051
    assert abs(scope.distribution.quartiles[4] - max(times)) <= 0.0051


def group(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    found: defaultdict[Any, list[Record]] = defaultdict(list)
    for record in records:
        found[key(record)].append(record)
    return found


def test_every_number_is_the_sum_over_the_records(
    tmp_path: Path, emulator: Handle, other: Handle
) -> None:
    """Of two organisations, with an agent in two teams, and occupancy."""
    ids = users(emulator)
    path = write_job(
        tmp_path,
        emulator,
        connections={"east": connection(emulator), "west": connection(other)},
        range=RANGE,
        occupancy=True,
        teams=[
            {"name": "few", "connection": "east", "users": ids[:3]},
            {"name": "more", "connection": "east", "users": ids[2:7]},
            {"name": "all", "connection": "west", "everyone": True},
        ],
    )
    run_here(path)
    records = rows(tmp_path / "out.jsonl")
    data = data_of(path)
    assert [scope.team for scope in data.scopes] == [None, "few", "more", "all"]
    by_team = group(records, lambda record: record["team"])
    for scope in data.scopes:
        check_scope(scope, data, records if scope.team is None else by_team[scope.team])
    agents = group(records, lambda record: (record["team"], record["user_id"]))
    assert len(data.agents) == len(agents)
    for agent in data.agents:
        check(agent.numbers, agents[agent.team, agent.id])
        assert agent.name == agents[agent.team, agent.id][0]["user_name"]
        assert not agent.incomplete
    assert data.quality.in_several_teams == 1
    assert data.quality.gaps == []
    assert data.origin.last_run is not None
    assert data.origin.last_run.requests > 0
    check_change(data, records)
    only = data_of(path, team="more")
    assert only.scopes == [scope for scope in data.scopes if scope.team == "more"]
    assert {agent.team for agent in only.agents} == {"more"}
    assert "few" not in json.dumps([agent.name for agent in only.agents])


def check_change(data: PageData, records: list[Record]) -> None:
    assert data.halves is not None
    change = data.scopes[0].change
    assert change is not None
    for half, numbers in zip(data.halves, (change.earlier, change.later), strict=True):
        check(numbers, [one for one in records if half.start <= one["interval_start"] < half.end])
    assert change.aht == round((change.later.aht or 0) / (change.earlier.aht or 1) - 1, 4)
    lengths = list(map(length, data.halves))
    assert lengths == [timedelta(days=9), timedelta(days=9, hours=1)]


def length(span: Span) -> timedelta:
    return datetime.fromisoformat(span.end) - datetime.fromisoformat(span.start)


def test_what_was_not_fetched_is_never_zero(tmp_path: Path, emulator: Handle) -> None:
    """A day of half of a team is lost, and a later one of everyone in it."""
    ids = users(emulator)
    job = {
        "range": {**RANGE, "chunk": "P1D"},
        "teams": [{"name": "few", "users": ids[:4]}, {"name": "rest", "users": ids[4:]}],
    }
    path = write_job(tmp_path, emulator, **job)
    run_here(path)
    state = tmp_path / ".asyncreport" / "job" / "default"
    lost = []

    def lose(line: Any) -> Any:
        if line.get("interval", "").startswith("2023-11-01"):
            lost.append(state / f"part-{line['part']:08}.jsonl")
        return line

    edit_lines(state / "manifest.jsonl", lose)
    assert lost
    for part in lost:
        part.unlink(missing_ok=True)
    data = data_of(path)
    (day,) = [n for n, span in enumerate(data.steps) if span.start.startswith("2023-11-01")]
    for scope in data.scopes:
        assert [n for n, step in enumerate(scope.steps) if step.missing] == [day]
        assert scope.steps[day].missing == 1
        assert scope.steps[day].numbers is None
        # 1 November 2023 was a Wednesday.
        assert scope.week is not None
        assert [n for n, line in enumerate(scope.week) if any(c.incomplete for c in line)] == [2]
        assert scope.change is None
    assert {gap.team for gap in data.quality.gaps} == {"few", "rest"}
    assert all(agent.incomplete for agent in data.agents)


def test_changed_values_are_counted_where_they_are(tmp_path: Path, emulator: Handle) -> None:
    path = write_job(tmp_path, emulator, range={**RANGE, "chunk": "P1D"})
    run_here(path)
    restate(tmp_path / ".asyncreport" / "job" / "default", "2023-11-03")
    job = load_job(path, environ={}, now=NOW)
    later = NOW + 3_600_000
    refresh = refresh_interval("2023-11-03/2023-11-04", job, later)
    asyncio.run(run_job(job, now=later, choices=Choices(refresh=refresh)))
    data = data_of(path, now=later)
    changed = [n for n, step in enumerate(data.scopes[0].steps) if step.restated]
    assert [data.steps[n].start[:10] for n in changed] == ["2023-11-03"]
    assert data.quality.restated == data.scopes[0].steps[changed[0]].restated > 0
    assert data.quality.restated_at is not None


def test_the_future_is_not_shown_as_missing(tmp_path: Path, emulator: Handle) -> None:
    """A run in the middle of the range: the report ends with the last fetch, and says so."""
    path = write_job(tmp_path, emulator, range=RANGE)
    middle = round(datetime(2023, 11, 2, 10, 10, tzinfo=ZONE).timestamp() * 1000)
    run_here(path, now=middle)
    data = data_of(path, now=middle + 60_000)
    assert data.covered.end == "2023-11-02T14:10:00.000Z"
    assert data.range.end == "2023-11-12T05:00:00.000Z"
    assert len(data.steps) == 9
    assert all(step.missing == 0 for step in data.scopes[0].steps)
    assert data.quality.gaps == []
    assert data.quality.unsettled_from == "2023-10-29T14:00:00.000Z"


@pytest.mark.parametrize("granularity", ["P1D", "P1W", "P1M", "none"])
def test_long_buckets_have_no_hours(tmp_path: Path, emulator: Handle, granularity: str) -> None:
    span = {"start": "2023-10-02", "end": "2023-11-13"}
    if granularity == "P1M":
        span = {"start": "2023-10-01", "end": "2023-12-01"}
    path = write_job(tmp_path, emulator, range={**RANGE, **span, "granularity": granularity})
    run_here(path)
    records = rows(tmp_path / "out.jsonl")
    data = data_of(path)
    (scope,) = data.scopes
    assert scope.week is None
    check(scope.total, records)
    assert data.every == granularity
    for step, bucket in zip(scope.steps, data.steps, strict=True):
        inside = [one for one in records if bucket.start <= one["interval_start"] < bucket.end]
        check(step.numbers, inside)


def test_an_export_without_records_is_described(tmp_path: Path, emulator: Handle) -> None:
    path = write_job(tmp_path, emulator, range=RANGE, filter={"media_types": ["video"]})
    run_here(path)
    data = data_of(path)
    (scope,) = data.scopes
    assert scope.total.handled == 0
    assert scope.total.aht is None
    assert scope.distribution is None
    assert scope.agents == 0
    assert all(step.numbers is not None and step.numbers.handled == 0 for step in scope.steps)


def test_the_title_names_the_job_its_teams_and_its_days(emulator: Handle, tmp_path: Path) -> None:
    """The days are those of the zone, and the last one is included."""
    teams = [{"name": name, "users": users(emulator)[:2]} for name in ("a", "b", "c", "d")]
    path = write_job(tmp_path, emulator, range=RANGE, teams=teams)
    run_here(path)
    assert data_of(path).title == "job: a, b, c and 1 more team, 2023-10-25 to 2023-11-11"
    assert data_of(path, team="b").title == "job: b, 2023-10-25 to 2023-11-11"
