"""Compare the totals of the parts with the server's, month by month. Owns the requests."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from asyncreport.api import directory
from asyncreport.api.aggregates import ConnectionState
from asyncreport.config import MULTI_VALUED
from asyncreport.core import verify_totals
from asyncreport.core.finding import Finding
from asyncreport.core.job import Chunk, Connection, Job, Part, Query, batches
from asyncreport.core.text import counted, first_lines
from asyncreport.core.timeline import DAY, Interval, iso
from asyncreport.core.verify_totals import Difference, Totals
from asyncreport.engine.fetch import drive, fetch
from asyncreport.engine.lane_pool import LanePool
from asyncreport.export.lanes import Connections
from asyncreport.export.snapshot import Snapshot
from asyncreport.net import Lane
from asyncreport.store.lookups import Names
from asyncreport.store.parts import Entry, PartReader

#: the vendor processes older data again: https://help.mypurecloud.com/faqs/why-can-my-data-change/
_VENDOR_SETTLE = 2 * DAY

_SUM_OF_HANDLE_TIME = "the sum of talk, hold, wrap-up, contacting and dialing"


@dataclass(slots=True)
class _Comparison:
    """The comparison of one connection."""

    snapshot: Snapshot
    reader: PartReader
    connection: Connection
    #: with the part of the range that was compared
    differences: list[tuple[Interval, Difference]] = field(default_factory=list)
    #: the server's, of the whole range
    server_totals: Totals = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def job(self) -> Job:
        return self.snapshot.job

    @property
    def users(self) -> tuple[str, ...] | None:
        """The users whom the job wants; None: all."""
        return self.snapshot.plans[self.name].demand.users

    def user_names(self) -> dict[str, str | None]:
        """Read the names of users that the last run looked up."""
        path = self.job.state_folder / "names.json"
        return Names(path).of(self.connection.identity)


async def compare_with_server(
    snapshot: Snapshot, reader: PartReader, connections: Connections, *, now: int
) -> AsyncIterator[Finding]:
    """Request totals by user and month from each connection, and report differences.

    Month by month, because the vendor states no longest interval, and because a difference then
    says what to fetch again. Raise the errors of a run if the server refuses.
    """
    for connection in snapshot.job.connections:
        comparison = _Comparison(snapshot, reader, connection)
        if comparison.users == ():
            continue
        await _compare(comparison, connections)
        yield _totals(comparison, now=now)
        # With `entities` the handle time is not the server's: it is made from talk and wrap-up.
        if snapshot.job.query.contract != "entities":
            yield _handle_time(comparison)


async def _compare(comparison: _Comparison, connections: Connections) -> None:
    """Fetch and compare chunk by chunk, with as many workers as a run would use."""
    lanes = await connections.lanes(comparison.name)
    pool = LanePool(range(len(lanes)), partial(connections.lost, comparison.name))
    state = await _connection_state(comparison, connections)
    workers = _Workers(comparison, state, lanes, pool, _chunks(comparison))
    await _run_workers(workers.work, len(lanes), _concurrency(comparison))
    comparison.differences.sort(key=lambda each: (each[0], each[1].user or ""))


@dataclass(frozen=True, slots=True)
class _Workers:
    """What the workers of a connection share."""

    comparison: _Comparison
    state: ConnectionState
    lanes: Sequence[Lane]
    pool: LanePool
    #: that no worker has taken yet
    chunks: Iterator[Chunk]

    async def work(self, own: int) -> None:
        """Compare chunks with lane `own`, until none is left or the lane is lost."""
        # The lane is checked first: a chunk that is taken from the iterator must be compared.
        while not self.pool.lost(own) and (chunk := next(self.chunks, None)) is not None:
            totals = await self.pool.ask(partial(self._fetch_totals, chunk), own=own)
            _compare_chunk(self.comparison, chunk, totals)

    async def _fetch_totals(self, chunk: Chunk, lane: int) -> Totals:
        """Request a chunk in one bucket, and add up its records by user."""
        query = verify_totals.totals_query(
            self.comparison.job.query, chunk.interval, several=MULTI_VALUED
        )
        columns = verify_totals.compared_columns(query)
        totals: Totals = {}
        for block in await fetch(chunk, query, self.lanes[lane].ask, self.state):
            verify_totals.add(totals, block.user, _records(block.lines), columns)
        return totals


def _concurrency(comparison: _Comparison) -> int:
    """Give the workers of one lane."""
    # More workers than the requests of a minute would only wait for the rate limit.
    return min(comparison.job.limits.concurrency, comparison.connection.requests_per_minute)


async def _run_workers(
    work: Callable[[int], Coroutine[Any, Any, None]], lanes: int, concurrency: int
) -> None:
    """Run workers for each lane; raise the first error of one."""
    try:
        async with asyncio.TaskGroup() as group:
            for lane in range(lanes):
                for _ in range(concurrency):
                    group.create_task(work(lane))
    except BaseExceptionGroup as errors:
        error = errors.exceptions[0]
        raise error from error.__cause__


async def _connection_state(comparison: _Comparison, connections: Connections) -> ConnectionState:
    """Make what the requests of a connection share."""
    job = comparison.job
    state = ConnectionState(
        query_job_timeout=job.limits.give_up_after,
        say=partial(connections.warn, comparison.name),
    )
    if job.query.occupancy and comparison.users is None:
        # The query for routing statuses must list its users.
        ask = partial(connections.ask, comparison.name)
        state.all_users = await drive(directory.all_user_ids(), ask)
    return state


def _chunks(comparison: _Comparison) -> Iterator[Chunk]:
    """Split the range by month, and the users into batches of a query."""
    job, users = comparison.job, comparison.users
    for slot in job.query.grid.slots(job.interval):
        start = max(slot.interval.start, job.interval.start)
        end = min(slot.interval.end, job.interval.end)
        for batch in [None] if users is None else batches(users):
            yield Chunk(
                connection=comparison.name,
                month=slot.month,
                interval=Interval(start, end),
                users=batch,
            )


def _records(lines: bytes) -> list[dict[str, Any]]:
    """Decode JSON lines."""
    return [orjson.loads(line) for line in lines.splitlines()]


def _compare_chunk(comparison: _Comparison, chunk: Chunk, server_totals: Totals) -> None:
    """Compare a chunk's totals in the parts with the server's."""
    columns = verify_totals.compared_columns(comparison.job.query)
    # Not in a thread: the reader serves one caller, and a month of 100 users is read fast.
    totals, record_counts = _part_totals(comparison, chunk, columns)
    tolerance = _tolerance(comparison.job.query, record_counts)
    found = verify_totals.differences(totals, server_totals, columns, tolerance=tolerance)
    comparison.differences += [(chunk.interval, difference) for difference in found]
    verify_totals.merge(comparison.server_totals, server_totals)


def _tolerance(query: Query, record_counts: Mapping[str | None, int]) -> dict[str | None, int]:
    """Give the ms by which a user's sums may differ."""
    if query.contract != "entities":
        return {}
    # The seconds of `entities` may be finer than a ms. Each record of the parts was rounded, while
    # the server's sum is rounded once: a ms for each.
    return {user: count + 1 for user, count in record_counts.items()}


