"""Check the parts of a job: damage, gaps, stale parts, overlaps. Reads the state folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from threading import Event

from asyncreport.core.errors import DamagedPartError, StoreError
from asyncreport.core.finding import Finding
from asyncreport.core.job import Chunk, Part, Query
from asyncreport.core.text import counted, describe_users, first_lines, plural
from asyncreport.core.timeline import iso
from asyncreport.core.verify_rows import row_checker
from asyncreport.export.snapshot import Snapshot
from asyncreport.store.parts import Entry, PartReader, part_name
from asyncreport.store.threads import run_in_thread


async def check_parts(snapshot: Snapshot, reader: PartReader) -> AsyncIterator[Finding]:
    """Check the parts of every connection."""
    for connection in snapshot.job.connections:
        name = connection.name
        parts = snapshot.parts[name]
        yield await _damage(snapshot.job.query, name, parts, reader)
        yield _coverage(snapshot, name)
        for finding in _stale_parts(snapshot, name):
            yield finding
        for finding in _overlaps(name, parts):
            yield finding


async def _damage(query: Query, name: str, parts: Sequence[Part], reader: PartReader) -> Finding:
    """Read every part and compare it with its hash; check each of its records."""
    damaged = await _damaged_parts(query, parts, reader)
    count = counted(len(parts), "part")
    if damaged:
        verb = plural(len(damaged), "is", "are")
        return Finding(
            "FAIL",
            f"{name}: {len(damaged):,} of {count} {verb} damaged",
            tuple(first_lines(damaged, "part")),
        )
    records = counted(sum(part.count for part in parts), "record")
    return Finding("OK", f"{name}: {count} with {records}, unchanged since they were saved")


async def _damaged_parts(query: Query, parts: Sequence[Part], reader: PartReader) -> list[str]:
    """List the damaged parts, each with its problem and the next step."""
    damaged = []
    for part in parts:
        try:
            await run_in_thread(partial(_check_part, query, part, reader))
        except StoreError as error:
            damaged.append(str(error))
    return damaged


def _check_part(query: Query, part: Part, reader: PartReader, stopped: Event) -> None:
    """Check one part, user by user; raise StoreError if it is damaged or was saved wrong."""
    try:
        check = row_checker(query, part.interval)
    except ValueError as error:
        raise _damaged(part, reader, str(error)) from error
    entries = reader.checked_index(part)
    _check_order(part, entries, reader)
    for entry in entries:
        if stopped.is_set():
            return
        problem = check(reader.block(part, entry))
        if problem is not None:
            raise _damaged(part, reader, f"user {entry.user}: {problem}")


def _check_order(part: Part, entries: Sequence[Entry], reader: PartReader) -> None:
    """Check that the records of no user come first, then the users in order of their ids."""
    for entry, following in pairwise(entries):
        if (following.user or "") <= (entry.user or ""):
            raise _damaged(part, reader, f"user {following.user}: not in the order of ids")


def _damaged(part: Part, reader: PartReader, problem: str) -> DamagedPartError:
    """Make the error for a part, with the interval that it covers."""
    path = reader.folder / part_name(part.number)
    return DamagedPartError(f"{path} ({part.interval}), {problem}", number=part.number)


def _coverage(snapshot: Snapshot, name: str) -> Finding:
    """Check that the parts cover the range for all users."""
    missing = snapshot.missing_chunks(name)
    if not missing:
        users = snapshot.plans[name].demand.users
        who = "no users" if users == () else describe_users(users)
        return Finding("OK", f"{name}: the parts cover {snapshot.job.interval}, {who}")
    gaps = [f"missing: {chunk.interval}, {describe_users(chunk.users)}" for chunk in missing]
    details = first_lines(gaps, "chunk")
    details += first_lines(_lost_parts(snapshot, name, missing), "part")
    details.append("run again to fetch what is missing")
    return Finding("FAIL", f"{name}: the parts do not cover the range", tuple(details))


def _lost_parts(snapshot: Snapshot, name: str, missing: Sequence[Chunk]) -> list[str]:
    """List the parts in the manifest whose loss explains the gaps."""
    lines = []
    for part in snapshot.lost_parts[name]:
        if any(part.interval.overlaps(chunk.interval) for chunk in missing):
            path = snapshot.job.state_folder / part_name(part.number)
            lines.append(f"{path} ({part.interval}) was deleted or truncated")
    return lines


def _stale_parts(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """Warn about parts that the next run fetches again, by reason."""
    by_reason: defaultdict[str | None, list[Part]] = defaultdict(list)
    for part in snapshot.plans[name].stale:
        by_reason[snapshot.freshness.stale_reason(part)].append(part)
    for reason, parts in by_reason.items():
        verb = plural(len(parts), "was", "were")
        yield Finding(
            "WARN",
            f"{name}: {counted(len(parts), 'part')} {verb} {reason}; "
            "the next run fetches the data again",
            tuple(first_lines([_fetch_time(part) for part in parts], "part")),
        )


def _fetch_time(part: Part) -> str:
    return f"{part_name(part.number)}: {part.interval}, fetched {iso(part.fetched_at)}"


@dataclass(slots=True)
class _Reach:
    """How far in time some parts reach: the latest end, and the part that has it."""

    end: int = 0
    number: int = 0

    def add(self, part: Part) -> None:
        if part.interval.end > self.end:
            self.end = part.interval.end
            self.number = part.number


@dataclass(slots=True)
class _Reaches:
    """How far the parts reach that were added in order of their start."""

    #: of all parts
    any_part: _Reach = field(default_factory=_Reach)
    #: of the parts of all users
    all_users: _Reach = field(default_factory=_Reach)
    #: of the parts that list a user
    by_user: defaultdict[str, _Reach] = field(default_factory=lambda: defaultdict(_Reach))

    def of_same_users(self, part: Part) -> list[_Reach]:
        """Give the reaches of earlier parts that have a user in common with this one."""
        if part.users is None:
            return [self.any_part]
        return [self.all_users, *(self.by_user[user] for user in part.users)]

    def add(self, part: Part) -> None:
        self.any_part.add(part)
        if part.users is None:
            self.all_users.add(part)
        for user in part.users or ():
            self.by_user[user].add(part)


def _overlaps(name: str, parts: Iterable[Part]) -> Iterator[Finding]:
    """Report parts with the same time of the same user: its records would count twice."""
    overlaps = _find_overlaps(parts)
    if overlaps:
        details = [
            f"{part_name(earlier)} and {part_name(later)} at {iso(start)}"
            for (earlier, later), start in overlaps.items()
        ]
        details = first_lines(details)
        details.append("delete these files from the state folder and run again to fetch them again")
        yield Finding(
            "FAIL",
            f"{name}: parts overlap: they have the same time of the same user",
            tuple(details),
        )


def _find_overlaps(parts: Iterable[Part]) -> dict[tuple[int, int], int]:
    """Find overlaps: the numbers of the two parts, and where the later one starts."""
    reaches = _Reaches()
    overlaps: dict[tuple[int, int], int] = {}
    for part in sorted(parts, key=lambda part: (part.interval, part.number)):
        for reach in reaches.of_same_users(part):
            if reach.end > part.interval.start:
                overlaps.setdefault((reach.number, part.number), part.interval.start)
        reaches.add(part)
    return overlaps
