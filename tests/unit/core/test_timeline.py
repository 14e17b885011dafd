"""The calendar: buckets, slots and local times over every kind of clock change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.config.zones import load_zone
from asyncreport.core.durations import parse_duration
from asyncreport.core.local_time import day_start, from_instant, local_instant, to_instant
from asyncreport.core.timeline import DAY, HOUR, MINUTE, Granularity, Grid, Interval, iso, parse_iso

#: offsets of whole, half and quarter hours; clock changes at midnight, by half an hour, over the
#: date line, twice a year and never
ZONES = (
    "UTC",
    "Europe/Dublin",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Goose_Bay",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Asia/Amman",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Antarctica/Troll",
)
GRANULARITIES = [granularity for granularity in Granularity if granularity is not Granularity.NONE]

instants = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(
    lambda moment: to_instant(moment.replace(tzinfo=UTC))
)


def at(text: str, zone: str = "UTC") -> int:
    return local_instant(datetime.fromisoformat(text), load_zone(zone))


@given(st.integers(0, 4_102_444_799_999))
def test_an_instant_is_written_with_milliseconds(at: int) -> None:
    text = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert iso(at) == f"{text}.{at % 1000:03}Z"
    assert parse_iso(iso(at)) == at


@given(instants, st.sampled_from(ZONES), st.sampled_from(GRANULARITIES))
def test_every_instant_lies_in_one_bucket_of_one_slot(
    moment: int, zone: str, granularity: Granularity
) -> None:
    grid = Grid(granularity, load_zone(zone))
    try:
        slot = grid.slot(moment)
        before = grid.slot(slot.edges[0] - 1)
        after = grid.slot(slot.edges[-1])
    except ValueError:
        assert (granularity, zone) == (Granularity.PT1H, "Australia/Lord_Howe")
        return
    assert slot.edges[0] <= moment < slot.edges[-1]
    assert all(start < end for start, end in pairwise(slot.edges))
    assert (before.edges[-1], after.edges[0]) == (slot.edges[0], slot.edges[-1])


@given(instants, st.sampled_from(ZONES))
def test_a_day_begins_at_its_first_instant(moment: int, zone: str) -> None:
    day = from_instant(moment).astimezone(load_zone(zone)).date()
    start, end = (
        day_start(day, load_zone(zone)),
        day_start(day + timedelta(days=1), load_zone(zone)),
    )
    local = from_instant(start).astimezone(load_zone(zone))
    assert local.date() >= day
    assert from_instant(start - 1).astimezone(load_zone(zone)).date() < day or start == end
    assert 22 * HOUR <= end - start <= 26 * HOUR or zone == "Pacific/Apia"


@given(
    instants,
    st.sampled_from(ZONES),
    st.sampled_from([Granularity.P1D, Granularity.P1W, Granularity.P1M]),
)
def test_calendar_buckets_begin_where_the_calendar_says(
    moment: int, zone: str, granularity: Granularity
) -> None:
    for edge in Grid(granularity, load_zone(zone)).slot(moment).edges:
        day = from_instant(edge).astimezone(load_zone(zone)).date()
        assert edge == day_start(day, load_zone(zone))
        assert granularity is not Granularity.P1W or day.weekday() == 0
        assert granularity is not Granularity.P1M or day.day == 1


def test_a_clock_change_makes_days_of_23_and_25_hours() -> None:
    spring = Grid(Granularity.P1D, load_zone("Europe/Dublin")).edges(
        Interval(at("2023-03-26", "Europe/Dublin"), at("2023-03-27", "Europe/Dublin"))
    )
    autumn = Grid(Granularity.P1D, load_zone("Europe/Dublin")).edges(
        Interval(at("2023-10-29", "Europe/Dublin"), at("2023-10-30", "Europe/Dublin"))
    )
    assert [spring[1] - spring[0], autumn[1] - autumn[0]] == [23 * HOUR, 25 * HOUR]


def test_a_day_that_a_zone_skipped_is_not_a_bucket() -> None:
    """Samoa went from 29 to 31 December 2011."""
    edges = Grid(Granularity.P1D, load_zone("Pacific/Apia")).slot(at("2011-12-10")).edges
    assert len(edges) - 1 == 30
    assert day_start(date(2011, 12, 30), load_zone("Pacific/Apia")) == day_start(
        date(2011, 12, 31), load_zone("Pacific/Apia")
    )


def test_a_day_whose_midnight_is_skipped_begins_at_the_jump() -> None:
    assert iso(day_start(date(2023, 3, 26), load_zone("Asia/Beirut"))) == "2023-03-25T22:00:00.000Z"


def test_a_day_begins_at_the_first_of_two_midnights() -> None:
    """In Goose Bay, November 2009 began, and a minute later it was October again for an hour."""
    first = day_start(date(2009, 11, 1), load_zone("America/Goose_Bay"))
    assert iso(first) == "2009-11-01T03:00:00.000Z"
    assert (
        Grid(Granularity.P1D, load_zone("America/Goose_Bay")).slot(first + 30 * MINUTE).month
        == "2009-11"
    )


def test_quarter_hour_zones_step_from_their_own_midnight() -> None:
    slot = Grid(Granularity.PT30M, load_zone("Asia/Kathmandu")).slot(at("2024-01-15"))
    assert iso(slot.edges[0]) == "2023-12-31T18:15:00.000Z"
    assert iso(slot.edges[1]) == "2023-12-31T18:45:00.000Z"


def test_a_month_that_is_not_a_whole_number_of_hours_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"2023-10 in Australia/Lord_Howe is not a whole number of PT1H buckets, .* use PT30M",
    ):
        Grid(Granularity.PT1H, load_zone("Australia/Lord_Howe")).slot(at("2023-10-10"))


def test_a_week_belongs_to_the_month_in_which_its_monday_lies() -> None:
    grid = Grid(Granularity.P1W, load_zone("Europe/Berlin"))
    assert grid.slot(at("2023-01-01", "Europe/Berlin")).month == "2022-12"
    assert [slot.month for slot in grid.slots(Interval(at("2022-12-26"), at("2023-02-08")))] == [
        "2022-12",
        "2023-01",
        "2023-02",
    ]


def test_none_is_one_bucket_for_the_whole_range() -> None:
    whole = Interval(at("2023-01-05T09:17"), at("2024-07-01T11:00"))
    grid = Grid(Granularity.NONE, load_zone("UTC"), whole)
    assert grid.edges(whole) == (whole.start, whole.end)
    assert [slot.month for slot in grid.slots(whole)] == ["2023-01"]


def test_edges_off_the_grid_are_refused() -> None:
    grid = Grid(Granularity.PT1H, load_zone("UTC"))
    with pytest.raises(ValueError, match="does not lie on the edges of PT1H buckets in UTC"):
        grid.edges(Interval(at("2023-01-01T00:30"), at("2023-01-01T02:00")))
    assert grid.edges_around(at("2023-01-01T00:30")) == (
        at("2023-01-01T00:00"),
        at("2023-01-01T01:00"),
    )
    assert grid.edges_around(at("2023-01-01T01:00")) == (
        at("2023-01-01T01:00"),
        at("2023-01-01T01:00"),
    )


def test_an_interval_is_not_empty_and_knows_what_it_shares() -> None:
    with pytest.raises(ValueError, match="is empty or reversed"):
        Interval(5, 5)
    assert Interval(0, 10).overlaps(Interval(9, 12))
    assert not Interval(0, 10).overlaps(Interval(10, 12))
    assert Interval(0, 10).intersection(Interval(4, 12)) == Interval(4, 10)
    assert str(Interval(0, DAY)) == "1970-01-01T00:00:00.000Z/1970-01-02T00:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "verb"), [("2023-03-26T01:30", "skips"), ("2023-10-29T01:30", "repeats")]
)
def test_an_ambiguous_local_time_is_refused_with_both_readings(text: str, verb: str) -> None:
    with pytest.raises(
        ValueError,
        match=f"a clock change in Europe/Dublin {verb} it; write it with an offset: .* or .*",
    ):
        local_instant(datetime.fromisoformat(text), load_zone("Europe/Dublin"))


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="has no offset"):
        to_instant(datetime(2023, 1, 1))
    with pytest.raises(ValueError, match="has no offset"):
        parse_iso("2023-01-01T00:00:00")


@given(instants)
def test_instants_survive_their_text(moment: int) -> None:
    assert parse_iso(iso(moment)) == moment
    assert to_instant(from_instant(moment)) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT15M", 15 * MINUTE),
        ("P4D", 4 * DAY),
        ("P1W", 7 * DAY),
        ("PT1H30M", 90 * MINUTE),
        ("P1DT12H", 36 * HOUR),
        ("PT45S", 45_000),
    ],
)
def test_durations_are_read(text: str, expected: int) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1M", "1h", "PT1.5H", "P-1D", "PT1H ", "P1DT", "pt1h", "P1Y"]
)
def test_other_texts_are_not_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not an ISO 8601 duration"):
        parse_duration(text)