def _part_totals(
    comparison: _Comparison, chunk: Chunk, columns: tuple[str, ...]
) -> tuple[Totals, Counter[str | None]]:
    """Add up the records of a chunk in the parts; count them by user."""
    totals: Totals = {}
    counts: Counter[str | None] = Counter()
    for part, entry in _entries(comparison, chunk):
        records = _records(comparison.reader.block(part, entry))
        records = _starting_within(records, chunk.interval)
        verify_totals.add(totals, entry.user, records, columns)
        counts[entry.user] += len(records)
    return totals, counts


def _entries(comparison: _Comparison, chunk: Chunk) -> Iterator[tuple[Part, Entry]]:
    """Find the blocks of a chunk's users in the parts of its month."""
    users = None if chunk.users is None else frozenset(chunk.users)
    for part in comparison.snapshot.wanted_parts(chunk.connection):
        if part.month != chunk.month or not part.interval.overlaps(chunk.interval):
            continue
        # Before the index is read from the part's file.
        if not _may_have(part, users):
            continue
        for entry in comparison.reader.index(part):
            if users is None or entry.user in users:
                yield part, entry


def _may_have(part: Part, users: frozenset[str] | None) -> bool:
    """Tell whether a part may have records of any of the users; None: all users."""
    return users is None or part.users is None or not users.isdisjoint(part.users)


def _starting_within(records: list[dict[str, Any]], interval: Interval) -> list[dict[str, Any]]:
    """Keep the records whose bucket starts in an interval."""
    # Instants in UTC sort like their texts.
    start, end = iso(interval.start), iso(interval.end)
    return [record for record in records if start <= record["interval_start"] < end]


