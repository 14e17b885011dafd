"""Roll-ups as the lines of an output file: sums of rows of parts over longer buckets. Pure.

A month is added up team after team and, where a row is of one user, user after user, so that the
sums of few are in memory. Only weeks, which may lie in two months, and the hours of the week are
kept from month to month.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson
from msgspec.structs import replace

from asyncreport.core.columns import null_first
from asyncreport.core.coverage import Intervals, missing_by_batch
from asyncreport.core.job import Part, Team
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.outputs import RollUp
from asyncreport.core.rollups import Bucket, Buckets, Sums
from asyncreport.core.timeline import Grid, Interval, iso
from asyncreport.store.month_index import Rows
from asyncreport.store.record_lines import LineSink, Month, members, rows_within, user_facts
from asyncreport.store.target import Target

#: the rows of a roll-up are counted under this name: they may have no team
ROWS = ""


class _Key(NamedTuple):
    """Whose rows are added up together; in the order of the lines."""

    #: the position of the team in the job, or of the connection; 0 if a row has no team or user
    number: int
    #: null before all users
    user: tuple[bool, str]


@dataclass(slots=True, frozen=True)
class _Group:
    """One team, or all teams of a connection."""

    number: int
    connection: str
    teams: Sequence[Team]
    #: columns that are the same for all its rows
    facts: Mapping[str, object]
    #: of each team
    ids: Sequence[frozenset[str | None]]

    def users(self, known: set[str | None], *, all_members: bool) -> list[str | None]:
        """List the users with records, or also the other members."""
        found: set[str | None] = set()
        for team in self.teams:
            found.update(members(team, known))
            if all_members:
                found.update(team.users)
        return sorted(found, key=null_first)

    def times(self, user: str | None) -> int:
        """Count the teams that have a user: a record is in the export once for each of them."""
        teams = zip(self.teams, self.ids, strict=True)
        return sum(team.everyone or user in ids for team, ids in teams)

    def gaps(self, users: Sequence[str | None], span: Interval, parts: Sequence[Part]) -> Gaps:
        """Find what no part covers, by user; None: of everyone."""
        found: Gaps = {}
        listed = tuple(user for user in users if user is not None)
        everyone = any(team.everyone for team in self.teams)
        for intervals, batch in missing_by_batch(None if everyone else listed, span, parts):
            found.update(dict.fromkeys(listed if batch is None else batch, intervals))
        return found


#: what no part covers, by user
Gaps = dict[str | None, Intervals]


class RollUpLines:
    """The lines of a roll-up."""

    def __init__(self, target: Target, rollup: RollUp) -> None:
        self.records = {ROWS: 0}
        self.target = target
        self._rollup = rollup
        self._names = target.names_by_id
        query = target.form.query
        self._buckets = Buckets(rollup.every, query, target.interval)
        self._empty = Sums(rollup, query, self._buckets)
        self._groups = _groups(target.teams, rollup)
        #: no other group adds to the sums of one: they need not stay in memory
        self._apart = _have_own_numbers(self._groups)
        #: sums that the next rows may add to
        self._open: dict[_Key, Sums] = {}
        self._facts: dict[_Key, Mapping[str, object]] = {}
        #: the instant until which all buckets are written
        self._done = target.interval.start
        self._month_ends = _month_ends(query.grid, target.interval)

    def write_month(self, month: Month, sink: LineSink) -> None:
        """Add up the rows of a month, and write the buckets that end in it."""
        self._buckets.forget()
        until = min(self._month_ends[month.name], self.target.interval.end)
        blanks = self._blanks(month, until) if self._rollup.fill else {}
        for group in self._groups:
            for key in self._add(group, month, blanks):
                if self._rollup.by_team_or_user and self._apart:
                    self._write(key, until, sink)
        self._write_all(until, sink)
        self._done = until

    def finish(self, sink: LineSink) -> None:
        """Write the buckets that are still open."""
        self._write_all(None, sink)

    def _add(self, group: _Group, month: Month, blanks: _Blanks) -> Iterator[_Key]:
        """Add up the rows of a group; give each key once all its rows are added."""
        if "user" in self._rollup.by:
            yield from self._add_each(group, month, blanks)
            return
        key = self._key(group, None)
        sums = self._sums(key, group.facts)
        for user, rows in month.rows(group.connection, self._users(group, month)):
            self._add_rows(sums, rows, group.times(user))
        sums.fill(blanks.get(key, ()))
        yield key

    def _add_each(self, group: _Group, month: Month, blanks: _Blanks) -> Iterator[_Key]:
        """Add up the rows of each user of a group by itself."""
        source = self.target.sources[group.connection]
        for user, rows in month.rows(group.connection, self._users(group, month)):
            key = self._key(group, user)
            sums = self._sums(key, {**group.facts, **user_facts(user, source)})
            self._add_rows(sums, rows, group.times(user))
            sums.fill(blanks.get(key, ()))
            yield key

    def _add_rows(self, sums: Sums, rows: Iterable[Rows], times: int) -> None:
        """Add the rows of a user that lie in the range."""
        for each in rows:
            block, _ = rows_within(each, self.target.interval)
            sums.add(block, times)

    def _users(self, group: _Group, month: Month) -> list[str | None]:
        """List the users of a group to add up, or to write buckets without records of."""
        known = month.indexes[group.connection].users
        return group.users(known, all_members=self._rollup.fill)

    def _sums(self, key: _Key, facts: Mapping[str, object]) -> Sums:
        """Give the sums of a team or user, with what is still open of the month before."""
        self._facts[key] = facts
        return self._open.setdefault(key, self._empty.empty_copy())

    def _blanks(self, month: Month, until: int) -> _Blanks:
        """List the buckets to write even without records: those that parts cover completely."""
        spans = list(self._buckets.within(self._done, until))
        if not spans:
            return {}
        whole = Interval(min(span.start for _, span in spans), until)
        gaps = self._gaps(month, whole)
        return {key: _covered(spans, missing) for key, missing in gaps.items()}

    def _gaps(self, month: Month, span: Interval) -> dict[_Key, list[Interval]]:
        """Find what no part covers, by whose sums it is missing in."""
        gaps: defaultdict[_Key, list[Interval]] = defaultdict(list)
        for group in self._groups:
            parts = self._parts(group.connection)
            users = self._users(group, month)
            of_users = group.gaps(users, span, parts)
            for user in users:
                gaps[self._key(group, user)] += of_users.get(user, ())
        return gaps

    def _key(self, group: _Group, user: str | None) -> _Key:
        """Say to which sums the rows of a user belong."""
        if "user" in self._rollup.by:
            return _Key(group.number, null_first(user))
        return _Key(group.number, null_first(None))

    def _parts(self, connection: str) -> list[Part]:
        """List the parts of all months: a week may begin in the month before."""
        found: list[Part] = []
        for month in self.target.months:
            found += filter(None, map(until_fetched, self.target.parts(connection, month)))
        return found

    def _write_all(self, until: int | None, sink: LineSink) -> None:
        """Write all buckets that end by an instant; None: all that are left."""
        for key in sorted(self._open):
            self._write(key, until, sink)

    def _write(self, key: _Key, until: int | None, sink: LineSink) -> None:
        """Write the buckets of a team or user that end by an instant."""
        sums = self._open[key]
        end = None if until is None else iso(until)
        rows = sums.take(self._facts[key], self._names, until=end)
        for row in rows:
            sink.write(escape_separators(orjson.dumps(row)) + b"\n")
            self.records[ROWS] += 1
        if sums.is_empty:
            del self._open[key], self._facts[key]


def until_fetched(part: Part) -> Part | None:
    """Cut off what was in the future when a part was fetched; None: all of it was."""
    if part.fetched_at <= part.interval.start:
        return None
    end = min(part.interval.end, part.fetched_at)
    return replace(part, interval=Interval(part.interval.start, end))


#: buckets to write even without records, by whose they are
_Blanks = Mapping[_Key, Sequence[Bucket]]


def _have_own_numbers(groups: Sequence[_Group]) -> bool:
    """Tell whether no two groups have one number: then each is added up by itself."""
    return len({group.number for group in groups}) == len(groups)


def _month_ends(grid: Grid, interval: Interval) -> dict[str, int]:
    """Give the end of each month that an interval touches, by the month's name."""
    return {slot.month: slot.edges[-1] for slot in grid.slots(interval)}


