"""The transport against raw sockets on loopback: what is sent, and every way to fail."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from asyncreport import __version__
from asyncreport.api.wire import Request, Response
from asyncreport.core.errors import (
    TOO_LARGE,
    AsyncReportError,
    ConfigError,
    RejectedError,
    TransientError,
)
from asyncreport.core.job import Client, Connection, Limits
from asyncreport.core.secret import Secret
from asyncreport.net import transport
from asyncreport.net.connection_lanes import open_lanes
from asyncreport.net.transport import Gates, Transport

GET = Request(method="GET", path="/api/v2/users", headers={"Authorization": "Bearer t0ken"})
POST = Request(
    method="POST", path="/query", body=b'{"a": 1}', headers={"Content-Type": "application/json"}
)

Talk = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(
    body: bytes = b"", *, status: str = "200 OK", length: int | None = None, headers: str = ""
) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{headers}\r\n"
    return head.encode() + body


@asynccontextmanager
async def listening(talk: Talk, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen on loopback; `talk` gets the head of each request and writes the response."""
    talks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            while True:
                await talk(await reader.readuntil(b"\r\n\r\n"), reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


def saying(*answers: bytes, heads: list[bytes] | None = None) -> Talk:
    """Give the answers in turn, the last one for ever.

    After an empty answer, or one that ends with `CUT`, the connection is closed.
    """
    left = list(answers)

    async def talk(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if heads is not None:
            heads.append(head)
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                await reader.readexactly(int(line.partition(b":")[2]))
        answer = left.pop(0) if len(left) > 1 else left[0]
        writer.write(answer.removesuffix(CUT))
        if not answer or answer.endswith(CUT):
            await writer.drain()
            raise ConnectionError

    return talk


CUT = b"<cut>"


def connection(port: int, **rest: object) -> Connection:
    here = f"http://127.0.0.1:{port}"
    return Connection(**{"name": "c", "api_url": here, "login_url": here, **rest})  # type: ignore[arg-type]


def sent(talk: Talk, request: Request = GET, *, timeout: float = 20.0, **rest: object) -> Response:
    """Send one request to a server that behaves like `talk`."""

    async def main() -> Response:
        async with (
            listening(talk) as port,
            Transport(connection(port, **rest), Limits(request_timeout=timeout)) as transport,
        ):
            return await transport.send(request)

    return asyncio.run(main())


def failed(talk: Talk, request: Request = GET, **rest: object) -> AsyncReportError:
    with pytest.raises(AsyncReportError) as caught:
        sent(talk, request, **rest)  # type: ignore[arg-type]
    error = caught.value
    assert str(error).startswith(f"{request.method} {request.path}: ")
    assert "t0ken" not in f"{error}{error.__cause__}"
    return error


def test_a_response_is_complete_with_its_headers_in_lower_case() -> None:
    response = sent(saying(http(b"body", headers="ININ-Correlation-Id: c-1\r\n")))
    assert (response.status, response.body, response.correlation_id) == (200, b"body", "c-1")
    assert all(name == name.lower() for name in response.headers)


def test_a_request_names_its_sender_and_what_it_accepts() -> None:
    heads: list[bytes] = []
    sent(saying(http(), heads=heads))
    head = heads[0].decode()
    assert f"User-Agent: asyncreport/{__version__}\r\n" in head
    assert "Accept-Encoding: gzip\r\n" in head
    assert "Authorization: Bearer t0ken\r\n" in head
    assert head.startswith("GET /api/v2/users HTTP/1.1\r\n")


def test_repeated_keys_of_a_query_and_special_characters_are_kept() -> None:
    heads: list[bytes] = []
    request = Request(
        method="GET", path="/u/a%2Fb", query=(("id", "b"), ("id", "a"), ("name", "A&B =+/%20 ü"))
    )
    sent(saying(http(), heads=heads), request)
    assert heads[0].split(b" ")[1] in {
        b"/u/a%2Fb?id=b&id=a&name=A%26B+%3D%2B/%2520+%C3%BC",
        b"/u/a%2Fb?id=b&id=a&name=A%26B+=%2B/%2520+%C3%BC",
    }


def test_token_requests_go_to_the_login_host() -> None:
    async def main() -> None:
        async with (
            listening(saying(http(b"api"))) as api,
            listening(saying(http(b"login"))) as login,
        ):
            hosts = connection(api, login_url=f"http://127.0.0.1:{login}")
            async with Transport(hosts, Limits()) as transport:
                assert (await transport.send(GET)).body == b"api"
                assert (
                    await transport.send(Request(method="POST", host="login", path="/oauth/token"))
                ).body == b"login"

    asyncio.run(main())


def test_a_compressed_response_is_decompressed() -> None:
    packed = gzip.compress(b"x" * 10_000)
    assert sent(saying(http(packed, headers="Content-Encoding: gzip\r\n"))).body == b"x" * 10_000


def packed(size: int) -> bytes:
    return http(
        gzip.compress(b"x" * size), headers="Content-Encoding: gzip\r\nInin-Correlation-Id: c-1\r\n"
    )


@pytest.mark.parametrize(
    "answer",
    [http(b"x" * 5001), http(b"x" * 4000, length=2**40), packed(50_000)],
    ids=["plain", "endless", "bomb"],
)
def test_a_response_longer_than_the_bound_is_rejected_as_too_large(
    answer: bytes,
) -> None:
    """After decompression, and without reading to its end; its Content-Length is not trusted."""
    request = replace(GET, most_bytes=3_999 if b"1099511627776" in answer else 5000)

    async def main() -> None:
        async with (
            listening(saying(answer, http(b"short"))) as port,
            Transport(connection(port), Limits()) as there,
        ):
            with pytest.raises(
                RejectedError,
                match=r"users: the response is longer than .*,.* bytes; request less at once",
            ) as caught:
                await there.send(request)
            assert caught.value.code == TOO_LARGE
            pieces = [
                frame.f_locals.get("pieces")
                for frame, _ in traceback.walk_tb(caught.value.__traceback__)
            ]
            assert not any(pieces), "what was read stays in memory with the error"
            assert caught.value.correlation_id == ("c-1" if b"Inin" in answer else None)
            assert (await there.send(GET)).body == b"short"

    asyncio.run(main())


def test_long_and_many_headers_are_read() -> None:
    headers = "".join(f"X-{number}: a\r\n" for number in range(500))
    headers += f"Content-Security-Policy: {'a' * 9_000}\r\n"
    assert sent(saying(http(b"{}", headers=headers))).body == b"{}"


def test_a_byte_order_mark_before_json_is_skipped() -> None:
    assert sent(saying(http(b"\xef\xbb\xbf{}"))).body == b"{}"
    packed = gzip.compress(b"\xef\xbb\xbf{}")
    assert sent(saying(http(packed, headers="Content-Encoding: gzip\r\n"))).body == b"{}"


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "x-gzip", "gzip, br"])
def test_an_encoding_that_no_request_accepts_is_named_and_rejected(encoding: str) -> None:
    error = failed(saying(http(b"oops", headers=f"Content-Encoding: {encoding}\r\n")))
    assert isinstance(error, RejectedError)
    assert encoding in str(error)
    assert "Content-Encoding" in str(error)
    assert "check the proxy or gateway" in str(error)


