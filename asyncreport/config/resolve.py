"""A checked job file into a Job: what types alone cannot say about names, teams, filters, limits and files. Pure."""

from __future__ import annotations

import os.path
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from asyncreport.config.connections import DEFAULT, connections
from asyncreport.config.dates import chunk_length, span
from asyncreport.config.metrics import METRICS, refusal
from asyncreport.config.place import Place, near
from asyncreport.config.schema import (
    DIMENSIONS,
    MEDIA_TYPES,
    FilterFile,
    JobFile,
    LimitsFile,
    OutputFile,
    TeamFile,
)
from asyncreport.core.job import (
    FORMATS,
    Connection,
    Filter,
    Job,
    Limits,
    Output,
    Query,
    Selector,
    Team,
)
from asyncreport.core.timeline import Grid, parse_duration

#: of a name that becomes part of a file's: most file systems end at 255
NAME_BYTES = 100


def resolve(place: Place, given: JobFile, *, environ: Mapping[str, str], now: int) -> Job:
    """Build the Job of a file that `place` is the root of; `now` is an instant."""
    name = _name(place.at("name"), given.name)
    reached = _connections(place.at("connections"), given, environ)
    interval, grid = span(place.at("range"), given.range, now)
    chunk = given.range.chunk
    output = _output(place.at("output"), given.output)
    teams = _teams(place.at("teams"), given.teams, reached)
    _check_connections(place.at("connections"), teams, reached)
    _check_files(place, teams, output)
    return Job(
        name=name,
        connections=reached,
        interval=interval,
        query=_query(place, given, grid),
        chunk=None
        if isinstance(chunk, UnsetType)
        else chunk_length(place.at("range", "chunk"), chunk),
        teams=teams,
        limits=_limits(place.at("limits"), given.limits),
        output=output,
    )


def _connections(
    place: Place, given: JobFile, environ: Mapping[str, str]
) -> tuple[Connection, ...]:
    in_form = given.contract == "entities"
    reached = connections(place, given.connections, environ)
    return tuple(
        msgspec.structs.replace(connection, credentials_in_form=in_form) for connection in reached
    )


def _query(place: Place, given: JobFile, grid: Grid) -> Query:
    query = Query(
        contract=given.contract,
        grid=grid,
        split_by=tuple(
            DIMENSIONS[name] for name in _known(place.at("split_by"), given.split_by, DIMENSIONS)
        ),
        filter=_filter(place.at("filter"), given.filter),
        occupancy=given.occupancy,
        metrics=_metrics(place.at("metrics"), given.metrics),
    )
    bare = Query(grid=grid)
    for key in ("split_by", "filter", "occupancy", "metrics"):
        if query.contract == "entities" and getattr(query, key) != getattr(bare, key):
            raise place.at(key).error(
                "has no meaning with contract: entities, which only counts and times a user's interactions; remove one of the two"
            )
    if query.occupancy and query.split_by:
        raise place.at("occupancy").error(
            "has no meaning beside split_by: the time in a routing status is the agent's, of no one queue or medium; remove one of the two"
        )
    return query


def _metrics(place: Place, given: Sequence[str]) -> tuple[str, ...]:
    for n, name in enumerate(given):
        if name not in METRICS:
            raise place.at(n).wrong(refusal(name))
    _distinct(place, given)
    return tuple(given)


def _name(place: Place, text: str) -> str:
    """Check a name that becomes a file's: it must neither leave its folder nor break a path or a placeholder."""
    if not text or text != text.strip() or text.startswith("."):
        raise place.wrong(
            "is no usable name; it must not be empty, begin with a dot, or begin or end with a blank"
        )
    if not text.isprintable() or set(text) & set("/\\{}"):
        raise place.wrong("is no usable name; it must not hold / \\ { } or control characters")
    if len(text.encode()) > NAME_BYTES:
        raise place.wrong(f"is too long for a name; at most {NAME_BYTES} bytes")
    return text


def _distinct(place: Place, values: Iterable[str]) -> None:
    """Refuse a list that says the same twice."""
    seen: dict[str, int] = {}
    for n, value in enumerate(values):
        first = seen.setdefault(value, n)
        if first != n:
            raise place.at(n).wrong(
                f"is listed twice; remove one (the first is {place.at(first).spelled})"
            )


