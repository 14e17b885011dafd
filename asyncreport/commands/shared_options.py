"""Options that several commands share. Owns nothing: click keeps what was chosen.

Messages are written as the options say from the moment when they are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from asyncreport.core.errors import AsyncReportError
from asyncreport.terminal.stderr import show_messages

F = TypeVar("F", bound=Callable[..., Any])


def _choose_messages(context: click.Context, option: click.Parameter, value: str | None) -> None:
    """Write messages as an option says, together with the options before it."""
    chosen = context.meta.setdefault("asyncreport.messages", {})
    if value is not None:
        chosen[option.name] = value
        show_messages(**chosen)


# All of them before the other options, so that the errors of those are written in the same way.
_verbose = click.option(
    "-v",
    "--verbose",
    "amount",
    flag_value="verbose",
    is_eager=True,
    expose_value=False,
    callback=_choose_messages,
    help="Show each retry, all lines of long lists, and the traceback of an error.",
)
_quiet = click.option(
    "-q",
    "--quiet",
    "amount",
    flag_value="quiet",
    is_eager=True,
    expose_value=False,
    callback=_choose_messages,
    help="Show warnings and errors only.",
)
_log_format = click.option(
    "--log-format",
    "form",
    type=click.Choice(["text", "json"]),
    is_eager=True,
    expose_value=False,
    callback=_choose_messages,
    help="Write messages as text (default), or as one JSON object a line.",
)


def message_options(command: F) -> F:
    """Add the options that say how messages are written."""
    return _verbose(_quiet(_log_format(command)))


ENV_FILE = "asyncreport.env_file"


def _change_folder(_: click.Context, __: click.Parameter, folder: Path | None) -> None:
    """Go to a folder, as `cd` would have done before the command."""
    if folder is not None:
        os.chdir(folder)


def _choose_env_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Remember the file of variables for `_environ`."""
    if path is not None:
        context.meta[ENV_FILE] = path


# Both before the other options, whose paths are relative to the folder.
_folder = click.option(
    "-C",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_change_folder,
    help="Run as if started in this folder.",
)
_env_file = click.option(
    "--env-file",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_choose_env_file,
    help="A file of variables instead of .env; the environment takes precedence.",
)


def place_options(command: F) -> F:
    """Add the options that say where files are; they may also be in front of the command."""
    return _folder(_env_file(command))


partial_option = click.option(
    "--allow-partial",
    is_flag=True,
    help="Write the output even if chunks are missing; the summary lists them.",
)


def json_result(command: F) -> F:
    """Add the option --json; with it, an error is an object on stdout too."""
    option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

    @wraps(command)
    def execute(*, as_json: bool, **arguments: Any) -> Any:
        try:
            return command(as_json=as_json, **arguments)
        except AsyncReportError as error:
            if as_json:
                # Only here: `--help` loads no more than it must.
                from asyncreport.terminal.stdout import show_error

                show_error(error)
            raise

    return option(cast("F", execute))


overridable = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a key of the job file: --set range.end=today.",
)


def job_arguments(command: F) -> F:
    """Add the arguments that all commands on a job share."""
    job = click.argument("job", metavar="JOB", type=click.Path(path_type=Path))
    return overridable(place_options(job(message_options(command))))


def read_share(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """Read `3/16`: the third of sixteen shares; raise BadParameter."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise click.BadParameter(f"{text!r} is not a share such as 3/16: the third of sixteen")
    return int(found[1]), int(found[2])


_api_url = click.option(
    "--api-url", default="", metavar="URL", help="A gateway, or the url of `emulate`."
)
_login_url = click.option(
    "--login-url",
    default="",
    metavar="URL",
    help="The login host of the gateway; default: the same as --api-url.",
)


def gateway_options(command: F) -> F:
    """Add the options that name the hosts of a gateway."""
    return _api_url(_login_url(command))


_job = click.option(
    "--job", type=click.Path(path_type=Path), help="Use a connection of this job file."
)
_connection = click.option(
    "--connection",
    default="",
    metavar="NAME",
    help="Which connection of --job; may be left out if there is only one.",
)


def read_cluster(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Read `tcp://scheduler:8786`, or `local:4`: four processes; raise BadParameter."""
    if text is None or re.fullmatch(r"local:[1-9][0-9]{0,2}|[a-z]+://.+", text):
        return text
    raise click.BadParameter(f"{text!r} is not a cluster such as tcp://scheduler:8786 or local:4")


def connection_options(command: F) -> F:
    """Add the options that choose an organisation: a gateway, or a connection of a job file."""
    return gateway_options(_job(_connection(command)))
