"""Send a request to its host once and read the response. Owns the session and its sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import aiohttp

from asyncreport import __version__
from asyncreport.api.wire import Request, Response
from asyncreport.core.job import Connection, Limits
from asyncreport.core.secret import Secret
from asyncreport.net import failures
from asyncreport.net.authorities import trusted

#: bytes of a response that wait in the session to be read; aiohttp's default of four times as much
#: for each of 16 workers was visible in the memory of a run
_BUFFER = 2**16

#: bytes of a response that are read without waiting for other readers: a slow response that is
#: small must not hold up the others
_SMALL = 2**18

#: larger responses that are read at the same time, so that memory does not grow with the workers:
#: two cost 15 to 35 MB more and were not faster (`tests/bench/answers.py`)
_READERS = 1

#: most bytes of an error that are read: a message has less, and the rest may be a page without end
MOST_ERROR_BYTES = 2**16

#: most bytes of a response's header, and most headers: proxies and gateways add long ones
_MAX_HEADER = 2**16
_MAX_HEADERS = 1_000

#: values of Content-Encoding that aiohttp undoes
_ENCODINGS = frozenset({"", "identity", "gzip", "deflate"})

#: some gateways put it before JSON
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


async def _at_once() -> None:
    """Wait for nothing."""


def _always() -> None:
    """Permit every request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What may hold up the requests of a job, besides its rate limits."""

    #: called before each request: raises StoreError if nothing may be sent any more
    permit: Callable[[], None] = _always
    #: waits until there is memory for what one more large response becomes
    room: Callable[[], Awaitable[None]] = _at_once


OPEN = Gates()


class Transport:
    """Talk to the two hosts of one connection; an async context manager.

    It must be made in a running event loop.
    """

    def __init__(self, connection: Connection, limits: Limits, gates: Gates = OPEN) -> None:
        self._hosts = {"api": connection.api_url, "login": connection.login_url}
        self._proxy = _revealed(connection.proxy)
        self._timeout = limits.request_timeout
        self._readers = asyncio.Semaphore(_READERS)
        self._gates = gates
        clients = max(1, len(connection.clients))
        addresses = [*self._hosts.values(), self._proxy or ""]
        trust = trusted(connection.authorities, addresses)
        self._session = _session(limits.concurrency * clients, trust)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, request: Request) -> Response:
        """Send a request once and read the whole response, whatever its status.

        Raise TransientError if none came back within `limits.request_timeout`, ConfigError if none
        ever will, RejectedError if a success is longer than `request.most_bytes`.
        """
        # Here, behind every wait: what passes is sent at once.
        self._gates.permit()
        try:
            async with asyncio.timeout(self._timeout) as timeout:
                return await self._exchange(request, timeout)
        except TimeoutError as error:
            raise failures.timed_out(request, self._timeout) from error
        except failures.ADDRESS_ERRORS as error:
            # Not `from error`: its text quotes the proxy's address with the password in it.
            raise failures.unreachable(request, error) from None
        except failures.QUOTING_ERRORS as error:
            # Nor here, or what the server sent would be shown.
            raise failures.failed(request, error, plain=self._is_plain(request)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise failures.failed(request, error, plain=self._is_plain(request)) from error

    def _is_plain(self, request: Request) -> bool:
        """Tell whether a request goes to its host without TLS."""
        return self._hosts[request.host].startswith("http:")

    async def _exchange(self, request: Request, timeout: asyncio.Timeout) -> Response:
        """Send a request and read the response within `timeout`."""
        async with self._session.request(
            request.method,
            self._hosts[request.host] + request.path,
            params=request.query,
            data=request.body,
            headers=request.headers,
            proxy=self._proxy,
            allow_redirects=False,
        ) as response:
            _check_encoding(request, response)
            body = await self._read(request, response, timeout)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Response(
                status=response.status,
                headers=headers,
                body=body,
                seconds=self._timeout - _left(timeout),
            )

    async def _read(
        self,
        request: Request,
        response: aiohttp.ClientResponse,
        timeout: asyncio.Timeout,
    ) -> bytes:
        """Read a body up to a bound; raise RejectedError if a success is longer."""
        body = _Body(_most_bytes(request, response))
        async with AsyncExitStack() as turn:
            async for piece in response.content.iter_any():
                # At most once: at the piece with which the response becomes a large one.
                if body.becomes_large(piece):
                    await turn.enter_async_context(self._turn_to_read(timeout))
                body.add(piece)
                # The beginning of an error is enough.
                if body.is_too_long:
                    break
            if body.is_too_long and response.ok:
                # An error keeps its frames alive, and these would keep the pieces.
                body.pieces.clear()
                raise failures.too_long(request, response.headers)
            # Joined before the turn ends: for a moment the body is in memory twice.
            return b"".join(body.pieces).removeprefix(_BYTE_ORDER_MARK)

    @asynccontextmanager
    async def _turn_to_read(self, timeout: asyncio.Timeout) -> AsyncIterator[None]:
        """Wait for a turn to read a large response, and for memory."""
        left = _left(timeout)
        # The time-out stops meanwhile: the server is not to blame for this wait.
        timeout.reschedule(None)
        async with self._readers:
            await self._gates.room()
            timeout.reschedule(asyncio.get_running_loop().time() + left)
            yield


def _left(timeout: asyncio.Timeout) -> float:
    """Give the seconds that are left of an attempt's time."""
    deadline = timeout.when()
    assert deadline is not None
    return deadline - asyncio.get_running_loop().time()


def _most_bytes(request: Request, response: aiohttp.ClientResponse) -> int:
    """Give how many bytes of a response are read."""
    if response.ok:
        return request.most_bytes
    return MOST_ERROR_BYTES


@dataclass(slots=True)
class _Body:
    """What was read of a body so far."""

    #: bytes
    most: int
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0

    @property
    def is_too_long(self) -> bool:
        """Tell whether the rest is not read."""
        return self.size > self.most

    def becomes_large(self, piece: bytes) -> bool:
        """Tell whether a piece makes the body a large one."""
        return self.size <= _SMALL < self.size + len(piece)

    def add(self, piece: bytes) -> None:
        """Note one more piece."""
        self.pieces.append(piece)
        self.size += len(piece)


def _revealed(secret: Secret | None) -> str | None:
    """Give the text of a secret, None if there is none."""
    if secret is None:
        return None
    return secret.reveal()


def _check_encoding(request: Request, response: aiohttp.ClientResponse) -> None:
    """Raise RejectedError for a success in an encoding that stays as it is."""
    encoding = response.headers.get("Content-Encoding", "")
    if response.ok and encoding.strip().lower() not in _ENCODINGS:
        raise failures.encoded(request, encoding)


def _session(connections: int, trust: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    """Make a session for at most so many connections at a time."""
    headers = {
        "User-Agent": f"asyncreport/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
    }
    connector = aiohttp.TCPConnector(limit=connections, ssl=trust)
    return aiohttp.ClientSession(
        connector=connector,
        # `send` has one deadline for the whole attempt; aiohttp's own would round it up.
        timeout=aiohttp.ClientTimeout(total=None),
        headers=headers,
        # Lanes share the session, but not the cookies that a server gives to one of them.
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_send_once,),
        read_bufsize=_BUFFER,
        max_line_size=_MAX_HEADER,
        max_field_size=_MAX_HEADER,
        max_headers=_MAX_HEADERS,
        trust_env=False,
    )


async def _send_once(
    request: aiohttp.ClientRequest,
    send: aiohttp.ClientHandlerType,
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET again by itself, past the throttle."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(type(error).__name__) from error
