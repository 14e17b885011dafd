"""Rows of a part: what a fetch makes is valid, and every kind of damage is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.config.zones import load_zone
from asyncreport.core.columns import STATUS_METRIC, STATUSES
from asyncreport.core.job import Query
from asyncreport.core.measures import Datum, Measure
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import HOUR, Granularity, Grid, Interval, iso
from asyncreport.core.verify_rows import row_checker

GRID = Grid(Granularity.PT1H, load_zone("UTC"))
SPAN = Interval(0, 6 * HOUR)
QUERIES = [
    Query(grid=GRID),
    Query(grid=GRID, split_by=("mediaType", "queueId")),
    Query(grid=GRID, occupancy=True),
    Query(grid=GRID, metrics=("tAnswered", "nTransferred")),
    Query(grid=GRID, contract="entities"),
]
Row = dict[str, Any]


def made(query: Query, cells: list[tuple[int, str | None, int, int]]) -> bytes:
    """Make one user's rows from (bucket, value of every split, handled, ms)."""
    facts = Accumulator(GRID.edges(SPAN), query)
    for bucket, value, handled, ms in cells:
        interval = f"{iso(bucket * HOUR)}/{iso((bucket + 1) * HOUR)}"
        facts.add(
            "ann",
            (value,) * len(query.split_by),
            [Datum(interval, [Measure("tHandle", {"count": handled, "sum": ms})])],
        )
        if query.occupancy:
            times = [
                Measure(STATUS_METRIC, {"count": None, "sum": ms // (1 + n)}, status)
                for n, status in enumerate(STATUSES)
            ]
            facts.add_statuses("ann", [Datum(interval, times)])
    return b"".join(block.lines for block in facts.blocks())


cell = st.tuples(
    st.integers(0, 5),
    st.none() | st.sampled_from(["", "a", "b"]),
    st.integers(0, 50),
    st.integers(0, 2**43),
)


@given(st.sampled_from(QUERIES), st.lists(cell, max_size=12))
def test_rows_of_a_fetch_are_valid(
    query: Query, cells: list[tuple[int, str | None, int, int]]
) -> None:
    assert row_checker(query, SPAN)(made(query, cells)) is None


def swap(rows: list[Row]) -> None:
    rows[0], rows[1] = rows[1], rows[0]


def repeat(rows: list[Row]) -> None:
    rows.insert(1, rows[1])


def stray(rows: list[Row]) -> None:
    rows[2] |= {"interval_start": iso(6 * HOUR), "interval_end": iso(7 * HOUR)}


def stretch(rows: list[Row]) -> None:
    rows[0]["interval_end"] = iso(2 * HOUR)


def miscount(rows: list[Row]) -> None:
    rows[1]["handled_count"] += 1


def lose_a_column(rows: list[Row]) -> None:
    del rows[1]["total_talk_time_sec"]


def add_a_column(rows: list[Row]) -> None:
    rows[1]["total"] = 1


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (swap, "the record of 1970-01-01T00:00:00.000Z is out of order"),
        (repeat, "the record of 1970-01-01T01:00:00.000Z is repeated"),
        (stray, "1970-01-01T06:00:00.000Z/1970-01-01T07:00:00.000Z is not a bucket of this part"),
        (stretch, "1970-01-01T00:00:00.000Z/1970-01-01T02:00:00.000Z is not a bucket of this part"),
        (
            miscount,
            "avg_handle_time_sec of 1970-01-01T01:00:00.000Z is not "
            "total_handle_time_sec / handled_count",
        ),
        (lose_a_column, "a record cannot be read"),
        (add_a_column, "a record cannot be read"),
    ],
)
def test_damaged_rows_are_reported(
    query: Query, damage: Callable[[list[Row]], None], message: str
) -> None:
    rows = [
        json.loads(line)
        for line in made(query, [(n, "a", 3, 10_000 * (n + 1)) for n in range(4)]).splitlines()
    ]
    damage(rows)
    found = row_checker(query, SPAN)(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    assert found is not None
    assert found.startswith(message)


def test_a_wrong_occupancy_is_reported() -> None:
    rows = [json.loads(line) for line in made(QUERIES[2], [(0, None, 3, 10_000)]).splitlines()]
    rows[0]["occupancy"] += 0.0001
    assert (
        row_checker(QUERIES[2], SPAN)(json.dumps(rows[0]).encode())
        == "the occupancy of 1970-01-01T00:00:00.000Z does not match its times"
    )


def test_split_values_out_of_order_are_reported() -> None:
    rows = made(QUERIES[1], [(0, None, 1, 1), (0, "a", 1, 1)]).splitlines(keepends=True)
    assert (
        row_checker(QUERIES[1], SPAN)(b"".join(rows[::-1]))
        == "the record of 1970-01-01T00:00:00.000Z is out of order"
    )
