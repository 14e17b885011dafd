"""Show what a run would do: chunks, requests, records, time, and which parts it would reuse."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.contracts import count_requests
from asyncreport.commands.plan_teams import PlannedTeams, find_teams
from asyncreport.core.answer_sizes import EMPTY_ANSWERS, AnswerSizes, Totals
from asyncreport.core.columns import column
from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Chunk, Connection, Job, Part
from asyncreport.core.plan import Plan
from asyncreport.core.settled import describe_unsettled
from asyncreport.core.text import counted, describe_users, duration, first_lines
from asyncreport.core.timeline import Interval
from asyncreport.engine.next_chunk import NextChunk
from asyncreport.export.lanes import Connections
from asyncreport.export.plans import make_plans
from asyncreport.export.preflight import query_warnings
from asyncreport.export.query_change import query_changes
from asyncreport.export.teams import worst
from asyncreport.export.zone_rules import zone_warnings
from asyncreport.net.throttle import pace
from asyncreport.store.job_parts import JobParts
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stderr import lines_shown
from asyncreport.terminal.stdout import show_lines

#: ids; None: everyone
Users = tuple[str, ...] | None


def execute(job: Job, *, now: int) -> int:
    """Print the plan of a job; give the exit code that a run would have because of its teams."""
    lines, exit_code = run_until_signal(plan_lines(job, now=now, most=lines_shown()))
    show_lines(lines)
    return exit_code


async def plan_lines(job: Job, *, now: int, most: int) -> tuple[list[str], int]:
    """Describe what a run of a job would do, and change nothing; `now` is an instant.

    Give the lines, of long lists at most `most`, and the exit code because of teams that could not
    be looked up.

    Requests are sent only for the members of teams that are looked up, for listed users that no run
    has looked up and, if all users are wanted, for their number.
    """
    parts = JobParts.read(job)
    freshness = Freshness(settle=job.output.settle, now=now)
    lines = [*job.notes, *_warnings(job, parts)]
    plans, teams = await _plans(job, parts, freshness, lines)
    for connection in job.connections:
        if _is_known(job, connection, teams):
            totals = parts.answer_totals(connection)
            forecast = _Forecast(job, connection, plans[connection.name], freshness, most, totals)
            lines += forecast.lines()
        else:
            lines.append(f"{connection.name}: no plan, because no team could be looked up")
    return lines + describe_unsettled(job, now), worst(teams.unknown)


def _warnings(job: Job, parts: JobParts) -> list[str]:
    """Write the warnings that need no request."""
    warnings = query_warnings(job) + query_changes(job)
    warnings += zone_warnings(job, parts.outdated)
    return list(map(_warning, warnings))


def _is_known(job: Job, connection: Connection, teams: PlannedTeams) -> bool:
    """Tell whether users of a connection's teams are known, or there are no teams."""
    left = [team for team in teams.job.teams if team.connection == connection.name]
    return bool(left) or all(team.connection != connection.name for team in job.teams)


def _warning(fact: object) -> str:
    """Write a warning as a run writes it."""
    return f"warning: {fact}"


async def _plans(
    job: Job,
    parts: JobParts,
    freshness: Freshness,
    lines: list[str],
) -> tuple[dict[str, Plan], PlannedTeams]:
    """Make a plan for each connection; add warnings and the sizes of teams to the lines."""

    def warn(text: str) -> None:
        lines.append(_warning(text))

    async with Connections(job, warn) as connections:
        teams = await find_teams(job, parts, connections, now=freshness.now)
        plans = await make_plans(
            teams.job,
            parts.current,
            connections,
            freshness,
        )
        sizes = [await teams.describe(team) for team in teams.job.teams]
    lines += [*map(_warning, teams.unknown), *sizes]
    return plans, teams


