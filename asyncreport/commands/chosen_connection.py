"""The connection that options choose: an emulator, a gateway, or one of a job file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from asyncreport.config import load_connection, load_job
from asyncreport.config.connections import DEFAULT
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Connection, Job


class ConnectionOptions(Struct, frozen=True, kw_only=True):
    """The options that name an organisation; empty if not given."""

    emulator: bool = False
    #: a gateway
    api_url: str = ""
    login_url: str = ""
    #: a job file, and the name of one of its connections
    job: Path | None = None
    connection: str = ""


def choose_connection(
    options: ConnectionOptions,
    *,
    command: str,
    environ: Mapping[str, str],
    now: int,
) -> Connection:
    """Give the connection that options choose, named `default`; else that of the environment.

    `command` is for messages, `now` an instant. Raise ConfigError for options that exclude each
    other, and as `load_job` does.
    """
    _check(options)
    if options.job is not None:
        job = load_job(options.job, environ=environ, now=now)
        return replace(_find(job, options), name=DEFAULT)
    labels = {
        "": f"asyncreport {command}",
        "connections.default.api_url": "--api-url",
        "connections.default.login_url": "--login-url",
    }
    return load_connection(_values(options, environ), labels=labels, environ=environ)


def _values(options: ConnectionOptions, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Describe the connection with the keys of a job file; None: the environment has it."""
    if options.emulator:
        return {"emulator": True}
    if options.api_url:
        return _gateway(options, environ)
    return None


def _check(options: ConnectionOptions) -> None:
    """Raise ConfigError for options that exclude each other, or need another one."""
    chosen = {
        "--emulator": options.emulator,
        "--api-url": options.api_url,
        "--job": options.job,
    }
    given = [name for name, value in chosen.items() if value]
    if len(given) > 1:
        raise ConfigError(f"{given[1]}: cannot be given together with {given[0]}; give one of them")
    if options.login_url and not options.api_url:
        raise ConfigError("--login-url: needs --api-url")
    if options.connection and not options.job:
        raise ConfigError("--connection: needs --job with a job file")


def _gateway(options: ConnectionOptions, environ: Mapping[str, str]) -> dict[str, Any]:
    """Describe a gateway with the client of the environment."""
    return {
        "api_url": options.api_url,
        "login_url": options.login_url or options.api_url,
        "client_id": _variable("GENESYS_CLIENT_ID", environ),
        "client_secret": _variable("GENESYS_CLIENT_SECRET", environ),
    }


def _variable(name: str, environ: Mapping[str, str]) -> str:
    """Give a variable that a gateway needs."""
    value = environ.get(name)
    if not value:
        raise ConfigError(
            f"--api-url: the variable {name} is not set or is empty; "
            "set it in the environment or in .env"
        )
    return value


def _find(job: Job, options: ConnectionOptions) -> Connection:
    """Find the connection that --connection names, or the only one."""
    names = [connection.name for connection in job.connections]
    if not options.connection and len(names) == 1:
        return job.connections[0]
    if options.connection in names:
        return job.connection(options.connection)
    given = options.connection or "nothing"
    raise ConfigError(
        f"--connection: must be a connection of {options.job}; "
        f"given: {given}; accepted: {', '.join(names)}"
    )
