"""The accumulator and the arithmetic: nothing is lost or counted twice, ratios come last."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.config.zones import load_zone
from asyncreport.core.columns import METRICS, average, column
from asyncreport.core.errors import RejectedError
from asyncreport.core.job import Query
from asyncreport.core.measures import Datum, Measure
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import HOUR, Granularity, Grid, iso
from tests.rows import rows

EDGES = tuple(range(0, 5 * HOUR, HOUR))
SPANS = [f"{iso(start)}/{iso(start + HOUR)}" for start in EDGES[:-1]]


def accumulator(*split_by: str, **rest: Any) -> Accumulator:
    return Accumulator(
        EDGES, Query(grid=Grid(Granularity.PT1H, load_zone("UTC")), split_by=split_by, **rest)
    )


def datum(bucket: int, **metrics: tuple[int | None, float | None]) -> Datum:
    """Make one bucket of a response: `tHandle=(count, sum)`."""
    return Datum(
        SPANS[bucket],
        [Measure(name, {"count": count, "sum": total}) for name, (count, total) in metrics.items()],
    )


facts_of_users = st.lists(
    st.tuples(
        st.sampled_from([None, "anna", "bert"]),
        st.sampled_from([("voice",), ("chat",), (None,)]),
        st.integers(0, 3),
        st.sampled_from(METRICS),
        st.integers(0, 50),
        st.integers(0, 10**9),
    ),
    max_size=60,
)


@given(facts_of_users, st.randoms(use_true_random=False), st.booleans())
def test_order_and_cuts_of_a_response_do_not_change_the_rows(
    facts: list[tuple], random: object, together: bool
) -> None:  # type: ignore[type-arg]
    """Sums are exact, whether a key comes in one entry or in many, in any order."""
    whole = accumulator("mediaType")
    pieces = accumulator("mediaType")
    for user, split, bucket, metric, count, total in facts:
        whole.add(user, split, [datum(bucket, **{metric: (count, total)})])
    shuffled = list(facts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for user, split, bucket, metric, count, total in shuffled:
        cut = total // 3
        data = [
            datum(bucket, **{metric: (count, cut)}),
            datum(bucket, **{metric: (None, float(total - cut))}),
        ]
        for entry in [data] if together else [[one] for one in data]:
            pieces.add(user, split, entry)
    assert rows(whole) == rows(pieces)
    handled = sum(count for _, _, _, metric, count, _ in facts if metric == "tHandle")
    assert sum(row["handled_count"] for block in rows(whole).values() for row in block) == handled  # type: ignore[misc]
    assert {(user, split[0], bucket) for user, split, bucket, *_ in facts} == {
        (user, row["media_type"], [iso(edge) for edge in EDGES].index(str(row["interval_start"])))
        for user, block in rows(whole).items()
        for row in block
    }


def test_a_row_has_every_column_in_order() -> None:
    facts = accumulator("mediaType", "queueId")
    handled = datum(
        1,
        tHandle=(3, 760500.0),
        tTalkComplete=(3, 590000),
        tHeldComplete=(1, 60000.0),
        tAcw=(3, 110500.0),
        nTransferred=(1, None),
    )
    facts.add("anna", ("voice", None), [handled])
    assert rows(facts) == {
        "anna": [
            {
                "media_type": "voice",
                "queue_id": None,
                "interval_start": "1970-01-01T01:00:00.000Z",
                "interval_end": "1970-01-01T02:00:00.000Z",
                "handled_count": 3,
                "total_talk_time_sec": 590.0,
                "total_hold_time_sec": 60.0,
                "total_wrap_up_sec": 110.5,
                "total_handle_time_sec": 760.5,
                "avg_handle_time_sec": 253.5,
            }
        ]
    }
    assert list(rows(facts)["anna"][0])[:4] == [
        "media_type",
        "queue_id",
        "interval_start",
        "interval_end",
    ]


def test_rows_are_sorted_by_user_bucket_and_split_null_first() -> None:
    facts = accumulator("mediaType")
    for user, split, bucket in [
        ("bert", "voice", 2),
        ("anna", "voice", 1),
        ("anna", "chat", 1),
        ("anna", None, 1),
        (None, "voice", 0),
        ("anna", "voice", 0),
    ]:
        facts.add(user, (split,), [datum(bucket, tHandle=(1, 1000))])
    assert [
        (user, row["interval_start"], row["media_type"])
        for user, block in rows(facts).items()
        for row in block
    ] == [
        (None, iso(EDGES[0]), "voice"),
        ("anna", iso(EDGES[0]), "voice"),
        ("anna", iso(EDGES[1]), None),
        ("anna", iso(EDGES[1]), "chat"),
        ("anna", iso(EDGES[1]), "voice"),
        ("bert", iso(EDGES[2]), "voice"),
    ]


def test_a_row_without_handled_interactions_has_no_average() -> None:
    """The average is null, not 0, if nothing was handled."""
    facts = accumulator()
    facts.add("anna", (), [datum(0, tTalkComplete=(1, 5000))])
    assert [
        (row["handled_count"], row["total_talk_time_sec"], row["avg_handle_time_sec"])
        for row in rows(facts)["anna"]
    ] == [(0, 5.0, None)]


@pytest.mark.parametrize("metrics", [None, [], [Measure("nTransferred", {"count": 1})]])
def test_a_bucket_without_a_requested_metric_makes_no_row(metrics: list[Measure] | None) -> None:
    facts = accumulator()
    facts.add("anna", (), [Datum(SPANS[0], metrics)])
    assert rows(facts) == {}


def test_a_metric_whose_stats_are_absent_makes_a_row_of_zeros() -> None:
    facts = accumulator()
    facts.add("anna", (), [Datum(SPANS[0], [Measure("tHandle")])])
    assert [row["handled_count"] for row in rows(facts)["anna"]] == [0]


@pytest.mark.parametrize(
    "interval",
    [
        "1970-01-01T02:00:00+01:00/1970-01-01T03:00:00+01:00",
        "1970-01-01T01:00:00Z/1970-01-01T02:00:00Z",
        SPANS[1],
    ],
)
def test_a_bucket_is_found_by_its_instants_in_any_notation(interval: str) -> None:
    facts = accumulator()
    facts.add("anna", (), [Datum(interval, [Measure("tHandle", {"count": 1, "sum": 1})])])
    assert rows(facts)["anna"][0]["interval_start"] == iso(HOUR)


@pytest.mark.parametrize(
    "interval",
    [
        "",
        "/",
        "tomorrow",
        "1970-01-01T01:30:00Z/1970-01-01T02:00:00Z",
        f"{iso(0)}/{iso(2 * HOUR)}",
        "1970-01-01T01:00:00/1970-01-01T02:00:00",
        "0001-01-01T00:00:00+14:00/0001-01-01T01:00:00+14:00",
    ],
)
def test_a_bucket_off_the_grid_is_an_error(interval: str) -> None:
    facts = accumulator()
    with pytest.raises(
        RejectedError,
        match=r"that was not asked for; expected buckets from 1970-01-01T00:00:00.000Z to",
    ):
        facts.add("anna", (), [Datum(interval, [])])
    assert rows(facts) == {}


@pytest.mark.parametrize(
    "count_and_sum", [(1, -5.0), (-1, 5), (10**20, 1), (1, 10**400), (1, 1e300)]
)
def test_an_impossible_number_is_an_error(count_and_sum: tuple[int, float]) -> None:
    facts = accumulator()
    with pytest.raises(
        RejectedError,
        match=r"an invalid tHandle (count|sum): .* for user anna in the bucket 1970-01-01T00",
    ):
        facts.add("anna", (), [datum(0, tHandle=count_and_sum)])
    assert rows(facts) == {}


def test_skipped_groups_are_remembered_over_several_groups_and_pages() -> None:
    """A response in which every metric lacks its user must not look like one without data."""
    with_metrics = [datum(0, tHandle=(1, 1000))]
    page = accumulator()
    page.skip_ungrouped(has_metrics=True)
    page.skip_ungrouped(has_metrics=False)
    assert page.only_ungrouped
    whole = page.empty_copy()
    assert not whole.only_ungrouped
    whole.absorb(page)
    whole.absorb(page.empty_copy())
    assert whole.only_ungrouped
    whole.add("anna", (), with_metrics)
    assert not whole.only_ungrouped


def test_a_block_names_only_queues_that_have_rows() -> None:
    facts = accumulator("queueId")
    facts.add("anna", ("sales",), [datum(0, tHandle=(1, 1000))])
    facts.add("anna", ("support",), [Datum(SPANS[0], [])])
    facts.add("anna", (None,), [datum(1, tHandle=(1, 1000))])
    assert [block.queues for block in facts.blocks()] == [frozenset({"sales"})]


@given(st.integers(0, 10**12), st.integers(1, 10**6))
def test_an_average_is_divided_once_and_rounded_half_up(total: int, count: int) -> None:
    exact = (Decimal(total) / count / 1000).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert average(total, count) == float(exact)


@pytest.mark.parametrize(
    ("dimension", "name"),
    [("mediaType", "media_type"), ("queueId", "queue_id"), ("direction", "direction")],
)
def test_a_column_is_named_in_snake_case(dimension: str, name: str) -> None:
    assert column(dimension) == name
