"""How long chunks may be follows from what answers held, in both directions."""

from __future__ import annotations

import pytest

from asyncreport.core.answer_sizes import LARGEST_ANSWER, MOST_CELLS, AnswerSizes, Totals
from asyncreport.core.plan import MAX_CELLS, MAX_RECORDS

ANNA, BERT = ("anna",), ("bert",)
#: bytes of a record on the wire
BYTES = 500


def note(
    sizes: AnswerSizes,
    density: float,
    *,
    users: tuple[str, ...] = ANNA,
    cells: int | None = None,
    seconds: float = 1.0,
) -> int:
    """Note an answer to a chunk as long as allowed; give its users x buckets."""
    asked = cells or sizes.most(users) or MAX_CELLS
    records = round(asked * density)
    sizes.answered(users, cells=asked, records=records, received=records * BYTES, seconds=seconds)
    return asked


def test_nothing_is_known_before_the_first_answer() -> None:
    assert AnswerSizes().most(ANNA) is None


def test_the_length_doubles_until_an_answer_is_full() -> None:
    sizes = AnswerSizes()
    asked = [note(sizes, 0.24) for _ in range(5)]
    assert asked[:3] == [20_000, 40_000, 80_000]
    assert asked[3:] == [pytest.approx(MAX_RECORDS / 0.24, abs=2)] * 2


def test_empty_answers_end_at_eight_times_the_planned_length() -> None:
    sizes = AnswerSizes()
    assert [note(sizes, 0.0) for _ in range(6)][3:] == [MOST_CELLS] * 3 == [8 * MAX_CELLS] * 3


def test_users_who_left_do_not_keep_chunks_short_nor_make_others_long() -> None:
    sizes = AnswerSizes()
    for _ in range(6):
        note(sizes, 0.0, users=BERT)
        note(sizes, 0.5, users=ANNA)
    assert sizes.most(BERT) == MOST_CELLS
    assert sizes.most(ANNA) == pytest.approx(40_000, abs=2)


def test_one_thin_answer_does_not_make_the_next_chunk_long() -> None:
    sizes = AnswerSizes()
    for _ in range(4):
        note(sizes, 0.25)
    note(sizes, 0.05)
    assert sizes.most(ANNA) == pytest.approx(80_000, abs=2)
    note(sizes, 0.05)
    assert sizes.most(ANNA) == MOST_CELLS


def test_a_fuller_answer_shortens_the_next_chunk_at_once() -> None:
    sizes = AnswerSizes()
    for _ in range(4):
        note(sizes, 0.05)
    note(sizes, 1.0)
    assert sizes.most(ANNA) == MAX_RECORDS


def test_an_answer_that_was_dropped_shortens_the_next_chunk_to_a_part_of_it() -> None:
    sizes = AnswerSizes()
    sizes.too_large(ANNA, cells=20_000)
    most = sizes.most(ANNA)
    assert most is not None
    assert 5_000 <= most <= 10_000


def test_bytes_bound_the_length_as_records_do() -> None:
    """Records of many queues may be long."""
    sizes = AnswerSizes()
    sizes.answered(ANNA, cells=1_000, records=10, received=LARGEST_ANSWER, seconds=1.0)
    most = sizes.most(ANNA)
    assert most is not None
    assert most <= 750


@pytest.mark.parametrize(("seconds", "after"), [(4.0, 80_000), (8.0, 50_000), (10.0, 40_000)])
def test_the_length_grows_only_as_far_as_answers_come_in_time(seconds: float, after: int) -> None:
    sizes = AnswerSizes(Totals(cells=1, most=40_000))
    note(sizes, 0.0, cells=40_000, seconds=seconds)
    assert sizes.most(ANNA) == after


def test_late_answers_shorten_chunks_but_not_below_what_is_planned() -> None:
    """A gateway that needs 20 s for anything must not end with chunks of one bucket."""
    sizes = AnswerSizes(Totals(cells=1, most=MOST_CELLS))
    asked = [note(sizes, 0.01, seconds=20.0) for _ in range(5)]
    assert asked == [160_000, 80_000, 40_000, 20_000, 20_000]


def test_a_run_goes_on_with_the_figures_of_earlier_ones() -> None:
    first = AnswerSizes()
    for _ in range(5):
        note(first, 0.24)
    later = AnswerSizes(first.totals)
    assert later.most(BERT) == pytest.approx(MAX_RECORDS / 0.24, rel=0.01)


def test_figures_of_last_year_fade() -> None:
    sizes = AnswerSizes(Totals(cells=10**9, records=10**9, received=0, most=MOST_CELLS))
    for _ in range(800):
        note(sizes, 0.1, cells=100_000)
    density = sizes.totals.density
    assert density is not None
    assert density.records < 0.2
