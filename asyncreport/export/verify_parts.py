"""Check the parts of a job: damage, gaps, stale parts, overlaps. Reads the state folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Event

from asyncreport.core.apart import named
from asyncreport.core.columns import null_first
from asyncreport.core.errors import DamagedPartError
from asyncreport.core.finding import Finding, Report
from asyncreport.core.job import Chunk, Part, Query
from asyncreport.core.plan import Plan
from asyncreport.core.text import LongList, counted, describe_users, plural
from asyncreport.core.timeline import Interval, iso
from asyncreport.core.verify_rows import RowCheck, row_checker
from asyncreport.export.snapshot import Snapshot
from asyncreport.store.parts import Entry, PartReader, part_name, part_path
from asyncreport.store.present_parts import describe_loss
from asyncreport.store.threads import run_in_thread


async def check_parts(snapshot: Snapshot, reader: PartReader, report: Report) -> bool:
    """Check the parts of every connection; tell whether no check failed."""
    passed = True
    for connection in snapshot.job.connections:
        check = _ConnectionCheck(snapshot, connection.name, reader)
        for finding in await check.findings():
            report(finding)
            passed = passed and not finding.failed
    return passed


@dataclass(frozen=True, slots=True)
class _ConnectionCheck:
    """The checks of one connection's parts."""

    snapshot: Snapshot
    #: of the connection
    name: str
    reader: PartReader

    @property
    def parts(self) -> list[Part]:
        """Give the parts whose files exist, in any range."""
        return self.snapshot.parts[self.name]

    @property
    def plan(self) -> Plan:
        """Give what the next run would do."""
        return self.snapshot.plans[self.name]

    async def findings(self) -> list[Finding]:
        """Make the checks, some with several findings or none."""
        return [
            await self._damage(),
            self._coverage(),
            *self._stale_parts(),
            *self._overlaps(),
        ]

    def _named(self, text: str) -> str:
        """Name the connection, if there are several."""
        return named(self.snapshot.job, self.name, text)

    def _ok(self, text: str) -> Finding:
        """Report a check that passed."""
        return Finding("OK", self._named(text))

    def _failure(self, text: str, details: Iterable[str | LongList]) -> Finding:
        """Report a problem that the next run does not fix by itself."""
        return Finding("FAIL", self._named(text), tuple(details))

    async def _damage(self) -> Finding:
        """Read every part and compare it with its hash; check each of its records."""
        damaged = await self._damaged_parts()
        if damaged:
            return self._damaged(damaged)
        if not self.parts:
            return Finding("WARN", self._named("nothing was fetched that could be checked"))
        records = counted(sum(part.count for part in self.parts), "record")
        return self._ok(f"{self._number} with {records}, unchanged since they were saved")

    @property
    def _number(self) -> str:
        """Count the parts."""
        return counted(len(self.parts), "part")

    def _damaged(self, damaged: Sequence[tuple[Part, str]]) -> Finding:
        """List the damaged parts, and say how they are fetched again."""
        verb = plural(len(damaged), "is", "are")
        facts = [fact for _, fact in damaged]
        return self._failure(
            f"{len(damaged):,} of {self._number} {verb} damaged",
            (LongList(facts, "part"), self._repair([part for part, _ in damaged])),
        )

    def _repair(self, parts: Sequence[Part]) -> str:
        """Say how damaged parts are fetched again."""
        wanted = self.snapshot.wanted_parts(self.name)
        whole = self.snapshot.job.interval
        if all(
            part in wanted and part.interval.intersection(whole) == part.interval for part in parts
        ):
            start = min(part.interval.start for part in parts)
            end = max(part.interval.end for part in parts)
            return f"fetch it again: run --refresh {Interval(start, end)}"
        # A run would keep what the job does not want today.
        return "delete these files; the next run fetches again what the job needs of them"

    async def _damaged_parts(self) -> list[tuple[Part, str]]:
        """List the damaged parts, each with its problem.

        Raise StoreError for a part that cannot be opened: it need not be damaged.
        """
        query = self.snapshot.job.query
        damaged = []
        # Together: one after the other, many would take long.
        await run_in_thread(lambda _: self.reader.bring(self.parts))
        for part in self.parts:
            check = _PartCheck(part, query, self.reader)
            try:
                # In a thread: a part may be large, and a signal must still be handled.
                await run_in_thread(check.run)
            except DamagedPartError as error:
                damaged.append((part, error.fact))
        return damaged

    def _coverage(self) -> Finding:
        """Check that the parts cover the range for all users."""
        missing = self.snapshot.missing_chunks(self.name)
        if missing:
            return self._gaps(missing)
        interval, users = self.snapshot.job.interval, self.plan.demand.users
        if users == ():
            # Not OK: perhaps nobody knows the members, because their look-up was refused.
            text = f"no team has a known user, so the parts need not cover {interval}"
            return Finding("WARN", self._named(text))
        return self._ok(f"the parts cover {interval}, {describe_users(users)}")

    def _gaps(self, missing: Sequence[Chunk]) -> Finding:
        """List what no part covers, and why if a part was lost."""
        details: list[str | LongList] = [
            LongList(_missing(missing), "chunk"),
            LongList(self._lost_parts(missing), "part"),
            "run again to fetch what is missing",
        ]
        return self._failure("the parts do not cover the range", details)

    def _lost_parts(self, missing: Sequence[Chunk]) -> list[str]:
        """List the parts in the manifest whose loss explains the gaps."""
        return [
            describe_loss(part, self.reader.folder)
            for part in self.snapshot.lost_parts[self.name]
            if _overlaps_any(part, missing)
        ]

    def _stale_parts(self) -> Iterator[Finding]:
        """Warn about parts that the next run fetches again, by reason."""
        for reason, parts in self._stale_by_reason().items():
            yield self._stale(reason, parts)

    def _stale_by_reason(self) -> dict[str, list[Part]]:
        """Collect the stale parts by the reason why they are stale."""
        by_reason: defaultdict[str, list[Part]] = defaultdict(list)
        for part in self.plan.stale:
            reason = self.snapshot.freshness.stale_reason(part)
            by_reason[str(reason)].append(part)
        return by_reason

    def _stale(self, reason: str, parts: Sequence[Part]) -> Finding:
        """Warn about parts that are stale for one reason; the reason follows "was"."""
        verb = plural(len(parts), "was", "were")
        lines = [_fetch_time(part) for part in parts]
        return Finding(
            "WARN",
            self._named(
                f"{counted(len(parts), 'part')} {verb} {reason}; "
                "the next run fetches the data again"
            ),
            (LongList(lines, "part"),),
        )

    def _overlaps(self) -> Iterator[Finding]:
        """Report parts that overlap: the records in both would count twice."""
        overlaps = _find_overlaps(self.parts)
        if overlaps:
            details: list[str | LongList] = [
                LongList([str(overlap) for overlap in overlaps], "overlap"),
                "delete these files from the state folder and run again to fetch them again",
            ]
            yield self._failure(
                "parts overlap: they contain the same time for the same user",
                details,
            )


