"""Plan what to fetch: ordered chunks that tile what a job demands and no part covers yet. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from asyncreport.core.job import Chunk, ChunkLength, Part, batches
from asyncreport.core.timeline import DAY, Granularity, Grid, Interval, Slot

#: users x buckets in one response if the job gives no chunk length: as large as memory allows.
#: A month of 1,000 agents who work in every half hour peaks at 130 MB with 20,000 and at 148 MB
#: and more with 40,000; the budget is 150 MB (`tests/bench/memory.py`).
MAX_CELLS = 20_000

#: ms; a local day counts as 24 hours here, also on the days of a clock change
_USUAL_STEPS = {Granularity.P1D: DAY, Granularity.P1W: 7 * DAY}

#: sorted ids; None: everyone
Users = tuple[str, ...] | None

#: disjoint, in order of time
Intervals = tuple[Interval, ...]


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


@dataclass(slots=True, frozen=True, kw_only=True)
class Plan:
    """The work for one connection: what to fetch, and what exists already."""

    demand: Demand
    chunks: tuple[Chunk, ...]
    #: parts that cover some of the demand and are not fetched again
    reused: tuple[Part, ...]
    #: parts to fetch again: a chunk of the plan replaces each of them
    stale: tuple[Part, ...]


@dataclass(slots=True, frozen=True, kw_only=True)
class Freshness:
    """The rule for which parts to fetch again."""

    #: ms; a part is stale if it was fetched sooner than this after its end
    settle: int
    #: parts that overlap this interval are stale
    refresh: Interval | None = None
    #: start of this run, an instant; parts fetched at this instant are the run's own and fresh
    now: int

    def is_stale(self, part: Part) -> bool:
        """Tell whether to fetch a part again."""
        return self.stale_reason(part) is not None

    def stale_reason(self, part: Part) -> str | None:
        """Say why to fetch a part again, to be read after "was"; None: it is fresh."""
        if part.fetched_at == self.now:
            return None
        if part.fetched_at > self.now:
            # If the clock was ahead, the run may have asked for a time that had not come yet and
            # saved an empty response.
            return "fetched in the future: a clock was wrong"
        if part.refresh_pending or self.refreshes(part):
            return "marked for a refresh"
        if part.fetched_at < part.interval.end + self.settle:
            return "fetched before the data settled"
        return None

    def refreshes(self, part: Part) -> bool:
        """Tell whether the user asked to fetch a part again."""
        return self.refresh is not None and part.interval.overlaps(self.refresh)


@dataclass(slots=True)
class _Month:
    """The current parts of one month that matter for a demand."""

    fresh: list[Part] = field(default_factory=list)
    stale: list[Part] = field(default_factory=list)
    #: parts of listed users, if everyone is demanded
    superseded: list[Part] = field(default_factory=list)


def plan(demand: Demand, parts: Sequence[Part], freshness: Freshness) -> Plan:
    """Tile what no part covers; `parts` are the current parts of the demand's fingerprint.

    A stale part is fetched again as a whole, joined with its stale neighbours up to the length of
    a chunk. If everyone is demanded, only parts of everyone count. A chunk of everyone replaces
    the parts of listed users that it overlaps, so that current parts never overlap.
    """
    months = _by_month(demand, parts, freshness)
    chunks: list[Chunk] = []
    reused: list[Part] = []
    stale: list[Part] = []
    for slot in demand.grid.slots(demand.interval):
        month = months[slot.month]
        chunks_here = [
            *_missing_chunks(demand, slot, month),
            *_refetch_chunks(demand, slot, month.stale),
        ]
        chunks += sorted(chunks_here, key=_chunk_order)
        reused += month.fresh
        stale += month.stale
    return Plan(demand=demand, chunks=tuple(chunks), reused=tuple(reused), stale=tuple(stale))


def _chunk_order(chunk: Chunk) -> tuple[Interval, tuple[str, ...]]:
    return (chunk.interval, chunk.users or ())


def _by_month(
    demand: Demand, parts: Sequence[Part], freshness: Freshness
) -> defaultdict[str, _Month]:
    months: defaultdict[str, _Month] = defaultdict(_Month)
    for part in parts:
        month = months[part.month]
        if _is_useful(part, demand):
            if freshness.is_stale(part):
                month.stale.append(part)
            else:
                month.fresh.append(part)
        elif demand.users is None and part.users is not None:
            month.superseded.append(part)
    return months


def _is_useful(part: Part, demand: Demand) -> bool:
    """Tell whether a part covers some of the demand."""
    if demand.users == () or not part.interval.overlaps(demand.interval):
        return False
    if part.users is None:
        return True
    if demand.users is None:
        return False
    return any(_contains(demand.users, user) for user in part.users)


def _contains(users: tuple[str, ...], user: str) -> bool:
    at = bisect_left(users, user)
    return at < len(users) and users[at] == user


def _refetch_chunks(demand: Demand, slot: Slot, parts: Sequence[Part]) -> Iterator[Chunk]:
    """Fetch stale parts again; adjacent parts of the same users become one chunk.

    Otherwise a job that runs every half hour would keep, and fetch again, a part of each run.
    """
    by_users: defaultdict[Users, list[Part]] = defaultdict(list)
    for part in sorted(parts, key=lambda part: part.interval):
        by_users[part.users].append(part)
    for users, stale in by_users.items():
        longest = _buckets_in_chunk(demand, slot, users)
        for run in _adjacent_runs(stale, demand.grid, longest):
            yield Chunk(
                connection=demand.connection,
                month=slot.month,
                interval=_span(run),
                users=users,
                replaces=tuple(part.number for part in run),
            )


def _adjacent_runs(parts: Sequence[Part], grid: Grid, longest: int) -> Iterator[list[Part]]:
    """Group parts that follow one another into runs of at most `longest` buckets."""
    run: list[Part] = []
    for part in parts:
        if run and not _continues(run, part, grid, longest):
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def _continues(run: Sequence[Part], part: Part, grid: Grid, longest: int) -> bool:
    if part.interval.start != run[-1].interval.end:
        return False
    return grid.count(_span([*run, part])) <= longest


def _span(run: Sequence[Part]) -> Interval:
    return Interval(run[0].interval.start, run[-1].interval.end)


def _missing_chunks(demand: Demand, slot: Slot, month: _Month) -> Iterator[Chunk]:
    """Cut what no part of a slot covers into chunks."""
    demanded = slot.interval.intersection(demand.interval)
    # A stale part covers its interval too, because a chunk of its own replaces it.
    for missing, users in _missing(demand.users, demanded, [*month.fresh, *month.stale]):
        # Counted from the slot's first edge, so that a range that grows keeps its chunks.
        cuts = slot.edges[:: _buckets_in_chunk(demand, slot, users)]
        for interval in _cut(missing, cuts):
            replaces = [
                part.number for part in month.superseded if part.interval.overlaps(interval)
            ]
            yield Chunk(
                connection=demand.connection,
                month=slot.month,
                interval=interval,
                users=users,
                replaces=tuple(replaces),
            )


def _missing(
    users: Users, demanded: Interval, parts: Iterable[Part]
) -> Iterator[tuple[Intervals, Users]]:
    """Walk batches of users who lack the same intervals."""
    covered = _covered(parts)
    by_everyone = covered.pop(None, [])
    if users is None:
        yield _subtract(demanded, by_everyone), None
        return
    lacking: defaultdict[Intervals, list[str]] = defaultdict(list)
    for same, intervals in _by_parts(users, covered):
        lacking[_subtract(demanded, by_everyone + intervals)] += same
    for missing, several in lacking.items():
        for batch in batches(sorted(several)):
            yield missing, batch


def _covered(parts: Iterable[Part]) -> dict[Users, list[Interval]]:
    covered: defaultdict[Users, list[Interval]] = defaultdict(list)
    for part in parts:
        covered[part.users].append(part.interval)
    return covered


def _by_parts(
    users: Sequence[str], covered: Mapping[Users, list[Interval]]
) -> Iterator[tuple[list[str], list[Interval]]]:
    """Group the users who are in the same parts, with the intervals of these parts."""
    groups: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
    for user, sets in _sets_of(users, covered).items():
        groups[tuple(sets)].append(user)
    intervals = list(covered.values())
    for numbers, same in groups.items():
        yield same, list(chain.from_iterable(intervals[number] for number in numbers))


def _sets_of(users: Sequence[str], sets: Iterable[Users]) -> dict[str, list[int]]:
    """Give the number of each set that a user is in.

    A set is walked once a month, not once a part: years of history are ten thousand parts of a few
    sets.
    """
    found: dict[str, list[int]] = {user: [] for user in users}
    for number, members in enumerate(sets):
        for user in members or ():
            if user in found:
                found[user].append(number)
    return found


def _subtract(whole: Interval, covered: list[Interval]) -> Intervals:
    """Give what is left of an interval."""
    left: list[Interval] = []
    at = whole.start
    for interval in sorted(covered):
        start = min(interval.start, whole.end)
        if at < start:
            left.append(Interval(at, start))
        at = max(at, interval.end)
    if at < whole.end:
        left.append(Interval(at, whole.end))
    return tuple(left)


def _cut(intervals: Intervals, cuts: Sequence[int]) -> Iterator[Interval]:
    """Cut intervals at the edges that lie inside them."""
    for interval in intervals:
        inside = cuts[bisect_right(cuts, interval.start) : bisect_left(cuts, interval.end)]
        edges = (interval.start, *inside, interval.end)
        yield from map(Interval, edges, edges[1:])


def _buckets_in_chunk(demand: Demand, slot: Slot, users: Users) -> int:
    """Give a chunk's number of whole buckets: of the job's length, or what `MAX_CELLS` allows."""
    granularity = demand.grid.granularity
    step = granularity.step or _USUAL_STEPS.get(granularity)
    if step is None:  # a month, or the whole range
        return 1
    all_buckets = len(slot.edges) - 1
    if demand.length is None:
        number = len(users) if users else demand.population
        return max(1, min(all_buckets, MAX_CELLS // number))
    length = demand.length.ms
    if length is None:
        return all_buckets
    return max(1, length // step)
