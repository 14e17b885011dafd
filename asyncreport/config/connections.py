"""The connections of a job: regions, gateways, credentials, emulators. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from msgspec import UNSET, UnsetType

from asyncreport.config import regions
from asyncreport.config.credentials import check_credential
from asyncreport.config.environ import variables_of
from asyncreport.config.names import first_repeat
from asyncreport.config.proxies import environment_proxy, parse_proxy
from asyncreport.config.schema import (
    ClientFile,
    ConnectionFile,
    EmulatorFile,
    convert_connection,
    unset_to_none,
)
from asyncreport.config.urls import is_loopback, split_url
from asyncreport.config.validate import Place, did_you_mean
from asyncreport.core.authorities import Authorities
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Client, Connection, EmulatorSize
from asyncreport.core.secret import Secret

#: the connection of a team that names none
DEFAULT = "default"

_HOSTS = "a connection needs region, or api_url and login_url, or emulator"
_GATEWAY = "https://HOST[:PORT][/PATH] without credentials, query or fragment"


def resolve_connections(
    place: Place,
    given: dict[str, ConnectionFile] | None,
    environ: Mapping[str, str],
) -> tuple[Connection, ...]:
    """Resolve the section `connections`; without it, use the variables of the environment.

    Raise ConfigError for a connection that is incomplete or has keys that exclude each other.
    """
    if given is None:
        return (_from_environment(place, environ),)
    if not given:
        raise _no_connection(place)
    connections = []
    for name, connection in given.items():
        connections.append(
            _connection(
                place.at(name),
                name,
                connection,
                environ,
            )
        )
    return tuple(connections)


def resolve_connection(section: Place, name: str, environ: Mapping[str, str]) -> Connection:
    """Resolve one connection of a section; without a section, the one in the environment.

    Raise ConfigError as `resolve_connections` does.
    """
    given = None
    node = section.at(name).node
    if node is not None:
        given = {name: convert_connection(node)}
    (connection,) = resolve_connections(section, given, environ)
    return connection


def _no_connection(place: Place) -> ConfigError:
    """Make the error for a job without any organisation."""
    return place.error(
        "is empty; add a connection, or remove the key "
        "to use GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET"
    )


def _from_environment(place: Place, environ: Mapping[str, str]) -> Connection:
    """Build the connection of a job file that has none."""
    client = _environment_client(place, environ)
    api_url, login_url = _environment_hosts(place, environ)
    return Connection(
        name=DEFAULT,
        api_url=api_url,
        login_url=login_url,
        clients=(client,),
        proxy=environment_proxy(place, api_url, environ),
        authorities=_authorities(environ),
    )


def _authorities(environ: Mapping[str, str]) -> Authorities:
    """Give whom connections trust; the variables may be in `.env`, which OpenSSL does not read."""
    return Authorities(
        file=environ.get("SSL_CERT_FILE", ""),
        folder=environ.get("SSL_CERT_DIR", ""),
    )


def _environment_client(place: Place, environ: Mapping[str, str]) -> Client:
    """Read the client of the environment."""
    client_id = _variable(place, "GENESYS_CLIENT_ID", environ)
    secret = _variable(place, "GENESYS_CLIENT_SECRET", environ)
    names = ("GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET")
    return Client(client_id=client_id, client_secret=Secret(secret, names))


def _variable(
    place: Place,
    name: str,
    environ: Mapping[str, str],
) -> str:
    """Give a variable that must be set; the error does not show the value of any."""
    value = environ.get(name)
    if not value:
        raise place.error(
            f"is missing, and the variable {name} is not set or is empty; "
            "set it in the environment or in .env"
        )
    check_credential(place, value, name)
    return value


def _environment_hosts(place: Place, environ: Mapping[str, str]) -> tuple[str, str]:
    """Give the URLs of the region that GENESYS_ENV names."""
    region = environ.get("GENESYS_ENV") or regions.DEFAULT
    urls = regions.hosts(_bare_host(region))
    if urls is None:
        raise place.error(
            "is missing, and the variable GENESYS_ENV is not a region",
            accepted=regions.ACCEPTED,
        )
    return urls


def _bare_host(region: str) -> str:
    """Give the region of a host or its URL, which other tools of the vendor take."""
    host = region.lower().removeprefix("https://")
    return host.removeprefix("api.").rstrip("/")


def _connection(
    place: Place,
    name: str,
    given: ConnectionFile,
    environ: Mapping[str, str],
) -> Connection:
    """Resolve one connection of the job file."""
    if given.emulator:
        return _emulator(place, name, given)
    api_url, login_url = _hosts(place, given)
    return Connection(
        name=name,
        api_url=api_url,
        login_url=login_url,
        clients=_clients(place, given),
        requests_per_minute=given.requests_per_minute,
        proxy=_proxy(place, given, api_url, environ),
        authorities=_authorities(environ),
    )


def _proxy(
    place: Place,
    given: ConnectionFile,
    api_url: str,
    environ: Mapping[str, str],
) -> Secret | None:
    """Choose the proxy: of the job file, else of the environment; None: a direct connection."""
    proxy = unset_to_none(given.proxy)
    if proxy is None:
        return environment_proxy(place, api_url, environ)
    return parse_proxy(place.at("proxy"), proxy)


#: keys of hosts and credentials, which an emulator has no use for
_NOT_WITH_EMULATOR = (
    "region",
    "api_url",
    "login_url",
    "client_id",
    "client_secret",
    "clients",
    "proxy",
)


def _emulator(
    place: Place,
    name: str,
    given: ConnectionFile,
) -> Connection:
    """Resolve a connection to an emulator that a run starts."""
    _check_absent(
        place,
        given,
        _NOT_WITH_EMULATOR,
        other="emulator",
    )
    return Connection(
        name=name,
        emulator=_emulator_size(given.emulator),
        requests_per_minute=given.requests_per_minute,
    )


def _check_absent(
    place: Place,
    given: ConnectionFile,
    keys: Sequence[str],
    *,
    other: str,
) -> None:
    """Refuse keys that cannot be combined with another key, which the file has."""
    for key in keys:
        if getattr(given, key) is not UNSET:
            raise place.at(key).not_with(other)


def _emulator_size(given: bool | EmulatorFile) -> EmulatorSize:
    """Read `emulator: true` or its mapping."""
    if not isinstance(given, EmulatorFile):
        return EmulatorSize()
    return EmulatorSize(
        agents=given.agents,
        seed=given.seed,
        clients=given.clients,
    )


def _clients(place: Place, given: ConnectionFile) -> tuple[Client, ...]:
    """Read the one OAuth client of a connection, or all in its list."""
    several = unset_to_none(given.clients)
    if several is None:
        return (_client(place, given),)
    _check_absent(
        place,
        given,
        ("client_id", "client_secret"),
        other="clients",
    )
    return _several_clients(place.at("clients"), several)


def _several_clients(place: Place, given: Sequence[ClientFile]) -> tuple[Client, ...]:
    """Read the clients of a list."""
    clients = tuple(_client(place.at(n), client) for n, client in enumerate(given))
    _check_client_ids(place, clients)
    return clients


def _check_client_ids(place: Place, clients: Sequence[Client]) -> None:
    """Refuse one id twice: the server would count both lanes against one rate limit."""
    repeat = first_repeat(client.client_id.strip().lower() for client in clients)
    if repeat:
        number, earlier = repeat
        raise place.at(number, "client_id").must(
            f"differ from clients[{earlier}].client_id",
            "; use another OAuth client, or remove it",
        )


def _client(place: Place, given: ConnectionFile | ClientFile) -> Client:
    """Read one client."""
    id_place, secret_place = place.at("client_id"), place.at("client_secret")
    client_id = _client_id(id_place, given)
    secret = _client_secret(secret_place, given)
    names = variables_of(id_place, secret_place)
    return Client(client_id=client_id, client_secret=Secret(secret.reveal(), names))


def _client_id(place: Place, given: ConnectionFile | ClientFile) -> str:
    """Read the id of an OAuth client; an empty variable makes an empty text."""
    client_id = unset_to_none(given.client_id)
    if client_id is None or not client_id.strip():
        raise _no_credential(
            place,
            "id",
            "${GENESYS_CLIENT_ID}",
        )
    check_credential(place, client_id)
    return client_id


def _client_secret(place: Place, given: ConnectionFile | ClientFile) -> Secret:
    """Read the secret of an OAuth client; an empty variable makes an empty text."""
    secret = unset_to_none(given.client_secret)
    if secret is None or not secret.reveal().strip():
        raise _no_credential(
            place,
            "secret",
            "${GENESYS_CLIENT_SECRET}",
        )
    check_credential(place, secret.reveal())
    return secret


def _no_credential(
    place: Place,
    noun: str,
    variable: str,
) -> ConfigError:
    """Make the error for an id or a secret that is missing."""
    return place.error(
        f"is missing or empty; write the OAuth client's {noun}, or {variable} and set this variable"
    )


def _hosts(place: Place, given: ConnectionFile) -> tuple[str, str]:
    """Give the URLs of a connection's API and login hosts."""
    region = unset_to_none(given.region)
    if region is None:
        return _gateway_hosts(place, given)
    if _has_gateway(given):
        raise place.at("region").not_with("api_url and login_url")
    return _region_hosts(place.at("region"), region)


