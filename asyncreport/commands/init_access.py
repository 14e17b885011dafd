"""The organisation and the OAuth client of a new job file, and variables for them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

from msgspec import Struct

from asyncreport.config import regions
from asyncreport.core.secret import Secret

#: the usual names
ID_VARIABLE = "GENESYS_CLIENT_ID"
SECRET_VARIABLE = "GENESYS_CLIENT_SECRET"  # noqa: S105 - a name
REGION_VARIABLE = "GENESYS_ENV"

#: what browsers and tools of the vendor have in front of a region's domain
_FIRST_LABELS = ("apps.", "api.", "login.")


class Variables(Struct, frozen=True):
    """The variables that a job file can use."""

    #: of the process: they take precedence
    process: Mapping[str, str]
    #: of the file `.env`
    file: Mapping[str, str]

    @property
    def all(self) -> dict[str, str]:
        """Give all variables, as commands on a job see them."""
        return {**self.file, **self.process}

    def get(self, name: str) -> str:
        """Give the value of a variable; empty if it is not set."""
        return self.all.get(name, "")

    def can_be(self, name: str, value: str) -> bool:
        """Tell whether a variable has a value, or gets it if the file has it in its last line."""
        if name in self.process:
            return self.process[name] == value
        return self.file.get(name, "") in ("", value)


class Client(NamedTuple):
    """An OAuth client, and the variables that hold it."""

    client_id: str
    client_secret: Secret
    id_variable: str
    secret_variable: str

    @property
    def variables(self) -> dict[str, str]:
        """Give its values by the names of its variables."""
        return {
            self.id_variable: self.client_id,
            self.secret_variable: self.client_secret.reveal(),
        }


def known_client(client_id: str, secret: str, variables: Variables) -> tuple[str, str]:
    """Give the id and the secret that options or variables give; empty if nothing does.

    A secret of the variables belongs to the id of the variables only.
    """
    set_id = variables.get(ID_VARIABLE)
    client_id = client_id or set_id
    if not secret and set_id in ("", client_id):
        secret = variables.get(SECRET_VARIABLE)
    return client_id, secret


def named(client_id: str, client_secret: str, variables: Variables) -> Client:
    """Choose variables for a client: the usual names, unless they hold another client."""
    for number in count(1):
        names = _names(number)
        if all(map(variables.can_be, names, (client_id, client_secret))):
            return Client(client_id, Secret(client_secret), *names)
    raise AssertionError


def _names(number: int) -> tuple[str, str]:
    """Give the names of the variables of the first client, the second, and so on."""
    if number == 1:
        return ID_VARIABLE, SECRET_VARIABLE
    return f"GENESYS_{number}_CLIENT_ID", f"GENESYS_{number}_CLIENT_SECRET"


def missing_variables(
    client: Client,
    hosts: Mapping[str, str],
    variables: Variables,
) -> dict[str, str]:
    """Give the variables of a client that are not set yet, with their values.

    With a client of the usual names comes its region: `query` and `list` look for all three.
    """
    wanted = client.variables
    missing = {name: wanted[name] for name in wanted if variables.get(name) != wanted[name]}
    is_usual = client.id_variable == ID_VARIABLE
    if missing and is_usual and "region" in hosts and not variables.get(REGION_VARIABLE):
        missing[REGION_VARIABLE] = hosts["region"]
    return missing


def read_hosts(text: str) -> dict[str, str]:
    """Read a region, the address of a page of Genesys Cloud, or the URL of a gateway.

    Give keys of a connection, which are not checked.
    """
    region = regions.find(_domain(text))
    if regions.hosts(region) is not None:
        return {"region": region}
    if "/" in text or ":" in text:
        return {"api_url": text, "login_url": text}
    return {"region": text}


def api_url(hosts: Mapping[str, str]) -> str:
    """Give the URL that keys of a connection lead to, which were checked."""
    urls = regions.hosts(hosts.get("region", ""))
    if urls is None:
        return hosts["api_url"]
    return urls[0]


def described(hosts: Mapping[str, str]) -> list[str]:
    """Say which region and which host keys of a connection mean."""
    lines = [f"host: {api_url(hosts)}"]
    if "region" in hosts:
        lines.insert(0, regions.described(hosts["region"]))
    return lines


def _domain(text: str) -> str:
    """Find what may be the domain of a region in an address."""
    host = text.lower().removeprefix("https://").partition("/")[0]
    for label in _FIRST_LABELS:
        host = host.removeprefix(label)
    return host
