"""Run one query in a temporary folder and show its records, or the likely causes of none."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Struct

from asyncreport.api import contracts
from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.wire import Request
from asyncreport.config import load_options, read_environ
from asyncreport.core.errors import ConfigError, RetriesExhausted, StoreError
from asyncreport.core.job import Chunk, Job, Part
from asyncreport.core.records import Accumulator
from asyncreport.core.text import counted, shorten
from asyncreport.core.timeline import Interval, iso
from asyncreport.export.pull import Watch, unwatched
from asyncreport.export.run import clock, run_job
from asyncreport.export.run_context import Choices, Say, silent
from asyncreport.store.job_parts import JobParts
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stderr import say
from asyncreport.terminal.stdout import writing

#: characters of a request that are shown
_MAX_REQUEST = 600

#: characters of a team's name that a job's team name must not have: it may be part of a file name
_NOT_IN_NAMES = re.compile(r"[/\\{}]")

#: what messages call the keys of the job: the options that give their values
_LABELS = {
    "": "asyncreport query",
    "range.granularity": "--granularity",
    "range.time_zone": "--time-zone",
    "contract": "--contract",
    "occupancy": "--occupancy",
}


_OTHER_MEMBERS = "the team had other members in the range: the directory knows only today's members"
_WRONG_USER = (
    "a user id is wrong, or the user was inactive in the range: compare the ids with Admin > People"
)
_NOTHING_HANDLED = (
    "nothing was handled in the range: an interaction counts when its after-call work ends; "
    "use an earlier --start or a later --end"
)
_NARROW_FILTER = "the filter is too narrow: add users or teams"
_HIDDEN_DIVISION = (
    "the roles of the OAuth client do not cover the division of the users, which the server "
    "does not report: Admin > Integrations > OAuth > the client > Roles"
)


class QueryOptions(Struct, frozen=True, kw_only=True):
    """The options of `asyncreport query`; empty if not given."""

    start: str = ""
    end: str = ""
    granularity: str
    #: IANA name
    time_zone: str
    #: ids; one text may hold several, with commas between them
    users: tuple[str, ...] = ()
    #: Genesys teams, by id or exact name
    teams: tuple[str, ...] = ()
    contract: str
    occupancy: bool = False
    #: query an emulated organisation
    emulator: bool = False


class QueryResult(Struct, frozen=True):
    """What a query found."""

    #: JSON lines, as in an output file
    records: bytes
    #: the requests as text, if there are no records
    requests: tuple[str, ...] = ()


def execute(options: QueryOptions) -> None:
    """Run a query and print a table on a terminal, JSON lines elsewhere."""
    _check_stdout()
    now = clock()
    with TemporaryDirectory(prefix="asyncreport-") as folder:
        environ = read_environ(Path(), os.environ)
        job = make_job(options, Path(folder), environ=environ, now=now)
        result = _run_on_screen(job, now=now)
    if result.records:
        _write_records(job, result.records)
    else:
        _explain(job, result, now=now)


def _check_stdout() -> None:
    """Raise StoreError if there is no stdout, before any request is sent."""
    if sys.stdout is None:
        raise StoreError(
            "standard output is closed; send the records to a terminal, a pipe or a file"
        )


def _run_on_screen(job: Job, *, now: int) -> QueryResult:
    """Run a job, show its progress, and stop at a signal."""
    screen = Screen()
    query = run_query(job, now=now, say=say, watch=screen.watching)
    return run_until_signal(query, screen.stopping)


def _explain(job: Job, result: QueryResult, *, now: int) -> None:
    """Say on stderr why nothing may have been found."""
    for line in explain_no_records(job, result.requests, now=now):
        say(line)


def make_job(
    options: QueryOptions,
    folder: Path,
    *,
    environ: Mapping[str, str],
    now: int,
) -> Job:
    """Make a job with its output and state in a folder; `now` is an instant.

    The environment is used for options that are not given. Raise ConfigError with the name of the
    option or of the variable.
    """
    start = _choose("--start", options.start, "QUERY_START_DATE", environ)
    end = _choose("--end", options.end, "QUERY_END_DATE", environ)
    teams = _teams(options, environ)
    values = {
        "name": "query",
        "contract": options.contract,
        "range": _range(options, start, end),
        "occupancy": options.occupancy,
        "teams": [team.value for team in teams],
        "output": {"path": str(folder / "records.jsonl")},
        **_connections(options),
    }
    labels = _labels(start, end, teams)
    return load_options(values, labels=labels, environ=environ, now=now)


def _range(options: QueryOptions, start: _Value, end: _Value) -> dict[str, Any]:
    """Give the range of the job."""
    return {
        "start": start.value,
        "end": end.value,
        "granularity": options.granularity,
        "time_zone": options.time_zone,
    }


def _connections(options: QueryOptions) -> dict[str, Any]:
    """Give the connections of the job; without any, the environment names the organisation."""
    if not options.emulator:
        return {}
    return {"connections": {"default": {"emulator": True}}}


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of the job, and the option or the variable that messages name."""

    value: Any
    label: str


