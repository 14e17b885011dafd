"""What is still to fetch: the ordered chunks that tile what the job wants and no standing part covers. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from asyncreport.core.job import USERS_PER_QUERY, Chunk, ChunkLength, Part
from asyncreport.core.timeline import DAY, HOUR, Granularity, Grid, Interval, Slot

#: users x buckets in one answer, where the job leaves the chunk's length open: as large as memory allows. A month of 1,000 agents who
#: work in every half hour peaks at 130 MB with 20,000, and at 148 and more with 40,000; the budget is 150 (`tests/bench/memory.py`)
STEPS = 20_000


class Demand(Struct, frozen=True, kw_only=True):
    """What a job wants of one connection."""

    connection: str
    grid: Grid
    #: on bucket edges
    interval: Interval
    #: sorted ids; None: everyone
    users: tuple[str, ...] | None
    #: None: as long as `STEPS` allow
    length: ChunkLength | None = None
    #: how many everyone is, at least 1
    population: int = 1


class Plan(Struct, frozen=True, kw_only=True):
    """One connection's work: what to fetch, and what stands already."""

    want: Demand
    chunks: tuple[Chunk, ...]
    #: parts that cover something wanted and are not asked again
    standing: tuple[Part, ...]
    #: parts to be asked again: a chunk of the plan replaces each
    stale: tuple[Part, ...]


class Freshness(Struct, frozen=True, kw_only=True):
    """Which parts are to be asked again."""

    #: ms; those fetched sooner than this after their end
    settle: int
    #: those that overlap it
    refresh: Interval | None = None
    #: the instant at which this run began; what it fetched itself is fresh, and nothing can have been fetched later
    now: int

    def stale(self, part: Part) -> bool:
        """Tell whether a part is to be asked again."""
        return self.why(part) is not None

    def why(self, part: Part) -> str | None:
        """Say why a part is to be asked again, as what it is; None: it is not."""
        if part.fetched_at == self.now:
            return None
        if part.fetched_at > self.now:
            # Its run's clock was ahead: it may have asked of a time that had not come, and have kept the empty answer.
            return "fetched after now: the clock was or is wrong"
        if part.again or self.refreshed(part):
            return "to be fetched again by a refresh"
        return (
            "fetched before the numbers had settled"
            if part.fetched_at < part.interval.end + self.settle
            else None
        )

    def refreshed(self, part: Part) -> bool:
        """Tell whether a part is to be asked again on purpose."""
        return self.refresh is not None and part.interval.overlaps(self.refresh)


def plan(want: Demand, parts: Sequence[Part], freshness: Freshness) -> Plan:
    """Tile what no part covers; `parts` are the standing ones of the want's fingerprint.

    A stale part is asked again whole, together with those beside it as far as one chunk may reach. Where everyone is wanted,
    only parts of everyone count; a chunk of everyone replaces the parts of listed users that it touches, so that standing parts
    never overlap.
    """
    useful: defaultdict[str, list[Part]] = defaultdict(list)
    superseded: defaultdict[str, list[Part]] = defaultdict(list)
    for part in parts:
        if _useful(part, want):
            useful[part.month].append(part)
        elif want.users is None and part.users is not None:
            superseded[part.month].append(part)
    chunks: list[Chunk] = []
    standing: list[Part] = []
    stale: list[Part] = []
    for slot in want.grid.slots(want.interval):
        again = [part for part in useful[slot.month] if freshness.stale(part)]
        here = list(_again(want, slot, again))
        here += _missing(want, slot, useful[slot.month], superseded[slot.month])
        chunks += sorted(here, key=lambda chunk: (chunk.interval, chunk.users or ()))
        stale += again
        standing += [part for part in useful[slot.month] if not freshness.stale(part)]
    return Plan(want=want, chunks=tuple(chunks), standing=tuple(standing), stale=tuple(stale))


def _useful(part: Part, want: Demand) -> bool:
    if not part.interval.overlaps(want.interval) or want.users == ():
        return False
    if part.users is None:
        return True
    return want.users is not None and any(_holds(want.users, user) for user in part.users)


def _holds(users: tuple[str, ...], user: str) -> bool:
    at = bisect_left(users, user)
    return at < len(users) and users[at] == user


def _again(want: Demand, slot: Slot, parts: Sequence[Part]) -> Iterator[Chunk]:
    """Ask for parts again: those of the same users that follow one another become one chunk, no longer than a chunk may be.

    A job that runs every half hour would otherwise keep, and ask for, a part of each run.
    """
    by_users: defaultdict[tuple[str, ...] | None, list[Part]] = defaultdict(list)
    for part in parts:
        by_users[part.users].append(part)
    for users, of in by_users.items():
        most = buckets_in_chunk(want, slot, len(users) if users else want.population)
        joined: list[Part] = []
        for part in sorted(of, key=lambda part: part.interval):
            if joined and not _joins(want.grid, joined, part, most):
                yield _instead(want.connection, joined)
                joined = []
            joined.append(part)
        yield _instead(want.connection, joined)


