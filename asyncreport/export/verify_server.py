"""Hold the totals of the parts against the server's, month by month. Owns the requests in flight."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import orjson

from asyncreport.api import directory
from asyncreport.api.aggregates import ConnectionState
from asyncreport.config import MULTI_VALUED
from asyncreport.core import verify_totals
from asyncreport.core.finding import Finding
from asyncreport.core.job import Chunk, Connection, Part, batches
from asyncreport.core.text import counted, first_lines
from asyncreport.core.timeline import DAY, Interval, iso
from asyncreport.core.verify_totals import Difference, Totals
from asyncreport.engine.fetch import drive, fetch
from asyncreport.engine.lane_pool import LanePool
from asyncreport.export.lanes import Connections
from asyncreport.export.snapshot import Snapshot
from asyncreport.net import Lane
from asyncreport.store.lookups import Names
from asyncreport.store.parts import PartReader

#: the vendor works over again what is so old and older: https://help.mypurecloud.com/faqs/why-can-my-data-change/
_AT_REST = 2 * DAY


@dataclass(slots=True)
class _Compared:
    """What one connection's comparison has found so far."""

    #: with the month's piece of the range
    differences: list[tuple[Interval, Difference]] = field(default_factory=list)
    #: the server's, of the whole range
    totals: Totals = field(default_factory=dict)


async def server_findings(
    kept: Snapshot, reader: PartReader, connections: Connections, *, now: int
) -> AsyncIterator[Finding]:
    """Ask each connection for totals by user and month, and tell what differs; raise as a run does where it refuses.

    Month by month, because the vendor states no longest interval, and so that a difference says what to fetch again.
    """
    for connection in kept.job.connections:
        if kept.plans[connection.name].demand.users == ():
            continue
        found = await _compare(kept, reader, connection, connections)
        yield _told(kept, connection, found, now=now)
        if (
            kept.job.query.contract != "entities"
        ):  # whose handle time is made from talk and wrap-up here
            yield _handle_time(kept, connection, found.totals)


async def _compare(
    kept: Snapshot, reader: PartReader, connection: Connection, connections: Connections
) -> _Compared:
    """Share the questions among as many tasks as a run would have at work."""
    known = ConnectionState(query_job_timeout=kept.job.limits.give_up_after)
    if kept.job.query.occupancy and kept.plans[connection.name].demand.users is None:
        known.all_users = await drive(
            directory.all_user_ids(), partial(connections.ask, connection.name)
        )
    found, questions = _Compared(), _questions(kept, connection)
    lanes = await connections.lanes(connection.name)
    pool = LanePool(range(len(lanes)), partial(connections.lost, connection.name))
    concurrency = min(kept.job.limits.concurrency, connection.requests_per_minute)

    async def work(own: int) -> None:
        while not pool.lost(own) and (chunk := next(questions, None)) is not None:

            async def question(lane: int, chunk: Chunk = chunk) -> Totals:
                return await _theirs(kept, chunk, known, lanes[lane])

            theirs = await pool.ask(question, own=own)
            _hold_against(kept, reader, chunk, theirs, found)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(len(lanes)):
                for _ in range(concurrency):
                    group.create_task(work(number))
    except BaseExceptionGroup as errors:
        error = errors.exceptions[0]
        raise error from error.__cause__
    found.differences.sort(key=lambda each: (each[0], each[1].user or ""))
    return found


def _questions(kept: Snapshot, connection: Connection) -> Iterator[Chunk]:
    """Cut the range at the months and the users by a hundred."""
    users, whole = kept.plans[connection.name].demand.users, kept.job.interval
    for slot in kept.job.query.grid.slots(whole):
        interval = Interval(
            max(slot.interval.start, whole.start), min(slot.interval.end, whole.end)
        )
        for batch in [None] if users is None else batches(users):
            yield Chunk(
                connection=connection.name, month=slot.month, interval=interval, users=batch
            )


async def _theirs(kept: Snapshot, chunk: Chunk, known: ConnectionState, lane: Lane) -> Totals:
    query = verify_totals.totals_query(kept.job.query, chunk.interval, several=MULTI_VALUED)
    theirs: Totals = {}
    for block in await fetch(chunk, query, lane.ask, known):
        verify_totals.add(
            theirs,
            block.user,
            map(orjson.loads, block.lines.splitlines()),
            verify_totals.compared_columns(query),
        )
    return theirs


def _hold_against(
    kept: Snapshot, reader: PartReader, chunk: Chunk, theirs: Totals, found: _Compared
) -> None:
    columns = verify_totals.compared_columns(kept.job.query)
    # On the loop: the reader's descriptors have one user, and a month of a hundred users takes a moment.
    ours, buckets = _ours(kept, reader, chunk, columns)
    # Its seconds may be finer than a ms: each bucket was rounded when it was fetched, and their sum is rounded once.
    slack = (
        {user: number + 1 for user, number in buckets.items()}
        if kept.job.query.contract == "entities"
        else {}
    )
    found.differences += [
        (chunk.interval, each)
        for each in verify_totals.differences(ours, theirs, columns, tolerance=slack)
    ]
    verify_totals.merge(found.totals, theirs)