def _choose(
    option: str,
    value: str,
    variable: str,
    environ: Mapping[str, str],
) -> _Value:
    """Take an option, or else the variable that replaces it; None if there is neither."""
    if value:
        return _Value(value, option)
    if environ.get(variable):
        return _Value(environ[variable], variable)
    return _Value(None, f"{option} or {variable}")


def _labels(start: _Value, end: _Value, teams: Sequence[_Value]) -> dict[str, str]:
    """Say where each key of the job came from."""
    labels = {
        **_LABELS,
        "range.start": start.label,
        "range.end": end.label,
    }
    for number, team in enumerate(teams):
        labels[f"teams[{number}]"] = team.label
    return labels


def _teams(options: QueryOptions, environ: Mapping[str, str]) -> list[_Value]:
    """Give the teams of the job: one for each --team, and one for all listed users."""
    names = _Names()
    teams = [_Value(_selected_team(team, names), "--team") for team in options.teams]
    users = _users(options, environ)
    if users.value:
        team = {"name": names.choose("users", None), "users": users.value}
        teams.append(_Value(team, users.label))
    elif not teams:
        teams.append(_Value({"name": "everyone", "everyone": True}, _LABELS[""]))
    return teams


def _selected_team(team: str, names: _Names) -> dict[str, str]:
    """Describe a Genesys team, by id or exact name, as a team of a job."""
    name = names.choose(_NOT_IN_NAMES.sub("-", team), team)
    return {"name": name, "team": team}


class _Names:
    """The names of the teams of a job: each stands for one selection."""

    def __init__(self) -> None:
        #: the option's value by name; None: the listed users
        self._values: dict[str, str | None] = {}

    def choose(self, name: str, value: str | None) -> str:
        """Give a name for an option's value: `A-B`, or `A-B (2)` if another value has it.

        The same value keeps its name, so that a team that is given twice is refused.
        """
        candidates = chain([name], (f"{name} ({number})" for number in count(2)))
        free = (each for each in candidates if self._values.get(each, value) == value)
        chosen = next(free)
        self._values[chosen] = value
        return chosen


def _users(options: QueryOptions, environ: Mapping[str, str]) -> _Value:
    """Give the ids of the listed users; raise ConfigError if nobody is asked for."""
    users = _split(options.users)
    if users or options.teams or options.emulator:
        return _Value(users, "--user")
    users = _split([environ.get("GENESYS_USER_ID", "")])
    if not users:
        raise ConfigError(
            "--user or GENESYS_USER_ID: no user is given; "
            "give user ids, or --team with a team's id or exact name"
        )
    return _Value(users, "GENESYS_USER_ID")


def _split(texts: Iterable[str]) -> list[str]:
    """Split ids at commas, and drop empty ones."""
    items = ",".join(texts).split(",")
    stripped = [item.strip() for item in items]
    return list(filter(None, stripped))


async def run_query(
    job: Job,
    *,
    now: int,
    say: Say = silent,
    watch: Watch = unwatched,
) -> QueryResult:
    """Run a job and read its records.

    Raise ConfigError for an unknown team, RetriesExhausted if a query failed.
    """
    # A team that is not known would look like a team without work.
    choices = Choices(strict=True)
    summary = await run_job(job, now=now, say=say, watch=watch, choices=choices)
    for chunk in summary.gaps:
        say(f"missing: {chunk.interval}: {chunk.error}")
    if summary.gaps:
        raise _failed(len(summary.gaps))
    return _result(job)