def _missing(chunks: Sequence[Chunk]) -> list[str]:
    """Describe each chunk that is missing."""
    return [f"missing: {chunk.interval}, {describe_users(chunk.users)}" for chunk in chunks]


def _overlaps_any(part: Part, chunks: Sequence[Chunk]) -> bool:
    """Tell whether a part and any of the chunks overlap in time."""
    return any(part.interval.overlaps(chunk.interval) for chunk in chunks)


def _fetch_time(part: Part) -> str:
    """Name a part, with its interval and when it was fetched."""
    return f"{part_name(part.number)}: {part.interval}, fetched {iso(part.fetched_at)}"


def _path(part: Part, reader: PartReader) -> Path:
    """Give the path of a part's file."""
    return part_path(reader.folder, part)


@dataclass(frozen=True, slots=True)
class _PartCheck:
    """The check of one part: its hash, the order of its users, and each of its rows."""

    part: Part
    query: Query
    reader: PartReader

    def run(self, stopped: Event) -> None:
        """Check user by user; raise StoreError if the part is damaged or was saved wrong."""
        check = self._row_checker()
        entries = self.reader.checked_index(self.part)
        self._check_order(entries)
        for entry in entries:
            if stopped.is_set():
                return
            self._check_rows(entry, check)

    def _row_checker(self) -> RowCheck:
        """Make the check for rows; raise StoreError if the part's interval is wrong."""
        try:
            return row_checker(self.query, self.part.interval)
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _check_order(self, entries: Sequence[Entry]) -> None:
        """Check the order: records without a user first, then users sorted by id."""
        for entry, following in pairwise(entries):
            # Not only out of order: a user must not be there twice.
            if null_first(following.user) <= null_first(entry.user):
                raise self._damaged(f"user {following.user}: not in the order of ids")

    def _check_rows(self, entry: Entry, check: RowCheck) -> None:
        """Check the rows of one user; raise StoreError."""
        problem = check(self.reader.block(self.part, entry))
        if problem is not None:
            raise self._damaged(f"user {entry.user}: {problem}")

    def _damaged(self, problem: str) -> DamagedPartError:
        """Make the error for the part, with the interval that it covers."""
        fact = f"{_path(self.part, self.reader)} ({self.part.interval}), {problem}"
        return DamagedPartError(fact, part=self.part.key)


