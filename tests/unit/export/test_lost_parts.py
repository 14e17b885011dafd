"""What a merge would lack although no chunk failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.freshness import Freshness
from asyncreport.core.plan import plan
from asyncreport.core.timeline import DAY, Interval, parse_iso
from asyncreport.export.lost_parts import LostPartsError, plan_again, unexplained
from tests.unit.core.test_plan import LATER, cells, demand, parts_of

START = parse_iso("2024-01-01T00:00Z")
USERS = tuple(f"user-{n:03}" for n in range(150))
FRESH = Freshness(settle=0, now=LATER + 1)


def days(first: int, end: int) -> Interval:
    return Interval(START + first * DAY, START + end * DAY)


@given(
    # users who have parts of the first days already: the plan puts others into its batches
    st.integers(0, 150),
    st.integers(1, 3),
    st.lists(st.sampled_from(["fetched", "gap", "lost"]), min_size=40, max_size=40),
)
def test_only_lost_parts_are_unexplained(known: int, old_days: int, fates: list[str]) -> None:
    old: list = []
    if known:
        old = parts_of(plan(demand(days(0, old_days), USERS[:known:2]), [], FRESH).chunks)
    wanted = demand(days(0, 5), USERS, population=150)
    first = plan(wanted, old, FRESH)
    by_fate: dict[str, list] = {"fetched": [], "gap": [], "lost": []}
    for chunk, fate in zip(first.chunks, fates, strict=False):
        by_fate[fate].append(chunk)
    assert sum(map(len, by_fate.values())) == len(first.chunks)
    parts = [*old, *parts_of(by_fate["fetched"], first=1000)]

    again = plan_again({"c": first}, {"c": parts}, FRESH)
    found = unexplained(again.values(), by_fate["gap"])

    lost = cells(wanted.grid, by_fate["lost"])
    assert lost.keys() <= cells(wanted.grid, found).keys()
    assert bool(found) == bool(lost)


def test_a_gap_of_another_connection_explains_nothing() -> None:
    first = plan(demand(days(0, 1), USERS[:2]), [], FRESH)
    again = plan_again({"c": first}, {"c": []}, FRESH)
    assert unexplained(again.values(), first.chunks) == []
    assert unexplained(again.values(), []) == list(first.chunks)


def test_the_message_lists_few_chunks() -> None:
    chunks = plan(demand(days(0, 1), tuple(f"{n:04}" for n in range(500))), [], FRESH).chunks
    assert str(LostPartsError(chunks)) == (
        "parts disappeared or were cut during this run: "
        "c 2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z, 100 users, "
        "c 2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z, 100 users, "
        "c 2024-01-01T00:00:00.000Z/2024-01-02T00:00:00.000Z, 100 users "
        "and 2 more chunks; run again to fetch them"
    )
