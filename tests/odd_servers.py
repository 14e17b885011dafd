"""Servers that respond oddly, in this process and on a virtual clock: no socket, no thread.

An odd server is the emulator's API and a function that changes its responses. The command line runs
against it as a person would start it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from asyncreport.api import wire
from asyncreport.core.errors import TransientError
from asyncreport.core.job import Connection, Limits
from asyncreport.emulator.cloud import Cloud
from asyncreport.emulator.limits import CLIENT_ID, CLIENT_SECRET
from asyncreport.emulator.messages import Request, Response
from asyncreport.emulator.options import Options
from asyncreport.emulator.world import World
from asyncreport.net import Gates, connection_lanes
from tests.clock import VirtualLoop

WORLD = World(agents=6, seed=5)
USERS = [person.id for person in WORLD.people]


class Broken(Exception):
    """The connection breaks before a response comes."""


@dataclass(slots=True)
class Call:
    """One request to an odd server: what was sent, when, and the emulator's own response."""

    request: Request
    #: requests so far, this one included
    number: int
    #: requests like this one so far, this one included
    repeats: int
    #: seconds since the first request
    now: float
    response: Response

    def about(self, *paths: str) -> bool:
        """Tell whether the path contains one of these texts."""
        return any(path in self.request.path for path in paths)

    @property
    def is_query(self) -> bool:
        return self.about("aggregates")

    @property
    def is_token(self) -> bool:
        return self.about("oauth")

    def json(self) -> Any:
        return json.loads(self.response.body)


#: changes a response; raises Broken to reset the connection
Change = Callable[[Call], Response]


def respond(
    body: object = b"", status: int = 200, kind: str = "application/json", **headers: str
) -> Response:
    """Make a response with a JSON value, or with bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status=status, headers={"content-type": kind, **headers}, body=data)


def error(status: int, code: str, message: str = "", **rest: object) -> Response:
    """Make an error in the platform's form."""
    body = {"message": message or code, "code": code, "status": status, **rest}
    return respond({**body, "contextId": "c0ffee", "details": [], "errors": []}, status)


def page(text: str, status: int) -> Response:
    """Make an HTML page, as firewalls and captive portals send it."""
    return respond(f"<html><body>{text}</body></html>".encode(), status, "text/html")


@dataclass
class OddServer:
    """The emulator's API behind a change."""

    change: Change
    cloud: Cloud = field(default_factory=lambda: Cloud(WORLD, Options(requests_per_minute=0)))
    #: how often each request was sent
    sent: Counter[tuple[str, str, bytes]] = field(default_factory=Counter)
    number: int = 0
    first: float | None = None

    def send(self, request: wire.Request) -> wire.Response:
        """Respond to a request of the client."""
        now = asyncio.get_running_loop().time()
        self.first = now if self.first is None else self.first
        self.number += 1
        given = _emulator_request(request)
        key = (given.method, f"{given.path}?{given.query}", given.body)
        self.sent[key] += 1
        own = self.cloud.respond(given, now)
        call = Call(given, self.number, self.sent[key], now - self.first, own)
        found = self.change(call)
        return wire.Response(status=found.status, headers=found.headers, body=found.body)

    @property
    def most_repeats(self) -> int:
        """Return how often the most frequent query was sent."""
        return max(
            (count for (_, path, _), count in self.sent.items() if "oauth" not in path), default=0
        )


def _emulator_request(request: wire.Request) -> Request:
    return Request(
        method=request.method,
        path=request.path,
        query=request.query,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.body or b"",
    )


class InlineLoop(VirtualLoop):
    """A virtual loop that does the work of threads at once, in the loop's own thread."""

    def run_in_executor(  # type: ignore[override]
        self, _: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as raised:  # noqa: BLE001 - as an executor does
            future.set_exception(raised)
        return future


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    #: seconds on the virtual clock
    seconds: float


def call_odd(
    server: OddServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
) -> Ended:
    """Run the command line against an odd server."""
    from asyncreport.cli import main

    seconds = 0.0

    def run(command: Any) -> Any:
        nonlocal seconds
        with asyncio.Runner(loop_factory=InlineLoop, debug=False) as runner:
            loop = runner.get_loop()
            start = loop.time()
            try:
                return runner.run(command)
            finally:
                seconds = loop.time() - start

    # A test that ran before may have started the command line with -v.
    logging.getLogger("asyncreport").setLevel(logging.WARNING)
    monkeypatch.setattr(connection_lanes, "Transport", lambda *given: _Transport(server, *given))
    monkeypatch.setattr(asyncio, "run", run)
    monkeypatch.setattr(sys, "argv", ["asyncreport", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return Ended(end.value.code, out, err, seconds)


class _Transport:
    """The transport of a connection to an odd server."""

    def __init__(self, server: OddServer, _: Connection, limits: Limits, __: Gates) -> None:
        self._server = server
        self._timeout = limits.request_timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def send(self, request: wire.Request) -> wire.Response:
        # A server is never there at once: other workers run meanwhile.
        await asyncio.sleep(0.05)
        try:
            return self._server.send(request)
        except Broken as error:
            raise TransientError("the connection broke before a response came") from error
        except TimeoutError as error:
            await asyncio.sleep(self._timeout)
            raise TransientError(f"no complete response within {self._timeout:g} s") from error


def write_odd_job(folder: Path, **sections: Any) -> Path:
    """Write a job file for an odd server: six listed users, two months."""
    url = "https://odd.invalid"
    job = {
        "name": "odd",
        "connections": {
            "default": {
                "api_url": url,
                "login_url": url,
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "requests_per_minute": 3000,
            }
        },
        "range": {
            "start": "2024-01-01",
            "end": "2024-03-01",
            "granularity": "PT1H",
            "chunk": "P7D",
        },
        "teams": [{"name": "sales", "users": USERS}],
        "limits": {"concurrency": 2},
        "output": {"path": str(folder / "out.jsonl")},
        **sections,
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job, indent=1))
    return path