@dataclass(frozen=True, slots=True)
class _Overlap:
    """Two parts that contain the same time for the same user."""

    #: numbers of the parts
    earlier: int
    later: int
    #: where the later one starts, an instant
    start: int

    def __str__(self) -> str:
        names = f"{part_name(self.earlier)} and {part_name(self.later)}"
        return f"{names} at {iso(self.start)}"


@dataclass(slots=True)
class _Reach:
    """The latest end of some parts, and the part that has it."""

    end: int = 0
    number: int = 0

    def add(self, part: Part) -> None:
        """Take a part into account."""
        if part.interval.end > self.end:
            self.end = part.interval.end
            self.number = part.number


@dataclass(slots=True)
class _Reaches:
    """The latest ends of the parts so far; parts are added in order of their start."""

    #: of all parts
    any_part: _Reach = field(default_factory=_Reach)
    #: of the parts of all users
    all_users: _Reach = field(default_factory=_Reach)
    #: of the parts that list a user
    by_user: defaultdict[str, _Reach] = field(default_factory=lambda: defaultdict(_Reach))

    def of_same_users(self, part: Part) -> list[_Reach]:
        """Give the latest ends of the earlier parts that share a user with this one."""
        if part.users is None:
            return [self.any_part]
        return [self.all_users, *(self.by_user[user] for user in part.users)]

    def overlaps(self, part: Part) -> Iterator[_Overlap]:
        """Find the earlier parts that overlap this one: they share a user and some time."""
        start = part.interval.start
        for reach in self.of_same_users(part):
            if reach.end > start:
                yield _Overlap(reach.number, part.number, start)

    def add(self, part: Part) -> None:
        """Take a part into account, for each of its users."""
        self.any_part.add(part)
        if part.users is None:
            self.all_users.add(part)
        for user in part.users or ():
            self.by_user[user].add(part)


def _find_overlaps(parts: Iterable[Part]) -> list[_Overlap]:
    """Find pairs of parts that overlap, each pair once, in order of time."""
    reaches = _Reaches()
    # Each pair once, even if two parts share many users. A dict, because it keeps the order.
    overlaps: dict[_Overlap, None] = {}
    for part in sorted(parts, key=lambda part: (part.interval, part.number)):
        overlaps.update(dict.fromkeys(reaches.overlaps(part)))
        reaches.add(part)
    return list(overlaps)
