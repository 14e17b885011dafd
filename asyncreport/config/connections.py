"""The connections of a job: regions, gateways, credentials, emulators. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET

from asyncreport.config import regions
from asyncreport.config.proxies import environment_proxy, parse_proxy
from asyncreport.config.schema import ClientFile, ConnectionFile, EmulatorFile, unset_to_none
from asyncreport.config.urls import is_loopback, split_url
from asyncreport.config.validate import Place, did_you_mean
from asyncreport.core.job import Client, Connection, EmulatorSize, Secret

#: the connection of a team that names none
DEFAULT = "default"

_HOSTS = "a connection needs region, or api_url and login_url, or emulator"
_GATEWAY = "https://HOST[:PORT][/PATH] without credentials, query or fragment"


def resolve_connections(
    place: Place, given: dict[str, ConnectionFile] | None, environ: Mapping[str, str]
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
    for variable in ("GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET"):
        if not environ.get(variable):
            raise place.error(
                f"is missing, and the variable {variable} is not set or is empty; "
                "set it in the environment or in .env"
            )
    api_url, login_url = _environment_hosts(place, environ)
    client = Client(
        client_id=environ["GENESYS_CLIENT_ID"],
        client_secret=Secret(environ["GENESYS_CLIENT_SECRET"]),
    )
    return Connection(
        name=DEFAULT,
        api_url=api_url,
        login_url=login_url,
        clients=(client,),
        proxy=environment_proxy(place, api_url, environ),
    )


def _environment_hosts(place: Place, environ: Mapping[str, str]) -> tuple[str, str]:
    region = environ.get("GENESYS_ENV") or regions.DEFAULT
    # Other tools of the vendor take a host or its URL here.
    region = region.lower().removeprefix("https://").removeprefix("api.").rstrip("/")
    urls = regions.hosts(region)
    if urls is None:
        raise place.error(
            "is missing, and the variable GENESYS_ENV is not a region", accepted=regions.ACCEPTED
        )
    return urls


def _connection(
    place: Place, name: str, given: ConnectionFile, environ: Mapping[str, str]
) -> Connection:
    if given.emulator:
        return _emulator(place, name, given)
    api_url, login_url = _hosts(place, given)
    clients = _clients(place, given)
    proxy = unset_to_none(given.proxy)
    if proxy is None:
        proxy = environment_proxy(place, api_url, environ)
    else:
        proxy = parse_proxy(place.at("proxy"), proxy)
    return Connection(
        name=name,
        api_url=api_url,
        login_url=login_url,
        clients=clients,
        requests_per_minute=given.requests_per_minute,
        proxy=proxy,
    )


def _emulator(place: Place, name: str, given: ConnectionFile) -> Connection:
    for key in ("region", "api_url", "login_url", "client_id", "client_secret", "clients", "proxy"):
        if getattr(given, key) is not UNSET:
            raise place.at(key).error("cannot be combined with emulator; remove one of the two")
    size = given.emulator
    if not isinstance(size, EmulatorFile):
        size = EmulatorFile()
    emulator = EmulatorSize(agents=size.agents, seed=size.seed, clients=size.clients)
    return Connection(name=name, emulator=emulator, requests_per_minute=given.requests_per_minute)


def _clients(place: Place, given: ConnectionFile) -> tuple[Client, ...]:
    several = unset_to_none(given.clients)
    if several is None:
        return (_client(place, given),)
    for key in ("client_id", "client_secret"):
        if getattr(given, key) is not UNSET:
            raise place.at(key).error(
                "cannot be combined with clients; move it into clients, or remove one of the two"
            )
    clients = tuple(_client(place.at("clients", n), each) for n, each in enumerate(several))
    _check_client_ids(place.at("clients"), clients)
    return clients


def _check_client_ids(place: Place, clients: tuple[Client, ...]) -> None:
    """Refuse one id twice: the server would count both lanes against one rate limit."""
    first: dict[str, int] = {}
    for number, client in enumerate(clients):
        other = first.setdefault(client.client_id.strip().lower(), number)
        if other != number:
            raise place.at(number, "client_id").must(
                f"differ from clients[{other}].client_id",
                "; use another OAuth client, or remove it",
            )


def _client(place: Place, given: ConnectionFile | ClientFile) -> Client:
    client_id = unset_to_none(given.client_id)
    if client_id is None or not client_id.strip():
        raise place.at("client_id").error(
            "is missing or empty; write the OAuth client's id, "
            "or ${GENESYS_CLIENT_ID} and set this variable"
        )
    client_secret = unset_to_none(given.client_secret)
    if client_secret is None or not client_secret.reveal().strip():
        raise place.at("client_secret").error(
            "is missing or empty; write the OAuth client's secret, "
            "or ${GENESYS_CLIENT_SECRET} and set this variable"
        )
    return Client(client_id=client_id, client_secret=client_secret)


def _hosts(place: Place, given: ConnectionFile) -> tuple[str, str]:
    """Give the URLs of a connection's API and login hosts."""
    region = unset_to_none(given.region)
    api_url, login_url = unset_to_none(given.api_url), unset_to_none(given.login_url)
    if region is not None:
        if api_url is not None or login_url is not None:
            raise place.at("region").error(
                "cannot be combined with api_url and login_url; remove one of the two"
            )
        return _region_hosts(place.at("region"), region)
    if api_url is None and login_url is None:
        raise place.at("region").error(f"is missing; {_HOSTS}")
    if api_url is None:
        raise place.at("api_url").error(f"is missing; {_HOSTS}")
    if login_url is None:
        raise place.at("login_url").error(f"is missing; {_HOSTS}")
    return (
        _gateway(place.at("api_url"), api_url, allow_http=given.allow_http),
        _gateway(place.at("login_url"), login_url, allow_http=given.allow_http),
    )


def _region_hosts(place: Place, name: str) -> tuple[str, str]:
    urls = regions.hosts(name)
    if urls is None:
        suggestion = did_you_mean(name, regions.NAMES)
        raise place.must("be a region", suggestion, accepted=regions.ACCEPTED)
    return urls


def _gateway(place: Place, text: str, *, allow_http: bool) -> str:
    url = split_url(text)
    # An empty query or fragment is visible only in the text.
    if url is None or "?" in text or "#" in text or "@" in url.netloc:
        raise place.must("be the URL of a gateway", accepted=_GATEWAY)
    if url.scheme == "http" and not allow_http and not is_loopback(url):
        raise place.must(
            "start with https://",
            "; http would send the client's secret unencrypted; to allow it, set allow_http: true",
        )
    return text.rstrip("/")
