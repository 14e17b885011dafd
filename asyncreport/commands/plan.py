"""Show what a run would do: chunks, requests, records, time, and which parts it would reuse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from asyncreport.api.contracts import count_requests
from asyncreport.core.columns import column
from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Chunk, Connection, Job, Part
from asyncreport.core.plan import Plan
from asyncreport.core.text import counted, describe_users, duration, first_lines
from asyncreport.core.timeline import Interval
from asyncreport.export.lanes import Connections
from asyncreport.export.plans import make_plans
from asyncreport.export.preflight import other_clients, query_warnings
from asyncreport.export.teams import look_up_teams
from asyncreport.net.throttle import pace
from asyncreport.store.manifest import Manifest
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stdout import show_lines

Users = tuple[str, ...] | None


def execute(job: Job, *, now: int) -> None:
    """Print the plan of a job."""
    show_lines(run_until_signal(plan_lines(job, now=now)))


async def plan_lines(job: Job, *, now: int) -> list[str]:
    """Describe what a run of a job would do, and change nothing; `now` is an instant.

    Requests are sent only for the members of teams that are looked up and, if all users are wanted,
    for their number.
    """
    manifest = Manifest.read(job.state_folder)
    freshness = Freshness(settle=job.output.settle, now=now)
    lines = _warnings(job, manifest)
    async with Connections(job, lines.append) as connections:
        known, unknown = await look_up_teams(job, connections)
        plans = await make_plans(
            known, manifest.current_parts, connections, freshness, say=lines.append
        )
    lines += [f"warning: {team}" for team in unknown]
    for connection in job.connections:
        lines += _connection_lines(job, connection, plans[connection.name], freshness)
    return lines


def _warnings(job: Job, manifest: Manifest) -> list[str]:
    """Give the warnings that need no request."""
    doubts = other_clients(job, manifest.current_parts).values()
    return query_warnings(job) + [f"warning: {doubt}" for doubt in doubts]


def _connection_lines(
    job: Job, connection: Connection, plan: Plan, freshness: Freshness
) -> Iterator[str]:
    """Describe the plan of one connection."""
    reused, chunks = counted(len(plan.reused), "part"), counted(len(plan.chunks), "chunk")
    yield f"{connection.name}: {reused} reused, {len(plan.stale):,} stale, {chunks} to fetch"
    yield from _indented(_reused(plan), "reused interval")
    if plan.chunks:
        yield f"  {_cost(job, connection, plan)}"
        yield f"  {_most_records(job, plan)}"
        yield from _indented(_stale(plan, freshness), "stale part")
        yield from _indented(_to_fetch(plan), "chunk")


def _indented(lines: Sequence[str], noun: str) -> Iterator[str]:
    """Indent the first lines, and say how many more exist."""
    for line in first_lines(lines, noun):
        yield f"  {line}"


def _reused(plan: Plan) -> list[str]:
    """List the intervals of parts that a run would reuse."""
    return [
        f"reuse: {interval}, {describe_users(users)}"
        for interval, users in _join_intervals(plan.reused)
    ]


def _stale(plan: Plan, freshness: Freshness) -> list[str]:
    """List the parts that a run would replace, and why."""
    return [
        f"stale: part {part.number}, {part.interval}, {describe_users(part.users)}, "
        f"{freshness.stale_reason(part)}"
        for part in plan.stale
    ]


def _to_fetch(plan: Plan) -> list[str]:
    """List the chunks to fetch."""
    stale = {part.number for part in plan.stale}
    lines = []
    for chunk in plan.chunks:
        action = "fetch" if stale.isdisjoint(chunk.replaces) else "fetch again"
        lines.append(f"{action}: {chunk.interval}, {describe_users(chunk.users)}")
    return lines


def _join_intervals(parts: Sequence[Part]) -> list[tuple[Interval, Users]]:
    """Join the intervals of the same users that follow each other; sort by time.

    Parts end with their month; what people want to see is the whole interval.
    """
    by_users: defaultdict[Users, list[Interval]] = defaultdict(list)
    for part in sorted(parts, key=lambda part: part.interval):
        _append(by_users[part.users], part.interval)
    joined: list[tuple[Interval, Users]] = []
    for users, intervals in by_users.items():
        joined += [(interval, users) for interval in intervals]
    return sorted(joined, key=lambda each: (each[0], each[1] or ()))


def _append(intervals: list[Interval], interval: Interval) -> None:
    """Append an interval, or extend the last one to its end."""
    if intervals and intervals[-1].end == interval.start:
        intervals[-1] = Interval(intervals[-1].start, interval.end)
    else:
        intervals.append(interval)


def _cost(job: Job, connection: Connection, plan: Plan) -> str:
    """Estimate the requests, and the time that they take."""
    total = sum(count_requests(job.query, chunk, plan.demand.population) for chunk in plan.chunks)
    limit, lanes = connection.requests_per_minute, connection.lanes
    seconds = _seconds(total, limit) / lanes
    text = f"{counted(total, 'request')}, {duration(seconds)} at {limit:,} requests per minute"
    if lanes > 1:
        text += f" with each of {lanes} clients"
    if job.query.contract != "aggregates":
        # It is not known how often a query job is polled, or how many pages a response has.
        text = f"at least {text}"
    return text


def _seconds(requests: int, limit: int) -> float:
    """Give the seconds that a lane takes for requests; the first burst takes no time."""
    burst, rate = pace(limit)
    return max(0, requests - burst) / rate


def _most_records(job: Job, plan: Plan) -> str:
    """Give the largest possible number of records."""
    most = sum(_cells(job, chunk, plan.demand.population) for chunk in plan.chunks)
    text = f"at most {most:,} records"
    if job.query.split_by:
        text += f" for each combination of {', '.join(map(column, job.query.split_by))}"
    return f"{text}: users x buckets; a bucket without activity has no record"


def _cells(job: Job, chunk: Chunk, population: int) -> int:
    """Multiply the users of a chunk by its buckets."""
    users = population if chunk.users is None else len(chunk.users)
    return users * (len(job.query.grid.edges(chunk.interval)) - 1)
