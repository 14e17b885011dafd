"""TLS that fails: what is said, and whether another attempt may help."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncreport.core.authorities import Authorities
from asyncreport.core.errors import AsyncReportError, ConfigError, TransientError
from asyncreport.core.job import Limits
from asyncreport.net.transport import Transport
from tests.unit.net.test_transport import GET, connection, http, listening, saying

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="makes its certificates with the openssl command"
)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def certificate(folder: Path, *options: str) -> tuple[Path, Path]:
    """Make a certificate that signs itself: its file, and the file of its key."""
    key, file = folder / "key.pem", folder / "certificate.pem"
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        f"-subj /CN=loopback -keyout {key} -out {file}"
    )
    subprocess.run([*make.split(), *options], check=True, capture_output=True)
    return file, key


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    names = ("-days", "2", "-addext", "subjectAltName=IP:127.0.0.1")
    return certificate(tmp_path_factory.mktemp("valid"), *names)


def answering(content: bytes) -> Talk:
    """Answer the first bytes of a handshake with these."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(content)
        await writer.drain()
        writer.close()

    return talk


async def error_of(port: int, scheme: str = "https", **rest: object) -> AsyncReportError:
    """Send a request that fails; give its error."""
    there = connection(port, api_url=f"{scheme}://127.0.0.1:{port}", **rest)
    async with Transport(there, Limits()) as transport:
        with pytest.raises(AsyncReportError) as caught:
            await transport.send(GET)
    return caught.value


def answered(content: bytes, scheme: str = "https") -> AsyncReportError:
    """Send a request to a server that answers with these bytes; its port is 0 in the message."""

    async def main() -> AsyncReportError:
        server = await asyncio.start_server(answering(content), "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            error = await error_of(port, scheme)
            return type(error)(str(error).replace(str(port), "0"))

    return asyncio.run(main())


def alert(code: int) -> bytes:
    """Make a fatal alert: https://www.rfc-editor.org/rfc/rfc8446#section-6."""
    return bytes((21, 3, 3, 0, 2, 2, code))


CHECK = "check api_url, and the proxy or gateway before the server"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (http(status="400 Bad Request"), "does not speak TLS; check api_url"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS; check api_url"),
        (alert(70), f"refused TLS: it accepts no TLS version from 1.2 on; {CHECK}"),
        (
            alert(40),
            "refused TLS: it accepts none of this computer's ciphers, or demands a client "
            f"certificate; {CHECK}",
        ),
        (
            alert(42),
            "refused TLS: it demands a client certificate, which asyncreport does not send; "
            f"{CHECK}",
        ),
        (alert(112), f"refused TLS: it does not know this host name; {CHECK}"),
    ],
)
def test_a_handshake_that_fails_each_time_is_an_error_of_the_configuration(
    content: bytes, fact: str
) -> None:
    error = answered(content)
    assert (type(error), str(error)) == (ConfigError, f"GET /api/v2/users: 127.0.0.1:0 {fact}")


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (alert(80), "TLS with 127.0.0.1:0 failed (internal error)"),
        (b"", "cannot connect to 127.0.0.1:0 (the connection was closed)"),
    ],
)
def test_a_handshake_that_may_succeed_next_time_is_tried_again(content: bytes, fact: str) -> None:
    error = answered(content)
    assert (type(error), str(error)) == (TransientError, f"GET /api/v2/users: {fact}")


def test_plain_http_onto_a_port_for_tls_is_an_error_of_the_configuration() -> None:
    error = answered(alert(70), scheme="http")
    assert (type(error), str(error)) == (
        ConfigError,
        "GET /api/v2/users: the server speaks TLS on this port; write https:// in api_url",
    )


def test_plain_http_onto_a_port_that_only_closes_the_connection_has_a_hint() -> None:
    error = answered(b"", scheme="http")
    assert (type(error), str(error)) == (
        TransientError,
        "GET /api/v2/users: the connection was closed before a response came; if the server speaks "
        "TLS on this port, write https://",
    )


