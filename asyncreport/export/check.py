"""Check a job's connections before a run: credentials, hosts, limits, permissions, teams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import msgspec

from asyncreport.api import directory, organization, user_aggregates
from asyncreport.api.aggregates import ConnectionState
from asyncreport.core.apart import named
from asyncreport.core.errors import AsyncReportError, AuthError, RejectedError
from asyncreport.core.finding import Collector, Finding, Findings, Report, unreported
from asyncreport.core.job import Chunk, Connection, Job, Query
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import HOUR, Granularity, Grid, Interval
from asyncreport.engine.activity import Activity, Phase, Watch, unwatched
from asyncreport.engine.fetch import drive, fetch
from asyncreport.export.check_disk import check_disk
from asyncreport.export.check_users import check_users, failure
from asyncreport.export.divisions import hidden_divisions_message
from asyncreport.export.lanes import Connections
from asyncreport.export.preflight import too_many_queues
from asyncreport.net import Lane

#: the id of a user who does not exist, so that the responses are small
_NO_USER = ("00000000-0000-4000-8000-000000000000",)


async def check_job(
    job: Job,
    *,
    now: int,
    report: Report = unreported,
    watch: Watch = unwatched,
) -> Findings:
    """Check the clients of each connection, its teams and listed users, then the folders.

    The directory is not asked if no client of the connection works. `now` is an instant. Each
    finding is reported when it is known.
    """
    collector = Collector(report)
    async with _connected(job, "checking", watch) as connections:
        await _check(job, connections, collector.add, now=now)
    return collector.findings(job.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFindings:
    """What was found about the clients of all connections."""

    #: each connection has a client that works; one that lacks a permission does too
    works: bool
    #: the least that a server allows one of them, requests per minute; None: no server says it
    allowed: int | None
    findings: Findings


async def check_clients(
    job: Job,
    *,
    now: int,
    report: Report = unreported,
    watch: Watch = unwatched,
) -> ClientFindings:
    """Check the clients of each connection, and nothing else."""
    collector = Collector(report)
    async with _connected(job, "checking", watch) as connections:
        checked = [
            await _check_clients(job, connection, connections, collector.add, now=now)
            for connection in job.connections
        ]
    return ClientFindings(
        works=all(clients.works for clients in checked),
        allowed=min(filter(None, (clients.allowed for clients in checked)), default=None),
        findings=collector.findings(job.name),
    )


async def check_teams(
    job: Job,
    *,
    report: Report = unreported,
    watch: Watch = unwatched,
) -> Findings:
    """Look up the teams and the listed users, and check nothing else."""
    collector = Collector(report)
    async with _connected(job, "looking up teams", watch) as connections:
        for connection in job.connections:
            await check_users(job, connection.name, connections, collector.add)
    return collector.findings(job.name)


@asynccontextmanager
async def _connected(job: Job, phase: Phase, watch: Watch) -> AsyncIterator[Connections]:
    """Open the connections of a job; `watch` shows the phase and the requests."""
    activity = Activity(job.name, phase)
    async with watch(activity), Connections(job.connections, job.limits) as connections:
        activity.requests = connections.counts_by_name
        yield connections


async def _check(job: Job, connections: Connections, report: Report, *, now: int) -> None:
    """Make all tests."""
    too_many = too_many_queues(job)
    if too_many:
        report(Finding("WARN", too_many))
    for connection in job.connections:
        checked = await _check_clients(job, connection, connections, report, now=now)
        if checked.works:
            await check_users(job, connection.name, connections, report)
    for finding in check_disk(job):
        report(finding)


async def _check_clients(
    job: Job,
    connection: Connection,
    connections: Connections,
    report: Report,
    *,
    now: int,
) -> _Checked:
    """Check every OAuth client of a connection."""
    lanes = await connections.lanes(connection.name)
    clients = await connections.clients(connection.name)
    checked = []
    for lane, client in zip(lanes, clients, strict=True):
        check = _ClientCheck(client, job, connection, lane, now, report)
        checked.append(await check.run())
    return _Checked(
        works=any(each.works for each in checked),
        allowed=min(filter(None, (each.allowed for each in checked)), default=None),
    )


class _Checked(NamedTuple):
    """What was found about a client, or about all clients of a connection."""

    #: one of them works
    works: bool
    #: the least that the server allows one of them, requests per minute; None: it does not say
    allowed: int | None = None


@dataclass(frozen=True, slots=True)
class _ClientCheck:
    """The tests of what one client may do."""

    #: the id of the client
    client: str
    job: Job
    connection: Connection
    lane: Lane
    #: an instant
    now: int
    report: Report

    async def run(self) -> _Checked:
        """Make all tests; the client does not work without a token: no test can pass."""
        route = _route(self.connection)
        try:
            allowed = await self._allowed_requests()
        except AsyncReportError as error:
            self.report(self._failure(f"credentials and hosts, connecting {route}", error))
            return _Checked(works=False)
        self.report(self._ok(f"reached {self.connection.identity} {route}, and logged in"))
        self.report(self._rate_limit(allowed))
        refused = await self._try_requests()
        divisions = await self._divisions()
        # Without the permission itself no division is visible, and that finding says it.
        if not (refused and divisions.level == "WARN"):
            self.report(divisions)
        return _Checked(works=True, allowed=allowed)

    async def _try_requests(self) -> bool:
        """Try each kind of request that a run sends; tell whether the records were refused."""
        trial = _Trial.of(self.job, self.lane, now=self.now)
        refused = await self._try_records(trial)
        for text, outcome in self._other_trials(trial):
            self.report(await self._outcome(text, outcome))
        return refused

    async def _try_records(self, trial: _Trial) -> bool:
        """Try the query of the job; if it is rejected, name the metric that the server rejects.

        Tell whether the client was refused.
        """
        try:
            await trial.records()
        except RejectedError as error:
            self.report(self._failure("records cannot be fetched", error))
            for metric, refusal in await trial.refused_metrics():
                self.report(self._failure(f"metric {metric}, alone", refusal))
        except AsyncReportError as error:
            self.report(self._failure("records cannot be fetched", error))
            return isinstance(error, AuthError)
        else:
            self.report(self._ok("records can be fetched"))
        return False

    def _named(self, text: str) -> str:
        """Name the connection and the client, each if there are several."""
        if self.connection.lanes > 1:
            text = f"client {self.client}: {text}"
        return named(self.job, self.connection.name, text)

    def _ok(self, text: str) -> Finding:
        """Report a test that passed."""
        return Finding("OK", self._named(text))

    def _warning(self, text: str) -> Finding:
        """Report what a run can work with, but a person should know."""
        return Finding("WARN", self._named(text))

    def _failure(self, text: str, error: AsyncReportError) -> Finding:
        """Report an error of a test."""
        return failure(self._named(text), error)

    async def _allowed_requests(self) -> int | None:
        """Ask for the rate limit, per minute; None if the server reports none.

        Needs a token, the hosts, the proxy and the certificates, but no permission. A gateway may
        refuse this request and serve all others: the finding says so, and the tests go on.
        """
        request = organization.limits_request()
        try:
            listing: organization.PlatformLimits = await self.lane.ask(request)
        except RejectedError as error:
            self.report(self._warning(f"the rate limit is not known: {error}"))
            return None
        return listing.value(organization.TOKEN_RATE_LIMIT)

    def _rate_limit(self, allowed: int | None) -> Finding:
        """Compare the server's rate limit with the job's, in requests per minute."""
        configured = self.connection.requests_per_minute
        if not allowed:
            return self._no_rate_limit()
        fact = f"the server allows {allowed:,} requests per minute"
        if allowed < configured:
            return self._warning(
                f"{fact}, but the job sends up to {configured:,}; "
                f"set requests_per_minute: {allowed}"
            )
        return self._ok(f"{fact}; the job sends at most {configured:,}")

    def _no_rate_limit(self) -> Finding:
        """Report which limit applies if the server reports none."""
        configured = self.connection.requests_per_minute
        return self._ok(
            "the server reports no rate limit; "
            f"the job sends at most {configured:,} requests per minute"
        )

    def _other_trials(self, trial: _Trial) -> Iterator[tuple[str, Awaitable[object]]]:
        """Send the other requests that a run of the job sends, each with a small response."""
        if self.job.query.occupancy:
            yield "routing statuses, for occupancy,", trial.statuses()
        yield "names of users", self.lane.ask(directory.user_count_request())

    async def _outcome(self, what: str, trial: Awaitable[object]) -> Finding:
        """Await a trial and report whether it failed."""
        try:
            await trial
        except AsyncReportError as error:
            return self._failure(f"{what} cannot be fetched", error)
        return self._ok(f"{what} can be fetched")

    async def _divisions(self) -> Finding:
        """Compare all divisions with those that the client sees.

        The API leaves out the interactions of other divisions, and does not report that.
        """
        try:
            existing, visible = await drive(organization.visible_divisions(), self.lane.ask)
        except AuthError:
            # The API answers for the current user, and not every organisation counts a client as
            # one.
            return self._unknown_divisions()
        except AsyncReportError as error:
            return self._failure("divisions that the client sees", error)
        if visible is None:
            return self._unknown_divisions()
        return self._compare_divisions(existing, visible)

    def _unknown_divisions(self) -> Finding:
        """Warn that divisions may be missing, and nothing can say which."""
        return self._warning(
            "the server does not report which divisions the client sees; "
            "grant its roles in all divisions, or results may be incomplete"
        )

    def _compare_divisions(self, existing: Collection[str], visible: Collection[str]) -> Finding:
        """Warn about divisions whose interactions are missing from the results."""
        hidden = sorted(set(existing) - set(visible))
        if not hidden:
            return self._ok(f"the client sees all divisions ({len(existing)})")
        return self._warning(hidden_divisions_message(hidden))


@dataclass(frozen=True, slots=True)
class _Trial:
    """Small requests for one hour that is over, and for a user who does not exist."""

    query: Query
    hour: Interval
    lane: Lane
    state: ConnectionState

    @classmethod
    def of(cls, job: Job, lane: Lane, *, now: int) -> Self:
        """Make the trial for a job; `now` is an instant."""
        hour = _recent_hour(now)
        query = msgspec.structs.replace(
            job.query,
            grid=Grid(Granularity.NONE, job.query.grid.zone, hour),
            occupancy=False,
        )
        state = ConnectionState(query_job_timeout=job.limits.give_up_after)
        return cls(query, hour, lane, state)

    async def records(self) -> None:
        """Fetch the records of the hour."""
        chunk = Chunk(
            connection="",
            month="",
            interval=self.hour,
            users=_NO_USER,
        )
        await fetch(chunk, self.query, self.lane.ask, self.state)

    async def refused_metrics(self) -> list[tuple[str, AsyncReportError]]:
        """Fetch the hour with one extra metric at a time; list those that the server refuses.

        The server may refuse a query and not say which of its metrics the organisation lacks.
        """
        metrics = self.query.metrics
        if not metrics or await self._refusal(()):
            # Not because of a metric.
            return []
        refusals = [(metric, await self._refusal((metric,))) for metric in metrics]
        return [(metric, error) for metric, error in refusals if error]

    async def _refusal(self, metrics: tuple[str, ...]) -> AsyncReportError | None:
        """Fetch the hour with these extra metrics; give the error, if there is one."""
        query = msgspec.structs.replace(self.query, metrics=metrics)
        try:
            await replace(self, query=query).records()
        except AsyncReportError as error:
            return error
        return None

    async def statuses(self) -> None:
        """Fetch the routing statuses of the hour."""
        accumulator = Accumulator((self.hour.start, self.hour.end), self.query)
        steps = user_aggregates.steps(
            self.query,
            self.hour,
            _NO_USER,
            accumulator,
            self.state,
        )
        await drive(steps, self.lane.ask)


def _recent_hour(now: int) -> Interval:
    """Give the hour before the last whole hour: its data exists, and the response is small."""
    start = now // HOUR * HOUR - 2 * HOUR
    return Interval(start, start + HOUR)


def _route(connection: Connection) -> str:
    """Say how requests reach the hosts, without the password of a proxy."""
    if connection.proxy is None:
        return "directly"
    return f"through {_without_password(connection.proxy.reveal())}"


def _without_password(url: str) -> str:
    """Remove the user and the password from an address."""
    scheme, _, rest = url.partition("://")
    host = rest.rpartition("@")[2]
    return f"{scheme}://{host}"