def _covered(spans: Sequence[tuple[Bucket, Interval]], gaps: Sequence[Interval]) -> list[Bucket]:
    """List the buckets that no gap touches."""
    return [bucket for bucket, span in spans if not any(map(span.overlaps, gaps))]


def _groups(teams: Sequence[Team], rollup: RollUp) -> list[_Group]:
    """Divide the teams: each by itself, or those of a connection together."""
    if "team" in rollup.by:
        return list(_groups_of_teams(teams, rollup))
    of_connection: defaultdict[str, list[Team]] = defaultdict(list)
    for team in teams:
        of_connection[team.connection].append(team)
    # Users are of one connection; a queue's or a medium's rows are added up over all of them.
    apart = "user" in rollup.by
    groups = enumerate(of_connection.values())
    return [_group(n if apart else 0, together, {}) for n, together in groups]


def _groups_of_teams(teams: Sequence[Team], rollup: RollUp) -> Iterator[_Group]:
    """Make a group of each team; teams of one name are added up over their connections."""
    numbers: dict[str, int] = {}
    for number, team in enumerate(teams):
        first = numbers.setdefault(team.name, number)
        # Users are of one connection: their rows are in the order of connections.
        yield _group(number if "user" in rollup.by else first, [team], {"team": team.name})


def _group(number: int, teams: Sequence[Team], facts: Mapping[str, object]) -> _Group:
    """Make a group of teams of one connection."""
    ids = [frozenset[str | None](team.users) for team in teams]
    return _Group(number, teams[0].connection, teams, facts, ids)