@pytest.mark.parametrize("encoding", ["GZIP", "identity", ""])
def test_an_encoding_that_requests_accept_is_undone(encoding: str) -> None:
    body = gzip.compress(b"{}") if encoding == "GZIP" else b"{}"
    headers = f"Content-Encoding: {encoding}\r\n"
    assert sent(saying(http(body, headers=headers))).body == b"{}"


def test_an_error_with_an_unknown_encoding_keeps_its_status() -> None:
    answer = http(b"oops", status="503 x", headers="Content-Encoding: compress\r\n")
    assert sent(saying(answer)).status == 503


def test_a_response_as_long_as_the_bound_is_complete() -> None:
    request = replace(GET, most_bytes=50_000)
    assert sent(saying(packed(50_000)), request).body == b"x" * 50_000


def test_an_endless_error_is_read_to_the_bound_and_keeps_its_status() -> None:
    response = sent(saying(http(b"x" * 1_000_000, status="503 Busy", length=2**40)))
    assert response.status == 503
    # What was read last may be longer than what was left to the bound.
    assert 65_536 < len(response.body) < 400_000


@pytest.mark.parametrize(
    "status", ["204 No Content", "400 Bad", "401 No", "429 Slow down", "500 Oh", "502 Gateway"]
)
def test_every_status_gives_a_response(status: str) -> None:
    assert sent(saying(http(status=status))).status == int(status[:3])


