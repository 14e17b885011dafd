"""No log, message, traceback, file, output or `repr` has a secret, whatever a server sends back.

The server here is a gateway on loopback that repeats each request in its response.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import html
import io
import json
import logging
import os
import re
import shlex
import shutil
import ssl
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from asyncreport.api import directory, organization
from asyncreport.config import load_job
from asyncreport.core.errors import AsyncReportError
from asyncreport.export.lanes import Connections
from asyncreport.export.run import run_job
from asyncreport.net.transport import Transport
from tests.emulator_process import Handle
from tests.exporting import NOW, Call, call, connection, write_job

ROOT = Path(__file__).parents[2]

#: what changes when it is escaped for a URL, for HTML and for a text of JSON
SECRET = 's&cr=t/"\\~ %'
CLIENT_ID = "the-client"
BEARER = 'bea+rer/"t0k%41en&='
PASSWORD = "pr%xy p&ss/é"
OTHER = "0ther-v&lue-of/.env"
BASIC = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
#: HTTP's own spelling of it, as aiohttp sends it
PROXY_BASIC = base64.b64encode(f"me:{PASSWORD}".encode("latin-1")).decode()

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "URL": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "HTML": html.escape,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
}

#: every spelling of every secret that must be nowhere
TRACES = {
    spelling(secret).strip("=")
    for secret in (SECRET, BEARER, PASSWORD, OTHER, BASIC, PROXY_BASIC, repr(SECRET)[1:-1])
    for spelling in SPELLINGS.values()
}


def assert_clean(text: str) -> None:
    for trace in TRACES:
        assert trace not in text, (
            f"{trace!r} is in {text[max(0, text.index(trace) - 200) :][:600]!r}"
        )


class Gateway:
    """What the server does; each test sets it."""

    def __init__(self) -> None:
        #: makes a response: (request for a token?, the request as text) -> status, headers, body
        self.answer: Callable[[bool, str], tuple[int, dict[str, str], bytes]] = lambda _, __: (
            200,
            {},
            b"{}",
        )
        #: sent instead of a response: not valid HTTP
        self.raw: Callable[[str], bytes] | None = None
        #: what came, headers and body
        self.seen: list[str] = []
        self.url = ""


def _grant() -> bytes:
    return json.dumps({"access_token": BEARER, "expires_in": 3600}).encode()


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Gateway]:
    gateway = Gateway()

    class Talk(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one piece

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            came = f"{self.requestline}\n{self.headers}\n{body.decode()}"
            gateway.seen.append(came)
            if gateway.raw is not None:
                self.wfile.write(gateway.raw(came))
                self.close_connection = True
                return
            status, headers, answer = gateway.answer("/oauth/token" in self.path, came)
            self.send_response_only(status)
            for name, value in {
                "Content-Length": str(len(answer)),
                "Content-Type": "application/json",
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_DELETE = do_CONNECT = _serve  # noqa: N815  # names of http.server

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Talk)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client may hang up
    gateway.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def shared() -> Iterator[Gateway]:
    with serving() as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: Gateway) -> Iterator[Gateway]:
    yield shared
    shared.__dict__.update({**Gateway().__dict__, "url": shared.url})


def job(folder: Path, url: str, **sections: Any) -> Path:
    """Write a job whose secrets are in `.env`, as people keep them."""
    escaped = {
        name: value.replace("\\", "\\\\").replace("'", "\\'")
        for name, value in {"SECRET": SECRET, "OTHER": OTHER}.items()
    }
    (folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in escaped.items()))
    there = Handle(url, CLIENT_ID, "${SECRET}")
    return write_job(
        folder,
        there,
        **{
            "connections": {"default": connection(there, **sections.pop("connection", {}))},
            "range": {"start": "2024-01-01", "end": "2024-01-02"},
            "teams": [{"name": "one", "users": ["ada"]}],
            "limits": {"max_attempts": 2, "concurrency": 1},
            **sections,
        },
    )


def loud(*arguments: str, cwd: Path, **extra: str) -> Call:
    """Run the command line with all logs, and the debug mode of asyncio."""
    return call(*arguments, cwd=cwd, module="tests.loud", PYTHONASYNCIODEBUG="1", **extra)


def kept(folder: Path) -> str:
    """Read all files that a run wrote."""
    return "\n".join(
        each.read_text(errors="replace")
        for each in folder.rglob("*")
        if each.is_file() and each.name not in (".env", "job.yaml")
    )


# What comes back ---------------------------------------------------------------------------------


def _echo(came: str) -> str:
    """Repeat the credentials of a request, decoded and as sent; short, because messages are cut."""
    said = [line.partition(": ")[2] for line in came.splitlines() if "uthorization: " in line]
    meant = [
        base64.b64decode(each.split()[1]).decode("latin-1")
        for each in said
        if each.startswith("Basic")
    ]
    secret = [SECRET] if BASIC in came or "client_secret" in came else []
    return " ".join([*secret, *meant, *said, came.splitlines()[-1], "end"])


BODIES: dict[str, Callable[[str], tuple[dict[str, str], bytes]]] = {
    **{
        f"text, {name}": lambda came, spell=spell: ({}, spell(came).encode())
        for name, spell in SPELLINGS.items()
    },
    "HTML": lambda came: (
        {"Content-Type": "text/html"},
        f"<html><pre>{html.escape(came)}</pre></html>".encode(),
    ),
    "message": lambda came: (
        {},
        json.dumps({"message": came, "code": came, "contextId": came}).encode(),
    ),
    "description": lambda came: (
        {},
        json.dumps({"error": "invalid_client", "description": came}).encode(),
    ),
    "error_description": lambda came: (
        {},
        json.dumps({"error": came, "error_description": came}, ensure_ascii=False).encode(),
    ),
    "messageParams": lambda came: (
        {},
        json.dumps({"message": "no", "messageParams": {"a": came, came: "b"}}).encode(),
    ),
    "details": lambda came: (
        {},
        json.dumps(
            {"message": "no", "details": [{"fieldName": came}], "limit": {"key": came}}
        ).encode(),
    ),
    "escaped twice": lambda came: ({}, json.dumps({"message": quote(came)}).encode()),
    "header": lambda came: (
        {"inin-correlation-id": came.encode("ascii", "ignore").decode()},
        b"{}",
    ),
    "escaped header": lambda came: (
        {"inin-correlation-id": quote(came), "Location": f"http://127.0.0.1:9/{quote(came)}"},
        b"{}",
    ),
}
STATUSES = [302, 400, 401, 407, 500]


def failures(path: Path, caplog: pytest.LogCaptureFixture) -> str:
    """Try a connection; return all text about its failures: messages, tracebacks, causes, logs."""
    found = io.StringIO()

    async def main() -> None:
        given = load_job(path, environ={"SECRET": SECRET}, now=NOW)
        async with Connections(given.connections, given.limits) as connections:
            (lane,) = await connections.lanes("default")
            for request in (organization.limits_request(), directory.user_count_request()):
                try:
                    await lane.ask(request)
                except AsyncReportError as error:
                    found.write("".join(traceback.format_exception(error)))
                    found.write(f"{error!r} {error.args!r}")

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    return found.getvalue() + caplog.text


@pytest.mark.parametrize("in_form", [False, True])
@pytest.mark.parametrize("body", BODIES)
def test_a_server_that_sends_the_request_back_reveals_nothing(
    gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture, body: str, in_form: bool
) -> None:
    """The token endpoint, with the secret, and the API, with the token: whatever the status."""
    path = job(
        tmp_path,
        gateway.url,
        contract="entities" if in_form else "aggregates",
        limits={"max_attempts": 1},
    )
    for for_token in (True, False):
        for status in STATUSES:
            gateway.answer = _told(body, status, for_token=for_token)
            caplog.clear()
            text = failures(path, caplog)
            assert (
                f"/api/v2/organizations/limits/namespaces/platform.api: {status}" in text
                or f"/oauth/token: {status}" in text
            )
            assert_clean(text)
    assert any(BASIC in came or quote_plus(SECRET) in came for came in gateway.seen), (
        "the secret never travelled"
    )
    assert any(BEARER in came for came in gateway.seen), "the token never travelled"


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every backoff wait 0 s."""
    monkeypatch.setattr("asyncreport.export.lanes.random", SimpleNamespace(random=lambda: 0.0))