def _has_gateway(given: ConnectionFile) -> bool:
    """Tell whether a connection has at least one URL of a gateway."""
    return given.api_url is not UNSET or given.login_url is not UNSET


def _gateway_hosts(place: Place, given: ConnectionFile) -> tuple[str, str]:
    """Give the URLs of a gateway; both must be there."""
    if not _has_gateway(given):
        raise place.at("region").error(f"is missing; {_HOSTS}")
    allow_http = given.allow_http
    return (
        _gateway(
            place.at("api_url"),
            given.api_url,
            allow_http=allow_http,
        ),
        _gateway(
            place.at("login_url"),
            given.login_url,
            allow_http=allow_http,
        ),
    )


def _region_hosts(place: Place, name: str) -> tuple[str, str]:
    """Give the hosts of a region; raise ConfigError for another word."""
    urls = regions.hosts(name)
    if urls is None:
        error = place.must(
            "be a region",
            did_you_mean(name, regions.NAMES),
            accepted=regions.ACCEPTED,
        )
        error.add_note(regions.ALL)
        raise error
    return urls


def _gateway(
    place: Place,
    text: str | UnsetType,
    *,
    allow_http: bool,
) -> str:
    """Check the URL of a gateway; give it without a slash at its end."""
    if isinstance(text, UnsetType):
        raise place.error(f"is missing; {_HOSTS}")
    url = split_url(text)
    if url is None or _has_extras(text):
        raise place.must("be the URL of a gateway", accepted=_GATEWAY)
    if not allow_http:
        _check_encrypted(place, url)
    return text.rstrip("/")


def _check_encrypted(place: Place, url: SplitResult) -> None:
    """Refuse http to another machine."""
    if url.scheme == "http" and not is_loopback(url):
        raise place.must(
            "start with https://",
            "; http would send the client's secret unencrypted; to allow it, set allow_http: true",
        )


def _has_extras(text: str) -> bool:
    """Tell whether a URL has a query or a fragment, even an empty one, or credentials."""
    host = urlsplit(text).netloc
    return "?" in text or "#" in text or "@" in host
