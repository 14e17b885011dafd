"""Relative bounds: names of days, weeks and months, with a period added or taken away."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.config.moments import NAMES, Moment
from asyncreport.core.errors import ConfigError
from asyncreport.core.local_time import day_start, to_instant
from asyncreport.core.timeline import HOUR, Grid, Interval, parse_iso
from tests.unit.config.good_job import load, with_range

ZONES = ("UTC", "Europe/Dublin", "America/St_Johns", "America/Havana", "Pacific/Apia")

nows = st.datetimes(datetime(2005, 1, 1), datetime(2095, 1, 1)).map(
    lambda moment: to_instant(moment.replace(tzinfo=UTC))
)
zones = st.sampled_from(ZONES).map(ZoneInfo)


def at(text: str, now: int, zone: ZoneInfo) -> int:
    moment = Moment.read(text)
    assert moment is not None
    return moment.at(now, zone)


def today(now: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(now / 1000, zone).date()


@given(nows, zones, st.integers(0, 4000))
def test_days_are_counted_on_the_calendar(now: int, zone: ZoneInfo, days: int) -> None:
    day = today(now, zone)
    assert at("today", now, zone) == day_start(day, zone)
    assert at("yesterday", now, zone) == at("today-P1D", now, zone)
    assert at(f"today-P{days}D", now, zone) == day_start(day - timedelta(days=days), zone)
    assert at(f"today+P{days}D", now, zone) == day_start(day + timedelta(days=days), zone)
    assert at(f"today-P{days // 7}W", now, zone) == at(f"today-P{days // 7 * 7}D", now, zone)


@given(nows, zones)
def test_a_week_begins_on_monday_and_a_month_on_the_first(now: int, zone: ZoneInfo) -> None:
    day = today(now, zone)
    for name, bounds in (("week", (0, 7)), ("month", (0, 31))):
        first = datetime.fromtimestamp(at(f"this_{name}", now, zone) / 1000, zone).date()
        assert first.weekday() == 0 if name == "week" else first.day == 1
        assert bounds[0] <= (day - first).days < bounds[1]
        before = at(f"last_{name}", now, zone)
        assert before == at(f"this_{name}-P1{name[0].upper()}", now, zone)
        assert before < at(f"this_{name}", now, zone) <= now


@given(nows, zones, st.integers(0, 12 * 4))
def test_a_month_later_is_the_same_day_or_the_last_one(
    now: int, zone: ZoneInfo, months: int
) -> None:
    day = today(now, zone)
    there = datetime.fromtimestamp(at(f"today-P{months}M", now, zone) / 1000, zone).date()
    assert (day.year - there.year) * 12 + day.month - there.month == months
    last = (there.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    assert there.day == min(day.day, last.day)
    assert at("today-P1Y", now, zone) == at("today-P12M", now, zone)


@given(nows, zones, st.integers(0, 1000), st.integers(0, 59))
def test_hours_are_added_to_the_instant(now: int, zone: ZoneInfo, hours: int, minutes: int) -> None:
    shift = hours * HOUR + minutes * 60_000
    assert at(f"now-PT{hours}H{minutes}M", now, zone) == now - shift
    assert at(f"today+PT{hours}H", now, zone) == at("today", now, zone) + hours * HOUR


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "today-",
        "today-P",
        "today-PT",
        "today - P1D",
        "today-35D",
        "today-p1d",
        "Today",
        "today-P1D-P1D",
        "today-P1.5D",
        "this_year",
        "2024-01-01-P1D",
        "today-P1D ",
        "today-P1H",
    ],
)
def test_anything_else_is_not_a_moment(text: str) -> None:
    assert Moment.read(text) is None


#: a Thursday
NOW = parse_iso("2024-05-16T13:45Z")


@pytest.mark.parametrize(
    ("start", "end", "granularity", "interval", "notes"),
    [
        ("today-P35D", "today", "PT30M", "2024-04-11/2024-05-16", []),
        ("last_week", "this_week", "P1D", "2024-05-06/2024-05-13", []),
        ("last_month", "this_month", "P1M", "2024-04-01/2024-05-01", []),
        ("2024-01-01", "now", "P1M", "2024-01-01/2024-05-01", []),
        ("2024-01-01", "today", "P1M", "2024-01-01/2024-05-01", ["end: today", "2024-05-01"]),
        (
            "today-P14D",
            "today",
            "P1W",
            "2024-04-29/2024-05-13",
            ["start: today-P14D", "end: today"],
        ),
        ("now-P2D", "now", "PT1H", "2024-05-14T13/2024-05-16T13", []),
    ],
)
def test_relative_bounds_are_rounded_down_to_whole_buckets(
    tmp_path: Path, start: str, end: str, granularity: str, interval: str, notes: list[str]
) -> None:
    job = load(tmp_path, with_range(start, end, granularity=granularity), now=NOW)
    bounds = str(job.interval).split("/")
    for found, expected in zip(bounds, interval.split("/"), strict=True):
        assert found.startswith(expected)
    assert (
        job.interval.start
        == Grid(job.query.grid.granularity, job.query.grid.zone).edges_around(job.interval.start)[0]
    )
    text = "\n".join(job.notes)
    assert all(note in text for note in notes)
    assert bool(job.notes) == bool(notes)


@pytest.mark.parametrize(
    ("start", "end", "left_behind"),
    [
        ("today-P7D", "today", "2024-04-18T00/2024-05-02T00"),
        ("last_week", "this_week", "2024-04-15T00/2024-04-29T00"),
        ("now-P2D", "now", "2024-05-03T13/2024-05-12T13"),
    ],
)
def test_a_range_that_moves_leaves_behind_what_is_one_length_before_it(
    tmp_path: Path, start: str, end: str, left_behind: str
) -> None:
    text = with_range(start, end, granularity="PT1H")
    first, last = left_behind.split("/")
    expected = Interval(parse_iso(f"{first}:00Z"), parse_iso(f"{last}:00Z"))
    assert load(tmp_path, text, now=NOW).left_behind == expected


def test_a_fixed_start_and_an_override_leave_nothing_behind(tmp_path: Path) -> None:
    fixed = with_range("2024-05-09", "today", granularity="PT1H")
    assert load(tmp_path, fixed, now=NOW).left_behind is None
    moving = with_range("today-P7D", "today", granularity="PT1H")
    job = load(tmp_path, moving, overrides=["range.time_zone=UTC"], now=NOW)
    assert job.left_behind is None


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (
            "this_month",
            "today",
            r"range.end: must be after range.start \(line 7: 'this_month'\), but is 'today'; the ",
        ),
        ("last_moth", "today", r"but is 'last_moth' \(did you mean 'last_month'\?\); accepted: "),
        ("today-P99999D", "today", "must be in the years 2000 to 2100"),
        ("today-P999Y", "today", "must be in the years 2000 to 2100"),
        ("2024-01-01", "today+P99M", None),
    ],
)
def test_a_mistake_names_the_bound(
    tmp_path: Path, start: str, end: str, message: str | None
) -> None:
    text = with_range(start, end, granularity="P1M")
    if message is None:
        assert load(tmp_path, text, now=NOW).interval.end == parse_iso("2032-08-01T00:00Z")
        return
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text, now=NOW)


def test_the_names_are_all_read() -> None:
    assert all(Moment.read(name) for name in NAMES)
