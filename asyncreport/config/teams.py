"""The teams of a job: how each selects its users, and its connection. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Literal

from msgspec import UNSET

from asyncreport.config.connections import DEFAULT
from asyncreport.config.names import (
    check_distinct,
    check_name,
    first_repeat,
    parse_id,
    parse_users,
)
from asyncreport.config.schema import TeamFile, unset_to_none
from asyncreport.config.validate import Place, did_you_mean
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Connection, Selector, Team
from asyncreport.core.text import shorten

#: of `connections`: every connection of the job
_ALL = "all"

#: characters of the names in an error
_MAX_NAMES = 300


def resolve_teams(
    place: Place,
    given: Sequence[TeamFile],
    connections: Sequence[Connection],
) -> tuple[Team, ...]:
    """Read the teams; their names differ, and each has one selector.

    A team of several connections becomes one team on each, in the order of the connections.
    """
    names = [connection.name for connection in connections]
    teams = [_teams(place.at(n), team, names) for n, team in enumerate(given)]
    _check_team_names(place, given)
    _check_everyone(place, teams)
    return tuple(chain.from_iterable(teams))


def _check_team_names(place: Place, given: Sequence[TeamFile]) -> None:
    """Refuse two teams of the same name: records and files identify a team by its name."""
    repeat = first_repeat(team.name for team in given)
    if repeat:
        number, earlier = repeat
        raise place.at(number, "name").must(f"differ from teams[{earlier}].name")


def _check_everyone(place: Place, teams: Sequence[Sequence[Team]]) -> None:
    """Refuse two teams of everyone on one connection: each record would be written twice."""
    of_everyone: dict[str, int] = {}
    for number, expanded in enumerate(teams):
        for team in expanded:
            if team.everyone and of_everyone.setdefault(team.connection, number) != number:
                raise _everyone_again(place.at(number), of_everyone[team.connection])


def _everyone_again(place: Place, earlier: int) -> ConfigError:
    """Make the error for a second team of everyone."""
    return place.error(
        f"selects everyone, as teams[{earlier}] does; "
        "give it users, group, team or queue, or remove one of the two"
    )


def _teams(
    place: Place,
    given: TeamFile,
    connections: Sequence[str],
) -> list[Team]:
    """Read a team, once for each of its connections; `connections` are those of the job."""
    # First: if a selector is missing, the name is often wrong too.
    _check_selection(place, given)
    check_name(place.at("name"), given.name)
    users, emails = parse_users(place.at("users"), unset_to_none(given.users))
    selector = _selector(place, given)
    chosen = _connections_of(place, given, connections)
    return [
        Team(
            name=given.name,
            connection=connection,
            everyone=given.everyone,
            users=users,
            emails=emails,
            selector=selector,
            one_of_several=len(chosen) > 1,
        )
        for connection in chosen
    ]


_KINDS: tuple[Literal["group", "team", "queue"], ...] = ("group", "team", "queue")
_NEEDS = "a team needs users, group, team, queue or everyone: true"


def _check_selection(place: Place, given: TeamFile) -> None:
    """Refuse a team with no selection or with two: it might export the wrong people."""
    keys = [key for key in ("users", *_KINDS) if getattr(given, key) is not UNSET]
    if given.everyone:
        keys.append("everyone")
    if not keys:
        raise _no_selection(place)
    if len(keys) > 1:
        raise place.at(keys[1]).not_with(keys[0])


def _no_selection(place: Place) -> ConfigError:
    """Report a team without a selection; YAML reads a list without its key into the name."""
    name = place.at("name").node
    if name is not None and name.is_continued:
        return place.error(
            "selects no users, and its name continues on the next line; "
            f"write the missing key, such as users:, before that line; {_NEEDS}"
        )
    return place.error(f"selects no users; {_NEEDS}")


def _selector(place: Place, given: TeamFile) -> Selector | None:
    """Read the group, team or queue that is selected; None for listed users and for everyone."""
    for kind in _KINDS:
        value = unset_to_none(getattr(given, kind))
        if value is not None:
            return Selector(kind=kind, value=parse_id(place.at(kind), value))
    return None


def _connections_of(place: Place, given: TeamFile, names: Sequence[str]) -> Sequence[str]:
    """Choose the connections of a team; `names` are those of the job."""
    one, several = unset_to_none(given.connection), unset_to_none(given.connections)
    if several is not None:
        _check_several(place, given)
        return _several_connections(place.at("connections"), several, names)
    if one is None:
        return [_default_connection(place.at("connection"), names)]
    _check_connection(place.at("connection"), one, names)
    return [one]


def _check_several(place: Place, given: TeamFile) -> None:
    """Refuse keys that belong to one connection."""
    if given.connection is not UNSET:
        raise place.at("connections").not_with("connection")
    if given.users is not UNSET:
        raise place.at("connections").not_with("users", ": a user belongs to one organisation")


def _several_connections(
    place: Place, given: str | Sequence[str], names: Sequence[str]
) -> Sequence[str]:
    """Read a list of connections, or `all`; give them in the order of the job."""
    if given == _ALL:
        return names
    if isinstance(given, str):
        raise place.must("be all, or a list of connections", accepted=_some(names))
    if not given:
        raise place.error("is empty; write at least one connection, or all")
    for number, name in enumerate(given):
        _check_connection(place.at(number), name, names)
    check_distinct(place, given)
    return [name for name in names if name in given]


def _check_connection(place: Place, name: str, names: Sequence[str]) -> None:
    """Refuse a connection that the job does not have."""
    if name not in names:
        raise _unknown_connection(place, name, names)


def _unknown_connection(
    place: Place,
    name: str,
    names: Sequence[str],
) -> ConfigError:
    """Make the error for a connection that the job does not have."""
    hint = " (for every one write 'connections: all')" if name == _ALL else ""
    return place.must(
        "be a connection",
        hint or did_you_mean(name, names),
        accepted=_some(names),
    )


def _default_connection(place: Place, names: Sequence[str]) -> str:
    """Choose the connection named default, else the only one."""
    if DEFAULT in names:
        return DEFAULT
    if len(names) > 1:
        raise place.error(
            "is missing, and no connection is named default",
            accepted=_some(names),
        )
    return names[0]


def _some(names: Sequence[str]) -> str:
    """List connections in an error: a job may have hundreds."""
    return shorten(", ".join(names), _MAX_NAMES)
