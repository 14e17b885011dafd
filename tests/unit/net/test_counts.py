"""The tally: what several connections did adds up."""

from __future__ import annotations

from asyncreport.net.counts import RequestCounts


def test_counts_are_added_field_by_field() -> None:
    one, two = RequestCounts(1, 2, 3, 4.5, 5, 6), RequestCounts(10, 20, 30, 40.0, 50, 60)
    assert sum((one, two), start=RequestCounts()) == RequestCounts(11, 22, 33, 44.5, 55, 66)
