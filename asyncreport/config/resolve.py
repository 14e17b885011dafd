"""Turns a job file of correct types into a Job: teams, query, limits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from asyncreport.config.connections import resolve_connections
from asyncreport.config.dates import chunk_length, parse_ms, resolve_range, rounded_bounds
from asyncreport.config.metrics import METRICS, refusal
from asyncreport.config.names import (
    check_distinct,
    check_name,
    check_words,
    first_repeat,
    parse_ids,
)
from asyncreport.config.object_paths import storage_settings
from asyncreport.config.outputs import check_output_files, resolve_output
from asyncreport.config.schema import (
    DIMENSIONS,
    MEDIA_TYPES,
    FilterFile,
    JobFile,
    LimitsFile,
    unset_to_none,
)
from asyncreport.config.teams import resolve_teams
from asyncreport.config.validate import Place, check_one_line
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import (
    ChunkLength,
    Connection,
    Filter,
    Job,
    Limits,
    Query,
)
from asyncreport.core.timeline import Grid


def resolve(
    root: Place,
    given: JobFile,
    *,
    environ: Mapping[str, str],
    now: int,
    connection: Connection | None = None,
) -> Job:
    """Build the Job of a file; `root` is its root, `now` an instant; raise ConfigError.

    `connection` is used instead of those of the file.
    """
    check_name(root.at("name"), given.name)
    connections = _connections(root, given, environ, connection)
    interval, grid = resolve_range(
        root.at("range"),
        given.range,
        now,
    )
    query = _query(root, given, grid)
    output = resolve_output(root.at("output"), given.output, query, interval)
    teams = resolve_teams(root.at("teams"), given.teams, connections)
    job = Job(
        name=given.name,
        connections=connections,
        interval=interval,
        query=query,
        chunk=_chunk(root, given),
        teams=teams,
        limits=_limits(root.at("limits"), given.limits),
        output=output,
        storage=storage_settings(output.paths[0], environ),
        notes=(
            *_default_region(given, environ, connections, given_connection=connection),
            *rounded_bounds(given.range, interval, grid, now),
        ),
    )
    _check(root, job)
    return job


def _default_region(
    given: JobFile,
    environ: Mapping[str, str],
    connections: Sequence[Connection],
    *,
    given_connection: Connection | None,
) -> Iterator[str]:
    """Warn if nobody named the region to which the client's secret is sent.

    Not refused: such jobs have run in this region since the first version.
    """
    named = unset_to_none(given.connections) or environ.get("GENESYS_ENV")
    if given_connection is None and not named:
        yield (
            f"warning: GENESYS_ENV is not set, so {connections[0].login_url} is used; "
            "set it to the region of your organisation, such as mypurecloud.ie"
        )


def _check(root: Place, job: Job) -> None:
    """Refuse what is wrong only together with another key of the job."""
    _check_connections(root.at("connections"), job)
    check_output_files(root, job)
    check_one_line(root)


def _chunk(root: Place, given: JobFile) -> ChunkLength | None:
    """Read the length of a chunk; None: as long as memory allows."""
    text = unset_to_none(given.range.chunk)
    if text is None:
        return None
    return chunk_length(root.at("range", "chunk"), text)


def _connections(
    root: Place,
    given: JobFile,
    environ: Mapping[str, str],
    connection: Connection | None,
) -> tuple[Connection, ...]:
    """Resolve the connections, unless there is one already."""
    if connection is not None:
        return _for_job([connection], given)
    found = resolve_connections(root.at("connections"), unset_to_none(given.connections), environ)
    return _for_job(found, given)


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
        _check_connection(
            place.at(connection.name),
            connection.name,
            used,
        )
    _check_organisations(place, job.connections)


def _check_connection(
    place: Place,
    name: str,
    used: Collection[str],
) -> None:
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


def _query(
    root: Place,
    given: JobFile,
    grid: Grid,
) -> Query:
    """Build what each chunk asks for; refuse keys that exclude each other."""
    check_words(
        root.at("split_by"),
        given.split_by,
        DIMENSIONS,
        "a dimension",
    )
    _check_metrics(root.at("metrics"), given.metrics)
    query = Query(
        contract=given.contract,
        grid=grid,
        split_by=tuple(DIMENSIONS[name] for name in given.split_by),
        filter=_filter(root.at("filter"), given.filter),
        occupancy=given.occupancy,
        metrics=tuple(given.metrics),
    )
    _check_combinations(root, query)
    return query


def _check_combinations(root: Place, query: Query) -> None:
    """Refuse what no contract, or only another contract, can answer."""
    if query.contract == "entities":
        _check_bare(root, query)
    if query.occupancy and query.split_by:
        raise root.at("occupancy").not_with(
            "split_by",
            ": the time in a routing status belongs to the agent, not to a queue or a media type",
        )


def _check_bare(root: Place, query: Query) -> None:
    """Refuse what the contract entities cannot express."""
    bare = Query(grid=query.grid)
    for key in ("split_by", "filter", "occupancy", "metrics"):
        if getattr(query, key) != getattr(bare, key):
            raise _not_with_entities(root.at(key))


def _not_with_entities(place: Place) -> ConfigError:
    return place.not_with(
        "contract: entities",
        ", which only counts and times the interactions of users",
    )


def _check_metrics(place: Place, names: Sequence[str]) -> None:
    """Check a list of different metrics that add up."""
    for number, name in enumerate(names):
        if name not in METRICS:
            raise refusal(place.at(number), name)
    check_distinct(place, names)


def _filter(place: Place, given: FilterFile) -> Filter:
    """Read the interactions that count; a list that is missing means all."""
    return Filter(
        media_types=_media_types(place.at("media_types"), given),
        queues=parse_ids(place.at("queues"), unset_to_none(given.queues)),
        divisions=parse_ids(place.at("divisions"), unset_to_none(given.divisions)),
    )


def _media_types(place: Place, given: FilterFile) -> tuple[str, ...]:
    media_types = unset_to_none(given.media_types) or []
    check_words(
        place,
        media_types,
        MEDIA_TYPES,
        "a media type",
    )
    return tuple(media_types)


def _limits(place: Place, given: LimitsFile) -> Limits:
    """Read the limits; the times become seconds."""
    give_up_after = _seconds(place.at("give_up_after"), given.give_up_after)
    request_timeout = _seconds(place.at("request_timeout"), given.request_timeout)
    if request_timeout >= give_up_after:
        raise _no_second_attempt(
            place,
            give_up_after,
            request_timeout,
        )
    return Limits(
        concurrency=given.concurrency,
        max_attempts=given.max_attempts,
        give_up_after=give_up_after,
        request_timeout=request_timeout,
    )


def _no_second_attempt(
    place: Place,
    give_up_after: float,
    request_timeout: float,
) -> ConfigError:
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
