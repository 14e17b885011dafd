"""The options of `asyncreport init`. Pure."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from asyncreport.core.errors import ConfigError
from asyncreport.core.secret import Secret


class InitOptions(Struct, frozen=True, kw_only=True):
    """The options of `asyncreport init`; empty if not given."""

    #: the job file to write
    job: Path = Path("job.yaml")
    region: str = ""
    #: a gateway, instead of a region
    api_url: str = ""
    login_url: str = ""
    allow_http: bool = False
    client_id: str = ""
    client_secret: Secret = Secret("")
    #: ids or exact names
    teams: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    #: ids or e-mail addresses
    users: tuple[str, ...] = ()
    everyone: bool = False
    start: str = ""
    end: str = ""
    time_zone: str = ""
    granularity: str = ""
    #: ending of the output file
    format: str = ""
    #: path of the output file
    output: str = ""

    @property
    def address(self) -> str:
        """Give the region or the URL of a gateway."""
        return self.region or self.api_url


def check_options(options: InitOptions) -> None:
    """Raise ConfigError for options that exclude each other, or need another one."""
    if options.region and options.api_url:
        raise ConfigError("--api-url: cannot be given together with --region; give one of them")
    if options.login_url and not options.api_url:
        raise ConfigError("--login-url: needs --api-url")
    if options.format and options.output:
        raise ConfigError(
            "--format: cannot be given together with --output, whose ending is the format; "
            "give one of them"
        )
