"""What an error of aiohttp means for the person who runs the export. Pure."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import aiohttp

from asyncreport.api.problems import TRANSIENT, subject
from asyncreport.api.wire import Request, correlation_id
from asyncreport.core.errors import (
    TOO_LARGE,
    AsyncReportError,
    ConfigError,
    RejectedError,
    TransientError,
)
from asyncreport.core.text import one_line
from asyncreport.net.tls_errors import tls_failure

#: errors of an address, or of a proxy that answered instead of the server
ADDRESS_ERRORS = (
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.ClientHttpProxyError,
    UnicodeError,
)

#: errors whose text quotes what the server sent, which may repeat our credentials
QUOTING_ERRORS = (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)


def timed_out(request: Request, seconds: float) -> TransientError:
    """Report that no complete response came within the time of one attempt."""
    return _transient(request, f"no complete response within {seconds:g} s")


def too_long(request: Request, headers: Mapping[str, str]) -> RejectedError:
    """Report a success of more than `request.most_bytes`; its chunk is split."""
    named = subject(request, correlation_id(headers))
    return RejectedError(
        f"{named}: the response is longer than {request.most_bytes:,} bytes; request less at once",
        code=TOO_LARGE,
    )


#: characters of a Content-Encoding that a message shows
_MAX_ENCODING = 40


def encoded(request: Request, encoding: str) -> RejectedError:
    """Report a response that is compressed in a way that no request accepts."""
    # Not transient: the server or proxy will compress it again in the same way.
    return RejectedError(
        f"{subject(request, None)}: the response has the Content-Encoding "
        f"{one_line(encoding, _MAX_ENCODING)!r}, but only gzip was accepted; check the proxy or "
        "gateway before the server"
    )


def unreachable(request: Request, error: Exception) -> AsyncReportError:
    """Report one of `ADDRESS_ERRORS`."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refused(request, error.status)
    return _misconfigured(
        request,
        f"{request.host}_url or the proxy is not a usable address; check the connection",
    )


def _proxy_refused(request: Request, status: int) -> AsyncReportError:
    """Report a proxy that did not open a tunnel to the server."""
    if status in TRANSIENT:
        return _transient(request, f"the proxy answered {status}", status=status)
    return _misconfigured(
        request,
        f"the proxy refused with {status}; check the connection's proxy, or HTTPS_PROXY",
    )


def failed(request: Request, error: Exception, *, plain: bool) -> AsyncReportError:
    """Report any other error of a request that got no complete response; `plain`: without TLS."""
    # Before the connection errors: most errors of TLS are such errors too.
    if tls := tls_failure(request, error):
        return tls
    if _is_tls(error):
        return _misconfigured(
            request, f"the server speaks TLS on this port; write https:// in {request.host}_url"
        )
    if encoding := _undecodable(error):
        return encoded(request, encoding)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _transient(request, _not_connected(error))
    return _transient(request, _broken(error, plain=plain))


#: the start of a TLS alert as aiohttp quotes it: content type 21, version 3
_TLS_ALERT = r"b'\x15\x03"


def _is_tls(error: Exception) -> bool:
    """Tell whether a response is an alert of TLS: the answer to plain HTTP."""
    return isinstance(error, aiohttp.ClientResponseError) and _TLS_ALERT in error.message


def _undecodable(error: Exception) -> str:
    """Name the encoding that aiohttp refused, as in `brotli (br)`; empty for another error."""
    # `Can not decode content-encoding: brotli (br). ...` is aiohttp's own text, without anything of
    # the response.
    before, _, rest = str(getattr(error, "message", "")).partition("content-encoding: ")
    if before != "Can not decode ":
        return ""
    return rest.partition(".")[0]


def _not_connected(error: aiohttp.ClientConnectorError) -> str:
    """Say which host or proxy could not be reached, and why."""
    target = f"{error.host}:{error.port} ({_reason(error.os_error)})"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"cannot connect to the proxy {target}; check proxy, or HTTPS_PROXY"
    return f"cannot connect to {target}"


def _broken(error: Exception, *, plain: bool) -> str:
    """Say what went wrong on a connection that existed."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the response was cut off or could not be decompressed"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the response is not HTTP"
    fact = "the connection was closed before a response came"
    if plain:
        # What most servers do with plain HTTP on a port for TLS.
        return f"{fact}; if the server speaks TLS on this port, write https://"
    return fact


def _reason(error: OSError) -> str:
    """Say in short why a connection failed, in the words of the operating system if it has any.

    The number of a failed look-up of a host is one of getaddrinfo, not of the operating system.
    """
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    if error.strerror:
        return error.strerror
    if isinstance(error, ConnectionError):
        return "the connection was closed"
    return type(error).__name__


def _transient(request: Request, fact: str, *, status: int | None = None) -> TransientError:
    """Make the error of an attempt that a retry may fix."""
    # Without a correlation id: no response came that could have one.
    return TransientError(f"{subject(request, None)}: {fact}", status=status)


def _misconfigured(request: Request, fact: str) -> ConfigError:
    """Make the error of a connection that no retry fixes."""
    return ConfigError(f"{subject(request, None)}: {fact}")
