"""Roll-ups as the lines of an output file: sums of rows of parts over longer buckets. Pure.

A month is added up team after team and, where a row is of one user, user after user, so that the
sums of few are in memory. Only weeks, which may lie in two months, and the hours of the week are
kept from month to month.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import orjson
from msgspec.structs import replace

from asyncreport.core.job import Part
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.outputs import RollUp
from asyncreport.core.rollup_buckets import Bucket, Buckets
from asyncreport.core.rollups import Sums
from asyncreport.core.timeline import Grid, Interval, iso
from asyncreport.store.month_index import Rows
from asyncreport.store.record_lines import LineSink, Month, rows_within, user_facts
from asyncreport.store.rollup_groups import Group, Key, groups, have_own_numbers
from asyncreport.store.target import Target

#: the rows of a roll-up are counted under this name: they may have no team
ROWS = ""


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
        self._groups = groups(target.teams, rollup)
        #: no other group adds to the sums of one: they need not stay in memory
        self._apart = have_own_numbers(self._groups)
        #: sums that the next rows may add to
        self._open: dict[Key, Sums] = {}
        self._facts: dict[Key, Mapping[str, object]] = {}
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

    def _add(self, group: Group, month: Month, blanks: _Blanks) -> Iterator[Key]:
        """Add up the rows of a group; give each key once all its rows are added."""
        if group.by_user:
            yield from self._add_each(group, month, blanks)
            return
        key = group.key(None)
        sums = self._sums(key, group.facts)
        for user, rows in month.rows(group.connection, self._users(group, month)):
            self._add_rows(sums, rows, group.times(user))
        sums.fill(blanks.get(key, ()))
        yield key

    def _add_each(self, group: Group, month: Month, blanks: _Blanks) -> Iterator[Key]:
        """Add up the rows of each user of a group by itself."""
        source = self.target.sources[group.connection]
        for user, rows in month.rows(group.connection, self._users(group, month)):
            key = group.key(user)
            sums = self._sums(key, {**group.facts, **user_facts(user, source)})
            self._add_rows(sums, rows, group.times(user))
            sums.fill(blanks.get(key, ()))
            yield key

    def _add_rows(self, sums: Sums, rows: Iterable[Rows], times: int) -> None:
        """Add the rows of a user that lie in the range."""
        for each in rows:
            block, _ = rows_within(each, self.target.interval)
            sums.add(block, times)

    def _users(self, group: Group, month: Month) -> list[str | None]:
        """List the users of a group to add up, or to write buckets without records of."""
        known = month.indexes[group.connection].users
        return group.users(known, all_members=self._rollup.fill)

    def _sums(self, key: Key, facts: Mapping[str, object]) -> Sums:
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

    def _gaps(self, month: Month, span: Interval) -> dict[Key, list[Interval]]:
        """Find what no part covers, by whose sums it is missing in."""
        gaps: defaultdict[Key, list[Interval]] = defaultdict(list)
        for group in self._groups:
            parts = self._parts(group.connection)
            users = self._users(group, month)
            of_users = group.gaps(users, span, parts)
            for user in users:
                gaps[group.key(user)] += of_users.get(user, ())
        return gaps

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

    def _write(self, key: Key, until: int | None, sink: LineSink) -> None:
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
_Blanks = Mapping[Key, Sequence[Bucket]]


def _month_ends(grid: Grid, interval: Interval) -> dict[str, int]:
    """Give the end of each month that an interval touches, by the month's name."""
    return {slot.month: slot.edges[-1] for slot in grid.slots(interval)}


def _covered(spans: Sequence[tuple[Bucket, Interval]], gaps: Sequence[Interval]) -> list[Bucket]:
    """List the buckets that no gap touches."""
    return [bucket for bucket, span in spans if not any(map(span.overlaps, gaps))]
