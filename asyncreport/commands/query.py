"""Run one query in a temporary folder and show its records, or the likely causes of none."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
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
from asyncreport.core.timeline import iso
from asyncreport.export.pull import Watch, unwatched
from asyncreport.export.run import Choices, Say, clock, run_job, silent
from asyncreport.store.manifest import Manifest
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
        screen = Screen()
        query = run_query(job, now=now, say=say, watch=screen.watching)
        result = run_until_signal(query, screen.stopping)
    if result.records:
        _write_records(job, result.records)
    else:
        for line in explain_no_records(job, result.requests, now=now):
            say(line)


def _check_stdout() -> None:
    """Raise StoreError if there is no stdout, before any request is sent."""
    if sys.stdout is None:
        raise StoreError(
            "standard output is closed; send the records to a terminal, a pipe or a file"
        )


def make_job(options: QueryOptions, folder: Path, *, environ: Mapping[str, str], now: int) -> Job:
    """Make a job with its output and state in a folder; `now` is an instant.

    The environment is used for options that are not given. Raise ConfigError with the name of the
    option or of the variable.
    """
    start, start_label = _option_or_variable("--start", options.start, "QUERY_START_DATE", environ)
    end, end_label = _option_or_variable("--end", options.end, "QUERY_END_DATE", environ)
    teams, team_labels = _teams(options, environ)
    values: dict[str, Any] = {
        "name": "query",
        "contract": options.contract,
        "range": {
            "start": start,
            "end": end,
            "granularity": options.granularity,
            "time_zone": options.time_zone,
        },
        "occupancy": options.occupancy,
        "teams": teams,
        "output": {"path": str(folder / "records.jsonl")},
    }
    if options.emulator:
        values["connections"] = {"default": {"emulator": True}}
    labels = {**_LABELS, "range.start": start_label, "range.end": end_label, **team_labels}
    return load_options(values, labels=labels, environ=environ, now=now)


def _option_or_variable(
    option: str, value: str, variable: str, environ: Mapping[str, str]
) -> tuple[str | None, str]:
    """Give the value of an option or else of a variable, and the name to use in messages."""
    if value:
        return value, option
    if environ.get(variable):
        return environ[variable], variable
    return None, f"{option} or {variable}"


def _teams(
    options: QueryOptions, environ: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Give the teams of the job, and for each the option to name in messages."""
    users, users_label = _users(options, environ)
    teams: list[dict[str, Any]] = [
        {"name": _NOT_IN_NAMES.sub("-", team), "team": team} for team in options.teams
    ]
    labels = {f"teams[{number}]": "--team" for number in range(len(teams))}
    if users:
        labels[f"teams[{len(teams)}]"] = users_label
        teams.append({"name": "users", "users": users})
    elif not teams:
        teams.append({"name": "everyone"})
    return teams, labels


def _users(options: QueryOptions, environ: Mapping[str, str]) -> tuple[list[str], str]:
    """Give the listed users, and where they were listed; raise ConfigError if there are none."""
    users = _split(options.users)
    if users or options.teams or options.emulator:
        return users, "--user"
    users = _split([environ.get("GENESYS_USER_ID", "")])
    if not users:
        raise ConfigError(
            "--user or GENESYS_USER_ID: no user is given; "
            "give user ids, or --team with a team's id or exact name"
        )
    return users, "GENESYS_USER_ID"


def _split(texts: Iterable[str]) -> list[str]:
    """Split ids at commas, and drop empty ones."""
    items = ",".join(texts).split(",")
    return [item.strip() for item in items if item.strip()]


async def run_query(
    job: Job, *, now: int, say: Say = silent, watch: Watch = unwatched
) -> QueryResult:
    """Run a job and read its records.

    Raise ConfigError for an unknown team, RetriesExhausted if a query failed.
    """
    summary = await run_job(job, now=now, say=say, watch=watch, choices=Choices(strict=True))
    for chunk in summary.missing:
        say(f"missing: {chunk.interval}: {chunk.error}")
    if summary.missing:
        failed = counted(len(summary.missing), "query", "queries")
        raise RetriesExhausted(f"{failed} failed, so nothing is shown; run the command again")
    return _result(job)


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
    manifest = Manifest.read(job.state_folder)
    fingerprint = job.query.fingerprint(job.connections[0].identity)
    for part in manifest.current_parts(fingerprint):
        yield _first_request(job, part)


def _first_request(job: Job, part: Part) -> str:
    """Make the first request for a part again."""
    chunk = Chunk(
        connection=job.connections[0].name,
        month=part.month,
        interval=part.interval,
        users=part.users,
    )
    accumulator = Accumulator(job.query.grid.edges(part.interval), job.query)
    steps = contracts.steps(job.query, chunk, accumulator, ConnectionState(), [])
    request = next(steps)
    steps.close()
    assert isinstance(request, Request)
    return f"{request.method} {request.path} {(request.body or b'').decode()}"


def explain_no_records(job: Job, requests: tuple[str, ...], *, now: int) -> Iterator[str]:
    """Show what was sent, and the likely causes of finding nothing; `now` is an instant."""
    yield f"nothing found in {job.interval}"
    if requests:
        yield f"sent: {shorten(requests[0], _MAX_REQUEST)}"
    else:
        yield "sent: no query, because the team has no members today"
    if len(requests) > 1:
        yield f"  and {counted(len(requests) - 1, 'more query', 'more queries')}"
    yield "likely causes:"
    for cause in _likely_causes(job, now):
        yield f"- {cause}"


def _likely_causes(job: Job, now: int) -> Iterator[str]:
    """List what may be wrong, the most certain first."""
    looked_up = any(team.selector is not None for team in job.teams)
    listed = any(team.users is not None for team in job.teams)
    if job.interval.start >= now:
        yield f"the range is in the future: now is {iso(now)}"
    elif job.interval.end > now:
        yield f"a part of the range is in the future: now is {iso(now)}"
    if looked_up:
        yield "the team had other members in the range: the directory knows only today's members"
    if listed:
        yield (
            "a user id is wrong, or the user was inactive in the range: "
            "compare the ids with Admin > People"
        )
    yield (
        "nothing was handled in the range: an interaction counts when its after-call work ends; "
        "use an earlier --start or a later --end"
    )
    if looked_up or listed:
        yield "the filter is too narrow: add users or teams"
    yield (
        "the roles of the OAuth client do not cover the division of the users, which the server "
        "does not report: Admin > Integrations > OAuth > the client > Roles"
    )


def _write_records(job: Job, records: bytes) -> None:
    """Write to stdout: a table on a terminal, else the bytes as they are; raise StoreError."""
    with writing():
        if sys.stdout.isatty():
            _draw_table(job, records)
            return
        # Not with `sys.stdout`: if it is unbuffered, one write may write only a part.
        with open(sys.stdout.fileno(), "wb", closefd=False) as out:
            out.write(records)


def _draw_table(job: Job, records: bytes) -> None:
    """Draw the table and the total."""
    from rich.console import Console

    from asyncreport.terminal.table import read, table, total

    rows = read(records)
    console = Console(emoji=False)
    zone, routing = job.query.grid.zone, job.query.occupancy
    console.print(table(rows, zone=zone, teams=len(job.teams) > 1, routing=routing))
    console.print(total(rows, routing=routing), markup=False, highlight=False)
