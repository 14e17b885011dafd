"""ISO 8601 intervals and periods, and stepping through them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.timeline import HOUR, iso, parse_iso
from asyncreport.emulator.messages import ApiError
from asyncreport.emulator.periods import Period, parse_interval, parse_period, split, utc_text


def _edges(interval: str, granularity: str | None, zone: str = "UTC") -> list[str]:
    start, end = parse_interval(interval)
    buckets = split(start, end, parse_period(granularity) if granularity else None, ZoneInfo(zone))
    count = len(buckets.edges) - 1
    return [buckets.text(n, end) for n in range(count)]


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("PT15M", Period(ms=900_000)),
        ("PT1M", Period(ms=60_000)),
        ("P1D", Period(days=1)),
        ("P1W", Period(days=7)),
        ("P1M", Period(months=1)),
        ("PT12H", Period(ms=12 * HOUR)),
    ],
)
def test_periods_are_read(text: str, period: Period) -> None:
    assert parse_period(text) == period


@pytest.mark.parametrize(
    "text",
    [
        "1h",
        "PT",
        "P",
        "PT0S",
        "P1DT",
        "pt15m",
        "PT1H ",
        "",
        "PT1.5H",
        "PT30S",
        "PT1H30M",
        "P1DT12H",
        "P1Y",
        "P0D",
        3600,
        None,
        "P" + "9" * 40 + "D",
    ],
)
def test_an_invalid_period_is_refused_with_its_field(text: object) -> None:
    with pytest.raises(ApiError, match="granularity is not an ISO-8601 period") as caught:
        parse_period(text)
    assert (caught.value.status, caught.value.code) == (400, "bad.request")


def test_intervals_have_any_offset_and_are_utc_without_one() -> None:
    expected = (parse_iso("2023-10-01T00:00Z"), parse_iso("2023-10-02T00:00Z"))
    for text in (
        "2023-10-01T00:00:00.000Z/2023-10-02T00:00:00.000Z",
        "2023-10-01T02:00:00+02:00/2023-10-02T05:30:00.000+05:30",
        "2023-10-01T00:00:00/2023-10-02T00:00",
    ):
        assert parse_interval(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            None,
            "",
            "2023-10-01",
            "2023-10-01/2023-10-02",
            "2023-10-01T00:00Z",
            "2023-10-01T00:00Z/P1D",
        ),
        *(
            "2023-02-30T00:00Z/2023-03-02T00:00Z",
            "2023-10-02T00:00Z/2023-10-01T00:00Z",
            "2023-10-02T00:00Z/2023-10-02T00:00Z",
        ),
        *(
            "1969-12-31T00:00Z/2023-10-02T00:00Z",
            "2023-10-02T00:00Z/3000-01-01T00:01Z",
            "0001-01-01T00:00+14:00/2023-10-02T00:00Z",
        ),
    ],
)
def test_an_invalid_interval_is_refused_with_its_field(text: object) -> None:
    with pytest.raises(ApiError, match="interval"):
        parse_interval(text)


def test_buckets_are_anchored_at_the_start_and_the_last_one_ends_with_the_interval() -> None:
    assert _edges("2023-10-01T15:07:00Z/2023-10-01T16:00:00Z", "PT30M") == [
        "2023-10-01T15:07:00.000Z/2023-10-01T15:37:00.000Z",
        "2023-10-01T15:37:00.000Z/2023-10-01T16:00:00.000Z",
    ]


def test_without_a_granularity_the_interval_is_one_bucket() -> None:
    assert _edges("2023-10-01T15:07:00Z/2023-10-03T16:00:00Z", None) == [
        "2023-10-01T15:07:00.000Z/2023-10-03T16:00:00.000Z"
    ]


def test_local_days_have_23_and_25_hours_at_clock_changes() -> None:
    assert _edges("2023-03-24T23:00:00Z/2023-03-26T22:00:00Z", "P1D", "Europe/Paris") == [
        "2023-03-24T23:00:00.000Z/2023-03-25T23:00:00.000Z",
        "2023-03-25T23:00:00.000Z/2023-03-26T22:00:00.000Z",
    ]
    assert _edges("2023-10-28T22:00:00Z/2023-10-30T23:00:00Z", "P1D", "Europe/Paris") == [
        "2023-10-28T22:00:00.000Z/2023-10-29T23:00:00.000Z",
        "2023-10-29T23:00:00.000Z/2023-10-30T23:00:00.000Z",
    ]


def test_days_are_utc_without_a_zone_and_a_zone_does_not_move_the_start() -> None:
    assert len(_edges("2023-10-28T22:00:00Z/2023-10-30T22:00:00Z", "P1D")) == 2
    assert _edges("2023-11-04T00:00:00Z/2023-11-06T01:00:00Z", "P1D", "America/New_York") == [
        "2023-11-04T00:00:00.000Z/2023-11-05T00:00:00.000Z",  # 20:00 local, EDT
        "2023-11-05T00:00:00.000Z/2023-11-06T01:00:00.000Z",  # to 20:00 local, EST
    ]


def test_months_are_counted_from_the_start_and_never_drift() -> None:
    starts = [text[:10] for text in _edges("2023-01-31T00:00:00Z/2023-05-31T00:00:00Z", "P1M")]
    assert starts == ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"]


def test_weeks_run_from_the_day_of_the_start() -> None:
    starts = [text[:10] for text in _edges("2023-10-04T00:00:00Z/2023-10-20T00:00:00Z", "P1W")]
    assert starts == ["2023-10-04", "2023-10-11", "2023-10-18"]


def test_a_period_longer_than_the_calendar_is_one_bucket() -> None:
    for longest in ("P99999M", "P99999W", "PT9999999H"):
        assert (
            len(_edges("2023-10-01T00:00:00Z/2999-01-01T00:00:00Z", longest, "Europe/Dublin")) == 1
        )


def test_a_query_with_too_many_buckets_is_refused() -> None:
    with pytest.raises(ApiError, match="more than"):
        _edges("2000-01-01T00:00:00Z/2023-01-01T00:00:00Z", "PT1M")


@given(
    st.integers(0, 4_000_000_000_000),
    st.sampled_from(["PT15M", "PT1H", "P1D", "P1W", "P1M"]),
    st.sampled_from(
        [
            "UTC",
            "Europe/Dublin",
            "Australia/Lord_Howe",
            "America/Havana",
            "Pacific/Apia",
            "Asia/Kathmandu",
        ]
    ),
    st.integers(0, 10**9),
)
def test_every_instant_is_inside_its_bucket(
    start: int, granularity: str, zone: str, offset: int
) -> None:
    end = start + 40 * 24 * HOUR
    buckets = split(start, end, parse_period(granularity), ZoneInfo(zone))
    at = start + offset % (end - start)
    index = buckets.index(at)
    assert buckets.edges[index] <= at < buckets.edges[index + 1]
    assert buckets.edges[-2] < end <= buckets.edges[-1]


@given(st.integers(-2_000_000_000_000, 9_000_000_000_000))
def test_instants_are_written_in_the_vendors_form(at: int) -> None:
    assert utc_text(at) == iso(at)
