"""Carry a request to its host and the answer back, once. Owns the session of a connection, and every socket."""

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
from asyncreport.api.redaction import proxy_credentials, withheld
from asyncreport.api.wire import Request, Response
from asyncreport.core.errors import (
    TOO_LARGE,
    AsyncReportError,
    ConfigError,
    RejectedError,
    TransientError,
)
from asyncreport.core.job import Connection, Limits

#: bytes of an answer that wait in the session until somebody reads on; its default of four times as much, for each of 16 workers, showed
_BUFFER = 2**16

#: bytes of an answer that are read whoever else reads; a slow answer that is small holds nobody up
_SMALL = 2**18

#: answers larger than that which are read at once: memory follows their size, and not how many workers there are
_READERS = 2

#: bytes of one answer, unpacked: some six times what a chunk as long as the plan makes it is answered with. A chunk that is answered with
#: more is cut, so that a bound too low costs requests and one too high memory, twice over.
MOST_BYTES = 64 * 2**20


async def at_once() -> None:
    """Wait for nothing."""


class Transport:
    """Talk to the two hosts of one connection; to be made inside a running loop, and closed by `async with`.

    `room` waits until there is room for what one more large answer becomes.
    """

    def __init__(
        self, connection: Connection, limits: Limits, room: Callable[[], Awaitable[None]] = at_once
    ) -> None:
        self._hosts = {"api": connection.api_url, "login": connection.login_url}
        self._proxy = None if connection.proxy is None else connection.proxy.reveal()
        self._proxy_secrets = proxy_credentials(self._proxy or "")
        self._timeout = limits.request_timeout
        self._reading = asyncio.Semaphore(_READERS)
        self._room = room
        self._session = aiohttp.ClientSession(
            # The standard library's own trust store, which honours SSL_CERT_FILE.
            connector=aiohttp.TCPConnector(
                limit=limits.concurrency * max(1, len(connection.clients)),
                ssl=ssl.create_default_context(),
            ),
            # One deadline for the whole attempt stands in `send`; aiohttp's own would round it up.
            timeout=aiohttp.ClientTimeout(total=None),
            headers={
                "User-Agent": f"asyncreport/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            },
            # Lanes share the session and must not share what a server remembers of one of them.
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_once,),
            read_bufsize=_BUFFER,
            trust_env=False,
        )

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
        """Send a request once and read the whole answer, whatever its status.

        Raise TransientError where none came back within `limits.request_timeout`, ConfigError where none ever will, RejectedError
        for a success that is longer than `MOST_BYTES`.
        """
        try:
            async with asyncio.timeout(self._timeout) as clock:
                return withheld(await self._exchange(request, clock), self._proxy_secrets)
        except TimeoutError as error:
            raise TransientError(
                f"{subject(request, None)}: no whole answer within {self._timeout:g} s"
            ) from error
        except (
            aiohttp.InvalidURL,
            aiohttp.NonHttpUrlClientError,
            aiohttp.ClientHttpProxyError,
            UnicodeError,
        ) as error:
            # Not `from error`: its text quotes the proxy's address with the password in it.
            raise _unreachable(request, error) from None
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
            # Nor here: the text quotes what the server sent, which may be what it was sent.
            raise _failure(request, error) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _failure(request, error) from error

    async def _exchange(self, request: Request, clock: asyncio.Timeout) -> Response:
        async with self._session.request(
            request.method,
            self._hosts[request.host] + request.path,
            params=request.query,
            data=request.body,
            headers=request.headers,
            proxy=self._proxy,
            allow_redirects=False,
        ) as answer:
            body = await self._body(request, answer, clock)
            return Response(
                status=answer.status,
                headers={name.lower(): value for name, value in answer.headers.items()},
                body=body,
            )

    async def _body(
        self, request: Request, answer: aiohttp.ClientResponse, clock: asyncio.Timeout
    ) -> bytes:
        """Read a body as `answer.read()` does, but to a bound; of an error nobody reads on to the end."""
        pieces, size = [], 0
        async with AsyncExitStack() as turn:
            while piece := await answer.content.readany():
                if size <= _SMALL < size + len(piece):
                    await turn.enter_async_context(self._turn(clock))
                pieces.append(piece)
                size += len(piece)
                if size <= MOST_BYTES:
                    continue
                if not answer.ok:
                    break
                pieces.clear()  # an error keeps its frames, for as long as somebody keeps the error
                named = subject(
                    request,
                    answer.headers.get("inin-correlation-id")
                    or answer.headers.get("genesys-correlation-id"),
                )
                raise RejectedError(
                    f"{named}: the answer is longer than {MOST_BYTES:,} bytes; ask for less at once",
                    code=TOO_LARGE,
                )
            return b"".join(pieces)

    @asynccontextmanager
    async def _turn(self, clock: asyncio.Timeout) -> AsyncIterator[None]:
        """Wait for one's turn to read; the attempt's clock stands still meanwhile, for the wait is none of the server's."""
        loop, deadline = asyncio.get_running_loop(), clock.when()
        assert deadline is not None
        left = deadline - loop.time()
        clock.reschedule(None)
        async with self._reading:
            await self._room()
            clock.reschedule(loop.time() + left)
            yield


def _unreachable(request: Request, error: aiohttp.ClientError | UnicodeError) -> AsyncReportError:
    named = subject(request, None)
    if not isinstance(error, aiohttp.ClientHttpProxyError):
        return ConfigError(
            f"{named}: {request.host}_url or the proxy is no usable address; check the connection"
        )
    if error.status in TRANSIENT:
        return TransientError(f"{named}: the proxy answered {error.status}", status=error.status)
    return ConfigError(
        f"{named}: the proxy refused with {error.status}; check the connection's proxy, or HTTPS_PROXY"
    )


def _failure(request: Request, error: aiohttp.ClientError | OSError) -> AsyncReportError:
    named = subject(request, None)
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return ConfigError(
                f"{named}: the certificate of {error.host} is not trusted ({_reason(error.certificate_error)}); "
                "where a proxy or gateway signs its own, set SSL_CERT_FILE to a file that holds its authority"
            )
        case aiohttp.ClientProxyConnectionError():
            proxy = f"{error.host}:{error.port}"
            return TransientError(
                f"{named}: cannot connect to the proxy {proxy} ({_reason(error.os_error)}); check proxy, or HTTPS_PROXY"
            )
        case aiohttp.ClientConnectorError():
            return TransientError(
                f"{named}: cannot connect to {error.host}:{error.port} ({_reason(error.os_error)})"
            )
        case aiohttp.ClientPayloadError():
            return TransientError(f"{named}: the answer broke off or could not be unpacked")
        case aiohttp.ClientResponseError():
            return TransientError(f"{named}: the answer is no HTTP")
    return TransientError(f"{named}: the connection broke before an answer came")


def _reason(error: BaseException) -> str:
    known = getattr(error, "errno", None)
    words = (
        os.strerror(known)
        if isinstance(known, int) and known > 0
        else getattr(error, "strerror", None)
    )
    return getattr(error, "verify_message", None) or words or type(error).__name__


async def _once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET again by itself, past the throttle, where a connection broke."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(type(error).__name__) from error