def _known(place: Place, values: Sequence[str], known: Iterable[str]) -> Sequence[str]:
    for n, value in enumerate(values):
        if value not in known:
            raise place.at(n).wrong(f"is not known{near(value, known)}", accepted=", ".join(known))
    _distinct(place, values)
    return values


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _ids(place: Place, values: Sequence[str]) -> tuple[str, ...]:
    found = tuple(_id(place.at(n), value) for n, value in enumerate(values))
    _distinct(place, found)
    return found


def _id(place: Place, text: str, called: str = "id") -> str:
    """Check an id and write a UUID in lower case: some data bases print them in upper case, the vendor never does."""
    if not text or text != text.strip() or not text.isprintable():
        raise place.wrong(
            f"is no {called}; it must not be empty, begin or end with a blank, or hold control characters"
        )
    return text.lower() if _UUID.fullmatch(text) else text


def _filter(place: Place, given: FilterFile) -> Filter:
    media_types = () if isinstance(given.media_types, UnsetType) else given.media_types
    queues = () if isinstance(given.queues, UnsetType) else given.queues
    divisions = () if isinstance(given.divisions, UnsetType) else given.divisions
    return Filter(
        media_types=tuple(_known(place.at("media_types"), media_types, MEDIA_TYPES)),
        queues=_ids(place.at("queues"), queues),
        divisions=_ids(place.at("divisions"), divisions),
    )


def _teams(
    place: Place, given: Sequence[TeamFile], reached: Sequence[Connection]
) -> tuple[Team, ...]:
    teams = tuple(_team(place.at(n), team, reached) for n, team in enumerate(given))
    names: dict[str, int] = {}
    everyone: dict[str, int] = {}
    for n, team in enumerate(teams):
        if names.setdefault(team.name, n) != n:
            raise place.at(n, "name").wrong(
                f"is the name of teams[{names[team.name]}] too; give each team its own"
            )
        # Two would only write every record twice.
        if (
            team.users is None
            and team.selector is None
            and everyone.setdefault(team.connection, n) != n
        ):
            raise place.at(n).error(
                f"means everyone, as teams[{everyone[team.connection]}] does; give it users, group, team or queue, or remove one"
            )
    return teams


def _team(place: Place, given: TeamFile, reached: Sequence[Connection]) -> Team:
    return Team(
        name=_name(place.at("name"), given.name),
        connection=_connection_of(place, given, reached),
        users=None if isinstance(given.users, UnsetType) else _ids(place.at("users"), given.users),
        selector=_selector(place, given),
    )


_KINDS: tuple[Literal["group", "team", "queue"], ...] = ("group", "team", "queue")


def _selector(place: Place, given: TeamFile) -> Selector | None:
    said = [key for key in ("users", *_KINDS) if getattr(given, key) is not UNSET]
    if len(said) > 1:
        raise place.at(said[1]).error(f"has no meaning beside {said[0]}; remove one of the two")
    for kind in _KINDS:
        if kind in said:
            return Selector(
                kind=kind, value=_id(place.at(kind), getattr(given, kind), "id or name")
            )
    return None


def _connection_of(place: Place, given: TeamFile, reached: Sequence[Connection]) -> str:
    names = [connection.name for connection in reached]
    if isinstance(given.connection, UnsetType):
        if DEFAULT not in names and len(names) > 1:
            raise place.at("connection").error(
                "is missing, and no connection is named default", accepted=", ".join(names)
            )
        return DEFAULT if DEFAULT in names else names[0]
    if given.connection not in names:
        raise place.at("connection").wrong(
            f"is no connection{near(given.connection, names)}", accepted=", ".join(names)
        )
    return given.connection


def _check_connections(place: Place, teams: Sequence[Team], reached: Sequence[Connection]) -> None:
    first: dict[str, str] = {}
    for connection in reached:
        _name(place.at(connection.name), connection.name)
        if all(team.connection != connection.name for team in teams):
            raise place.at(connection.name).error(
                "is used by no team; name it in a team's connection, or remove it"
            )
        other = first.setdefault(connection.identity, connection.name)
        if other != connection.name:
            # Their parts would be one another's: what both ask for would be fetched, and stand, twice.
            raise place.at(connection.name).error(
                f"is the organisation of {other} too; give its teams the connection {other}"
            )