def _failed(number: int) -> RetriesExhausted:
    """Make the error for queries that failed."""
    queries = counted(number, "query", "queries")
    return RetriesExhausted(f"{queries} failed, so nothing is shown; run the command again")


def _result(job: Job) -> QueryResult:
    """Read the output file of a job."""
    records = Path(job.output.path).read_bytes()
    if records:
        return QueryResult(records)
    return QueryResult(records, tuple(_sent_requests(job)))


def _sent_requests(job: Job) -> Iterator[str]:
    """Make the first request of each chunk again.

    From the parts, because only they have the members of a team that was looked up.
    """
    for part in JobParts.read(job).current(job.connections[0]):
        yield _describe_request(_first_request(job, part))


def _first_request(job: Job, part: Part) -> Request:
    """Make the first request for a part again."""
    chunk = _chunk(job, part)
    accumulator = Accumulator(job.query.grid.edges(part.interval), job.query)
    state = ConnectionState()
    steps = contracts.steps(job.query, chunk, accumulator, state, [])
    request = next(steps)
    steps.close()
    assert isinstance(request, Request)
    return request


def _chunk(job: Job, part: Part) -> Chunk:
    """Make the chunk that became a part."""
    return Chunk(
        connection=job.connections[0].name,
        month=part.month,
        interval=part.interval,
        users=part.users,
    )


def _describe_request(request: Request) -> str:
    """Write a request in one line, with its JSON body."""
    body = (request.body or b"").decode()
    return f"{request.method} {request.path} {body}"


def explain_no_records(job: Job, requests: tuple[str, ...], *, now: int) -> Iterator[str]:
    """Show what was sent, and the likely causes of finding nothing; `now` is an instant."""
    yield f"nothing found in {job.interval}"
    yield from _sent(requests)
    yield "likely causes:"
    for cause in _likely_causes(job, now):
        yield f"- {cause}"


def _sent(requests: Sequence[str]) -> Iterator[str]:
    """Show the first request, and count the others."""
    if not requests:
        yield "sent: no query, because the team has no members today"
        return
    first, *more = requests
    yield f"sent: {shorten(first, _MAX_REQUEST)}"
    if more:
        yield f"  and {counted(len(more), 'more query', 'more queries')}"


def _likely_causes(job: Job, now: int) -> Iterator[str]:
    """List what may be wrong, the most certain first."""
    yield from _future(job.interval, now)
    if _has_selector(job):
        yield _OTHER_MEMBERS
    if _has_listed_users(job):
        yield _WRONG_USER
    yield _NOTHING_HANDLED
    if _has_selector(job) or _has_listed_users(job):
        yield _NARROW_FILTER
    yield _HIDDEN_DIVISION


def _has_selector(job: Job) -> bool:
    """Tell whether the members of a team were looked up."""
    return any(team.selector is not None for team in job.teams)


def _has_listed_users(job: Job) -> bool:
    """Tell whether a team consists of users who were given by id."""
    return any(team.users or team.emails for team in job.teams)


def _future(interval: Interval, now: int) -> Iterator[str]:
    """Say which part of a range has not happened yet."""
    if interval.start >= now:
        yield f"the range is in the future: now is {iso(now)}"
    elif interval.end > now:
        yield f"a part of the range is in the future: now is {iso(now)}"


def _write_records(job: Job, records: bytes) -> None:
    """Write to stdout: a table on a terminal, else the bytes as they are; raise StoreError."""
    with writing():
        if sys.stdout.isatty():
            _draw_table(job, records)
        else:
            _write_bytes(records)


def _write_bytes(data: bytes) -> None:
    """Write all bytes to stdout."""
    # Not with `sys.stdout`: if it is unbuffered, one write may write only a part.
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(data)


def _draw_table(job: Job, records: bytes) -> None:
    """Draw the table and the total."""
    # Imported only if a table is drawn: most records go into a pipe.
    from asyncreport.terminal.table import print_table, read

    print_table(
        read(records),
        zone=job.query.grid.zone,
        teams=len(job.teams) > 1,
        routing=job.query.occupancy,
    )
