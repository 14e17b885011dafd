"""The numbers of one line of the report, out of the row of a roll-up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from asyncreport.core.columns import average

_PARTS = ("total_talk_time_sec", "total_hold_time_sec", "total_wrap_up_sec")


class Numbers(Struct, frozen=True, kw_only=True):
    """What was handled, and how long that took on average; averages are in seconds."""

    handled: int
    #: in total, in seconds
    handle_time: float
    #: these five are per handled interaction; None if nothing was handled
    aht: float | None
    talk: float | None
    #: None also if the contract does not know it
    hold: float | None
    wrap_up: float | None
    #: handle time that is none of the three: dialing and contacting
    other: float | None
    #: share of the time on queue that was spent interacting; None if it was not measured
    occupancy: float | None


def numbers_of(row: Mapping[str, Any]) -> Numbers:
    """Read the row of a roll-up; its ratios are kept, the others are divided here, once."""
    handled = row["handled_count"] or 0
    talk, hold, wrap_up = (_average(row[name], handled) for name in _PARTS)
    return Numbers(
        handled=handled,
        handle_time=row["total_handle_time_sec"] or 0,
        aht=row["avg_handle_time_sec"],
        talk=talk,
        hold=hold,
        wrap_up=wrap_up,
        other=average(_other(row), handled),
        occupancy=row.get("occupancy"),
    )


def _other(row: Mapping[str, Any]) -> int:
    """Give the handle time that is none of the parts, in ms."""
    parts = sum(ms_of(row[name]) for name in _PARTS)
    return max(0, ms_of(row["total_handle_time_sec"]) - parts)


#: of a time with complete data and without a record
NOTHING = Numbers(
    handled=0,
    handle_time=0,
    aht=None,
    talk=None,
    hold=None,
    wrap_up=None,
    other=None,
    occupancy=None,
)


def ms_of(seconds: float | None) -> int:
    """Give whole ms; 0 if a time was not measured."""
    return round((seconds or 0) * 1000)


def _average(seconds: float | None, handled: int) -> float | None:
    """Divide a time by the number of handled interactions; None if either is missing."""
    if seconds is None:
        return None
    return average(ms_of(seconds), handled)