def test_a_redirect_gives_a_response_and_is_not_followed() -> None:
    heads: list[bytes] = []
    assert (
        sent(
            saying(http(status="302 Found", headers="Location: /elsewhere\r\n"), heads=heads)
        ).status
        == 302
    )
    assert len(heads) == 1


def test_no_cookie_of_one_lane_reaches_another() -> None:
    heads: list[bytes] = []

    async def main() -> None:
        talk = saying(http(headers="Set-Cookie: a=b\r\n"), heads=heads)
        async with listening(talk) as port, Transport(connection(port), Limits()) as transport:
            await transport.send(GET)
            await transport.send(GET)

    asyncio.run(main())
    assert b"cookie" not in heads[1].lower()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        CUT,
        b"HTTP/1.1 200 OK\r\nContent-Le" + CUT,
        http(b"half", length=100) + CUT,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel" + CUT,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + CUT,
        http(b"no gzip at all", headers="Content-Encoding: gzip\r\n"),
        b"SSH-2.0-OpenSSH\r\n\r\n" + CUT,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n" + CUT,
    ],
    ids=[
        "hang-up",
        "cut",
        "in-headers",
        "in-body",
        "in-chunk",
        "bad-chunk",
        "bad-gzip",
        "no-http",
        "long-header",
    ],
)
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_a_response_that_is_cut_off_is_transient_and_was_requested_once(
    answer: bytes, request_: Request
) -> None:
    heads: list[bytes] = []
    assert isinstance(failed(saying(answer, heads=heads), request_), TransientError)
    assert len(heads) == 1, "aiohttp would send a GET again by itself"


def test_a_reused_connection_that_was_closed_is_transient_too() -> None:
    heads: list[bytes] = []

    async def main() -> None:
        async with (
            listening(saying(http(b"1"), b"", http(b"2"), heads=heads)) as port,
            Transport(connection(port), Limits()) as transport,
        ):
            assert (await transport.send(GET)).body == b"1"
            with pytest.raises(TransientError):
                await transport.send(GET)
            assert (await transport.send(GET)).body == b"2"

    asyncio.run(main())
    assert len(heads) == 3