#: successes that quote what they answer, by the path that is asked
QUOTES: dict[str, Callable[[str], Any]] = {
    "a user": lambda came: {"results": [{"group": {"userId": came}, "data": []}]},
    "a bucket": lambda came: {
        "results": [
            {
                "group": {"userId": "anna"},
                "data": [{"interval": came, "metrics": [{"metric": "tHandle"}]}],
            }
        ]
    },
    "a dimension": lambda came: {"results": [{"group": {"userId": [came]}}]},
    "a key": lambda came: {came: 1},
    "an entity's user": lambda came: {
        "entities": [{"user": {"id": came}, "metrics": {"handledCount": {"count": 1}}}]
    },
    "an entity's bucket": lambda came: {
        "entities": [
            {
                "user": {"id": "anna"},
                "interval": {"startTime": came},
                "metrics": {"handledCount": {"count": 1}},
            }
        ]
    },
    "a page token": lambda came: {"entities": [], "nextPage": came},
    "a failed query job": lambda came: {"jobId": "j", "state": "FAILED", "errorMessage": came},
    "the id of a query job": lambda came: {"jobId": came, "state": came},
    "a state": lambda came: {"jobId": "j", "state": came},
    "a cursor": lambda came: {"jobId": "j", "state": "FULFILLED", "results": [], "cursor": came},
}


