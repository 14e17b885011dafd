"""Turns a job file of correct types into a Job: each section, then what fits together. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from asyncreport.config.connections import resolve_connections
from asyncreport.config.dates import chunk_length, parse_ms, resolve_range, rounded_bounds
from asyncreport.config.names import check_name, first_repeat
from asyncreport.config.object_paths import storage_settings
from asyncreport.config.output_files import check_output_files
from asyncreport.config.outputs import resolve_output
from asyncreport.config.query import resolve_query
from asyncreport.config.schema import JobFile, LimitsFile, RangeFile, unset_to_none
from asyncreport.config.teams import resolve_teams
from asyncreport.config.validate import Place, check_one_line
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import ChunkLength, Connection, Job, Limits


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the meaning of a job file depends on, besides the file."""

    environ: Mapping[str, str]
    #: start of the run, an instant
    now: int
    #: used instead of the connections of the file
    connection: Connection | None = None


def resolve(root: Place, given: JobFile, around: Surroundings) -> Job:
    """Build the Job of a file; `root` is its root. Raise ConfigError."""
    job = _each_section(root, given, around)
    _check_together(root, job)
    return msgspec.structs.replace(job, notes=tuple(_notes(given, job, around)))


def _each_section(root: Place, given: JobFile, around: Surroundings) -> Job:
    """Check and resolve each section by itself."""
    check_name(root.at("name"), given.name)
    connections = _connections(root, given, around)
    interval, grid = resolve_range(root.at("range"), given.range, around.now)
    query = resolve_query(root, given, grid)
    output = resolve_output(root.at("output"), given.output, query, interval)
    return Job(
        name=given.name,
        connections=connections,
        interval=interval,
        query=query,
        teams=resolve_teams(root.at("teams"), given.teams, connections),
        chunk=_chunk(root.at("range"), given.range),
        limits=_limits(root.at("limits"), given.limits),
        output=output,
        storage=storage_settings(output.paths[0], around.environ),
    )


def _notes(given: JobFile, job: Job, around: Surroundings) -> Iterator[str]:
    """Say what the person may not expect."""
    if around.connection is None and not _names_region(given, around.environ):
        # Not refused: such jobs have run in this region since the first version.
        yield (
            f"warning: GENESYS_ENV is not set, so {job.connections[0].login_url} is used; "
            "set it to the region of your organisation, such as mypurecloud.ie"
        )
    yield from rounded_bounds(given.range, job.interval, job.query.grid, around.now)


def _names_region(given: JobFile, environ: Mapping[str, str]) -> bool:
    """Tell whether somebody chose the region to which the client's secret is sent."""
    return bool(unset_to_none(given.connections) or environ.get("GENESYS_ENV"))


def _check_together(root: Place, job: Job) -> None:
    """Refuse what is wrong only together with another key of the job."""
    _check_connections(root.at("connections"), job)
    check_output_files(root, job)
    check_one_line(root)


def _chunk(place: Place, given: RangeFile) -> ChunkLength | None:
    """Read the length of a chunk; None: as long as memory allows."""
    text = unset_to_none(given.chunk)
    if text is None:
        return None
    return chunk_length(place.at("chunk"), text)


def _connections(root: Place, given: JobFile, around: Surroundings) -> tuple[Connection, ...]:
    """Resolve the connections, unless there is one already."""
    if around.connection is not None:
        return _for_job([around.connection], given)
    section = unset_to_none(given.connections)
    return _for_job(resolve_connections(root.at("connections"), section, around.environ), given)


def _for_job(connections: Sequence[Connection], given: JobFile) -> tuple[Connection, ...]:
    """Add what depends on the job; only the contract entities sends credentials as form fields."""
    in_form = given.contract == "entities"
    hosts = Counter(connection.identity for connection in connections)
    return tuple(
        msgspec.structs.replace(
            connection,
            credentials_in_form=in_form,
            shares_host=hosts[connection.identity] > 1,
        )
        for connection in connections
    )


def _check_connections(place: Place, job: Job) -> None:
    """Refuse connections that no team uses, and two of one organisation."""
    used = {team.connection for team in job.teams}
    for connection in job.connections:
        _check_connection(place.at(connection.name), connection.name, used)
    _check_organisations(place, job.connections)


def _check_connection(place: Place, name: str, used: Collection[str]) -> None:
    """Check the name of a connection; `used` are the names that teams use."""
    check_name(place, name)
    if name not in used:
        raise place.error("is not used by any team; name it in a team's connection, or remove it")


def _check_organisations(place: Place, connections: Sequence[Connection]) -> None:
    """Refuse one organisation twice: both connections would export the same records.

    A host serves all organisations of a region; of one client there is one organisation.
    """
    repeat = first_repeat(map(_first_client, connections))
    if repeat:
        number, earlier = repeat
        later = place.at(connections[number].name)
        raise _same_organisation(later, connections[earlier].name)


def _first_client(connection: Connection) -> str:
    """Give the host with the first of its clients; an emulator has none."""
    ids = [client.client_id.strip().lower() for client in connection.clients[:1]]
    return " ".join([connection.identity, *ids])


def _same_organisation(place: Place, other: str) -> ConfigError:
    return place.error(
        f"is the same organisation as connections.{other}; use connection: {other} for its teams"
    )


def _limits(place: Place, given: LimitsFile) -> Limits:
    """Read the limits; the times become seconds."""
    give_up_after = _seconds(place.at("give_up_after"), given.give_up_after)
    request_timeout = _seconds(place.at("request_timeout"), given.request_timeout)
    if request_timeout >= give_up_after:
        raise _no_second_attempt(place, give_up_after, request_timeout)
    return Limits(
        concurrency=given.concurrency,
        max_attempts=given.max_attempts,
        give_up_after=give_up_after,
        request_timeout=request_timeout,
    )


def _no_second_attempt(place: Place, give_up_after: float, request_timeout: float) -> ConfigError:
    """Report a time for one request that is too short for two attempts."""
    then = "; a second attempt would have no time"
    if place.at("request_timeout").node is None:
        rule = f"be more than request_timeout ({request_timeout:g} s)"
        return place.at("give_up_after").must(rule, then)
    rule = f"be less than give_up_after ({give_up_after:g} s)"
    return place.at("request_timeout").must(rule, then)


def _seconds(place: Place, text: str) -> float:
    """Read a duration of at least a second into seconds."""
    length = parse_ms(place, text)
    if length < 1000:
        raise place.must("be at least PT1S")
    return length / 1000
