"""Quartiles and bars of the report: those of the standard library, and no agent is lost."""

from __future__ import annotations

from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.report.distribution import distribution

times = st.lists(st.integers(0, 10**8).map(lambda each: each / 100), min_size=1, max_size=60)


def test_without_agents_there_is_nothing_to_describe() -> None:
    assert distribution([]) is None


@given(times)
def test_quartiles_are_those_of_the_standard_library(found: list[float]) -> None:
    described = distribution(found)
    assert described is not None
    low, *middle, high = described.quartiles
    assert (low, high) == (min(found), max(found))
    expected = quantiles(found, n=4, method="inclusive") if len(found) > 1 else found * 3
    assert middle == pytest.approx(expected, abs=0.006)


@given(times)
def test_each_agent_is_in_the_bar_of_their_time(found: list[float]) -> None:
    described = distribution(found)
    assert described is not None
    assert described.agents == sum(described.bars) == len(found)
    assert len(described.bars) <= 25
    assert described.bars[0]
    assert described.bars[-1]
    for number, agents in enumerate(described.bars):
        start = described.first + number * described.width
        assert agents == sum(start <= time < start + described.width for time in found)
