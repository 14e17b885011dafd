"""Totals by user: every difference is found, and nothing else."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from asyncreport.config.zones import load_zone
from asyncreport.core.job import Query
from asyncreport.core.timeline import HOUR, Granularity, Grid, Interval
from asyncreport.core.verify_totals import (
    Totals,
    add,
    compared_columns,
    differences,
    merge,
    totals_query,
    uneven_handle_times,
)

GRID = Grid(Granularity.PT1H, load_zone("UTC"))
QUERY = Query(grid=GRID, metrics=("tAnswered",))
COLUMNS = compared_columns(QUERY)

numbers = st.integers(0, 2**40)
sums = st.fixed_dictionaries(dict.fromkeys(COLUMNS, numbers))
users = st.none() | st.sampled_from(["ann", "bob", "cyd"])
totals = st.dictionaries(users, sums, min_size=1)


def row(values: dict[str, int]) -> dict[str, object]:
    """Write a record as in a part."""
    return {
        name: value / 1000 if name.endswith("_sec") else value for name, value in values.items()
    }


@given(totals)
def test_the_same_totals_do_not_differ(found: Totals) -> None:
    assert differences(found, deepcopy(found), COLUMNS) == []


@given(totals, st.data(), st.integers(1, 1000), st.booleans())
def test_any_single_change_is_found_with_user_and_column(
    found: Totals, data: st.DataObject, by: int, here: bool
) -> None:
    user = data.draw(st.sampled_from(sorted(found, key=str)))
    name = data.draw(st.sampled_from(COLUMNS))
    changed = deepcopy(found)
    changed[user][name] += by
    (difference,) = (
        differences(changed, found, COLUMNS) if here else differences(found, changed, COLUMNS)
    )
    before, after = found[user][name], found[user][name] + by
    assert (difference.user, difference.columns) == (
        user,
        ((name, after, before) if here else (name, before, after),),
    )


@given(totals, st.data())
def test_a_user_who_is_missing_on_one_side_is_found_unless_all_is_zero(
    found: Totals, data: st.DataObject
) -> None:
    user = data.draw(st.sampled_from(sorted(found, key=str)))
    rest = {other: values for other, values in found.items() if other != user}
    expected = [user] if any(found[user].values()) else []
    assert [each.user for each in differences(found, rest, COLUMNS)] == expected
    assert [each.user for each in differences(rest, found, COLUMNS)] == expected


@given(st.lists(sums, max_size=6), st.integers(0, 6))
def test_rows_add_up_to_their_exact_ms_in_any_order(rows: list[dict[str, int]], cut: int) -> None:
    one: Totals = {}
    two: Totals = {}
    add(one, "ann", map(row, rows[:cut]), COLUMNS)
    add(two, "ann", map(row, rows[cut:]), COLUMNS)
    merge(one, two)
    assert one["ann"] == {name: sum(values[name] for values in rows) for name in COLUMNS}


def test_null_counts_as_zero() -> None:
    found: Totals = {}
    add(found, None, [{**row(dict.fromkeys(COLUMNS, 1)), "total_hold_time_sec": None}], COLUMNS)
    assert found[None]["total_hold_time_sec"] == 0
    assert found[None]["total_talk_time_sec"] == 1


def test_time_off_queue_and_averages_are_not_compared() -> None:
    names = compared_columns(Query(grid=GRID, occupancy=True))
    assert "idle_sec" in names
    assert not {"off_queue_sec", "occupancy", "avg_handle_time_sec"}.intersection(names)


def test_the_query_stays_split_only_by_dimensions_that_do_not_add_up() -> None:
    query = Query(grid=GRID, split_by=("queueId", "divisionId"), metrics=("tDialing",))
    asked = totals_query(query, Interval(0, HOUR), several=["divisionId"])
    assert asked.split_by == ("divisionId",)
    assert asked.metrics == ("tDialing", "tContacting")
    assert asked.grid.whole == Interval(0, HOUR)


def test_the_entities_contract_gets_no_other_metric() -> None:
    assert (
        totals_query(Query(contract="entities", grid=GRID), Interval(0, HOUR), several=()).metrics
        == ()
    )


def handled(handle: int, pieces: int, count: int = 100) -> Totals:
    given = {
        "handled_count": count,
        "total_handle_time_sec": handle,
        "total_talk_time_sec": pieces,
        "total_hold_time_sec": 0,
        "total_wrap_up_sec": 0,
    }
    return {"ann": {**given, "t_contacting_sum_ms": 0, "t_dialing_sum_ms": 0}}


def test_handle_time_may_differ_from_its_components_at_the_ends_of_the_range() -> None:
    """100 interactions of 1 s: two of them and 1 % are 3 s."""
    assert uneven_handle_times(handled(100_000, 97_000)) == []
    assert uneven_handle_times(handled(100_000, 103_000)) == []
    assert uneven_handle_times(handled(100_000, 96_999)) == [("ann", 100_000, 96_999)]
    assert uneven_handle_times(handled(100_000, 103_001)) == [("ann", 100_000, 103_001)]
    assert uneven_handle_times(handled(0, 1, count=0)) == [("ann", 0, 1)]


@given(totals, st.data(), st.integers(1, 1000))
def test_only_times_have_a_tolerance(found: Totals, data: st.DataObject, by: int) -> None:
    user = data.draw(st.sampled_from(sorted(found, key=str)))
    name = data.draw(st.sampled_from(COLUMNS))
    changed = deepcopy(found)
    changed[user][name] += by
    assert bool(differences(changed, found, COLUMNS, tolerance={user: by})) != name.endswith("_sec")
    assert differences(changed, found, COLUMNS, tolerance={user: by - 1})
