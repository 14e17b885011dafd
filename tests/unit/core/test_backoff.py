"""The waiting rule: full jitter within bounds, and Retry-After as a floor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.backoff import CAP, wait

draws = st.floats(min_value=0, max_value=1, exclude_max=True)
attempts = st.integers(min_value=0, max_value=10_000)


@given(attempts, draws)
def test_a_delay_is_at_most_the_doubled_limit(attempt: int, draw: float) -> None:
    assert 0 <= wait(attempt, rng=lambda: draw) <= min(CAP, 0.5 * 2 ** min(attempt, 20))


@given(attempts, draws, st.floats(min_value=0, max_value=1e6))
def test_retry_after_is_the_shortest_delay_and_gets_at_most_a_second_more(
    attempt: int, draw: float, floor: float
) -> None:
    seconds = wait(attempt, rng=lambda: draw, retry_after=floor)
    assert floor <= seconds <= max(floor + 1, wait(attempt, rng=lambda: draw))


@given(st.floats(min_value=0, max_value=1e4))
def test_workers_refused_at_the_same_time_come_back_at_different_times(floor: float) -> None:
    assert wait(0, rng=lambda: 0.1, retry_after=floor) < wait(0, rng=lambda: 0.9, retry_after=floor)


@pytest.mark.parametrize(
    ("attempt", "ceiling"), [(0, 0.5), (1, 1), (2, 2), (6, 32), (7, 60), (8, 60)]
)
def test_the_limit_doubles_up_to_the_cap(attempt: int, ceiling: float) -> None:
    assert wait(attempt, rng=lambda: 1 - 1e-12) == pytest.approx(ceiling)
    assert wait(attempt, rng=lambda: 0.0) == 0
