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
MAX_CELLS = 20_000


class Demand(Struct, frozen=True, kw_only=True):
    """What a job wants of one connection."""

    connection: str
    grid: Grid
    #: on bucket edges
    interval: Interval
    #: sorted ids; None: everyone
    users: tuple[str, ...] | None
    #: None: as long as `MAX_CELLS` allow
    length: ChunkLength | None = None
    #: how many everyone is, at least 1
    population: int = 1


class Plan(Struct, frozen=True, kw_only=True):
    """One connection's work: what to fetch, and what stands already."""

    demand: Demand
    chunks: tuple[Chunk, ...]
    #: parts that cover something wanted and are not asked again
    reused: tuple[Part, ...]
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

    def is_stale(self, part: Part) -> bool:
        """Tell whether a part is to be asked again."""
        return self.stale_reason(part) is not None

    def stale_reason(self, part: Part) -> str | None:
        """Say why a part is to be asked again, as what it is; None: it is not."""
        if part.fetched_at == self.now:
            return None
        if part.fetched_at > self.now:
            # Its run's clock was ahead: it may have asked of a time that had not come, and have kept the empty answer.
            return "fetched after now: the clock was or is wrong"
        if part.refresh_pending or self.refreshes(part):
            return "to be fetched again by a refresh"
        return (
            "fetched before the numbers had settled"
            if part.fetched_at < part.interval.end + self.settle
            else None
        )

    def refreshes(self, part: Part) -> bool:
        """Tell whether a part is to be asked again on purpose."""
        return self.refresh is not None and part.interval.overlaps(self.refresh)


def plan(demand: Demand, parts: Sequence[Part], freshness: Freshness) -> Plan:
    """Tile what no part covers; `parts` are the standing ones of the want's fingerprint.

    A stale part is asked again whole, together with those beside it as far as one chunk may reach. Where everyone is wanted,
    only parts of everyone count; a chunk of everyone replaces the parts of listed users that it touches, so that standing parts
    never overlap.
    """
    useful: defaultdict[str, list[Part]] = defaultdict(list)
    superseded: defaultdict[str, list[Part]] = defaultdict(list)
    for part in parts:
        if _useful(part, demand):
            useful[part.month].append(part)
        elif demand.users is None and part.users is not None:
            superseded[part.month].append(part)
    chunks: list[Chunk] = []
    reused: list[Part] = []
    stale: list[Part] = []
    for slot in demand.grid.slots(demand.interval):
        again = [part for part in useful[slot.month] if freshness.is_stale(part)]
        here = list(_again(demand, slot, again))
        here += _missing(demand, slot, useful[slot.month], superseded[slot.month])
        chunks += sorted(here, key=lambda chunk: (chunk.interval, chunk.users or ()))
        stale += again
        reused += [part for part in useful[slot.month] if not freshness.is_stale(part)]
    return Plan(demand=demand, chunks=tuple(chunks), reused=tuple(reused), stale=tuple(stale))


def _useful(part: Part, demand: Demand) -> bool:
    if not part.interval.overlaps(demand.interval) or demand.users == ():
        return False
    if part.users is None:
        return True
    return demand.users is not None and any(_holds(demand.users, user) for user in part.users)


def _holds(users: tuple[str, ...], user: str) -> bool:
    at = bisect_left(users, user)
    return at < len(users) and users[at] == user


def _again(demand: Demand, slot: Slot, parts: Sequence[Part]) -> Iterator[Chunk]:
    """Ask for parts again: those of the same users that follow one another become one chunk, no longer than a chunk may be.

    A job that runs every half hour would otherwise keep, and ask for, a part of each run.
    """
    by_users: defaultdict[tuple[str, ...] | None, list[Part]] = defaultdict(list)
    for part in parts:
        by_users[part.users].append(part)
    for users, of in by_users.items():
        most = buckets_in_chunk(demand, slot, len(users) if users else demand.population)
        joined: list[Part] = []
        for part in sorted(of, key=lambda part: part.interval):
            if joined and not _joins(demand.grid, joined, part, most):
                yield _instead(demand.connection, joined)
                joined = []
            joined.append(part)
        yield _instead(demand.connection, joined)


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
    demand: Demand, slot: Slot, parts: Sequence[Part], superseded: Sequence[Part]
) -> Iterator[Chunk]:
    """Cut what is missing in one slot into chunks."""
    wanted = Interval(
        max(slot.edges[0], demand.interval.start), min(slot.edges[-1], demand.interval.end)
    )
    for gaps, users in _gaps(demand.users, wanted, parts).items():
        for batch in _batches(users):
            cuts = slot.edges[
                :: buckets_in_chunk(demand, slot, len(batch) if batch else demand.population)
            ]
            for interval in (piece for gap in gaps for piece in _cut(gap, cuts)):
                replaces = tuple(
                    part.number for part in superseded if part.interval.overlaps(interval)
                )
                yield Chunk(
                    connection=demand.connection,
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


def buckets_in_chunk(demand: Demand, slot: Slot, users: int) -> int:
    """Say how many buckets a chunk holds: the job's length rounded down to whole buckets, or what `MAX_CELLS` allow."""
    whole = len(slot.edges) - 1
    step = demand.grid.granularity.step or {Granularity.P1D: DAY, Granularity.P1W: 7 * DAY}.get(
        demand.grid.granularity
    )
    if step is None:
        return 1
    if demand.length is None:
        return max(1, min(whole, MAX_CELLS // users))
    if demand.length.days is None and demand.length.hours is None:
        return max(1, whole)
    length = (demand.length.days or 0) * DAY + (demand.length.hours or 0) * HOUR
    return max(1, length // step)