def _joins(grid: Grid, joined: Sequence[Part], part: Part, most: int) -> bool:
    if joined[-1].interval.end != part.interval.start:
        return False
    return len(grid.edges(Interval(joined[0].interval.start, part.interval.end))) - 1 <= most


def _instead(connection: str, parts: Sequence[Part]) -> Chunk:
    return Chunk(
        connection=connection,
        month=parts[0].month,
        interval=Interval(parts[0].interval.start, parts[-1].interval.end),
        users=parts[0].users,
        replaces=tuple(part.number for part in parts),
    )


def _missing(
    want: Demand, slot: Slot, parts: Sequence[Part], superseded: Sequence[Part]
) -> Iterator[Chunk]:
    """Cut what is missing in one slot into chunks."""
    wanted = Interval(
        max(slot.edges[0], want.interval.start), min(slot.edges[-1], want.interval.end)
    )
    for gaps, users in _gaps(want.users, wanted, parts).items():
        for batch in _batches(users):
            cuts = slot.edges[
                :: buckets_in_chunk(want, slot, len(batch) if batch else want.population)
            ]
            for interval in (piece for gap in gaps for piece in _cut(gap, cuts)):
                replaces = tuple(
                    part.number for part in superseded if part.interval.overlaps(interval)
                )
                yield Chunk(
                    connection=want.connection,
                    month=slot.month,
                    interval=interval,
                    users=batch,
                    replaces=replaces,
                )


def _gaps(
    users: tuple[str, ...] | None, wanted: Interval, parts: Sequence[Part]
) -> dict[tuple[Interval, ...], list[str] | None]:
    """Group the users by what is missing of them: disjoint intervals in order of time."""
    by_set: defaultdict[tuple[str, ...] | None, list[Interval]] = defaultdict(list)
    for part in parts:
        by_set[part.users].append(part.interval)
    everyone = by_set.pop(None, [])
    if users is None:
        return {_subtract(wanted, everyone): None}
    member_of: dict[str, list[int]] = {user: [] for user in users}
    for number, members in enumerate(by_set):
        for user in members or ():
            if user in member_of:
                member_of[user].append(number)
    covered = list(by_set.values())
    seen: dict[tuple[int, ...], tuple[Interval, ...]] = {}
    gaps: dict[tuple[Interval, ...], list[str] | None] = {}
    for user, numbers in member_of.items():
        key = tuple(numbers)
        if key not in seen:
            seen[key] = _subtract(
                wanted, everyone + [interval for number in key for interval in covered[number]]
            )
        batch = gaps.setdefault(seen[key], [])
        assert batch is not None
        batch.append(user)
    return gaps


def _subtract(wanted: Interval, covered: list[Interval]) -> tuple[Interval, ...]:
    """Give what is left of an interval."""
    left: list[Interval] = []
    at = wanted.start
    for interval in sorted(covered):
        if at < min(interval.start, wanted.end):
            left.append(Interval(at, min(interval.start, wanted.end)))
        at = max(at, interval.end)
    if at < wanted.end:
        left.append(Interval(at, wanted.end))
    return tuple(left)


def _batches(users: list[str] | None) -> Iterator[tuple[str, ...] | None]:
    if users is None:
        yield None
    else:
        for at in range(0, len(users), USERS_PER_QUERY):
            yield tuple(users[at : at + USERS_PER_QUERY])


def _cut(gap: Interval, cuts: Sequence[int]) -> Iterator[Interval]:
    """Cut a gap at the edges that lie inside it."""
    inside = cuts[bisect_right(cuts, gap.start) : bisect_left(cuts, gap.end)]
    for start, end in pairwise((gap.start, *inside, gap.end)):
        yield Interval(start, end)


def buckets_in_chunk(want: Demand, slot: Slot, users: int) -> int:
    """Say how many buckets a chunk holds: the job's length rounded down to whole buckets, or what `STEPS` allow."""
    whole = len(slot.edges) - 1
    step = want.grid.granularity.step or {Granularity.P1D: DAY, Granularity.P1W: 7 * DAY}.get(
        want.grid.granularity
    )
    if step is None:
        return 1
    if want.length is None:
        return max(1, min(whole, STEPS // users))
    if want.length.days is None and want.length.hours is None:
        return max(1, whole)
    length = (want.length.days or 0) * DAY + (want.length.hours or 0) * HOUR
    return max(1, length // step)