def _totals(comparison: _Comparison, *, now: int) -> Finding:
    """Report the differences, what may explain them, and what to fetch again."""
    if not comparison.differences:
        return _equal_totals(comparison)
    details = first_lines(_differences(comparison), "difference")
    details += first_lines(_unsettled(comparison, now=now), "part")
    details.append(f"fetch it again: run --refresh {_different_interval(comparison)}")
    users = {difference.user for _, difference in comparison.differences}
    return Finding(
        "FAIL",
        f"{comparison.name}: the totals of {counted(len(users), 'user')} "
        "differ from those of the server",
        tuple(details),
    )


def _different_interval(comparison: _Comparison) -> Interval:
    """Give the shortest interval with all differences."""
    intervals = [interval for interval, _ in comparison.differences]
    return Interval(min(intervals).start, max(intervals).end)


def _differences(comparison: _Comparison) -> list[str]:
    """Describe each difference."""
    names = comparison.user_names()
    return [
        f"{_user(difference.user, names)}, {interval}: {_columns(difference)}"
        for interval, difference in comparison.differences
    ]


def _equal_totals(comparison: _Comparison) -> Finding:
    """Report that no total differs."""
    totals = comparison.server_totals
    users = counted(len(totals), "user")
    handled = sum(sums["handled_count"] for sums in totals.values())
    return Finding(
        "OK",
        f"{comparison.name}: the totals are equal to those of the server: "
        f"{users}, {handled:,} handled, {comparison.job.interval}",
    )


def _unsettled(comparison: _Comparison, *, now: int) -> list[str]:
    """List the parts whose values the vendor may have changed since they were fetched."""
    settle = max(_VENDOR_SETTLE, comparison.job.output.settle)
    different = _different_users(comparison)
    lines = []
    for part in comparison.snapshot.wanted_parts(comparison.name):
        settled_at = part.interval.end + settle
        if part.fetched_at < settled_at and _has_any(part, different):
            line = f"not settled: {part.interval}, fetched {iso(part.fetched_at)}"
            if now < settled_at:
                line += ", and may change again"
            lines.append(line)
    return lines


def _different_users(comparison: _Comparison) -> dict[Interval, set[str | None]]:
    """Collect the users with differences by interval: parts are many, and intervals few."""
    users: defaultdict[Interval, set[str | None]] = defaultdict(set)
    for interval, difference in comparison.differences:
        users[interval].add(difference.user)
    return users


def _has_any(part: Part, users_by_interval: Mapping[Interval, set[str | None]]) -> bool:
    """Tell whether a part has records of any of the users in their interval."""
    return any(
        part.interval.overlaps(interval)
        and (part.users is None or not users.isdisjoint(part.users))
        for interval, users in users_by_interval.items()
    )


def _columns(difference: Difference) -> str:
    """Describe the columns that differ."""
    texts = []
    for column, in_parts, on_server in difference.columns:
        parts, server = _value(column, in_parts), _value(column, on_server)
        texts.append(f"{column} is {parts} in the parts, {server} on the server")
    return "; ".join(texts)


def _value(column: str, value: int) -> str:
    """Write a count, or ms as the seconds of a record."""
    if column.endswith("_sec"):
        return _seconds(value)
    return str(value)


def _seconds(ms: int) -> str:
    """Write ms as seconds with three places."""
    return f"{ms // 1000}.{ms % 1000:03}"


def _user(user: str | None, names: Mapping[str, str | None]) -> str:
    """Write the name and the id of a user."""
    if user is None:
        return "no user"
    name = names.get(user)
    return f"{name} ({user})" if name else user


def _handle_time(comparison: _Comparison) -> Finding:
    """Check that the server's handle time is the sum of its components."""
    uneven = verify_totals.uneven_handle_times(comparison.server_totals)
    if not uneven:
        return Finding(
            "OK",
            f"{comparison.name}: handle time is {_SUM_OF_HANDLE_TIME}, "
            "except for interactions at the ends of the range",
        )
    names = comparison.user_names()
    lines = [
        f"{_user(user, names)}: handle time {_seconds(handle)} s, sum {_seconds(total)} s"
        for user, handle, total in uneven
    ]
    return Finding(
        "WARN",
        f"{comparison.name}: handle time of {counted(len(uneven), 'user')} is not "
        f"{_SUM_OF_HANDLE_TIME}; it is exported as the server reports it",
        tuple(first_lines(lines, "user")),
    )
