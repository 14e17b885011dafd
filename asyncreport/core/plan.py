"""Plan what to fetch: ordered chunks that tile what a job demands and no part covers yet. Pure.

A plan's chunks are as long as full answers allow. When a lane takes one, `join` makes it as long as
the answers to this query turn out to allow.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

from msgspec.structs import replace

from asyncreport.core.coverage import Intervals, Users, missing_by_batch
from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Chunk, ChunkLength, Part
from asyncreport.core.timeline import DAY, Granularity, Grid, Interval, Slot

#: users x buckets in one response if the job gives no chunk length: as large as memory allows.
#: A month of 1,000 agents who work in every half hour peaks at 130 MB with 20,000 and at 148 MB
#: and more with 40,000; the budget is 150 MB (`tests/bench/memory.py`).
MAX_CELLS = 20_000

#: records that one answer should hold
MAX_RECORDS = 20_000

#: ms; a local day counts as 24 hours here, also on the days of a clock change
_USUAL_STEPS = {Granularity.P1D: DAY, Granularity.P1W: 7 * DAY}


@dataclass(slots=True, frozen=True, kw_only=True)
class Demand:
    """What a job needs from one connection."""

    connection: str
    grid: Grid
    #: on bucket edges
    interval: Interval
    users: Users
    #: None: as long as `MAX_CELLS` allows
    length: ChunkLength | None = None
    #: number of users if everyone is demanded, at least 1
    population: int = 1

    def count(self, users: Users) -> int:
        """Count the users of a chunk."""
        if users:
            return len(users)
        return self.population


@dataclass(slots=True, frozen=True, kw_only=True)
class Plan:
    """The work for one connection: what to fetch, and what exists already."""

    demand: Demand
    chunks: tuple[Chunk, ...]
    #: parts that cover some of the demand and are not fetched again
    reused: tuple[Part, ...]
    #: parts to fetch again: a chunk of the plan replaces each of them
    stale: tuple[Part, ...]


@dataclass(slots=True)
class _Month:
    """The current parts of one month that matter for a demand."""

    fresh: list[Part] = field(default_factory=list)
    stale: list[Part] = field(default_factory=list)
    #: parts of listed users, if everyone is demanded
    superseded: list[Part] = field(default_factory=list)

    def add(self, part: Part, *, stale: bool) -> None:
        """Add a part that covers some of the demand."""
        if stale:
            self.stale.append(part)
        else:
            self.fresh.append(part)

    @property
    def covering(self) -> list[Part]:
        """List what covers its interval: stale parts too, because chunks of their own replace them.

        A chunk for what is missing must not fetch the same again.
        """
        return [*self.fresh, *self.stale]

    def superseded_by(self, interval: Interval) -> tuple[int, ...]:
        """Give the numbers of the parts that a chunk of everyone in an interval replaces."""
        return tuple(part.number for part in self.superseded if part.interval.overlaps(interval))


def plan(demand: Demand, parts: Sequence[Part], freshness: Freshness) -> Plan:
    """Tile what no part covers; `parts` are the current parts of the demand's fingerprint.

    A stale part is fetched again as a whole, joined with its stale neighbours up to the length of
    a chunk. If everyone is demanded, only parts of everyone count. A chunk of everyone replaces
    the parts of listed users that it overlaps, so that current parts never overlap. Chunks in the
    future are left out.
    """
    months = _by_month(demand, parts, freshness)
    chunks: list[Chunk] = []
    reused: list[Part] = []
    stale: list[Part] = []
    for slot in demand.grid.slots(demand.interval):
        month = months[slot.month]
        chunks += _begun(_month_chunks(demand, slot, month), freshness.now)
        reused += month.fresh
        stale += month.stale
    return Plan(
        demand=demand,
        chunks=tuple(chunks),
        reused=tuple(reused),
        stale=tuple(stale),
    )


def _month_chunks(demand: Demand, slot: Slot, month: _Month) -> list[Chunk]:
    """List the chunks of one month, in order of users and time."""
    missing = _missing_chunks(demand, slot, month)
    refetched = _refetch_chunks(demand, slot, month.stale)
    return sorted([*missing, *refetched], key=_chunk_order)


def _begun(chunks: Sequence[Chunk], now: int) -> list[Chunk]:
    """Leave out chunks that lie completely in the future: nothing has happened there yet."""
    return [chunk for chunk in chunks if chunk.interval.start < now]


def _chunk_order(chunk: Chunk) -> tuple[tuple[str, ...], Interval]:
    """Give the sort key of a chunk: those of the same users follow one another, for `join`."""
    return (chunk.users or (), chunk.interval)


def join(
    chunks: Sequence[Chunk],
    demand: Demand,
    most: Callable[[Users], int | None],
    settled_before: int,
) -> Chunk:
    """Give what to fetch next: a chunk over the head of `chunks`, which are in a plan's order.

    It joins consecutive chunks of the same users and month that replace nothing, and shares them
    among as few answers as `most` allows: users x buckets in one answer, None if that is unknown.
    It ends inside a planned chunk if that one is too long. What ends at or before `settled_before`
    is not joined with what ends later: that is fetched again soon.
    """
    first = chunks[0]
    cells = most(first.users)
    if first.replaces or cells is None:
        return first
    together = Interval(first.interval.start, _end_of_run(chunks, settled_before))
    edges = demand.grid.edges(together)
    buckets = len(edges) - 1
    answers = _divided_up(buckets * demand.count(first.users), cells)
    length = _divided_up(buckets, answers)
    return replace(first, interval=Interval(together.start, edges[length]))


def _end_of_run(chunks: Iterable[Chunk], settled_before: int) -> int:
    """Give the end of the first chunks that may be joined."""
    end = 0
    for chunk, following in pairwise(chain(chunks, [None])):
        assert chunk is not None
        end = chunk.interval.end
        if following is None or not _may_join(chunk, following, settled_before):
            break
    return end


def _may_join(chunk: Chunk, following: Chunk, settled_before: int) -> bool:
    """Tell whether a chunk and the one after it may be fetched as one."""
    ends = (chunk.interval.end, following.interval.end)
    return (
        following.interval.start == chunk.interval.end
        and following.users == chunk.users
        and following.month == chunk.month
        and not following.replaces
        and (ends[0] <= settled_before) == (ends[1] <= settled_before)
    )


def remove(chunks: deque[Chunk], taken: Chunk) -> int:
    """Remove from the head of `chunks` what `join` gave; give how many fewer there are."""
    before = len(chunks)
    end = taken.interval.end
    while chunks and _is_covered(chunks[0], taken):
        left = chunks.popleft().interval
        if left.end > end:
            chunks.appendleft(replace(taken, interval=Interval(end, left.end)))
    return before - len(chunks)


def _is_covered(chunk: Chunk, taken: Chunk) -> bool:
    """Tell whether a chunk, or its beginning, is part of one that was taken."""
    return chunk.users == taken.users and chunk.interval.overlaps(taken.interval)


def _divided_up(number: int, by: int) -> int:
    """Divide and round up, to at least 1."""
    return max(1, -(-number // by))


def _by_month(
    demand: Demand,
    parts: Sequence[Part],
    freshness: Freshness,
) -> defaultdict[str, _Month]:
    """Sort the parts into months; a month without parts appears when it is looked up."""
    months: defaultdict[str, _Month] = defaultdict(_Month)
    for part in parts:
        month = months[part.month]
        if _is_useful(part, demand):
            month.add(part, stale=freshness.is_stale(part))
        elif demand.users is None and part.users is not None:
            month.superseded.append(part)
    return months


def _is_useful(part: Part, demand: Demand) -> bool:
    """Tell whether a part covers some of the demand."""
    if not part.interval.overlaps(demand.interval):
        return False
    return share_users(part.users, demand.users)


def share_users(fetched: Users, demanded: Users) -> bool:
    """Tell whether a part has demanded users; parts of listed users never count for everyone."""
    if fetched is None:
        return demanded != ()
    if demanded is None:
        return False
    return any(_contains(demanded, user) for user in fetched)


def _contains(users: tuple[str, ...], user: str) -> bool:
    """Find a user in sorted ids: a part has 100 users, a demand may have thousands."""
    at = bisect_left(users, user)
    return at < len(users) and users[at] == user


def _refetch_chunks(demand: Demand, slot: Slot, parts: Sequence[Part]) -> Iterator[Chunk]:
    """Fetch stale parts again; adjacent parts of the same users become one chunk.

    Otherwise a job that runs every half hour would keep, and fetch again, a part of each run.
    """
    for users, stale in _by_users(parts).items():
        longest = _buckets_in_chunk(demand, slot, users)
        for run in _adjacent_runs(stale, demand.grid, longest):
            yield Chunk(
                connection=demand.connection,
                month=slot.month,
                interval=_span(run),
                users=users,
                replaces=tuple(part.number for part in run),
            )


def _by_users(parts: Sequence[Part]) -> dict[Users, list[Part]]:
    """Group parts of the same users, each group in order of time."""
    groups: defaultdict[Users, list[Part]] = defaultdict(list)
    for part in sorted(parts, key=lambda part: part.interval):
        groups[part.users].append(part)
    return groups


def _adjacent_runs(parts: Sequence[Part], grid: Grid, longest: int) -> Iterator[list[Part]]:
    """Group parts that follow one another into runs of at most `longest` buckets.

    A run has at most `MAX_RECORDS`: with split values, a bucket of a user may have many.
    """
    run: list[Part] = []
    for part in parts:
        if run and not _continues(run, part, grid, longest):
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def _continues(run: Sequence[Part], part: Part, grid: Grid, longest: int) -> bool:
    """Tell whether a part begins where a run ends, and both together are not too long."""
    if part.interval.start != run[-1].interval.end:
        return False
    together = [*run, part]
    if sum(each.count for each in together) > MAX_RECORDS:
        return False
    return grid.count(_span(together)) <= longest


def _span(run: Sequence[Part]) -> Interval:
    """Give the interval from the start of the first part to the end of the last one."""
    return Interval(run[0].interval.start, run[-1].interval.end)


def _missing_chunks(demand: Demand, slot: Slot, month: _Month) -> Iterator[Chunk]:
    """Cut what no part of a slot covers into chunks."""
    demanded = slot.interval.intersection(demand.interval)
    for missing, users in missing_by_batch(demand.users, demanded, month.covering):
        # Counted from the slot's first edge, so that a range that grows keeps its chunks.
        cuts = slot.edges[:: _buckets_in_chunk(demand, slot, users)]
        for interval in _cut(missing, cuts):
            yield Chunk(
                connection=demand.connection,
                month=slot.month,
                interval=interval,
                users=users,
                replaces=month.superseded_by(interval),
            )


def _cut(intervals: Intervals, cuts: Sequence[int]) -> Iterator[Interval]:
    """Cut intervals at the edges that lie inside them."""
    for interval in intervals:
        inside = cuts[bisect_right(cuts, interval.start) : bisect_left(cuts, interval.end)]
        edges = (interval.start, *inside, interval.end)
        yield from map(Interval, edges, edges[1:])


def _buckets_in_chunk(demand: Demand, slot: Slot, users: Users) -> int:
    """Give a chunk's number of whole buckets: of the job's length, or what `MAX_CELLS` allows."""
    step = _usual_step(demand.grid.granularity)
    if step is None:
        return 1
    all_buckets = len(slot.edges) - 1
    if demand.length is None:
        return _buckets_in_memory(all_buckets, demand.count(users))
    length = demand.length.ms
    if length is None:
        return all_buckets
    return max(1, length // step)


def _usual_step(granularity: Granularity) -> int | None:
    """Give a bucket's usual length in ms; None: a month, or the whole range."""
    return granularity.step or _USUAL_STEPS.get(granularity)


def _buckets_in_memory(most: int, users: int) -> int:
    """Give how many buckets of so many users `MAX_CELLS` allows: at least 1, at most `most`."""
    return max(1, min(most, MAX_CELLS // users))
