"""The teams of a job: how each selects its users, and its connection. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import UNSET

from asyncreport.config.connections import DEFAULT
from asyncreport.config.names import check_name, first_repeat, parse_id, parse_users
from asyncreport.config.schema import TeamFile, unset_to_none
from asyncreport.config.validate import Place, did_you_mean
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Connection, Selector, Team


def resolve_teams(
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
    """Make the error for a connection that the job does not have."""
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
