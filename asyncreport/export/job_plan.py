"""What a run of a job would do: chunks, requests, records, time, and which parts it would reuse.

Changes nothing. Instants are texts in UTC, as in `summary.json`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Struct

from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.contracts import count_requests
from asyncreport.core.answer_sizes import EMPTY_ANSWERS, AnswerSizes, Totals
from asyncreport.core.columns import column
from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Chunk, Connection, Job, Part
from asyncreport.core.plan import Plan
from asyncreport.core.settled import describe_unsettled
from asyncreport.core.timeline import Interval
from asyncreport.engine.activity import Activity, Watch, unwatched
from asyncreport.engine.next_chunk import NextChunk
from asyncreport.export.lanes import Connections
from asyncreport.export.plan_teams import PlannedTeam, PlannedTeams, find_teams
from asyncreport.export.plans import make_plans
from asyncreport.export.preflight import OutputOwners, query_warnings
from asyncreport.export.query_change import query_changes
from asyncreport.export.storage import Files, reading
from asyncreport.export.summary_outputs import key
from asyncreport.export.teams import UnknownTeam, worst
from asyncreport.export.zone_rules import zone_warnings
from asyncreport.net.throttle import pace
from asyncreport.store.job_parts import JobParts

#: ids; None: everyone
Users = tuple[str, ...] | None


class PlannedChunk(Struct, frozen=True, kw_only=True):
    """A chunk that a run would fetch."""

    interval: Annotated[str, key("start/end, UTC")]
    users: Annotated[Users, key("user ids; null: everyone")]
    again: Annotated[bool, key("true: it replaces a stale part")]

    @classmethod
    def of(cls, chunk: Chunk, stale: frozenset[int]) -> PlannedChunk:
        """Describe a chunk; `stale` are numbers of parts."""
        return cls(
            interval=str(chunk.interval),
            users=chunk.users,
            again=not stale.isdisjoint(chunk.replaces),
        )


class StalePart(Struct, frozen=True, kw_only=True):
    """A part that a run would replace."""

    number: Annotated[int, key("names the file of the part")]
    interval: Annotated[str, key("start/end, UTC")]
    users: Annotated[Users, key("user ids; null: everyone")]
    reason: Annotated[str, key("why it is fetched again")]


class ReusedInterval(Struct, frozen=True, kw_only=True):
    """An interval of some users that existing parts cover."""

    interval: Annotated[str, key("start/end, UTC")]
    users: Annotated[Users, key("user ids; null: everyone")]


class Cost(Struct, frozen=True, kw_only=True):
    """What a run would cost: requests, time and records, without retries."""

    fewest_requests: Annotated[int, key("if the answers are as full as those of earlier runs")]
    most_requests: Annotated[int, key("if every bucket of every user has a record")]
    lower_bound: Annotated[
        bool,
        key("true: a run sends more requests; the number of polls or pages is not known"),
    ]
    shortest_sec: Annotated[float, key("seconds for the fewest requests, at the rate limit")]
    longest_sec: Annotated[float, key("seconds for the most requests, at the rate limit")]
    requests_per_minute: Annotated[int, key("rate limit of each OAuth client")]
    clients: Annotated[int, key("number of OAuth clients")]
    most_records: Annotated[int, key("users x buckets; for each combination of `split_by`")]
    split_by: Annotated[tuple[str, ...], key("columns that split the records of a bucket")]
    records_per_bucket: Annotated[
        float | None,
        key("records per user and bucket in earlier answers; null: nothing was fetched yet"),
    ]


class ConnectionPlan(Struct, frozen=True, kw_only=True):
    """What a run would do for one connection."""

    name: Annotated[str, key("name of the connection")]
    known: Annotated[bool, key("false: not planned, because no team could be looked up")]
    parts_reused: Annotated[int, key("number of parts that a run would reuse")] = 0
    reused: Annotated[tuple[ReusedInterval, ...], key("what these parts cover, by time")] = ()
    stale: Annotated[tuple[StalePart, ...], key("parts to fetch again")] = ()
    chunks: Annotated[tuple[PlannedChunk, ...], key("chunks to fetch, by time")] = ()
    cost: Annotated[Cost | None, key("null: there is nothing to fetch")] = None


class JobPlan(Struct, frozen=True, kw_only=True):
    """What a run of a job would do."""

    job: Annotated[str, key("name of the job")]
    range: Annotated[str, key("start/end, UTC")]
    notes: Annotated[tuple[str, ...], key("how the job file was read")]
    warnings: Annotated[tuple[str, ...], key("warnings that a run would print, without teams")]
    unknown_teams: Annotated[tuple[UnknownTeam, ...], key("teams that could not be looked up")]
    teams: Annotated[tuple[PlannedTeam, ...], key("teams of the plan, in the order of the job")]
    connections: Annotated[tuple[ConnectionPlan, ...], key("in the order of the job")]
    unsettled: Annotated[
        tuple[str, ...],
        key("sentences: from when on numbers may still change, or lie in the future"),
    ]

    @property
    def exit_code(self) -> int:
        """Give the exit code that a run would have because of its teams; 0: all are known."""
        return worst(self.unknown_teams)


async def plan_job(job: Job, *, now: int, watch: Watch = unwatched) -> JobPlan:
    """Plan a run of a job, and change nothing; `now` is an instant.

    Requests are sent only for the members of teams that are looked up, for listed users that no run
    has looked up and, if all users are wanted, for their number. Raise AuthError if the directory
    refuses every client, StoreError if the state folder cannot be read.
    """
    activity = Activity(job.name, "starting")
    async with watch(activity), reading(job) as files:
        return await _plan(files, activity, now=now)


async def _plan(files: Files, activity: Activity, *, now: int) -> JobPlan:
    """Plan a run of a job whose files are open."""
    job = files.job
    parts = JobParts.read(job)
    freshness = Freshness(settle=job.output.settle, now=now)
    warnings = _warnings(job, parts)
    activity.phase = "looking up teams"
    async with Connections(job.connections, job.limits, warnings.append) as connections:
        activity.requests = connections.counts_by_name
        teams = await find_teams(files, parts, connections, now=now)
        activity.phase = "planning"
        plans = await make_plans(teams.job, parts.current, connections, freshness)
        described = [await teams.describe(team) for team in teams.job.teams]
    description = _Description(job, parts, freshness, teams)
    return description.of(plans, described, warnings)


def _warnings(job: Job, parts: JobParts) -> list[str]:
    """List the warnings that need no request."""
    return [
        *query_warnings(job),
        *query_changes(job),
        *OutputOwners(job).warnings(),
        *zone_warnings(job, parts.outdated),
    ]


@dataclass(frozen=True, slots=True)
class _Description:
    """What the descriptions of all connections share."""

    job: Job
    parts: JobParts
    freshness: Freshness
    teams: PlannedTeams

    def of(
        self,
        plans: Mapping[str, Plan],
        teams: Sequence[PlannedTeam],
        warnings: Sequence[str],
    ) -> JobPlan:
        """Describe the plans, by the connection's name."""
        job = self.job
        return JobPlan(
            job=job.name,
            range=str(job.interval),
            notes=job.notes,
            warnings=tuple(warnings),
            unknown_teams=tuple(self.teams.unknown),
            teams=tuple(teams),
            connections=tuple(self._connection(each, plans[each.name]) for each in job.connections),
            unsettled=tuple(describe_unsettled(job, self.freshness.now)),
        )

    def _connection(self, connection: Connection, plan: Plan) -> ConnectionPlan:
        """Describe the plan of a connection."""
        if not self._is_known(connection):
            return ConnectionPlan(name=connection.name, known=False)
        # A chunk of everyone also replaces parts of listed users, which are not stale.
        stale = frozenset(part.number for part in plan.stale)
        return ConnectionPlan(
            name=connection.name,
            known=True,
            parts_reused=len(plan.reused),
            reused=tuple(_join_intervals(plan.reused)),
            stale=tuple(map(self._stale_part, plan.stale)),
            chunks=tuple(PlannedChunk.of(chunk, stale) for chunk in plan.chunks),
            cost=self._cost(connection, plan),
        )

    def _is_known(self, connection: Connection) -> bool:
        """Tell whether the users of a team of the connection are known, or it has no team."""
        name = connection.name
        left = [team for team in self.teams.job.teams if team.connection == name]
        return bool(left) or all(team.connection != name for team in self.job.teams)

    def _stale_part(self, part: Part) -> StalePart:
        """Say which part is replaced, and why."""
        return StalePart(
            number=part.number,
            interval=str(part.interval),
            users=part.users,
            reason=self.freshness.stale_reason(part) or "",
        )

    def _cost(self, connection: Connection, plan: Plan) -> Cost | None:
        """Estimate what the chunks of a plan cost."""
        if not plan.chunks:
            return None
        totals = self.parts.answer_totals(connection)
        return _Estimate(self.job, connection, plan, self.freshness, totals).cost()