@pytest.mark.parametrize("name", QUOTES)
@pytest.mark.parametrize("bearer", [BEARER, "long-" + "0123456789abcdef" * 8])
def test_a_success_that_sends_the_token_back_reveals_nothing(
    gateway: Gateway, tmp_path: Path, name: str, bearer: str
) -> None:
    """Although our own messages quote parts of a response."""
    sample = QUOTES[name]("x")
    contract = (
        "entities" if "entities" in sample else "query-jobs" if "jobId" in sample else "aggregates"
    )
    limits_ = {"max_attempts": 1, "give_up_after": "PT2S", "request_timeout": "PT1S"}
    path = job(
        tmp_path,
        gateway.url,
        contract=contract,
        limits=limits_,
        teams=[{"name": "t", "users": ["anna"]}],
    )

    def answer(token: bool, came: str) -> tuple[int, dict[str, str], bytes]:
        if token:
            return 200, {}, json.dumps({"access_token": bearer, "expires_in": 3600}).encode()
        if "/api/v2/users" in came:
            # Without names a run goes on; a directory without the listed user would end it.
            return 404, {}, b""
        quoted = re.search("(?i)authorization: Bearer (.*)", came)
        assert quoted
        return 200, {}, json.dumps(QUOTES[name](quoted[1].strip())).encode()

    gateway.answer = answer
    result = loud("run", "-v", str(path), cwd=tmp_path)
    assert result.code in (1, 2, 4), result.err
    for text in (result.out, result.err, kept(tmp_path)):
        assert_clean(text)
        assert bearer[:40] not in text
        assert bearer[-12:] not in text