def _limits(place: Place, given: LimitsFile) -> Limits:
    give_up_after = _duration(place.at("give_up_after"), given.give_up_after, least=1000)
    request_timeout = _duration(place.at("request_timeout"), given.request_timeout, least=1000)
    if request_timeout >= give_up_after:  # no request would have a second attempt
        if place.at("request_timeout").node is None:
            raise place.at("give_up_after").wrong(
                "is no longer than one attempt",
                accepted=f"more than request_timeout, {request_timeout / 1000:g} s",
            )
        raise place.at("request_timeout").wrong(
            "leaves no time for another attempt",
            accepted=f"less than give_up_after, {give_up_after / 1000:g} s",
        )
    return Limits(
        concurrency=given.concurrency,
        max_attempts=given.max_attempts,
        give_up_after=give_up_after / 1000,
        request_timeout=request_timeout / 1000,
    )


def _duration(place: Place, text: str, *, least: int) -> int:
    """Read a duration into ms."""
    try:
        length = parse_duration(text)
    except ValueError:  # no cause: it would show what a ${VARIABLE} holds
        raise place.wrong(
            "is no ISO 8601 duration", accepted="durations such as PT30S, PT15M, PT12H, P4D"
        ) from None
    if length < least:
        raise place.wrong("is too short", accepted="PT1S and longer")
    return length


def _output(place: Place, given: OutputFile) -> Output:
    per_team = (
        None
        if isinstance(given.per_team, UnsetType)
        else _template(place.at("per_team"), given.per_team, "month", "team")
    )
    if per_team is not None and "{team}" not in per_team:
        raise place.at("per_team").wrong(
            "holds no {team}, so the teams would share one file; write for example exports/{team}.jsonl"
        )
    return Output(
        path=_template(place.at("path"), given.path, "month"),
        per_team=per_team,
        settle=_duration(place.at("settle"), given.settle, least=0),
    )


def _template(place: Place, text: str, *placeholders: str) -> str:
    bare = re.sub("|".join(rf"\{{{name}\}}" for name in placeholders), "x", text)
    if set(bare) & set("{}"):
        raise place.wrong(
            "holds a { or } that stands for nothing",
            accepted=" and ".join(f"{{{name}}}" for name in placeholders),
        )
    if text.startswith("~"):
        raise place.wrong(
            "begins with ~, which only a shell expands; write for example ${HOME}/exports/aht.jsonl"
        )
    if ".asyncreport" in map(str.casefold, Path(text).parts):
        raise place.wrong(
            "lies in a folder of state, whose files it might replace; give another path"
        )
    if not text.isprintable() or Path(bare).suffix not in FORMATS:
        raise place.wrong(
            "is no file of a known format",
            accepted=", ".join(f"{suffix} ({name})" for suffix, name in FORMATS.items()),
        )
    return text


def _check_files(place: Place, teams: Sequence[Team], output: Output) -> None:
    """Refuse files that would be one: some file systems tell neither case nor composed letters apart."""
    if output.per_team is None:
        return
    first: dict[str, int] = {}
    for n, team in enumerate(teams):
        if first.setdefault(_folded(team.name), n) != n:
            other = first[_folded(team.name)]
            raise place.at("teams", n, "name").wrong(
                f"would share a file with teams[{other}]; give it another name"
            )
        if _clash(output.per_team.replace("{team}", team.name), output.path):
            raise place.at("output", "per_team").wrong(
                f"gives teams[{n}] the file of output.path; change one of the two"
            )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _clash(one: str, other: str) -> bool:
    """Tell whether two paths are the same file in some month."""
    first, second = (_folded(os.path.normpath(path)) for path in (one, other))
    return any(
        re.fullmatch(
            re.escape(a).replace(re.escape("{month}"), r"\d{4}-\d\d"),
            b.replace("{month}", "2000-01"),
        )
        for a, b in ((first, second), (second, first))
    )