def serving(files: tuple[Path, Path]) -> ssl.SSLContext:
    """Make a server's side of TLS with this certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


def failed_with(files: tuple[Path, Path], trust: Path | None = None) -> str:
    """Send a request to a server with this certificate, and give the message of its error."""
    authorities = Authorities(file=str(trust or ""))

    async def main() -> str:
        async with listening(saying(http(b"secure")), tls=serving(files)) as port:
            return str(await error_of(port, authorities=authorities))

    return asyncio.run(main())


def test_a_certificate_for_another_host_is_one_of_the_configuration(tmp_path: Path) -> None:
    files = certificate(tmp_path, "-days", "2", "-addext", "subjectAltName=DNS:example.org")
    assert failed_with(files, trust=files[0]) == (
        "GET /api/v2/users: the certificate of 127.0.0.1 is not trusted (IP address mismatch, "
        "certificate is not valid for '127.0.0.1'); check api_url: it must have the host name of "
        "the certificate"
    )


def test_a_certificate_that_has_expired_needs_a_new_one(
    valid: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "expired.pem"
    again = f"openssl x509 -in {valid[0]} -signkey {valid[1]} -days -1 -out {file}"
    subprocess.run(again.split(), check=True, capture_output=True)
    assert failed_with((file, valid[1]), trust=file) == (
        "GET /api/v2/users: the certificate of 127.0.0.1 is not trusted (certificate has expired); "
        "check the clock of this computer, then ask the server's owner to renew it"
    )


def test_only_for_an_unknown_authority_its_certificate_is_asked_for(
    valid: tuple[Path, Path],
) -> None:
    assert failed_with(valid) == (
        "GET /api/v2/users: the certificate of 127.0.0.1 is not trusted (self-signed certificate); "
        "if a proxy or gateway uses its own authority, set SSL_CERT_FILE to a file with that "
        "authority's certificate"
    )


@contextmanager
def openssl_server(files: tuple[Path, Path], *options: str) -> Iterator[int]:
    """Serve with the openssl command; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["openssl", "s_server", "-www", "-accept", str(port), "-naccept", "1"]
    certificate_files = ["-cert", str(files[0]), "-key", str(files[1])]
    with subprocess.Popen(
        [*command, *certificate_files, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert any(line.startswith(b"ACCEPT") for line in process.stdout)
            yield port
        finally:
            process.kill()


def test_a_client_certificate_that_is_demanded_after_the_handshake_is_named(
    valid: tuple[Path, Path],
) -> None:
    """Since TLS 1.3 the server refuses after the client believes that the handshake is over."""
    authorities = Authorities(file=str(valid[0]))
    with openssl_server(valid, "-Verify", "1", "-verify_return_error") as port:
        error = asyncio.run(error_of(port, authorities=authorities))
    assert (type(error), str(error)) == (
        ConfigError,
        "GET /api/v2/users: the server refused TLS: it demands a client certificate, which "
        f"asyncreport does not send; {CHECK}",
    )


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_certificate_is_trusted_if_the_authorities_have_it(
    valid: tuple[Path, Path], tmp_path: Path, kind: str
) -> None:
    shutil.copy(valid[0], tmp_path / "authority.pem")
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
    authorities = {
        "file": Authorities(file=str(tmp_path / "authority.pem")),
        "folder": Authorities(folder=str(tmp_path)),
    }[kind]

    async def main() -> bytes:
        async with listening(saying(http(b"secure")), tls=serving(valid)) as port:
            here = f"https://127.0.0.1:{port}"
            there = connection(port, api_url=here, authorities=authorities)
            async with Transport(there, Limits()) as transport:
                return (await transport.send(GET)).body

    assert asyncio.run(main()) == b"secure"


def unusable(authorities: Authorities) -> str:
    """Open a connection with TLS; give the message of the error."""

    async def main() -> str:
        with pytest.raises(ConfigError) as caught:
            Transport(connection(1, api_url="https://127.0.0.1", authorities=authorities), Limits())
        return str(caught.value)

    return asyncio.run(main())


def test_authorities_that_do_not_exist_are_reported_before_any_request(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.pem")
    assert unusable(Authorities(file=gone)) == (
        f"SSL_CERT_FILE: {gone} does not exist or is not a file; correct the variable in the "
        "environment or in .env, or remove it"
    )
    assert unusable(Authorities(folder=gone)) == (
        f"SSL_CERT_DIR: {gone} does not exist or is not a folder; correct the variable in the "
        "environment or in .env, or remove it"
    )


def test_a_file_without_certificates_is_reported_before_any_request(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a certificate")
    assert unusable(Authorities(file=str(file))) == (
        f"SSL_CERT_FILE: {file} has no certificate that can be read (no certificate or crl found); "
        "it must have certificates in PEM form"
    )


def test_plain_http_needs_no_authorities() -> None:
    async def main() -> None:
        there = connection(1, authorities=Authorities(file="/gone"))
        async with Transport(there, Limits()):
            pass

    asyncio.run(main())