def _ours(
    kept: Snapshot, reader: PartReader, chunk: Chunk, columns: tuple[str, ...]
) -> tuple[Totals, Counter[str | None]]:
    """Add up the rows of the parts that begin in a chunk's interval, of its users, and count them."""
    users = None if chunk.users is None else frozenset(chunk.users)
    begin, end = (
        iso(chunk.interval.start),
        iso(chunk.interval.end),
    )  # instants in UTC sort as their texts do
    totals: Totals = {}
    counts: Counter[str | None] = Counter()
    for part in _parts(kept, chunk):
        if users is not None and part.users is not None and users.isdisjoint(part.users):
            continue
        for entry in reader.index(part):
            if users is None or entry.user in users:
                read = (orjson.loads(line) for line in reader.block(part, entry).splitlines())
                rows = [row for row in read if begin <= row["interval_start"] < end]
                verify_totals.add(totals, entry.user, rows, columns)
                counts[entry.user] += len(rows)
    return totals, counts


def _parts(kept: Snapshot, chunk: Chunk) -> Iterable[Part]:
    return (
        part
        for part in kept.wanted_parts(chunk.connection)
        if part.month == chunk.month and part.interval.overlaps(chunk.interval)
    )


def _told(kept: Snapshot, connection: Connection, found: _Compared, *, now: int) -> Finding:
    whole = kept.job.interval
    if not found.differences:
        handled = sum(sums["handled_count"] for sums in found.totals.values())
        users = counted(len(found.totals), "user")
        return Finding(
            "OK",
            f"{connection.name}: the server's totals are those of the parts: {users}, {handled:,} handled, {whole}",
        )
    names = Names(kept.job.state_folder / "names.json").of(connection.identity)
    told = first_lines(
        [
            f"{_name(each.user, names)}, {interval}: {_columns(each)}"
            for interval, each in found.differences
        ]
    )
    spans = sorted({interval for interval, _ in found.differences})
    told += first_lines(
        [f"not settled: {line}" for line in _unsettled(kept, connection, found, now=now)]
    )
    refresh = Interval(spans[0].start, spans[-1].end)
    number = len({each.user for _, each in found.differences})
    step = f"fetch it again: run --refresh {refresh}"
    return Finding(
        "FAIL",
        f"{connection.name}: the server's totals of {counted(number, 'user')} differ from the parts'",
        (*told, step),
    )


def _unsettled(
    kept: Snapshot, connection: Connection, found: _Compared, *, now: int
) -> Iterator[str]:
    """Name the parts whose numbers may rightly have changed since: fetched before the vendor had worked them over."""
    rest = max(_AT_REST, kept.job.output.settle)
    spans: dict[Interval, set[str | None]] = {}
    for interval, each in found.differences:
        spans.setdefault(interval, set()).add(each.user)
    for part in kept.wanted_parts(connection.name):
        touched = any(
            part.interval.overlaps(interval)
            and (part.users is None or users.intersection(part.users))
            for interval, users in spans.items()
        )
        if touched and part.fetched_at < part.interval.end + rest:
            young = "" if now >= part.interval.end + rest else ", and may change again"
            yield f"{part.interval}, fetched {iso(part.fetched_at)}{young}"


def _columns(difference: Difference) -> str:
    return "; ".join(
        f"{name} {_shown(name, here)} here, {_shown(name, there)} at the server"
        for name, here, there in difference.columns
    )


def _shown(name: str, value: int) -> str:
    return f"{value // 1000}.{value % 1000:03}" if name.endswith("_sec") else str(value)


def _name(user: str | None, names: dict[str, str | None]) -> str:
    if user is None:
        return "no user"
    name = names.get(user)
    return f"{name} ({user})" if name else user


def _handle_time(kept: Snapshot, connection: Connection, totals: Totals) -> Finding:
    names = Names(kept.job.state_folder / "names.json").of(connection.identity)
    if uneven := verify_totals.uneven_handle_times(totals):
        told = [
            f"{_name(user, names)}: {_shown('_sec', handle)} s of handle time, {_shown('_sec', pieces)} s of pieces"
            for user, handle, pieces in uneven
        ]
        text = f"handle time of {counted(len(uneven), 'user')} is not talk, hold, wrap-up, contacting and dialing together"
        return Finding(
            "WARN",
            f"{connection.name}: {text}; it stays as the server gave it",
            tuple(first_lines(told)),
        )
    text = "handle time is talk, hold, wrap-up, contacting and dialing together, but for what the ends of the range cut"
    return Finding("OK", f"{connection.name}: {text}")
