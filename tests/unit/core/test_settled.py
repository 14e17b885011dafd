"""How far a range is settled, and from when on it lies in the future."""

import pytest

from asyncreport.config.zones import load_zone
from asyncreport.core.job import Job, Query
from asyncreport.core.outputs import Output
from asyncreport.core.settled import describe_unsettled, future_from, settled_until
from asyncreport.core.timeline import DAY, HOUR, Granularity, Grid, Interval, iso, parse_iso

START = parse_iso("2024-03-01T00:00Z")
END = parse_iso("2024-03-11T00:00Z")


def _job(granularity: Granularity, zone: str = "UTC") -> Job:
    interval = Interval(START, END)
    whole = interval if granularity is Granularity.NONE else None
    return Job(
        name="report",
        connections=(),
        interval=interval,
        query=Query(grid=Grid(granularity, load_zone(zone), whole)),
        teams=(),
        output=Output(paths=("report.jsonl",), settle=2 * DAY),
    )


HOURLY = _job(Granularity.PT1H)


@pytest.mark.parametrize(
    ("now", "settled", "future"),
    [
        ("2024-02-01T00:00Z", START, START),
        ("2024-03-01T00:00Z", START, START),
        ("2024-03-02T12:30Z", START, START + 37 * HOUR),
        ("2024-03-03T00:00Z", START, START + 2 * DAY),
        ("2024-03-05T12:30Z", START + 2 * DAY + 12 * HOUR, START + 4 * DAY + 13 * HOUR),
        ("2024-03-11T00:00Z", END - 2 * DAY, END),
        ("2024-03-12T23:59Z", END - HOUR, END),
        ("2024-03-13T00:00Z", END, END),
        ("2025-01-01T00:00Z", END, END),
    ],
)
def test_both_instants_are_bucket_edges_inside_the_range(
    now: str, settled: int, future: int
) -> None:
    """A bucket counts as settled only as a whole, and as future only if it has not begun."""
    assert settled_until(HOURLY, parse_iso(now)) == settled
    assert future_from(HOURLY, parse_iso(now)) == future


def test_a_single_bucket_is_settled_as_a_whole() -> None:
    """One bucket for the whole range is not settled before its end is."""
    job = _job(Granularity.NONE)
    assert settled_until(job, END + 2 * DAY - 1) == START
    assert settled_until(job, END + 2 * DAY) == END
    assert future_from(job, START + 1) == END


def test_what_is_not_settled_and_what_is_empty_is_named() -> None:
    """A range that ends in the future has a settled, an unsettled and an empty part."""
    now = START + 4 * DAY + HOUR // 2
    assert describe_unsettled(HOURLY, now) == [
        f"from {iso(START + 2 * DAY)} on, the numbers may still change: run again later",
        f"empty from {iso(START + 4 * DAY + HOUR)} on: this part of the range is in the future",
    ]
    assert describe_unsettled(HOURLY, START - DAY) == [
        f"empty from {iso(START)} on: this part of the range is in the future"
    ]
    assert describe_unsettled(HOURLY, END + 2 * DAY) == []