@dataclass(frozen=True, slots=True)
class _Estimate:
    """The costs of a plan with chunks."""

    job: Job
    connection: Connection
    plan: Plan
    freshness: Freshness
    #: what answers to this query held
    totals: Totals

    def cost(self) -> Cost:
        """Estimate the requests, the time that they take, and the records."""
        most = self._requests(self.plan.chunks)
        fewest = self._requests(self._joined())
        query = self.job.query
        return Cost(
            fewest_requests=fewest,
            most_requests=most,
            # It is not known how often a query job is polled, or how many pages a response has.
            lower_bound=query.contract != "aggregates",
            shortest_sec=self._seconds(fewest),
            longest_sec=self._seconds(most),
            requests_per_minute=self.connection.requests_per_minute,
            clients=self.connection.lanes,
            most_records=sum(map(self._cells, self.plan.chunks)),
            split_by=tuple(map(column, query.split_by)),
            records_per_bucket=self._records_per_bucket(),
        )

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

    def _records_per_bucket(self) -> float | None:
        """Give how many records a user had in a bucket so far."""
        density = self.totals.density
        if density is None:
            return None
        return density.records

    def _seconds(self, requests: int) -> float:
        """Give the seconds that requests take at the rate limit of all clients."""
        burst, rate = pace(self.connection.requests_per_minute)
        # The first burst takes no time.
        return max(0, requests - burst) / rate / self.connection.lanes

    def _cells(self, chunk: Chunk) -> int:
        """Multiply the users of a chunk by its buckets."""
        buckets = self.job.query.grid.count(chunk.interval)
        return self._users(chunk) * buckets

    def _users(self, chunk: Chunk) -> int:
        """Count the users of a chunk."""
        if chunk.users is None:
            return self.plan.demand.population
        return len(chunk.users)


def _join_intervals(parts: Sequence[Part]) -> Iterator[ReusedInterval]:
    """Join the intervals of the same users that follow each other; sort by time.

    Parts end with their month; what people want to see is the whole interval.
    """
    joined: list[tuple[Interval, Users]] = []
    for users, intervals in _intervals_by_users(parts).items():
        joined += [(interval, users) for interval in intervals]
    joined.sort(key=_time_then_users)
    for interval, users in joined:
        yield ReusedInterval(interval=str(interval), users=users)


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
