"""Turns a job file of correct types into a Job: teams, query, limits. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import UNSET

from asyncreport.config.connections import DEFAULT, resolve_connections
from asyncreport.config.dates import chunk_length, parse_ms, resolve_range
from asyncreport.config.metrics import METRICS, refusal
from asyncreport.config.names import (
    check_distinct,
    check_name,
    check_words,
    first_repeat,
    parse_id,
    parse_ids,
    parse_users,
)
from asyncreport.config.outputs import check_output_files, resolve_output
from asyncreport.config.schema import (
    DIMENSIONS,
    MEDIA_TYPES,
    FilterFile,
    JobFile,
    LimitsFile,
    TeamFile,
    unset_to_none,
)
from asyncreport.config.validate import Place, check_one_line, did_you_mean
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import (
    ChunkLength,
    Connection,
    Filter,
    Job,
    Limits,
    Query,
    Selector,
    Team,
)
from asyncreport.core.timeline import Grid


def resolve(
    root: Place,
    given: JobFile,
    *,
    environ: Mapping[str, str],
    now: int,
) -> Job:
    """Build the Job of a file; `root` is its root, `now` an instant; raise ConfigError."""
    check_name(root.at("name"), given.name)
    connections = _connections(
        root.at("connections"),
        given,
        environ,
    )
    interval, grid = resolve_range(
        root.at("range"),
        given.range,
        now,
    )
    output = resolve_output(root.at("output"), given.output)
    teams = _teams(root.at("teams"), given.teams, connections)
    job = Job(
        name=given.name,
        connections=connections,
        interval=interval,
        query=_query(root, given, grid),
        chunk=_chunk(root.at("range", "chunk"), given),
        teams=teams,
        limits=_limits(root.at("limits"), given.limits),
        output=output,
    )
    _check(root, job)
    return job


def _check(root: Place, job: Job) -> None:
    """Refuse what is wrong only together with another key of the job."""
    _check_connections(root.at("connections"), job)
    check_output_files(root, job)
    check_one_line(root)


def _chunk(place: Place, given: JobFile) -> ChunkLength | None:
    """Read the length of a chunk; None: as long as memory allows."""
    text = unset_to_none(given.range.chunk)
    if text is None:
        return None
    return chunk_length(place, text)


def _connections(
    place: Place,
    given: JobFile,
    environ: Mapping[str, str],
) -> tuple[Connection, ...]:
    """Resolve the connections; only the contract entities sends credentials as form fields."""
    connections = resolve_connections(
        place,
        unset_to_none(given.connections),
        environ,
    )
    in_form = given.contract == "entities"
    return tuple(
        msgspec.structs.replace(connection, credentials_in_form=in_form)
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
    """Refuse one organisation twice: both connections would fetch and keep the same parts."""
    repeat = first_repeat(connection.identity for connection in connections)
    if repeat:
        number, earlier = repeat
        later = place.at(connections[number].name)
        raise _same_organisation(later, connections[earlier].name)


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


def _teams(
    place: Place,
    given: Sequence[TeamFile],
    connections: Sequence[Connection],
) -> tuple[Team, ...]:
    """Read the teams; their names differ, and each has one selector."""
    names = [connection.name for connection in connections]
    teams = tuple(
        _team(
            place.at(n),
            team,
            names,
        )
        for n, team in enumerate(given)
    )
    _check_team_names(place, teams)
    _check_everyone(place, teams)
    return teams


def _check_team_names(place: Place, teams: Sequence[Team]) -> None:
    """Refuse one name twice: records and files name the team only by its name."""
    repeat = first_repeat(team.name for team in teams)
    if repeat:
        number, earlier = repeat
        raise place.at(number, "name").must(f"differ from teams[{earlier}].name")


def _check_everyone(place: Place, teams: Sequence[Team]) -> None:
    """Refuse two teams of everyone on one connection: each record would only be written twice."""
    repeat = first_repeat(_connection_of_everyone(team) for team in teams)
    if repeat:
        number, earlier = repeat
        raise place.at(number).error(
            f"selects everyone, as teams[{earlier}] does; "
            "give it users, group, team or queue, or remove one of the two"
        )


def _connection_of_everyone(team: Team) -> str | None:
    """Give the connection of a team of everyone; None for any other team."""
    if team.everyone:
        return team.connection
    return None


def _team(
    place: Place,
    given: TeamFile,
    connections: Sequence[str],
) -> Team:
    """Read one team; `connections` are the names that it may use."""
    # First: a team without a selector often has a name that is not what was meant either.
    _check_selection(place, given)
    check_name(place.at("name"), given.name)
    users, emails = parse_users(place.at("users"), unset_to_none(given.users))
    return Team(
        name=given.name,
        connection=_connection_of(
            place.at("connection"),
            given,
            connections,
        ),
        everyone=given.everyone,
        users=users,
        emails=emails,
        selector=_selector(place, given),
    )


_KINDS: tuple[Literal["group", "team", "queue"], ...] = ("group", "team", "queue")
_NEEDS = "a team needs users, group, team, queue or everyone: true"


def _check_selection(place: Place, given: TeamFile) -> None:
    """Refuse a team that is selected in no way, or in two: nobody is exported by mistake."""
    keys = [key for key in ("users", *_KINDS) if getattr(given, key) is not UNSET]
    if given.everyone:
        keys.append("everyone")
    if not keys:
        raise _no_selection(place)
    if len(keys) > 1:
        raise place.at(keys[1]).not_with(keys[0])


def _no_selection(place: Place) -> ConfigError:
    """Report a team that selects nobody; a forgotten key lets YAML take a list into the name."""
    name = place.at("name").node
    if name is not None and name.is_continued:
        return place.error(
            "selects no users, and its name continues on the next line; "
            f"write the missing key, such as users:, before that line; {_NEEDS}"
        )
    return place.error(f"selects no users; {_NEEDS}")


def _selector(place: Place, given: TeamFile) -> Selector | None:
    """Read whose members a team has; None for listed users and for everyone."""
    for kind in _KINDS:
        value = unset_to_none(getattr(given, kind))
        if value is not None:
            return Selector(kind=kind, value=parse_id(place.at(kind), value))
    return None


def _connection_of(
    place: Place,
    given: TeamFile,
    names: Sequence[str],
) -> str:
    """Choose the connection of a team."""
    name = unset_to_none(given.connection)
    if name is None:
        return _default_connection(place, names)
    if name not in names:
        raise _unknown_connection(place, name, names)
    return name


def _unknown_connection(
    place: Place,
    name: str,
    names: Sequence[str],
) -> ConfigError:
    return place.must(
        "be a connection",
        did_you_mean(name, names),
        accepted=", ".join(names),
    )


def _default_connection(place: Place, names: Sequence[str]) -> str:
    """Choose the connection named default, else the only one."""
    if DEFAULT in names:
        return DEFAULT
    if len(names) > 1:
        raise place.error(
            "is missing, and no connection is named default",
            accepted=", ".join(names),
        )
    return names[0]


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
    then = "; otherwise there is no time for a second attempt"
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
