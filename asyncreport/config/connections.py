"""The connections of a job: regions, gateways, credentials, emulators. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from asyncreport.config import regions
from asyncreport.config.names import first_repeat
from asyncreport.config.proxies import environment_proxy, parse_proxy
from asyncreport.config.schema import ClientFile, ConnectionFile, EmulatorFile, unset_to_none
from asyncreport.config.urls import is_loopback, split_url
from asyncreport.config.validate import Place, did_you_mean
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Client, Connection, EmulatorSize, Secret

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
        raise place.error(
            "is empty; add a connection, or remove the key "
            "to use GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET"
        )
    return tuple(
        _connection(place.at(name), name, connection, environ) for name, connection in given.items()
    )


def _from_environment(place: Place, environ: Mapping[str, str]) -> Connection:
    client = Client(
        client_id=_variable(place, "GENESYS_CLIENT_ID", environ),
        client_secret=Secret(_variable(place, "GENESYS_CLIENT_SECRET", environ)),
    )
    api_url, login_url = _environment_hosts(place, environ)
    return Connection(
        name=DEFAULT,
        api_url=api_url,
        login_url=login_url,
        clients=(client,),
        proxy=environment_proxy(place, api_url, environ),
    )


def _variable(place: Place, name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if not value:
        raise place.error(
            f"is missing, and the variable {name} is not set or is empty; "
            "set it in the environment or in .env"
        )
    return value


def _environment_hosts(place: Place, environ: Mapping[str, str]) -> tuple[str, str]:
    region = environ.get("GENESYS_ENV") or regions.DEFAULT
    # Other tools of the vendor take a host or its URL here.
    region = region.lower().removeprefix("https://").removeprefix("api.").rstrip("/")
    urls = regions.hosts(region)
    if urls is None:
        raise place.error(
            "is missing, and the variable GENESYS_ENV is not a region",
            accepted=regions.ACCEPTED,
        )
    return urls


def _connection(
    place: Place,
    name: str,
    given: ConnectionFile,
    environ: Mapping[str, str],
) -> Connection:
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
    )


def _proxy(
    place: Place,
    given: ConnectionFile,
    api_url: str,
    environ: Mapping[str, str],
) -> Secret | None:
    proxy = unset_to_none(given.proxy)
    if proxy is None:
        return environment_proxy(place, api_url, environ)
    return parse_proxy(place.at("proxy"), proxy)


def _emulator(place: Place, name: str, given: ConnectionFile) -> Connection:
    for key in ("region", "api_url", "login_url", "client_id", "client_secret", "clients", "proxy"):
        if getattr(given, key) is not UNSET:
            raise place.at(key).not_with("emulator")
    return Connection(
        name=name,
        emulator=_emulator_size(given.emulator),
        requests_per_minute=given.requests_per_minute,
    )


def _emulator_size(given: bool | EmulatorFile) -> EmulatorSize:
    if not isinstance(given, EmulatorFile):
        given = EmulatorFile()
    return EmulatorSize(agents=given.agents, seed=given.seed, clients=given.clients)


def _clients(place: Place, given: ConnectionFile) -> tuple[Client, ...]:
    several = unset_to_none(given.clients)
    if several is None:
        return (_client(place, given),)
    for key in ("client_id", "client_secret"):
        if getattr(given, key) is not UNSET:
            raise place.at(key).not_with("clients")
    place = place.at("clients")
    clients = tuple(_client(place.at(n), client) for n, client in enumerate(several))
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
    client_id = unset_to_none(given.client_id)
    if client_id is None or not client_id.strip():
        raise _no_credential(place.at("client_id"), "id", "${GENESYS_CLIENT_ID}")
    client_secret = unset_to_none(given.client_secret)
    if client_secret is None or not client_secret.reveal().strip():
        raise _no_credential(place.at("client_secret"), "secret", "${GENESYS_CLIENT_SECRET}")
    return Client(client_id=client_id, client_secret=client_secret)


def _no_credential(place: Place, noun: str, variable: str) -> ConfigError:
    return place.error(
        f"is missing or empty; write the OAuth client's {noun}, or {variable} and set this variable"
    )


def _hosts(place: Place, given: ConnectionFile) -> tuple[str, str]:
    """Give the URLs of a connection's API and login hosts."""
    region = unset_to_none(given.region)
    if region is None:
        return _gateway_hosts(place, given)
    if given.api_url is not UNSET or given.login_url is not UNSET:
        raise place.at("region").not_with("api_url and login_url")
    return _region_hosts(place.at("region"), region)


def _gateway_hosts(place: Place, given: ConnectionFile) -> tuple[str, str]:
    if given.api_url is UNSET and given.login_url is UNSET:
        raise place.at("region").error(f"is missing; {_HOSTS}")
    api_url = _required(place.at("api_url"), given.api_url)
    login_url = _required(place.at("login_url"), given.login_url)
    return (
        _gateway(place.at("api_url"), api_url, allow_http=given.allow_http),
        _gateway(place.at("login_url"), login_url, allow_http=given.allow_http),
    )


def _required(place: Place, url: str | UnsetType) -> str:
    if isinstance(url, UnsetType):
        raise place.error(f"is missing; {_HOSTS}")
    return url


def _region_hosts(place: Place, name: str) -> tuple[str, str]:
    urls = regions.hosts(name)
    if urls is None:
        suggestion = did_you_mean(name, regions.NAMES)
        raise place.must("be a region", suggestion, accepted=regions.ACCEPTED)
    return urls


def _gateway(place: Place, text: str, *, allow_http: bool) -> str:
    """Check the URL of a gateway; give it without a slash at its end."""
    url = split_url(text)
    if url is None or _has_extras(text):
        raise place.must("be the URL of a gateway", accepted=_GATEWAY)
    if url.scheme == "http" and not allow_http and not is_loopback(url):
        raise place.must(
            "start with https://",
            "; http would send the client's secret unencrypted; to allow it, set allow_http: true",
        )
    return text.rstrip("/")


def _has_extras(text: str) -> bool:
    """Tell whether a URL has a query or a fragment, even an empty one, or credentials."""
    host = urlsplit(text).netloc
    return "?" in text or "#" in text or "@" in host
