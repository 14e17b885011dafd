"""Check the numbers of a response one by one. Pure.

Nearly every group is checked while it is decoded. This is the slow way, for the other groups: it
skips what nobody asked for, accepts whole numbers in any notation, and names what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from asyncreport.core.errors import RejectedError
from asyncreport.core.text import shorten

#: the largest count, or sum in ms, of one measure: 278 years; a float still adds a thousand of
#: them exactly
MAX_VALUE = 2**43

#: characters of a server's value in a message
_MAX_SHOWN = 80


class Measure(Struct, gc=False):
    """One metric of one bucket, as the server wrote it: nothing is checked yet."""

    metric: Any
    #: `{"count": 2, "sum": 120000.0}`; either may be absent; a sum is in ms
    stats: Any = None
    #: the status, if the metric is a routing-status time
    qualifier: Any = None


class Datum(Struct, gc=False):
    """One bucket of one group, as the server wrote it."""

    #: `start/end`, any offset
    interval: str
    metrics: list[Measure] | None = None


class Stats(Struct, gc=False):
    """The valid numbers of one metric; 0 if they are absent."""

    count: int = 0
    #: a float may have a fraction, which the vendor's type allows
    sum: float = 0


def checked_stats(measure: Measure, user: str | None, bucket: str) -> Stats:
    """Read the numbers of a measure; raise RejectedError for a wrong type or an impossible number.

    The error names metric, user, bucket and value.
    """
    stats = measure.stats
    if stats is None:
        return Stats()
    place = _Place(str(measure.metric), user, bucket)
    if not isinstance(stats, dict):
        raise place.invalid("", stats, "an object of numbers")
    count = stats.get("count") or 0
    if not _is_whole(count):
        raise place.invalid(" count", count, "a whole number")
    total = stats.get("sum") or 0
    if not _is_possible(total):
        raise place.invalid(" sum", total, "a number")
    return Stats(int(count), total)


def _is_whole(value: Any) -> bool:
    """Tell whether a value is a possible count; 2.0 is one."""
    return _is_possible(value) and value % 1 == 0


def _is_possible(value: object) -> bool:
    """Tell whether a value is a number in the possible range; `true` is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= MAX_VALUE


@dataclass(slots=True, frozen=True)
class _Place:
    """Where a number is, for the error about it."""

    metric: str
    #: None: the interactions that no user handled
    user: str | None
    bucket: str

    def invalid(self, field: str, value: object, expected: str) -> RejectedError:
        """Make the error for a value that cannot be right."""
        return RejectedError(
            f"the response has an invalid {self.metric}{field}: {_shown(value)} "
            f"for {_describe_user(self.user)} in the bucket {shorten(self.bucket, _MAX_SHOWN)}; "
            f"expected {expected} from 0 to {MAX_VALUE:,}"
        )


def _describe_user(user: str | None) -> str:
    """Name the user of a group; None: the interactions that no user handled."""
    if user is None:
        return "no user"
    return f"user {shorten(user, _MAX_SHOWN)}"


def _shown(value: object) -> str:
    """Write a server's value; Python refuses to write an integer of thousands of digits."""
    try:
        return shorten(repr(value), _MAX_SHOWN)
    except (ValueError, RecursionError):
        return "a value that is too long to show"
