"""Compare the totals of the parts with the server's, month by month. Owns the requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import (
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from asyncreport.api import directory
from asyncreport.api.aggregates import ConnectionState
from asyncreport.config import MULTI_VALUED
from asyncreport.core import verify_totals
from asyncreport.core.finding import Report
from asyncreport.core.job import Chunk, Part, Query, batches
from asyncreport.core.timeline import Interval, Slot, iso
from asyncreport.core.verify_totals import Totals
from asyncreport.engine.fetch import drive, fetch
from asyncreport.engine.lane_pool import LanePool
from asyncreport.export.lanes import Connections
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.verify_differences import Comparison, Users, handle_time, may_have, totals
from asyncreport.net import Lane
from asyncreport.store.parts import Entry, PartReader


async def compare_with_server(
    snapshot: Snapshot,
    reader: PartReader,
    connections: Connections,
    report: Report,
    *,
    now: int,
) -> None:
    """Request totals by user and month from each connection, and report differences.

    Month by month, because the vendor states no longest interval, and because a difference then
    says what to fetch again. Raise the errors of a run if the server refuses.
    """
    for connection in snapshot.job.connections:
        comparison = Comparison.of(snapshot, connection)
        if comparison.users == ():
            continue
        await _compare(comparison, reader, connections)
        report(totals(comparison, now=now))
        # With `entities` the handle time is not the server's: it is made from talk and wrap-up.
        if snapshot.job.query.contract != "entities":
            report(handle_time(comparison))


async def _compare(
    comparison: Comparison,
    reader: PartReader,
    connections: Connections,
) -> None:
    """Fetch and compare chunk by chunk, with as many workers as a run would use."""
    lanes = await connections.lanes(comparison.name)
    workers = _Workers(
        _PartTotals(comparison, reader),
        await _connection_state(comparison, connections),
        lanes,
        LanePool(range(len(lanes)), partial(connections.lost, comparison.name)),
        _chunks(comparison),
    )
    with connections.naming(comparison.name):
        await _run_workers(workers.work, len(lanes), _concurrency(comparison))
    comparison.sort()


@dataclass(frozen=True, slots=True)
class _Workers:
    """What the workers of a connection share."""

    parts: _PartTotals
    state: ConnectionState
    lanes: Sequence[Lane]
    pool: LanePool
    #: that no worker has taken yet
    chunks: Iterator[Chunk]

    async def work(self, own: int) -> None:
        """Compare chunks with lane `own`, until none is left or the lane is lost."""
        # The lane is checked first: a chunk that is taken from the iterator must be compared.
        while not self.pool.lost(own) and (chunk := next(self.chunks, None)) is not None:
            on_server = await self.pool.ask(partial(self._fetch_totals, chunk), own=own)
            self.parts.compare(chunk, on_server)

    async def _fetch_totals(self, chunk: Chunk, lane: int) -> Totals:
        """Request a chunk in one bucket, and add up its records by user."""
        query = self._query(chunk)
        columns = verify_totals.compared_columns(query)
        sums: Totals = {}
        for block in await fetch(chunk, query, self.lanes[lane].ask, self.state):
            verify_totals.add(sums, block.user, _records(block.lines), columns)
        return sums

    def _query(self, chunk: Chunk) -> Query:
        """Make the query for the totals of a chunk."""
        query = self.parts.comparison.job.query
        return verify_totals.totals_query(query, chunk.interval, several=MULTI_VALUED)


def _concurrency(comparison: Comparison) -> int:
    """Give the workers of one lane."""
    # More workers than the requests of a minute would only wait for the rate limit.
    return min(comparison.job.limits.concurrency, comparison.connection.requests_per_minute)


async def _run_workers(
    work: Callable[[int], Coroutine[Any, Any, None]],
    lanes: int,
    concurrency: int,
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


async def _connection_state(comparison: Comparison, connections: Connections) -> ConnectionState:
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


def _chunks(comparison: Comparison) -> Iterator[Chunk]:
    """Split the range by month, and the users into batches of a query."""
    job = comparison.job
    for slot in job.query.grid.slots(job.interval):
        for batch in _batches(comparison.users):
            yield Chunk(
                connection=comparison.name,
                month=slot.month,
                interval=_common(slot, job.interval),
                users=batch,
            )


def _batches(users: tuple[str, ...] | None) -> Iterable[tuple[str, ...] | None]:
    """Split users into batches of a query; everyone (None) is one batch."""
    if users is None:
        return [None]
    return batches(users)


def _common(slot: Slot, interval: Interval) -> Interval:
    """Give the part of a range that lies in a month."""
    start = max(slot.interval.start, interval.start)
    end = min(slot.interval.end, interval.end)
    return Interval(start, end)


def _records(lines: bytes) -> list[dict[str, Any]]:
    """Decode JSON lines."""
    return [orjson.loads(line) for line in lines.splitlines()]


@dataclass(frozen=True, slots=True)
class _PartTotals:
    """The totals of the parts, and their comparison with those of the server."""

    comparison: Comparison
    reader: PartReader

    def compare(self, chunk: Chunk, on_server: Totals) -> None:
        """Compare a chunk's totals in the parts with the server's."""
        query = self.comparison.job.query
        columns = verify_totals.compared_columns(query)
        # Not in a thread: the reader serves one caller, and a month of 100 users is read fast.
        in_parts, record_counts = self._add_up(chunk, columns)
        found = verify_totals.differences(
            in_parts,
            on_server,
            columns,
            tolerance=_tolerance(query, record_counts),
        )
        self.comparison.add(chunk.interval, found, on_server)

    def _add_up(
        self,
        chunk: Chunk,
        columns: Sequence[str],
    ) -> tuple[Totals, Counter[str | None]]:
        """Add up the records of a chunk in the parts; count them by user."""
        sums: Totals = {}
        counts: Counter[str | None] = Counter()
        for part, entry in self._entries(chunk):
            records = _records(self.reader.block(part, entry))
            records = _starting_within(records, chunk.interval)
            verify_totals.add(sums, entry.user, records, columns)
            counts[entry.user] += len(records)
        return sums, counts

    def _entries(self, chunk: Chunk) -> Iterator[tuple[Part, Entry]]:
        """Find the blocks of a chunk's users in its parts."""
        # A set: there are as many look-ups as blocks.
        users = _as_set(chunk.users)
        for part in self.comparison.snapshot.wanted_parts(chunk.connection):
            # Known from the manifest, before the index is read from the part's file.
            if part.interval.overlaps(chunk.interval) and may_have(part, users):
                yield from self._blocks(part, users)

    def _blocks(self, part: Part, users: Users) -> Iterator[tuple[Part, Entry]]:
        """Find the blocks of users in a part."""
        for entry in self.reader.index(part):
            if users is None or entry.user in users:
                yield part, entry


def _as_set(users: Iterable[str] | None) -> Users:
    """Make a set of users; None stays everyone."""
    if users is None:
        return None
    return set(users)


def _tolerance(query: Query, record_counts: Mapping[str | None, int]) -> dict[str | None, int]:
    """Give the ms by which a user's sums may differ."""
    if query.contract != "entities":
        return {}
    # The seconds of `entities` may be finer than a ms. Each record of the parts was rounded, while
    # the server's sum is rounded once: a ms for each.
    return {user: count + 1 for user, count in record_counts.items()}


def _starting_within(records: list[dict[str, Any]], interval: Interval) -> list[dict[str, Any]]:
    """Keep the records whose bucket starts in an interval."""
    # Instants in UTC sort like their texts.
    start, end = iso(interval.start), iso(interval.end)
    return [record for record in records if start <= record["interval_start"] < end]
