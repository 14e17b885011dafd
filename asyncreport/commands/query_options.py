"""Turn the options of `asyncreport query` and the environment into a job. Owns nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncreport.commands.chosen_connection import ConnectionOptions, choose_connection
from asyncreport.commands.team_names import TeamNames
from asyncreport.config import load_options
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job

#: what messages call the keys of the job: the options that give their values
_LABELS = {
    "": "asyncreport query",
    "range.granularity": "--granularity",
    "range.time_zone": "--time-zone",
    "contract": "--contract",
    "occupancy": "--occupancy",
}


class QueryOptions(ConnectionOptions, frozen=True, kw_only=True):
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
    }
    connection = choose_connection(options, command="query", environ=environ, now=now)
    labels = _labels(start, end, teams)
    return load_options(values, labels=labels, environ=environ, now=now, connection=connection)


def _range(options: QueryOptions, start: _Value, end: _Value) -> dict[str, Any]:
    """Give the range of the job."""
    return {
        "start": start.value,
        "end": end.value,
        "granularity": options.granularity,
        "time_zone": options.time_zone,
    }


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
    names = TeamNames()
    teams = [_Value(_selected_team(team, names), "--team") for team in options.teams]
    users = _users(options, environ)
    if users.value:
        team = {"name": names.choose("users", None), "users": users.value}
        teams.append(_Value(team, users.label))
    elif not teams:
        teams.append(_Value({"name": "everyone", "everyone": True}, _LABELS[""]))
    return teams


def _selected_team(team: str, names: TeamNames) -> dict[str, str]:
    """Describe a Genesys team, by id or exact name, as a team of a job."""
    name = names.choose(team, team)
    return {"name": name, "team": team}


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
