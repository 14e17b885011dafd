"""Find what no part covers, and for which share of a team's agents. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from asyncreport.core.coverage import missing_by_batch
from asyncreport.core.job import Part, Team
from asyncreport.core.local_time import from_instant
from asyncreport.core.timeline import HOUR, Interval

#: an hour of the week: 1 is Monday, then the hour of the day
WeekHour = tuple[int, int]

#: after so long every hour of the week has come up
_LONGEST = 8 * 24 * HOUR


@dataclass(slots=True)
class Missing:
    """What is missing of a team, or of several."""

    #: members of the teams; a team of everyone counts as one
    members: int = 0
    #: how many of the members lack a span
    spans: Counter[Interval] = field(default_factory=Counter)
    #: ids of the members who lack any span; None: everyone
    users: set[str | None] = field(default_factory=set)

    def __add__(self, other: Missing) -> Missing:
        return Missing(
            self.members + other.members, self.spans + other.spans, self.users | other.users
        )

    def share(self, span: Interval) -> float:
        """Give the missing share of the members' time in a span: 0 if nothing is missing."""
        if not self.members:
            return 0.0
        return self._lacking(span) / (self.members * _length(span))

    def _lacking(self, span: Interval) -> int:
        """Add up the time of each member that is missing in a span, in ms."""
        lacking = 0
        for each, members in self.spans.items():
            if each.overlaps(span):
                lacking += members * _length(each.intersection(span))
        return lacking

    def add(self, intervals: Sequence[Interval], users: Sequence[str] | None) -> None:
        """Note that some users lack intervals; None: everyone does, and counts as one."""
        if users is None:
            self.users.add(None)
        else:
            self.users.update(users)
        for each in intervals:
            self.spans[each] += _count(users)

    def agents_in(self, span: Interval) -> int | None:
        """Count the agents who lack one of the spans; None: everyone does."""
        if None in self.users:
            return None
        return self.spans[span]

    def concerns(self, user: str | None) -> bool:
        """Tell whether something of a user is missing, or of everyone."""
        return user in self.users or None in self.users

    def week_hours(self, zone: ZoneInfo) -> set[WeekHour]:
        """List the hours of the week that are not complete."""
        found: set[WeekHour] = set()
        for each in self.spans:
            found.update(_week_hours(each, zone))
        return found


def _week_hours(span: Interval, zone: ZoneInfo) -> Iterator[WeekHour]:
    """Walk the local hours that a span touches."""
    last = min(span.end, span.start + _LONGEST) - 1
    # Half hours: the hours of some zones begin at the half hour of UTC.
    for at in (*range(span.start, last, HOUR // 2), last):
        local = from_instant(at).astimezone(zone)
        yield local.isoweekday(), local.hour


def _length(span: Interval) -> int:
    """Give the length of a span, in ms."""
    return span.end - span.start


def missing_of(team: Team, span: Interval, parts: Sequence[Part]) -> Missing:
    """Find what no part of a team's connection covers."""
    users = _users(team)
    found = Missing(members=_count(users))
    for intervals, batch in missing_by_batch(users, span, parts):
        if intervals:
            found.add(intervals, batch)
    return found


def _users(team: Team) -> tuple[str, ...] | None:
    """Give the users whom a team asks for; None: everyone."""
    if team.everyone:
        return None
    return team.users


def _count(users: Sequence[str] | None) -> int:
    """Count users; everyone counts as one."""
    if users is None:
        return 1
    return len(users)
