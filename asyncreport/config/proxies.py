"""The proxy of a connection: from the job file, or from the environment as curl reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from asyncreport.config.urls import is_loopback, split_url
from asyncreport.config.validate import Place
from asyncreport.core.errors import ConfigError
from asyncreport.core.secret import Secret

_ACCEPTED = "http://[USER:PASSWORD@]HOST:PORT"


def parse_proxy(place: Place, proxy: Secret) -> Secret:
    """Read a job file's proxy."""
    text = proxy.reveal()
    if not _is_proxy(text):
        raise place.must("be an HTTP proxy", accepted=_ACCEPTED)
    return Secret(text.rstrip("/"))


def environment_proxy(
    place: Place,
    api_url: str,
    environ: Mapping[str, str],
) -> Secret | None:
    """Find the proxy of the environment for a host, as curl does; None for this machine."""
    url = urlsplit(api_url)
    variable = _proxy_variable(url.scheme, environ)
    if variable is None or _is_direct(url, environ):
        return None
    text = _with_scheme(environ[variable])
    if not _is_proxy(text):
        raise _not_a_proxy(place, variable)
    return Secret(text.rstrip("/"))


def _not_a_proxy(place: Place, variable: str) -> ConfigError:
    """Make the error for an address that is not one of a proxy."""
    # The value is not shown: it may contain a password.
    fact = f"uses the proxy of the variable {variable}, which is not an HTTP proxy"
    return place.error(fact, accepted=_ACCEPTED)


def _with_scheme(text: str) -> str:
    """Add the scheme that curl assumes."""
    if "://" in text:
        return text
    return f"http://{text}"


def _is_proxy(text: str) -> bool:
    """Tell whether a text is a URL with nothing after the host, except a slash."""
    url = split_url(text)
    if url is None:
        return False
    after_host = url.path.removeprefix("/") + url.query + url.fragment
    return not after_host


def _is_direct(url: SplitResult, environ: Mapping[str, str]) -> bool:
    """Tell whether a host is this machine, or named by NO_PROXY."""
    if is_loopback(url):
        return True
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return bool(proxy_bypass_environment(url.netloc, {"no": exempt}))


def _proxy_variable(scheme: str, environ: Mapping[str, str]) -> str | None:
    """Find the variable that names the proxy; lower case comes first."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        for spelled in (name, name.upper()):
            if environ.get(spelled):
                return spelled
    return None
