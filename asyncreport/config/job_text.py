"""Writes a job file with comments, for somebody who has not read about job files. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from asyncreport.config import yaml
from asyncreport.core.text import one_line

#: the keys that select the users of a team
Selection = Literal["team", "group", "queue", "users", "everyone"]

#: characters of a comment that comes from a server
_COMMENT_SHOWN = 60
#: where comments begin, if there is room in front of them
_COMMENT_COLUMN = 34

#: text that needs no quotes, if it is not also a word such as `null`, or a number
_PLAIN = re.compile(r"[^\W_](?:[\w ./+@-]|:(?=[\w/]))*")
#: what readers of YAML 1.1 take for booleans; ours takes them for text
_OLD_BOOLEANS = {"y", "n", "yes", "no", "on", "off"}


class Selected(Struct, frozen=True):
    """A value that selects users: an id, or an exact name; and a comment behind it."""

    value: str
    comment: str = ""


class TeamDraft(Struct, frozen=True, kw_only=True):
    """A team of a job: who is in it, and its name in the records."""

    name: str
    selection: Selection
    #: empty for everyone; only users may be several
    selected: tuple[Selected, ...] = ()


class JobDraft(Struct, frozen=True, kw_only=True):
    """What a job file asks for, as text that is not checked yet."""

    name: str
    #: `region`, or `api_url` and `login_url`
    hosts: Mapping[str, str]
    #: the URLs may start with http://
    allow_http: bool = False
    #: None: the vendor's usual limit
    requests_per_minute: int | None = None
    #: names of variables
    id_variable: str
    secret_variable: str
    start: str
    end: str
    time_zone: str
    granularity: str
    teams: tuple[TeamDraft, ...]
    path: str


def job_values(draft: JobDraft, client_id: str, client_secret: str) -> dict[str, Any]:
    """Give the job as plain values with the shape of the file, with its credentials in them."""
    connection: dict[str, Any] = {
        **draft.hosts,
        "client_id": client_id,
        "client_secret": client_secret,
        "allow_http": draft.allow_http,
    }
    if draft.requests_per_minute is not None:
        connection["requests_per_minute"] = draft.requests_per_minute
    return {
        "name": draft.name,
        "connections": {"default": connection},
        "range": {
            "start": draft.start,
            "end": draft.end,
            "time_zone": draft.time_zone,
            "granularity": draft.granularity,
        },
        "teams": [_team_values(team) for team in draft.teams],
        "output": {"path": draft.path},
    }


def _team_values(team: TeamDraft) -> dict[str, Any]:
    """Give a team as plain values."""
    values = [each.value for each in team.selected]
    if team.selection == "everyone":
        return {"name": team.name, "everyone": True}
    if team.selection == "users":
        return {"name": team.name, "users": values}
    return {"name": team.name, team.selection: values[0]}


def job_text(draft: JobDraft) -> str:
    """Write the job file; a job that is read from it is the one of `job_values`."""
    sections = (
        _head(draft),
        _connection(draft),
        _range(draft),
        _teams(draft.teams),
        _output(draft.path),
        _MORE,
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _head(draft: JobDraft) -> list[str]:
    """Write the first lines."""
    return [
        "# Made by `asyncreport init`. Change it as you like: `asyncreport check` finds mistakes.",
        "# docs/job-file.md describes every key.",
        _line("name: " + quoted(draft.name), "with another name, everything is fetched again"),
    ]


def _connection(draft: JobDraft) -> list[str]:
    """Write the section `connections`."""
    hosts = [f"    {key}: {quoted(value)}" for key, value in draft.hosts.items()]
    if draft.allow_http and "api_url" in draft.hosts:
        hosts.append(_line("    allow_http: true", "the secret is sent unencrypted"))
    return [
        "connections:",
        "  default:",
        *hosts,
        "    # the values of these variables are in .env, or in the environment",
        f"    client_id: ${{{draft.id_variable}}}",
        f"    client_secret: ${{{draft.secret_variable}}}",
        _rate(draft.requests_per_minute),
    ]


def _rate(requests_per_minute: int | None) -> str:
    """Write the rate limit; the usual one as a comment."""
    key = f"    requests_per_minute: {requests_per_minute}"
    if requests_per_minute is None:
        key = "    # requests_per_minute: 300"
    return _line(key, "`asyncreport check` says what the server allows")


def _range(draft: JobDraft) -> list[str]:
    """Write the section `range`."""
    return [
        "range:",
        _line("  start: " + quoted(draft.start), "a date, or a day that moves: last_month"),
        _line("  end: " + quoted(draft.end), "not part of the range"),
        _line("  time_zone: " + quoted(draft.time_zone), "days begin at midnight there"),
        _line("  granularity: " + quoted(draft.granularity), "PT15M, PT30M, PT1H, P1D, P1W, P1M"),
    ]


def _teams(teams: Sequence[TeamDraft]) -> list[str]:
    """Write the section `teams`."""
    lines = ["teams:"]
    for team in teams:
        lines.append("  - name: " + quoted(team.name))
        lines += _selection(team)
    return lines


def _selection(team: TeamDraft) -> list[str]:
    """Write how the users of a team are selected."""
    if team.selection == "everyone":
        return ["    everyone: true"]
    if team.selection == "users":
        return ["    users:", *map(_user, team.selected)]
    one = team.selected[0]
    return [_line(f"    {team.selection}: {quoted(one.value)}", one.comment)]


def _user(user: Selected) -> str:
    """Write one of the users of a team."""
    return _line("      - " + quoted(user.value), user.comment)


def _output(path: str) -> list[str]:
    """Write the section `output`."""
    lines = [
        "output:",
        "  # the ending is the format: .jsonl .csv .xlsx .parquet",
        f"  path: {quoted(path)}",
    ]
    if path.endswith(".csv"):
        lines.append(
            "  # csv: {delimiter: ';', decimal: ',', bom: true}   # for Excel in most of Europe"
        )
    return lines


_MORE = (
    "# More, without the # in front of the key:",
    "# split_by: [media_type, queue_id]   # one record for each; not with occupancy",
    "# occupancy: true                    # adds the time in routing statuses",
)


def _line(text: str, comment: str) -> str:
    """Put a comment behind a line."""
    if not comment:
        return text
    return f"{text:<{_COMMENT_COLUMN}} # {one_line(comment, _COMMENT_SHOWN)}"


def quoted(text: str) -> str:
    """Write a text as a value of a job file, in quotes if it needs them."""
    literal = text.replace("${", "$${")
    if _is_plain(literal):
        return literal
    # A text of JSON is one of YAML too, once all that is not printable is escaped.
    quotes = json.dumps(literal, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quotes)


def _is_plain(text: str) -> bool:
    """Tell whether a text without quotes is read as this text."""
    if not _PLAIN.fullmatch(text) or text.strip() != text or text.lower() in _OLD_BOOLEANS:
        return False
    return yaml.read(text, "").value == text
