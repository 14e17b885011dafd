"""Send a request to its host once and read the response. Owns the session and its sockets."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

import aiohttp

from asyncreport import __version__
from asyncreport.api.problems import TRANSIENT, subject
from asyncreport.api.wire import Request, Response, correlation_id
from asyncreport.core.errors import (
    TOO_LARGE,
    AsyncReportError,
    ConfigError,
    RejectedError,
    TransientError,
)
from asyncreport.core.job import Connection, Limits

#: bytes of a response that wait in the session to be read; aiohttp's default of four times as much
#: for each of 16 workers was visible in the memory of a run
_BUFFER = 2**16

#: bytes of a response that are read without waiting for other readers: a slow response that is
#: small must not hold up the others
_SMALL = 2**18

#: larger responses that are read at the same time, so that memory does not grow with the workers
_READERS = 2

#: most bytes of one response, decompressed: about six times the response to a chunk of usual size.
#: A chunk with a larger response is split. A lower bound costs requests, a higher one costs twice
#: its size in memory.
MOST_BYTES = 64 * 2**20


#: errors of an address, or of a proxy that answered instead of the server
_ADDRESS_ERRORS = (
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.ClientHttpProxyError,
    UnicodeError,
)


async def at_once() -> None:
    """Wait for nothing."""


class Transport:
    """Talk to the two hosts of one connection; made in a running loop and closed by `async with`.

    `room` waits until there is memory for what one more large response becomes.
    """

    def __init__(
        self, connection: Connection, limits: Limits, room: Callable[[], Awaitable[None]] = at_once
    ) -> None:
        self._hosts = {"api": connection.api_url, "login": connection.login_url}
        self._proxy = None
        if connection.proxy is not None:
            self._proxy = connection.proxy.reveal()
        self._timeout = limits.request_timeout
        self._readers = asyncio.Semaphore(_READERS)
        self._room = room
        self._session = _session(limits.concurrency * max(1, len(connection.clients)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def send(self, request: Request) -> Response:
        """Send a request once and read the whole response, whatever its status.

        Raise TransientError if none came back within `limits.request_timeout`, ConfigError if none
        ever will, RejectedError if a success is longer than `MOST_BYTES`.
        """
        try:
            async with asyncio.timeout(self._timeout) as timeout:
                return await self._exchange(request, timeout)
        except TimeoutError as error:
            named = subject(request, None)
            raise TransientError(
                f"{named}: no complete response within {self._timeout:g} s"
            ) from error
        except _ADDRESS_ERRORS as error:
            # Not `from error`: its text quotes the proxy's address with the password in it.
            raise _unreachable(request, error) from None
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
            # Nor here: the text quotes what the server sent, which may repeat our credentials.
            raise _failure(request, error) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(request, error) from error

    async def _exchange(self, request: Request, timeout: asyncio.Timeout) -> Response:
        async with self._session.request(
            request.method,
            self._hosts[request.host] + request.path,
            params=request.query,
            data=request.body,
            headers=request.headers,
            proxy=self._proxy,
            allow_redirects=False,
        ) as response:
            body = await self._body(request, response, timeout)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Response(status=response.status, headers=headers, body=body)

    async def _body(
        self, request: Request, response: aiohttp.ClientResponse, timeout: asyncio.Timeout
    ) -> bytes:
        """Read a body up to `MOST_BYTES`; raise RejectedError if a success is longer."""
        pieces: list[bytes] = []
        size = 0
        async with AsyncExitStack() as turn:
            while piece := await response.content.readany():
                # Once per response, at the piece with which it becomes a large one.
                if size <= _SMALL < size + len(piece):
                    await turn.enter_async_context(self._turn_to_read(timeout))
                pieces.append(piece)
                size += len(piece)
                if size <= MOST_BYTES:
                    continue
                if response.ok:
                    # An error keeps its frames alive, and these would keep the pieces.
                    pieces.clear()
                    raise _too_long(request, response)
                # The beginning of an error is enough.
                break
            # Joined before the turn ends: for a moment the body is in memory twice.
            return b"".join(pieces)

    @asynccontextmanager
    async def _turn_to_read(self, timeout: asyncio.Timeout) -> AsyncIterator[None]:
        """Wait for a turn to read a large response, and for memory."""
        loop = asyncio.get_running_loop()
        deadline = timeout.when()
        assert deadline is not None
        left = deadline - loop.time()
        # The time-out stops meanwhile: the server is not to blame for this wait.
        timeout.reschedule(None)
        async with self._readers:
            await self._room()
            timeout.reschedule(loop.time() + left)
            yield


def _session(connections: int) -> aiohttp.ClientSession:
    """Make a session for at most so many connections at a time."""
    headers = {
        "User-Agent": f"asyncreport/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
    }
    # The trust store of the standard library, which honours SSL_CERT_FILE.
    connector = aiohttp.TCPConnector(limit=connections, ssl=ssl.create_default_context())
    return aiohttp.ClientSession(
        connector=connector,
        # `send` has one deadline for the whole attempt; aiohttp's own would round it up.
        timeout=aiohttp.ClientTimeout(total=None),
        headers=headers,
        # Lanes share the session, but not the cookies that a server gives to one of them.
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_send_once,),
        read_bufsize=_BUFFER,
        trust_env=False,
    )


def _too_long(request: Request, response: aiohttp.ClientResponse) -> RejectedError:
    named = subject(request, correlation_id(response.headers))
    return RejectedError(
        f"{named}: the response is longer than {MOST_BYTES:,} bytes; request less at once",
        code=TOO_LARGE,
    )


def _unreachable(request: Request, error: aiohttp.ClientError | UnicodeError) -> AsyncReportError:
    named = subject(request, None)
    if not isinstance(error, aiohttp.ClientHttpProxyError):
        return ConfigError(
            f"{named}: {request.host}_url or the proxy is not a usable address; "
            "check the connection"
        )
    if error.status in TRANSIENT:
        return TransientError(f"{named}: the proxy answered {error.status}", status=error.status)
    return ConfigError(
        f"{named}: the proxy refused with {error.status}; "
        "check the connection's proxy, or HTTPS_PROXY"
    )


def _failure(request: Request, error: aiohttp.ClientError | OSError) -> AsyncReportError:
    named = subject(request, None)
    # The order matters: the first two are subclasses of the third.
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return _untrusted(named, error)
        case aiohttp.ClientProxyConnectionError():
            fact = f"cannot connect to the proxy {_target(error)}; check proxy, or HTTPS_PROXY"
        case aiohttp.ClientConnectorError():
            fact = f"cannot connect to {_target(error)}"
        case aiohttp.ClientPayloadError():
            fact = "the response was cut off or could not be decompressed"
        case aiohttp.ClientResponseError():
            fact = "the response is not HTTP"
        case _:
            fact = "the connection was closed before a response came"
    return TransientError(f"{named}: {fact}")


def _untrusted(named: str, error: aiohttp.ClientConnectorCertificateError) -> ConfigError:
    reason = _reason(error.certificate_error)
    return ConfigError(
        f"{named}: the certificate of {error.host} is not trusted ({reason}); if a proxy or "
        "gateway uses its own authority, set SSL_CERT_FILE to a file with that authority's "
        "certificate"
    )


def _target(error: aiohttp.ClientConnectorError) -> str:
    return f"{error.host}:{error.port} ({_reason(error.os_error)})"


def _reason(error: BaseException) -> str:
    """Say in short why a connection failed."""
    verify_message: str = getattr(error, "verify_message", "")
    if verify_message:
        return verify_message
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)
    text: str | None = getattr(error, "strerror", None)
    return text or type(error).__name__


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET again by itself, past the throttle."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(type(error).__name__) from error
