"""What a run would do, in lines: chunks, requests, records, time, and which parts stand. Owns nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from asyncreport.api.contracts import count_requests
from asyncreport.core.columns import column
from asyncreport.core.job import Connection, Job, Part
from asyncreport.core.plan import Freshness, Plan
from asyncreport.core.text import counted, duration
from asyncreport.core.timeline import Interval
from asyncreport.export.lanes import Connections
from asyncreport.export.plans import make_plans
from asyncreport.export.preflight import other_clients, query_warnings
from asyncreport.export.teams import look_up_teams
from asyncreport.net.throttle import pace
from asyncreport.store.manifest import Manifest

#: things of one kind listed, at most
SHOWN = 20


async def forecast(job: Job, *, now: int) -> list[str]:
    """Plan a job without touching its state; `now` is an instant.

    The server is asked for the members of teams that are looked up and, where everyone is missing, how many that is; for nothing else.
    """
    manifest = Manifest.read(job.state_folder)
    notes = query_warnings(job) + [
        f"warning: {doubt}" for doubt in other_clients(job, manifest.current_parts).values()
    ]
    freshness = Freshness(settle=job.output.settle, now=now)
    async with Connections(job, notes.append) as connections:
        known, unknown = await look_up_teams(job, connections)
        plans = await make_plans(
            known, manifest.current_parts, connections, freshness, say=notes.append
        )
    notes += [f"warning: {team}" for team in unknown]
    return notes + [
        line
        for connection in job.connections
        for line in _lines(job, connection, plans[connection.name], freshness)
    ]


def _lines(job: Job, connection: Connection, plan: Plan, freshness: Freshness) -> Iterator[str]:
    asked = sum(count_requests(job.query, chunk, plan.demand.population) for chunk in plan.chunks)
    yield (
        f"{connection.name}: {counted(len(plan.reused), 'part')} standing, {len(plan.stale):,} stale, "
        f"{counted(len(plan.chunks), 'chunk')} to fetch"
    )
    yield from _first(
        [f"stands: {interval}, {_who(users)}" for interval, users in _joined(plan.reused)],
        "stretches that stand",
    )
    if not plan.chunks:
        return
    limit, lanes = connection.requests_per_minute, connection.lanes
    shared = f" with each of {lanes} clients" if lanes > 1 else ""
    # Nobody knows how often a query job is polled, nor how many pages its answer has.
    least = "" if job.query.contract == "aggregates" else "at least "
    yield f"  {least}{counted(asked, 'request')}, {duration(_seconds(asked, limit) / lanes)} at {limit} a minute{shared}"
    yield f"  {_most(job, plan)}"
    stale = [
        f"stale: part {part.number}, {part.interval}, {_who(part.users)}, {freshness.stale_reason(part)}"
        for part in plan.stale
    ]
    yield from _first(stale, "stale parts")
    again = {part.number for part in plan.stale}
    chunks = [
        (chunk, "fetch" if again.isdisjoint(chunk.replaces) else "fetch again")
        for chunk in plan.chunks
    ]
    yield from _first(
        [f"{what}: {chunk.interval}, {_who(chunk.users)}" for chunk, what in chunks], "chunks"
    )


def _first(lines: Sequence[str], name: str) -> Iterator[str]:
    """Keep the first of many lines, and say how many more there are."""
    for line in lines[:SHOWN]:
        yield f"  {line}"
    if len(lines) > SHOWN:
        yield f"  and {len(lines) - SHOWN:,} more {name}"


def _joined(parts: Sequence[Part]) -> list[tuple[Interval, tuple[str, ...] | None]]:
    """Join the intervals of the same users that follow one another, whatever the month; in order of time."""
    by_users: defaultdict[tuple[str, ...] | None, list[Interval]] = defaultdict(list)
    for part in sorted(parts, key=lambda part: part.interval):
        of = by_users[part.users]
        if of and of[-1].end == part.interval.start:
            of[-1] = Interval(of[-1].start, part.interval.end)
        else:
            of.append(part.interval)
    found = [(interval, users) for users, intervals in by_users.items() for interval in intervals]
    return sorted(found, key=lambda each: (each[0], each[1] or ()))


def _seconds(requests: int, limit: int) -> float:
    """Say how long requests take at the pace that keeps a lane under its limit; the first burst takes no time."""
    burst, rate = pace(limit)
    return max(0, requests - burst) / rate


def _most(job: Job, plan: Plan) -> str:
    cells = sum(
        (plan.demand.population if chunk.users is None else len(chunk.users))
        * (len(job.query.grid.edges(chunk.interval)) - 1)
        for chunk in plan.chunks
    )
    each = (
        f" for each combination of {', '.join(map(column, job.query.split_by))}"
        if job.query.split_by
        else ""
    )
    return (
        f"at most {cells:,} records to fetch{each}: users x buckets, and fewer where nobody worked"
    )


def _who(users: tuple[str, ...] | None) -> str:
    if users is None:
        return "everyone"
    return counted(len(users), "user") if len(users) > 1 else f"user {users[0]}"