NO_HTTP: dict[str, Callable[[str], bytes]] = {
    "a status line": lambda came: f"HTTP/1.1 OK {' '.join(came.split())}\r\n\r\n".encode(),
    "a header's name": lambda came: (
        f"HTTP/1.1 200 OK\r\n{' '.join(came.split())}: x\r\n\r\n".encode()
    ),
    "a header's value": lambda came: (
        f"HTTP/1.1 200 OK\r\nX: {' '.join(came.split())}\x00\x01\r\n\r\n".encode()
    ),
    "a length": lambda came: (
        f"HTTP/1.1 200 OK\r\nContent-Length: {' '.join(came.split())}\r\n\r\n".encode()
    ),
    "a chunk's size": lambda came: (
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{' '.join(came.split())}\r\n"
    ).encode(),
    "a packed body": lambda came: (
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
        f"Content-Length: {len(came.encode())}\r\n\r\n{came}"
    ).encode(),
    "no line at all": lambda came: came.encode(),
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_invalid_http_reveals_nothing(
    gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """The error of the parser quotes it, and a traceback would show that error."""
    gateway.raw = NO_HTTP[name]
    text = failures(job(tmp_path, gateway.url, limits={"max_attempts": 1}), caplog)
    assert "POST /oauth/token: " in text
    assert_clean(text)


def _told(
    body: str, status: int, *, for_token: bool
) -> Callable[[bool, str], tuple[int, dict[str, str], bytes]]:
    def answer(token: bool, came: str) -> tuple[int, dict[str, str], bytes]:
        return (
            (200, {}, _grant()) if token and not for_token else (status, *BODIES[body](_echo(came)))
        )

    return answer


@pytest.mark.parametrize(
    ("command", "for_token", "status", "body", "code"),
    [
        ("run", True, 401, "description", 3),
        ("check", True, 400, "text, URL", 3),
        ("run", False, 403, "message", 3),
        ("run", False, 400, "messageParams", 4),
        ("run", False, 302, "escaped header", 2),
        ("check", False, 407, "HTML", 2),
    ],
)
def test_no_line_log_or_file_of_a_command_reveals_anything(
    gateway: Gateway,
    tmp_path: Path,
    command: str,
    for_token: bool,
    status: int,
    body: str,
    code: int,
) -> None:
    """At the highest verbosity, with every library's log and asyncio's debug mode."""
    gateway.answer = _told(body, status, for_token=for_token)
    result = loud(command, "-v", str(job(tmp_path, gateway.url)), cwd=tmp_path)
    assert result.code == code, result.err
    assert "asyncio Using selector" in result.err, "the logs are not there"
    if command == "run":
        assert "Traceback (most recent call last)" in result.err
    assert_clean(result.out + result.err + kept(tmp_path))


def test_a_run_that_succeeds_reveals_nothing(gateway: Gateway, tmp_path: Path) -> None:
    gateway.answer = lambda token, _: (
        200,
        {"inin-correlation-id": "c"},
        _grant() if token else b"{}",
    )
    result = loud("run", "-v", str(job(tmp_path, gateway.url)), cwd=tmp_path)
    assert result.code == 0, result.err
    assert (tmp_path / ".asyncreport" / "job" / "summary.json").exists()
    assert_clean(result.out + result.err + kept(tmp_path))
    plan = loud("plan", "-v", str(job(tmp_path, gateway.url)), cwd=tmp_path)
    assert plan.code == 0
    assert_clean(plan.out + plan.err)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://127.0.0.1:9"])
def test_a_host_that_cannot_be_reached_reveals_nothing(tmp_path: Path, url: str) -> None:
    result = loud("check", "-v", str(job(tmp_path, url)), cwd=tmp_path)
    assert result.code == 1, result.err
    assert "cannot connect to" in result.out
    assert_clean(result.out + result.err)


def test_a_crash_reveals_nothing(gateway: Gateway, tmp_path: Path) -> None:
    """An unexpected error while a request with the token is in progress."""
    (tmp_path / "sitecustomize.py").write_text(
        "from asyncreport.net import client\n"
        "def broken(*_, **__):\n"
        "    raise RuntimeError('a mistake')\n"
        "client.problem = broken\n"
    )
    gateway.answer = _told("message", 400, for_token=False)
    path = job(tmp_path, gateway.url)
    result = loud("run", "-v", str(path), cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert result.code == 70
    assert "RuntimeError: a mistake" in result.err
    assert_clean(result.out + result.err + kept(tmp_path))


def test_an_error_in_the_job_file_shows_no_value_of_dotenv(
    gateway: Gateway, tmp_path: Path
) -> None:
    for key in ("client_id", "api_url", "region", "proxy", "requests_per_minute"):
        path = job(
            tmp_path,
            gateway.url,
            connection={key: "${OTHER} "},
            range={"start": "${OTHER}", "end": "${SECRET}"},
        )
        result = loud("run", "-v", str(path), cwd=tmp_path)
        assert result.code == 2, result.err
        assert_clean(result.out + result.err)


# Who gets them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("for_token", [True, False])
def test_no_redirect_is_followed(
    gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, for_token: bool
) -> None:
    with serving() as other:
        to = {"Location": f"{other.url}/oauth/token"}
        gateway.answer = lambda token, _: (
            (200, {}, _grant()) if token and not for_token else (status, to, b"")
        )
        text = failures(job(tmp_path, gateway.url, limits={"max_attempts": 1}), caplog)
        assert other.seen == []
    assert "redirects are not followed" in text
    assert gateway.seen


@pytest.mark.parametrize(
    ("status", "answered"), [(407, "the proxy needs credentials"), (403, "403"), (502, "502")]
)
def test_a_proxy_gets_its_password_and_no_message_shows_it(
    gateway: Gateway, tmp_path: Path, status: int, answered: str
) -> None:
    """A proxy for http sees all that is sent; nothing that it repeats is shown."""
    proxy = gateway.url.replace("http://", f"http://me:{quote(PASSWORD, safe='')}@")
    for body in ("text, URL", "message", "header"):
        gateway.answer = _told(body, status, for_token=True)
        reached = {"proxy": "${PROXY}", "allow_http": True, "requests_per_minute": 30_000}
        path = job(
            tmp_path, "http://gateway.invalid", connection=reached, limits={"max_attempts": 1}
        )
        result = loud("check", "-v", str(path), cwd=tmp_path, PROXY=proxy)
        assert answered in result.out
        assert_clean(result.out + result.err)
    assert PROXY_BASIC in gateway.seen[-1]


def test_a_refused_tunnel_reveals_nothing(gateway: Gateway, tmp_path: Path) -> None:
    proxy = gateway.url.replace("http://", f"http://me:{quote(PASSWORD, safe='')}@")
    gateway.answer = _told("message", 407, for_token=True)
    path = job(
        tmp_path,
        "https://gateway.invalid",
        connection={"proxy": "${PROXY}"},
        limits={"max_attempts": 1},
    )
    result = loud("run", "-v", str(path), cwd=tmp_path, PROXY=proxy)
    assert "the proxy refused with 407" in result.err
    assert gateway.seen[-1].startswith("CONNECT gateway.invalid:443")
    assert BASIC not in gateway.seen[-1]
    assert_clean(result.out + result.err + kept(tmp_path))


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="makes its certificate with the openssl command"
)
def test_a_self_signed_server_gets_nothing_until_it_is_trusted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=loopback -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        [*shlex.split(make), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving(tls) as secure:
        secure.answer = lambda token, _: (200, {}, _grant() if token else b"{}")
        path = job(tmp_path, secure.url)
        refused = loud("run", "-v", str(path), cwd=tmp_path)
        assert refused.code == 2
        assert "the certificate of 127.0.0.1 is not trusted" in refused.err
        assert secure.seen == []
        trusted = loud("run", "-v", str(path), cwd=tmp_path, SSL_CERT_FILE=str(certificate))
        assert trusted.code == 0, trusted.err
        assert BASIC in secure.seen[0]
    assert_clean(refused.err + trusted.err + kept(tmp_path / ".asyncreport"))


# What is in memory -------------------------------------------------------------------------------


def _is_ours(each: object) -> bool:
    return str(type(each).__module__).startswith("asyncreport")


def _ours() -> list[object]:
    """Collect all living objects of our types, and what they refer to."""
    found: dict[int, object] = {}
    heap = [each for each in gc.get_objects() if _is_ours(each)]
    while heap:
        each = heap.pop()
        if id(each) in found:
            continue
        if _is_ours(each):
            found[id(each)] = each
        elif not isinstance(each, dict | list | tuple | set | frozenset):
            continue
        else:
            found[id(each)] = None
        heap += gc.get_referents(each)
    return [each for each in found.values() if each is not None]


def test_no_repr_of_any_object_of_ours_shows_a_secret(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While requests with the secret, the token and the proxy's password are under way."""
    proxy = gateway.url.replace("http://", f"http://me:{quote(PASSWORD, safe='')}@")
    path = job(
        tmp_path, "http://gateway.invalid", connection={"proxy": "${PROXY}", "allow_http": True}
    )
    gateway.answer = lambda token, _: (200, {}, _grant() if token else b"{}")
    looked: list[str] = []
    really = Transport.send

    async def send(transport: Transport, request: Any) -> Any:
        answer = await really(transport, request)
        gc.collect()
        for each in _ours():
            assert_clean(f"{each!r} {each!s}")
            looked.append(type(each).__name__)
        return answer

    monkeypatch.setattr(Transport, "send", send)
    given = load_job(path, environ={"SECRET": SECRET, "PROXY": proxy, "OTHER": OTHER}, now=NOW)
    summary = asyncio.run(run_job(given, now=NOW))
    assert summary.complete
    assert {
        "Job",
        "Connection",
        "Client",
        "Secret",
        "Lane",
        "Tokens",
        "Transport",
        "Request",
        "Response",
        "Chunk",
    } <= set(looked)
    assert any(BASIC in came for came in gateway.seen)
    assert any(BEARER in came for came in gateway.seen)
    assert any(PROXY_BASIC in came for came in gateway.seen)
    assert os.environ.get("SECRET") is None
