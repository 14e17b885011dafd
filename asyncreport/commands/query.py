"""The quick report: options into a job, one run of it, its records or the likely causes of none. Owns nothing; the folder is given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from asyncreport.api import contracts
from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.wire import Request
from asyncreport.config import load_options
from asyncreport.core.errors import ConfigError, RetriesExhausted
from asyncreport.core.job import Chunk, Job, Part
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import iso
from asyncreport.export.run import Choices, Say, Watch, run_job, silent, unwatched
from asyncreport.store.manifest import Manifest

#: characters of a query that are shown
SHOWN = 600


class QueryOptions(Struct, frozen=True, kw_only=True):
    """What the options of `asyncreport query` say; an empty one is left out."""

    start: str = ""
    end: str = ""
    granularity: str
    #: IANA name
    time_zone: str
    #: ids; one text may hold several, with commas between
    users: tuple[str, ...] = ()
    #: Genesys teams, by id or exact name
    teams: tuple[str, ...] = ()
    contract: str
    occupancy: bool = False
    #: ask an invented organisation
    emulator: bool = False


class Report(Struct, frozen=True):
    """What a run found."""

    #: JSON lines, as an output file has them
    records: bytes
    #: the queries, as text; told where they found nothing
    sent: tuple[str, ...] = ()


def job_of(asked: QueryOptions, folder: Path, *, environ: Mapping[str, str], now: int) -> Job:
    """Make a job with output and state in a folder; what the options leave out comes from the environment. `now` is an instant.

    Raise ConfigError, naming the option or the variable, for anything wrong.
    """
    start, start_label = _given("--start", asked.start, "QUERY_START_DATE", environ)
    end, end_label = _given("--end", asked.end, "QUERY_END_DATE", environ)
    teams, team_labels = _teams(asked, environ)
    values: dict[str, Any] = {
        "name": "query",
        "contract": asked.contract,
        "range": {
            "start": start,
            "end": end,
            "granularity": asked.granularity,
            "time_zone": asked.time_zone,
        },
        "occupancy": asked.occupancy,
        "teams": teams,
        "output": {"path": str(folder / "records.jsonl")},
    }
    if asked.emulator:
        values["connections"] = {"default": {"emulator": True}}
    labels = {
        "": "asyncreport query",
        "range.start": start_label,
        "range.end": end_label,
        "range.granularity": "--granularity",
        "range.time_zone": "--time-zone",
        "contract": "--contract",
        "occupancy": "--occupancy",
        **team_labels,
    }
    return load_options(values, labels=labels, environ=environ, now=now)


def _given(
    option: str, value: str, variable: str, environ: Mapping[str, str]
) -> tuple[str | None, str]:
    """Give a value, or the variable's in its place, and the name that a message calls it by."""
    if value:
        return value, option
    found = environ.get(variable)
    return (found, variable) if found else (None, f"{option} or {variable}")


def _teams(
    asked: QueryOptions, environ: Mapping[str, str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """List the teams, and what a message calls each by; raise ConfigError where nobody is asked for."""
    # A name that becomes a file's must not hold these; a team's name in the directory may.
    teams: list[dict[str, Any]] = [
        {"name": re.sub(r"[/\\{}]", "-", team), "team": team} for team in asked.teams
    ]
    labels = {f"teams[{n}]": "--team" for n in range(len(teams))}
    users, label = _split(asked.users), "--user"
    if not teams and not users and not asked.emulator:
        users, label = _split([environ.get("GENESYS_USER_ID", "")]), "GENESYS_USER_ID"
        if not users:
            raise ConfigError(
                "--user or GENESYS_USER_ID: names nobody; give user ids, or --team with a team's id or exact name"
            )
    if users or not teams:
        labels[f"teams[{len(teams)}]"] = label
        teams.append({"name": "users", "users": users} if users else {"name": "everyone"})
    return teams, labels


def _split(texts: tuple[str, ...] | list[str]) -> list[str]:
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


async def report(job: Job, *, now: int, say: Say = silent, watch: Watch = unwatched) -> Report:
    """Run a job and give its records; raise ConfigError for an unknown team and RetriesExhausted where a query failed."""
    summary = await run_job(job, now=now, say=say, watch=watch, choices=Choices(strict=True))
    for gap in summary.missing:
        say(f"missing: {gap.interval}: {gap.error}")
    if summary.missing:
        raise RetriesExhausted(
            f"{len(summary.missing):,} of the queries failed, so nothing is shown; run it again"
        )
    return _found(job)


def _found(job: Job) -> Report:
    records = Path(job.output.path).read_bytes()
    return Report(records, () if records else tuple(_sent(job)))


def _sent(job: Job) -> Iterator[str]:
    """Write out the first query of each chunk again: members that were looked up are known to the parts alone."""
    manifest = Manifest.read(job.state_folder)
    for part in manifest.current_parts(job.query.fingerprint(job.connections[0].identity)):
        yield _first_query(job, part)


def _first_query(job: Job, part: Part) -> str:
    chunk = Chunk(
        connection=job.connections[0].name,
        month=part.month,
        interval=part.interval,
        users=part.users,
    )
    facts = Accumulator(job.query.grid.edges(part.interval), job.query)
    steps = contracts.steps(job.query, chunk, facts, ConnectionState(), [])
    query = next(steps)
    steps.close()
    assert isinstance(query, Request)
    return f"{query.method} {query.path} {(query.body or b'').decode()}"


def hints(job: Job, sent: tuple[str, ...], *, now: int) -> Iterator[str]:
    """Say what was asked and the likely causes of its finding nothing; `now` is an instant."""
    yield f"nothing found in {job.interval}"
    for query in sent[:1]:
        yield f"sent: {query if len(query) <= SHOWN else f'{query[: SHOWN - 1]}…'}"
    if len(sent) > 1:
        yield f"  and {len(sent) - 1:,} more like it"
    if not sent:
        yield "sent: no query, for nobody is in the team today"
    yield "likely causes:"
    for cause in _causes(job, now):
        yield f"- {cause}"


def _causes(job: Job, now: int) -> Iterator[str]:
    if job.interval.end > now:
        part = "the range" if job.interval.start >= now else "a part of the range"
        yield f"{part} is in the future: now is {iso(now)}"
    if any(team.selector is not None for team in job.teams):
        yield "the team's members did other work then, or were others: the directory knows today's members alone"
    if any(team.users is not None for team in job.teams):
        yield "a user id is wrong, or its user inactive in the range: compare the ids with Admin > People"
    yield "no work in the range: an interaction counts when its after-call work ends; widen --start and --end"
    if any(team.users is not None or team.selector is not None for team in job.teams):
        yield "the filter is too narrow: name more users or another team"
    yield (
        "the OAuth client's role does not cover the users' division, which is no error to the server: "
        "Admin > Integrations > OAuth > the client > Roles"
    )
