"""The connections of a job: regions, gateways, credentials, proxies, emulators. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from msgspec import UNSET, UnsetType

from asyncreport.config import regions
from asyncreport.config.place import Place, near
from asyncreport.config.schema import ClientFile, ConnectionFile, EmulatorFile
from asyncreport.core.job import Client, Connection, EmulatorSize, Secret

#: the connection of a job that names none
DEFAULT = "default"


def connections(
    place: Place, given: dict[str, ConnectionFile] | UnsetType, environ: Mapping[str, str]
) -> tuple[Connection, ...]:
    """Resolve the connections of a job; raise ConfigError for one that is incomplete or says two things at once."""
    if isinstance(given, UnsetType):
        return (_from_environment(place, environ),)
    if not given:
        raise place.error(
            "names no connection; name one, or remove the key to use GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET"
        )
    return tuple(
        _connection(place.at(name), name, connection, environ) for name, connection in given.items()
    )


def _from_environment(place: Place, environ: Mapping[str, str]) -> Connection:
    for variable in ("GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET"):
        if not environ.get(variable):
            raise place.error(
                f"is left out and the variable {variable} is not set or empty; set it in the environment or in .env"
            )
    client = Client(
        client_id=environ["GENESYS_CLIENT_ID"],
        client_secret=Secret(environ["GENESYS_CLIENT_SECRET"]),
    )
    named = environ.get("GENESYS_ENV") or regions.DEFAULT
    # People write it as other tools of the vendor do: as a host, or as the address of one.
    urls = regions.hosts(named.lower().removeprefix("https://").removeprefix("api.").rstrip("/"))
    if urls is None:
        raise place.error(
            "is left out and the variable GENESYS_ENV names no region", accepted=regions.ACCEPTED
        )
    return Connection(
        name=DEFAULT,
        api_url=urls[0],
        login_url=urls[1],
        clients=(client,),
        proxy=_environment_proxy(place, urls[0], environ),
    )


def _connection(
    place: Place, name: str, given: ConnectionFile, environ: Mapping[str, str]
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
        proxy=_environment_proxy(place, api_url, environ)
        if given.proxy is UNSET
        else _proxy(place.at("proxy"), given.proxy.reveal()),
    )


def _emulator(place: Place, name: str, given: ConnectionFile) -> Connection:
    for key in ("region", "api_url", "login_url", "client_id", "client_secret", "clients", "proxy"):
        if getattr(given, key) is not UNSET:
            raise place.at(key).error("has no meaning beside emulator; remove one of the two")
    size = given.emulator if isinstance(given.emulator, EmulatorFile) else EmulatorFile()
    emulated = EmulatorSize(agents=size.agents, seed=size.seed, clients=size.clients)
    return Connection(name=name, emulator=emulated, requests_per_minute=given.requests_per_minute)


def _clients(place: Place, given: ConnectionFile) -> tuple[Client, ...]:
    if isinstance(given.clients, UnsetType):
        return (_client(place, given),)
    for key in ("client_id", "client_secret"):
        if getattr(given, key) is not UNSET:
            raise place.at(key).error(
                "has no meaning beside clients; make it one of them, or remove one of the two"
            )
    found: dict[str, Client] = {}
    for n, each in enumerate(given.clients):
        client = _client(place.at("clients", n), each)
        # The server would count both lanes as one, and refuse what goes beyond its limit.
        if found.setdefault(client.client_id.strip().lower(), client) is not client:
            raise place.at("clients", n, "client_id").wrong(
                "is the id of an earlier client too; remove one, or give it its own"
            )
    return tuple(found.values())


def _client(place: Place, given: ConnectionFile | ClientFile) -> Client:
    if isinstance(given.client_id, UnsetType) or not given.client_id.strip():
        raise place.at("client_id").error(
            "is missing or empty; expected: the OAuth client's id, such as ${GENESYS_CLIENT_ID}, with the variable filled in"
        )
    if isinstance(given.client_secret, UnsetType) or not given.client_secret.reveal().strip():
        raise place.at("client_secret").error(
            "is missing or empty; expected: the OAuth client's secret, such as ${GENESYS_CLIENT_SECRET}, with the variable filled in"
        )
    return Client(client_id=given.client_id, client_secret=given.client_secret)


def _hosts(place: Place, given: ConnectionFile) -> tuple[str, str]:
    urls = (given.api_url, given.login_url)
    if not isinstance(given.region, UnsetType):
        if urls != (UNSET, UNSET):
            raise place.at("region").error(
                "has no meaning beside api_url and login_url; remove one of the two"
            )
        return _region(place.at("region"), given.region)
    for key, url in zip(("api_url", "login_url"), urls, strict=True):
        if url is UNSET:
            missing = "region" if urls == (UNSET, UNSET) else key
            raise place.at(missing).error(
                "is missing; a connection needs region, or api_url and login_url, or emulator"
            )
    return (
        _gateway(place.at("api_url"), str(given.api_url), allow_http=given.allow_http),
        _gateway(place.at("login_url"), str(given.login_url), allow_http=given.allow_http),
    )


def _region(place: Place, name: str) -> tuple[str, str]:
    urls = regions.hosts(name)
    if urls is None:
        raise place.wrong(f"is no region{near(name, regions.NAMES)}", accepted=regions.ACCEPTED)
    return urls


def _gateway(place: Place, text: str, *, allow_http: bool) -> str:
    url = _url(text)
    if url is None or url.query or url.fragment or "?" in text or "#" in text or "@" in url.netloc:
        raise place.wrong(
            "is no URL of a gateway",
            accepted="https://HOST[:PORT][/PATH] without credentials, query and fragment",
        )
    if url.scheme == "http" and not allow_http and not _loopback(url):
        raise place.wrong(
            "would send the client's secret in clear; use https://, or set allow_http: true"
        )
    return text.rstrip("/")


def _url(text: str) -> SplitResult | None:
    """Split an http(s) URL; None for anything else."""
    try:
        url = urlsplit(text)
        sound = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    return (
        url
        if sound and text.isascii() and text.isprintable() and " " not in text and "\\" not in text
        else None
    )


def _loopback(url: SplitResult) -> bool:
    host = url.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # a name under it may be resolved to anything


_PROXIES = "http://[USER:PASSWORD@]HOST:PORT"


def _proxy(place: Place, text: str) -> Secret:
    if not _is_proxy(text):
        raise place.wrong("is no HTTP proxy", accepted=_PROXIES)
    return Secret(text.rstrip("/"))


def _is_proxy(text: str) -> bool:
    url = _url(text)
    return url is not None and url.path in ("", "/") and not url.query and not url.fragment


def _environment_proxy(place: Place, api_url: str, environ: Mapping[str, str]) -> Secret | None:
    """Find the proxy that the environment prescribes for a host, as curl does: lower case first, none for this machine."""
    url = urlsplit(api_url)
    exempt = proxy_bypass_environment(
        url.netloc, {"no": environ.get("no_proxy") or environ.get("NO_PROXY") or ""}
    )
    variable = next(_proxy_variables(url.scheme, environ), None)
    if variable is None or exempt or _loopback(url):
        return None
    text = environ[variable] if "://" in environ[variable] else f"http://{environ[variable]}"
    if not _is_proxy(text):
        raise place.error(
            f"is to be reached through the variable {variable}, which is no HTTP proxy",
            accepted=_PROXIES,
        )
    return Secret(text.rstrip("/"))


def _proxy_variables(scheme: str, environ: Mapping[str, str]) -> Iterator[str]:
    names = (f"{scheme}_proxy", "all_proxy")
    return (spelled for name in names for spelled in (name, name.upper()) if environ.get(spelled))
