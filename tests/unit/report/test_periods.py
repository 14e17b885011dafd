"""The steps of the time axes tile the range, and its halves are equally many whole days."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from asyncreport.config.zones import load_zone
from asyncreport.core.job import Query
from asyncreport.core.local_time import day_start
from asyncreport.core.timeline import HOUR, Granularity, Grid, Interval
from asyncreport.report.periods import axis_length, base_length, halves, steps

ZONES = ("UTC", "Europe/Dublin", "America/New_York", "Pacific/Apia")


def query(granularity: str, zone: str = "UTC", whole: Interval | None = None) -> Query:
    return Query(grid=Grid(Granularity(granularity), load_zone(zone), whole))


def span(zone: str, first: date, days: int) -> Interval:
    found = load_zone(zone)
    return Interval(day_start(first, found), day_start(first + timedelta(days=days), found))


@pytest.mark.parametrize(
    ("days", "every", "number"),
    [(1, "P1D", 1), (45, "P1D", 45), (46, "P1W", 7), (730, "P1W", 105), (3652, "P1M", 120)],
)
def test_the_step_follows_the_length_of_the_range(days: int, every: str, number: int) -> None:
    interval = span("UTC", date(2015, 1, 1), days)
    asked = query("PT30M")
    assert axis_length(asked, interval) == every
    assert len(steps(every, asked, interval)) == number


@pytest.mark.parametrize("granularity", ["P1W", "P1M", "none"])
def test_longer_buckets_stay_as_they_are(granularity: str) -> None:
    interval = span("UTC", date(2015, 1, 1), 10)
    asked = query(granularity, whole=interval if granularity == "none" else None)
    assert base_length(asked) == axis_length(asked, interval) == granularity
    assert halves(asked, interval) is None


def drawn_span(zone: str, first: date, days: int) -> Interval:
    # Samoa left out 30 December 2011: a span of this day alone does not exist.
    assume((zone, first, days) != ("Pacific/Apia", date(2011, 12, 30), 1))
    return span(zone, first, days)


@given(
    st.sampled_from(ZONES),
    st.dates(date(2011, 6, 1), date(2012, 6, 1)),
    st.integers(1, 900),
    st.integers(0, 30),
)
@example("Pacific/Apia", date(2011, 12, 30), 1, 0)
def test_steps_tile_the_range(zone: str, first: date, days: int, cut: int) -> None:
    whole = drawn_span(zone, first, days)
    interval = Interval(whole.start, max(whole.end - cut * HOUR, whole.start + HOUR))
    asked = query("PT1H", zone)
    found = steps(axis_length(asked, interval), asked, interval)
    assert (found[0].start, found[-1].end) == (interval.start, interval.end)
    assert all(one.end == other.start for one, other in pairwise(found))
    assert len(found) <= 120


@given(
    st.sampled_from(ZONES),
    st.dates(date(2011, 1, 1), date(2012, 6, 1)),
    st.integers(1, 60),
    st.integers(0, 23),
)
def test_halves_are_equally_many_whole_days(zone: str, first: date, days: int, cut: int) -> None:
    whole = drawn_span(zone, first, days)
    interval = Interval(whole.start + cut * HOUR, max(whole.end, whole.start + (cut + 1) * HOUR))
    asked = query("PT1H", zone)
    found = halves(asked, interval)
    if found is None:
        assert days <= 3
        return
    assert interval.start <= found.earlier.start < found.earlier.end <= found.later.start
    assert found.later.end == interval.end
    counts = [len(steps("P1D", asked, half)) for half in (found.earlier, found.later)]
    assert counts[0] == counts[1] >= 1
    assert found.later.start - found.earlier.end <= 26 * HOUR