async def silent(_head: bytes, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def dripping(
    _head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(http(b"half", length=100))
    await reader.read()


@pytest.mark.parametrize("talk", [silent, dripping])
def test_a_response_that_does_not_come_in_time_is_transient(talk: Talk) -> None:
    error = failed(talk, timeout=0.05)
    assert isinstance(error, TransientError)
    assert str(error) == "GET /api/v2/users: no complete response within 0.05 s"
    assert error.timed_out


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat responses longer than two bytes as large."""
    monkeypatch.setattr(transport, "_SMALL", 2)


async def halves(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give a complete response, a small one, or half of one."""
    whole = {b"/fast": b"whole", b"/small": b"ok"}.get(head.split()[1])
    writer.write(http(b"half", length=100) if whole is None else http(whole))
    if whole is None:
        await reader.read()


@pytest.mark.usefixtures("large")
def test_a_slow_large_body_delays_the_next_large_one_until_it_is_cancelled() -> None:
    """Small ones are not delayed."""

    async def main() -> None:
        async with (
            asyncio.timeout(10),
            listening(halves) as port,
            Transport(connection(port), Limits()) as transport,
        ):
            slow = asyncio.create_task(transport.send(GET))
            while not transport._readers.locked():  # noqa: ASYNC110  # only turns of the loop
                await asyncio.sleep(0)
            fast = asyncio.create_task(transport.send(Request(method="GET", path="/fast")))
            while not transport._readers._waiters:  # noqa: ASYNC110  # the same
                await asyncio.sleep(0)
            assert (await transport.send(Request(method="GET", path="/small"))).body == b"ok"
            assert not fast.done()
            slow.cancel()
            assert (await fast).body == b"whole"
            await asyncio.gather(slow, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.usefixtures("large")
def test_a_large_response_is_read_when_there_is_room_and_a_small_one_at_once() -> None:
    async def main() -> None:
        room = asyncio.Event()

        async def roomy() -> None:
            await room.wait()

        async with (
            asyncio.timeout(10),
            listening(halves) as port,
            Transport(connection(port), Limits(), Gates(room=roomy)) as transport,
        ):
            large = asyncio.create_task(transport.send(Request(method="GET", path="/fast")))
            assert (await transport.send(Request(method="GET", path="/small"))).body == b"ok"
            assert not large.done()
            room.set()
            assert (await large).body == b"whole"

    asyncio.run(main())


@pytest.mark.usefixtures("large")
def test_the_wait_for_a_turn_to_read_does_not_count_as_a_time_out() -> None:
    """Large bodies that never end time out; the complete one that waited behind them is read."""

    async def main() -> None:
        limits = Limits(request_timeout=0.5)
        async with (
            asyncio.timeout(30),
            listening(halves) as port,
            Transport(connection(port), limits) as transport,
        ):
            slow = [asyncio.create_task(transport.send(GET)) for _ in range(2)]
            while not transport._readers.locked():  # noqa: ASYNC110  # only turns of the loop
                await asyncio.sleep(0)
            # The time of the fast one would be over before theirs.
            more = [asyncio.create_task(transport.send(GET)) for _ in range(2)]
            while len(transport._readers._waiters or ()) < 2:  # noqa: ASYNC110  # the same
                await asyncio.sleep(0)
            fast = asyncio.create_task(transport.send(Request(method="GET", path="/fast")))
            assert (await fast).body == b"whole"
            failures = await asyncio.gather(*slow, *more, return_exceptions=True)
        assert {str(failure) for failure in failures} == {
            "GET /api/v2/users: no complete response within 0.5 s"
        }

    asyncio.run(main())


def test_a_refused_connection_is_transient_and_names_the_host() -> None:
    async def main() -> None:
        async with listening(silent) as port:
            pass
        async with Transport(connection(port), Limits()) as transport:
            with pytest.raises(TransientError, match=rf"cannot connect to 127\.0\.0\.1:{port} \("):
                await transport.send(GET)

    asyncio.run(main())


@pytest.mark.parametrize(
    "url", ["", "api.example", "http://", "ftp://host", "http://host:port", "http://[::1"]
)
def test_an_unusable_address_is_an_error_of_the_configuration(url: str) -> None:
    error = failed(silent, api_url=url)
    assert isinstance(error, ConfigError)
    assert "api_url" in str(error)


def test_an_unusable_proxy_is_an_error_of_the_configuration() -> None:
    error = failed(silent, proxy=Secret("me:pa55word@proxy:3128"))
    assert isinstance(error, ConfigError)
    assert "pa55word" not in f"{error}{error.__cause__}"


def test_a_plain_request_goes_through_the_proxy_with_its_credentials() -> None:
    heads: list[bytes] = []

    async def main() -> None:
        async with listening(saying(http(b"by proxy"), heads=heads)) as port:
            far = connection(1, proxy=Secret(f"http://me:pa55word@127.0.0.1:{port}"))
            async with Transport(far, Limits()) as transport:
                assert (await transport.send(GET)).body == b"by proxy"

    asyncio.run(main())
    assert heads[0].startswith(b"GET http://127.0.0.1:1/api/v2/users HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " in heads[0]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("407 Who are you", ConfigError),
        ("403 Not there", ConfigError),
        ("503 Busy", TransientError),
        ("502 Nobody", TransientError),
    ],
)
def test_a_proxy_that_refuses_is_not_one_that_fails_for_now(
    status: str, kind: type[AsyncReportError]
) -> None:
    async def main() -> None:
        async with listening(saying(http(status=status) + CUT)) as port:
            far = connection(
                1,
                api_url="https://api.example",
                proxy=Secret(f"http://me:pa55word@127.0.0.1:{port}"),
            )
            async with Transport(far, Limits()) as transport:
                with pytest.raises(kind, match=f"the proxy .* {status[:3]}") as caught:
                    await transport.send(GET)
                assert "pa55word" not in f"{caught.value}{caught.value.__cause__}"
                assert "t0ken" not in f"{caught.value}{caught.value.__cause__}"

    asyncio.run(main())


def test_lanes_open_one_per_client_over_one_transport_and_close_with_it() -> None:
    grant = http(b'{"access_token": "t", "expires_in": 300}')

    async def main() -> None:
        async with listening(saying(grant, http(b"one"), grant, http(b"two"))) as port:
            clients = tuple(Client(client_id=f"c{n}", client_secret=Secret("s")) for n in range(2))
            async with open_lanes(connection(port, clients=clients), Limits(), rng=lambda: 0.5) as (
                lanes,
                counts,
            ):
                assert [await lane.ask(POST) for lane in lanes] == [b"one", b"two"]
                assert counts.requests == 4
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