@dataclass(frozen=True, slots=True)
class _Forecast:
    """What a run would do for one connection, and how its lines describe it."""

    job: Job
    connection: Connection
    plan: Plan
    freshness: Freshness
    #: lines of a long list that are shown
    most: int
    #: what answers to this query held
    totals: Totals

    def lines(self) -> Iterator[str]:
        """Describe the plan: what is reused, then the costs, then what is fetched."""
        yield self._counts()
        yield from self._indented(self._reused(), "reused interval")
        if self.plan.chunks:
            yield from self._work()

    def _counts(self) -> str:
        """Count parts and chunks."""
        reused = counted(len(self.plan.reused), "part")
        chunks = counted(len(self.plan.chunks), "chunk")
        stale = f"{len(self.plan.stale):,} stale"
        return f"{self.connection.name}: {reused} reused, {stale}, {chunks} to fetch"

    def _work(self) -> Iterator[str]:
        """Describe what a run would fetch."""
        yield f"  {self._cost()}"
        yield f"  {self._most_records()}"
        yield from self._indented(self._stale(), "stale part")
        yield from self._indented(self._to_fetch(), "chunk")

    def _reused(self) -> list[str]:
        """List the intervals of parts that a run would reuse."""
        return [
            f"reuse: {interval}, {describe_users(users)}"
            for interval, users in _join_intervals(self.plan.reused)
        ]

    def _stale(self) -> list[str]:
        """List the parts that a run would replace, and why."""
        return [
            f"stale: {_describe_part(part)}, {self.freshness.stale_reason(part)}"
            for part in self.plan.stale
        ]

    def _to_fetch(self) -> list[str]:
        """List the chunks to fetch."""
        # A chunk of everyone also replaces parts of listed users, which are not stale.
        stale = frozenset(part.number for part in self.plan.stale)
        return [_describe_chunk(chunk, stale) for chunk in self.plan.chunks]

    def _indented(self, lines: Sequence[str], noun: str) -> Iterator[str]:
        """Indent the first lines, and say how many more exist."""
        for line in first_lines(lines, noun, limit=self.most):
            yield f"  {line}"

    def _cost(self) -> str:
        """Estimate the requests, and the time that they take."""
        most = self._requests(self.plan.chunks)
        fewest = self._requests(self._joined())
        text = f"{_range(f'{fewest:,}', counted(most, 'request'))}, {self._time(fewest, most)}"
        if self.job.query.contract != "aggregates":
            # It is not known how often a query job is polled, or how many pages a response has.
            text = f"at least {text}"
        if fewest < most:
            text += f"; {self._basis()}"
        return text

    def _requests(self, chunks: Sequence[Chunk]) -> int:
        """Count the requests of chunks, without retries."""
        query, population = self.job.query, self.plan.demand.population
        return sum(count_requests(query, chunk, population) for chunk in chunks)

    def _joined(self) -> list[Chunk]:
        """List the chunks of a run if its answers hold as much as earlier ones did."""
        state = ConnectionState(sizes=self._sizes(), population=self.plan.demand.population)
        settled_before = self.freshness.now - self.freshness.settle
        next_chunk = NextChunk(self.plan.demand, self.job.query, state, settled_before)
        left = deque(self.plan.chunks)
        joined = []
        while left:
            joined.append(next_chunk.take(left))
        return joined

    def _sizes(self) -> AnswerSizes | None:
        """Say what answers hold; None if the job gives the length of chunks."""
        if self.job.chunk is not None:
            return None
        if not self.totals.cells:
            return AnswerSizes(EMPTY_ANSWERS)
        return AnswerSizes(self.totals)

    def _basis(self) -> str:
        """Say what the smaller number of requests rests on."""
        density = self.totals.density
        if density is None:
            return "the emptier the answers, the fewer requests; nothing was fetched yet"
        return (
            f"the smaller number if users have {density.records:.2g} records in a bucket, as so far"
        )

    def _time(self, fewest: int, most: int) -> str:
        """Say how long requests take at the rate limit of the clients."""
        limit = self.connection.requests_per_minute
        lanes = self.connection.lanes
        shortest = duration(_seconds(fewest, limit) / lanes)
        longest = duration(_seconds(most, limit) / lanes)
        text = f"{_range(shortest, longest)} at {limit:,} requests per minute"
        if lanes > 1:
            text += f" with each of {lanes} clients"
        return text

    def _most_records(self) -> str:
        """Give the largest possible number of records."""
        most = sum(map(self._cells, self.plan.chunks))
        return (
            f"at most {most:,} records{self._splits()}: "
            "users x buckets; a bucket without activity has no record"
        )

    def _splits(self) -> str:
        """Say by what the records of a bucket are split; empty if they are not."""
        split_by = self.job.query.split_by
        if not split_by:
            return ""
        return f" for each combination of {', '.join(map(column, split_by))}"

    def _cells(self, chunk: Chunk) -> int:
        """Multiply the users of a chunk by its buckets."""
        buckets = self.job.query.grid.count(chunk.interval)
        return self._users(chunk) * buckets

    def _users(self, chunk: Chunk) -> int:
        """Count the users of a chunk."""
        if chunk.users is None:
            return self.plan.demand.population
        return len(chunk.users)


def _range(least: str, most: str) -> str:
    """Write a range; only its end, if both are the same."""
    if most == least or most.startswith(f"{least} request"):
        return most
    return f"{least} to {most}"


def _describe_chunk(chunk: Chunk, stale: frozenset[int]) -> str:
    """Say what a chunk fetches; `stale` are numbers of parts."""
    action = "fetch again"
    if stale.isdisjoint(chunk.replaces):
        action = "fetch"
    return f"{action}: {chunk.interval}, {describe_users(chunk.users)}"


def _describe_part(part: Part) -> str:
    """Name a part, with its interval and users."""
    return f"part {part.number}, {part.interval}, {describe_users(part.users)}"


def _seconds(requests: int, limit: int) -> float:
    """Give the seconds that a lane takes for requests; the first burst takes no time."""
    burst, rate = pace(limit)
    return max(0, requests - burst) / rate


def _join_intervals(parts: Sequence[Part]) -> list[tuple[Interval, Users]]:
    """Join the intervals of the same users that follow each other; sort by time.

    Parts end with their month; what people want to see is the whole interval.
    """
    joined: list[tuple[Interval, Users]] = []
    for users, intervals in _intervals_by_users(parts).items():
        joined += [(interval, users) for interval in intervals]
    joined.sort(key=_time_then_users)
    return joined


def _intervals_by_users(parts: Sequence[Part]) -> dict[Users, list[Interval]]:
    """Collect the joined intervals of each set of users, in order of time."""
    intervals: defaultdict[Users, list[Interval]] = defaultdict(list)
    for part in sorted(parts, key=lambda part: part.interval):
        _append(intervals[part.users], part.interval)
    return intervals


def _append(intervals: list[Interval], interval: Interval) -> None:
    """Append an interval, or extend the last one to its end."""
    if intervals and intervals[-1].end == interval.start:
        last = intervals.pop()
        interval = Interval(last.start, interval.end)
    intervals.append(interval)


def _time_then_users(entry: tuple[Interval, Users]) -> tuple[Interval, tuple[str, ...]]:
    """Give the order of lines: by time, everyone before listed users."""
    interval, users = entry
    return interval, users or ()
