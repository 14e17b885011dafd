"""Roll-ups: whatever the records, the buckets and the blocks, the sums are those of the records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from asyncreport.config.zones import load_zone
from asyncreport.core.job import Query
from asyncreport.core.outputs import RollUp
from asyncreport.core.rollup_buckets import Buckets
from asyncreport.core.rollups import Sums
from asyncreport.core.timeline import HOUR, Granularity, Grid, Interval, iso

#: clock changes in two hemispheres, a half-hour offset, and a zone that lost a day
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia")
EVERY = ("PT1H", "P1D", "P1W", "P1M", "weekday_hour", "none")
SPLITS = (("media_type",), ("direction",), ("media_type", "direction"), ())
TIMES = (
    "total_talk_time_sec",
    "total_hold_time_sec",
    "total_wrap_up_sec",
    "total_handle_time_sec",
)
HALF_HOUR = HOUR // 2

milliseconds = st.integers(0, 10**9)

records = st.fixed_dictionaries(
    {
        #: half hours after the start of the range
        "offset": st.integers(0, 48 * 70 - 1),
        "media_type": st.sampled_from(("voice", "message", None)),
        "direction": st.sampled_from(("inbound", "outbound", None)),
        "handled_count": st.integers(0, 1000),
        **dict.fromkeys(TIMES, milliseconds),
    }
)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[ZoneInfo, Interval]:
    """Draw a zone, and a range of 70 days that begins at a local midnight."""
    zone = load_zone(draw(st.sampled_from(ZONES)))
    day = draw(st.dates(date(2011, 1, 1), date(2026, 1, 1)))
    start = midnight(day, zone)
    return zone, Interval(start, start + 70 * 24 * HOUR)


def midnight(day: date, zone: ZoneInfo) -> int:
    """Give the first instant of a local day, also of one without a midnight."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    return round(local.timestamp() * 1000)


def bucket(at: int, every: str, zone: ZoneInfo, interval: Interval) -> tuple[Any, Any]:
    """Work out the bucket of an instant with the standard library alone."""
    local = datetime.fromtimestamp(at / 1000, UTC).astimezone(zone)
    if every == "weekday_hour":
        return local.isoweekday(), local.hour
    if every == "none":
        return iso(interval.start), iso(interval.end)
    if every == "PT1H":
        start = at - local.minute * 60_000
        ends = start, start + HOUR
    else:
        days = day_range(local.date(), every)
        ends = midnight(days[0], zone), midnight(days[1], zone)
    return iso(max(ends[0], interval.start)), iso(min(ends[1], interval.end))


def day_range(day: date, every: str) -> tuple[date, date]:
    """Give the first day of a day, week or month, and of the next one."""
    if every == "P1D":
        return day, day + timedelta(days=1)
    if every == "P1W":
        monday = day - timedelta(days=day.weekday())
        return monday, monday + timedelta(days=7)
    first = day.replace(day=1)
    return first, (first + timedelta(days=32)).replace(day=1)


def line(record: dict[str, Any], start: int) -> bytes:
    """Write a record as a part has it: times in seconds."""
    row = {"interval_start": iso(start + record["offset"] * HALF_HOUR)}
    row |= {name: record[name] for name in ("media_type", "direction", "handled_count")}
    row |= {name: record[name] / 1000 for name in TIMES}
    return json.dumps(row).encode() + b"\n"


def summed(
    found: Sequence[dict[str, Any]], split: Sequence[str], every: str, case: Any
) -> dict[Any, list[int]]:
    """Add up records one by one."""
    zone, interval = case
    sums: defaultdict[Any, list[int]] = defaultdict(lambda: [0] * 5)
    for record in found:
        at = interval.start + record["offset"] * HALF_HOUR
        key = (*bucket(at, every, zone, interval), *(record[name] for name in split))
        numbers = [record["handled_count"], *(record[name] for name in TIMES)]
        sums[key] = [one + other for one, other in zip(sums[key], numbers, strict=True)]
    return dict(sums)


def key_of(row: dict[str, Any], split: Sequence[str], every: str) -> tuple[Any, ...]:
    """Say what a row is of."""
    ends = ("weekday", "hour") if every == "weekday_hour" else ("interval_start", "interval_end")
    return tuple(row[name] for name in (*ends, *split))


@given(
    st.lists(records, max_size=40),
    ranges(),
    st.sampled_from(EVERY),
    st.sampled_from(SPLITS),
    st.lists(st.integers(0, 40), max_size=5),
    st.lists(st.integers(0, 70 * 24), max_size=3),
)
def test_a_rollup_is_the_sum_over_the_records(
    found: list[dict[str, Any]],
    case: tuple[ZoneInfo, Interval],
    every: str,
    split: tuple[str, ...],
    cuts: list[int],
    hours: list[int],
) -> None:
    """However the records are divided into blocks, and whenever finished buckets are taken."""
    zone, interval = case
    query = Query(grid=Grid(Granularity("PT30M"), zone), split_by=("mediaType", "direction"))
    rollup = RollUp(by=("team", *split), every=every, paths=("x.jsonl",))
    sums = Sums(rollup, query, Buckets(every, query, interval))
    lines = [line(record, interval.start) for record in found]
    for first, last in pairwise(sorted({0, len(lines), *(min(cut, len(lines)) for cut in cuts)})):
        sums.add(b"".join(lines[first:last]))

    facts: dict[str, object] = {"team": "billing"}
    rows = []
    for hour in sorted(hours):
        until = iso(interval.start + hour * HOUR)
        taken = list(sums.take(facts, {}, until=until))
        assert all(row["interval_end"] <= until for row in taken)
        rows += taken
    rows += sums.take(facts, {}, until=None)

    assert sums.is_empty
    assert [key_of(row, (), every) for row in rows] == sorted(
        key_of(row, (), every) for row in rows
    )
    expected = summed(found, split, every, case)
    assert len(rows) == len(expected)
    for row in rows:
        numbers = expected[key_of(row, split, every)]
        assert row["team"] == "billing"
        assert [row["handled_count"], *(round(row[name] * 1000) for name in TIMES)] == numbers
        assert row["avg_handle_time_sec"] == mean(numbers[-1], numbers[0])


def mean(total: int, count: int) -> float | None:
    """Divide ms by a count exactly: seconds, two decimals, half up."""
    if not count:
        return None
    hundredths = Fraction(total, count * 10) + Fraction(1, 2)
    return hundredths.__floor__() / 100


@given(st.lists(records, max_size=20), ranges(), st.integers(2, 5))
def test_records_of_a_user_in_several_teams_count_as_often(
    found: list[dict[str, Any]], case: tuple[ZoneInfo, Interval], times: int
) -> None:
    zone, interval = case
    query = Query(grid=Grid(Granularity("PT30M"), zone), split_by=("mediaType", "direction"))
    rollup = RollUp(by=("media_type",), every="P1M", paths=("x.jsonl",))
    block = b"".join(line(record, interval.start) for record in found)
    buckets = Buckets("P1M", query, interval)
    once, often = Sums(rollup, query, buckets), Sums(rollup, query, buckets)
    once.add(block, times)
    for _ in range(times):
        often.add(block)
    assert list(once.take({}, {}, until=None)) == list(often.take({}, {}, until=None))
