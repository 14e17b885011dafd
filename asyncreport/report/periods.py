"""The steps of the report's time axes, and the two halves of its range. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from asyncreport.core.job import Query
from asyncreport.core.rollup_buckets import Buckets
from asyncreport.core.timeline import DAY, Granularity, Interval

#: the longest range, in ms, whose steps are days; and weeks
_LONGEST_IN_DAYS = 45 * DAY
_LONGEST_IN_WEEKS = 735 * DAY

#: granularities that do not fit into days
_LONG = (Granularity.P1W, Granularity.P1M, Granularity.NONE)


def base_length(query: Query) -> str:
    """Give the buckets that the parts are added up to: days, or those of the job if longer."""
    granularity = query.grid.granularity
    if granularity in _LONG:
        return granularity.value
    return "P1D"


def axis_length(query: Query, interval: Interval) -> str:
    """Give the step of the time axes: a day, a week or a month, by the range's length.

    A week may lie in two months, so the weeks of a job stay weeks.
    """
    base = base_length(query)
    if base != "P1D":
        return base
    length = interval.end - interval.start
    if length <= _LONGEST_IN_DAYS:
        return "P1D"
    if length <= _LONGEST_IN_WEEKS:
        return "P1W"
    return "P1M"


def steps(every: str, query: Query, interval: Interval) -> list[Interval]:
    """List the buckets of a length; the range may cut the first and the last one short."""
    buckets = Buckets(every, query, interval)
    return [span for _, span in buckets.within(interval.start, interval.end)]


class Halves(NamedTuple):
    """Two spans of equally many whole days; a day between them is in neither."""

    earlier: Interval
    later: Interval


def halves(query: Query, interval: Interval) -> Halves | None:
    """Cut a range into halves of whole days; None: it has less than two, or its buckets no days."""
    if base_length(query) != "P1D":
        return None
    days = _whole_days(query, interval)
    number = len(days) // 2
    if not number:
        return None
    return Halves(_joined(days[:number]), _joined(days[-number:]))


def _whole_days(query: Query, interval: Interval) -> list[Interval]:
    """List the days that lie completely in a range."""
    wide = Interval(interval.start - 2 * DAY, interval.end + 2 * DAY)
    days = steps("P1D", query, wide)
    return [day for day in days if interval.start <= day.start and day.end <= interval.end]


def _joined(days: Sequence[Interval]) -> Interval:
    """Join days that follow each other."""
    return Interval(days[0].start, days[-1].end)
