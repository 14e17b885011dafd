"""Describe how the totals of the parts differ from the server's. Reads names of users."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Self

from asyncreport.core import verify_totals
from asyncreport.core.apart import named
from asyncreport.core.columns import null_first
from asyncreport.core.finding import Finding
from asyncreport.core.job import Connection, Job, Part
from asyncreport.core.text import LongList, counted
from asyncreport.core.timeline import DAY, Interval, iso
from asyncreport.core.verify_totals import Difference, Totals
from asyncreport.export.snapshot import Snapshot
from asyncreport.store.lookups import Names

#: the vendor processes older data again: https://help.mypurecloud.com/faqs/why-can-my-data-change/
_VENDOR_SETTLE = 2 * DAY

#: ids, and None for what no user handled; None instead of a set: everyone
Users = Set[str] | Set[str | None] | None

_SUM_OF_HANDLE_TIME = "the sum of talk, hold, wrap-up, contacting and dialing"


@dataclass(slots=True)
class Comparison:
    """The comparison of one connection: what it is about, and what it found so far."""

    snapshot: Snapshot
    connection: Connection
    #: with the part of the range that was compared
    differences: list[tuple[Interval, Difference]] = field(default_factory=list)
    #: the server's, of the whole range
    server_totals: Totals = field(default_factory=dict)
    #: of users that the last run looked up
    user_names: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, connection: Connection) -> Self:
        """Begin a comparison; raise StoreError if the names cannot be read."""
        names = Names(snapshot.job.state_folder / "names.json")
        return cls(snapshot, connection, user_names=names.of(connection.directory))

    @property
    def name(self) -> str:
        """Give the connection's name."""
        return self.connection.name

    @property
    def job(self) -> Job:
        """Give the job, with the members of its teams."""
        return self.snapshot.job

    @property
    def users(self) -> tuple[str, ...] | None:
        """Give the users whom the job wants; None: all."""
        return self.snapshot.plans[self.name].demand.users

    def add(
        self,
        interval: Interval,
        differences: Iterable[Difference],
        server_totals: Totals,
    ) -> None:
        """Add what was found in a part of the range."""
        self.differences += [(interval, difference) for difference in differences]
        verify_totals.merge(self.server_totals, server_totals)

    def sort(self) -> None:
        """Sort the differences by time and user: the responses came in any order."""
        self.differences.sort(key=lambda each: (each[0], null_first(each[1].user)))

    def describe_user(self, user: str | None) -> str:
        """Write the name and the id of a user."""
        if user is None:
            return "no user"
        name = self.user_names.get(user)
        if not name:
            return user
        return f"{name} ({user})"


def totals(comparison: Comparison, *, now: int) -> Finding:
    """Report the differences, what may explain them, and what to fetch again."""
    if not comparison.differences:
        return _equal_totals(comparison)
    details: list[str | LongList] = [
        LongList(_differences(comparison), "difference"),
        LongList(_unsettled(comparison, now=now), "part"),
        f"fetch it again: run --refresh {_different_interval(comparison)}",
    ]
    users = {difference.user for _, difference in comparison.differences}
    return Finding(
        "FAIL",
        _named(
            comparison,
            f"the totals of {counted(len(users), 'user')} differ from those of the server",
        ),
        tuple(details),
    )


def _named(comparison: Comparison, text: str) -> str:
    """Name the connection, if there are several."""
    return named(comparison.job, comparison.name, text)


def _equal_totals(comparison: Comparison) -> Finding:
    """Report that no total differs."""
    sums = comparison.server_totals
    users = counted(len(sums), "user")
    handled = sum(of_user["handled_count"] for of_user in sums.values())
    return Finding(
        "OK",
        _named(
            comparison,
            "the totals are equal to those of the server: "
            f"{users}, {handled:,} handled, {comparison.job.interval}",
        ),
    )


def _different_interval(comparison: Comparison) -> Interval:
    """Give the shortest interval with all differences."""
    intervals = [interval for interval, _ in comparison.differences]
    return Interval(min(intervals).start, max(intervals).end)


def _differences(comparison: Comparison) -> list[str]:
    """Describe each difference."""
    lines = []
    for interval, difference in comparison.differences:
        user = comparison.describe_user(difference.user)
        lines.append(f"{user}, {interval}: {_columns(difference)}")
    return lines


def _columns(difference: Difference) -> str:
    """Describe the columns that differ."""
    return "; ".join(
        f"{name} is {_value(name, in_parts)} in the parts, {_value(name, on_server)} on the server"
        for name, in_parts, on_server in difference.columns
    )


def _value(column: str, value: int) -> str:
    """Write a count, or ms as the seconds of a record."""
    if column.endswith("_sec"):
        return _seconds(value)
    return str(value)


def _seconds(ms: int) -> str:
    """Write ms as seconds with three places."""
    return f"{ms // 1000}.{ms % 1000:03}"


def _unsettled(comparison: Comparison, *, now: int) -> list[str]:
    """List the parts whose values the vendor may have changed since they were fetched."""
    settle = max(_VENDOR_SETTLE, comparison.job.output.settle)
    different = _different_users(comparison)
    lines = []
    for part in comparison.snapshot.wanted_parts(comparison.name):
        settled_at = part.interval.end + settle
        if part.fetched_at < settled_at and _has_any(part, different):
            lines.append(_describe_unsettled(part, may_change=now < settled_at))
    return lines


def _describe_unsettled(part: Part, *, may_change: bool) -> str:
    """Say when a part was fetched, and whether its values may change again."""
    line = f"numbers could still change: {part.interval}, fetched {iso(part.fetched_at)}"
    if may_change:
        line += ", and may change again"
    return line


def _different_users(comparison: Comparison) -> Mapping[Interval, Users]:
    """Collect the users with differences by interval: parts are many, and intervals few."""
    users: defaultdict[Interval, set[str | None]] = defaultdict(set)
    for interval, difference in comparison.differences:
        users[interval].add(difference.user)
    return users


def _has_any(part: Part, users_by_interval: Mapping[Interval, Users]) -> bool:
    """Tell whether a part has records of any of the users in their interval."""
    for interval, users in users_by_interval.items():
        if part.interval.overlaps(interval) and may_have(part, users):
            return True
    return False


def may_have(part: Part, users: Users) -> bool:
    """Tell whether a part may have records of any of the users."""
    if users is None or part.users is None:
        return True
    return not users.isdisjoint(part.users)


def handle_time(comparison: Comparison) -> Finding:
    """Check that the server's handle time is the sum of its components."""
    uneven = verify_totals.uneven_handle_times(comparison.server_totals)
    if not uneven:
        return _even(comparison)
    lines = [
        f"{comparison.describe_user(user)}: "
        f"handle time {_seconds(handle)} s, sum {_seconds(components)} s"
        for user, handle, components in uneven
    ]
    return Finding(
        "WARN",
        _named(
            comparison,
            f"handle time of {counted(len(uneven), 'user')} is not "
            f"{_SUM_OF_HANDLE_TIME}; it is exported as the server reports it",
        ),
        (LongList(lines, "user"),),
    )


def _even(comparison: Comparison) -> Finding:
    """Report that the handle time of every user is the sum."""
    return Finding(
        "OK",
        _named(
            comparison,
            f"handle time is {_SUM_OF_HANDLE_TIME}, "
            "except for interactions at the ends of the range",
        ),
    )
