"""What a failed TLS handshake means for the person who runs the export. Pure."""

from __future__ import annotations

import re
import ssl

import aiohttp

from asyncreport.api.problems import subject
from asyncreport.api.wire import Request
from asyncreport.core.errors import AsyncReportError, ConfigError, TransientError

#: reasons of OpenSSL for bytes that are not TLS, such as plain HTTP
_NOT_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}
)

_NO_VERSION = "it accepts no TLS version from 1.2 on"
_NO_CLIENT_CERTIFICATE = "it demands a client certificate, which asyncreport does not send"
_NO_CIPHER = "it accepts none of this computer's ciphers, or demands a client certificate"

#: reasons for which every handshake fails; the alerts are named as in
#: https://www.rfc-editor.org/rfc/rfc8446#section-6.2
_REFUSALS = {
    "PROTOCOL_VERSION": _NO_VERSION,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "HANDSHAKE_FAILURE": _NO_CIPHER,
    "INSUFFICIENT_SECURITY": _NO_CIPHER,
    "CERTIFICATE_REQUIRED": _NO_CLIENT_CERTIFICATE,
    "BAD_CERTIFICATE": _NO_CLIENT_CERTIFICATE,
    "ACCESS_DENIED": _NO_CLIENT_CERTIFICATE,
    "UNRECOGNIZED_NAME": "it does not know this host name",
    "DH_KEY_TOO_SMALL": "its key is too short to be safe",
    "EE_KEY_TOO_SMALL": "its key is too short to be safe",
}

_ALERT = re.compile(r"^(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?")

#: X509_V_ERR_... of OpenSSL: the certificate is valid, but for another host, address or e-mail
_OTHER_HOST = frozenset({62, 63, 64})
#: it is not valid yet, or has expired
_OTHER_TIME = frozenset({9, 10})
#: no authority that this computer trusts has signed it
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})


def tls_failure(request: Request, error: Exception) -> AsyncReportError | None:
    """Report a request that failed because of TLS; None: it failed for another reason.

    A ConfigError if every attempt would fail, otherwise a TransientError.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ConfigError(f"{subject(request, None)}: {_untrusted(request, error)}")
    cause = _ssl_error(error)
    if cause is None:
        return None
    return _refused(request, cause, _server(error))


def _refused(request: Request, error: ssl.SSLError, server: str) -> AsyncReportError:
    """Report a handshake that the server or this computer ended."""
    name = subject(request, None)
    reason = _ALERT.sub("", error.reason or "")
    if reason in _NOT_TLS:
        return ConfigError(f"{name}: {server} does not speak TLS; check {request.host}_url")
    if reason in _REFUSALS:
        return ConfigError(
            f"{name}: {server} refused TLS: {_REFUSALS[reason]}; check {request.host}_url, and the "
            "proxy or gateway before the server"
        )
    return TransientError(f"{name}: TLS with {server} failed ({_words(reason)})")


def _words(reason: str) -> str:
    """Write a reason of OpenSSL, `UNEXPECTED_EOF_WHILE_READING`, in small letters."""
    if "EOF" in reason:
        return "the connection was closed"
    return reason.replace("_", " ").lower() or "no reason is known"


def _ssl_error(error: BaseException | None) -> ssl.SSLError | None:
    """Find OpenSSL's error in what aiohttp raised: it may be the cause of a cause."""
    while error is not None:
        # aiohttp's own handshake error is also an SSLError, but it has no reason.
        if isinstance(error, ssl.SSLError) and not isinstance(error, aiohttp.ClientError):
            return error
        error = getattr(error, "os_error", None) or error.__cause__
    return None


def _server(error: Exception) -> str:
    """Name the server as host and port, if aiohttp did."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.host}:{error.port}"
    return "the server"


def _untrusted(request: Request, error: aiohttp.ClientConnectorCertificateError) -> str:
    """Say whose certificate is not trusted, why, and what to do."""
    invalid = error.certificate_error
    reason = str(getattr(invalid, "verify_message", "") or "no reason is known").rstrip(".")
    return (
        f"the certificate of {error.host} is not trusted ({reason}); "
        f"{_next_step(request, getattr(invalid, 'verify_code', 0))}"
    )


def _next_step(request: Request, code: int) -> str:
    """Say what to do about a certificate that OpenSSL rejects with this code."""
    if code in _OTHER_HOST:
        return f"check {request.host}_url: it must have the host name of the certificate"
    if code in _OTHER_TIME:
        return "check the clock of this computer, then ask the server's owner to renew it"
    if code in _UNKNOWN_AUTHORITY:
        return (
            "if a proxy or gateway uses its own authority, set SSL_CERT_FILE to a file with that "
            "authority's certificate"
        )
    return "ask the owner of the server, or of the proxy or gateway before it"
