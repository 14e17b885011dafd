"""The emulator on loopback: the API, and a control channel for tests. Owns its sockets and thread.

PUT /emulator/faults     replace the script of faults, see `faults`
GET /emulator/log        the last 10,000 requests, to the API and to the token endpoint
GET /emulator/truth      ?start=ISO&end=ISO: all emissions, one JSON object a line
                         (&kind=statuses: all routing statuses)
GET /emulator/jobs       the query jobs that were neither deleted nor lost
PUT /emulator/members    {"group" or "team" or "queue": id, "members": [user id, ...]}: replace the
                         members
GET /emulator/wait       ?requests=N: respond when N requests to /api/ have come
                         (&timeout=S: 408 after so many seconds; 30)
POST /emulator/hold      hold all other responses back ...
POST /emulator/release   ... until now
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Self

import msgspec
import orjson
from aiohttp import web

from asyncreport.emulator.cloud import Cloud
from asyncreport.emulator.delivery import Delivery, delivery
from asyncreport.emulator.faults import Fault, Faults, change_response
from asyncreport.emulator.limits import CLIENT_ID, CLIENT_SECRET, credentials
from asyncreport.emulator.messages import ApiError, Request, Response
from asyncreport.emulator.options import Options
from asyncreport.emulator.periods import parse_interval
from asyncreport.emulator.request_log import LogEntry, query_summary
from asyncreport.emulator.world import World

_LOOPBACK = "127.0.0.1"
_MAX_BYTES = 16 * 2**20
#: requests in the log
_LOGGED = 10_000
#: the SO_LINGER with which a close becomes a reset
_RESET = struct.pack("ii", 1, 0)


class Emulator:
    """A Genesys Cloud on loopback, for as long as the `async with` lasts."""

    #: of the first OAuth client
    client_id = CLIENT_ID
    client_secret = CLIENT_SECRET

    def __init__(
        self, world: World | None = None, options: Options | None = None, *, port: int = 0
    ) -> None:
        self.world = world or World()
        # Like any server it writes dates by its own clock; nothing that it counts depends on them.
        self.cloud = Cloud(self.world, options, epoch=time.time() - time.monotonic())
        #: (id, secret) of every OAuth client
        self.clients = credentials(self.cloud.options.clients)
        self.faults = Faults()
        self.log: deque[LogEntry] = deque(maxlen=_LOGGED)
        #: of the API and of the token endpoint, without a slash at the end; empty until it is up
        self.url = ""
        self._port = port
        self._latency = self.cloud.options.latency
        self._released = asyncio.Event()
        self._released.set()
        self._news = asyncio.Condition()
        #: requests to /api/
        self._calls = 0
        # A fault that hangs ends when the client leaves: this is what handler_cancellation does.
        self._runner = web.AppRunner(
            self._application(), handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_put("/emulator/faults", self._put_faults)
        app.router.add_get("/emulator/log", self._get_log)
        app.router.add_get("/emulator/truth", self._get_truth)
        app.router.add_get("/emulator/jobs", self._get_jobs)
        app.router.add_put("/emulator/members", self._put_members)
        app.router.add_get("/emulator/wait", self._get_wait)
        app.router.add_post("/emulator/hold", self._post_hold)
        app.router.add_post("/emulator/release", self._post_release)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _LOOPBACK, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.url = f"http://{_LOOPBACK}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        # Handlers that wait for a release would hold the cleanup up.
        self._released.set()
        await self._runner.cleanup()

    async def _serve(self, http_request: web.Request) -> web.StreamResponse:
        """Respond to an API request.

        It is counted and decided when it comes; hold and latency come after that.
        """
        request = await _read(http_request)
        entry = self._log(request, http_request.query_string)
        fault = self.faults.choose(request.path, request.body.decode("utf-8", "replace"))
        response = self._decide(request, fault, entry)
        await self._announce(request)
        await self._released.wait()
        if self._latency:
            await asyncio.sleep(self._latency)
        pieces = None if fault is None else delivery(fault, response)
        if pieces is not None:
            return await _deliver(http_request, pieces)
        entry.status = response.status
        return _http(response)

    def _decide(self, request: Request, fault: Fault | None, entry: LogEntry) -> Response:
        if fault is None:
            return self.cloud.respond(request, entry.time)
        entry.fault = msgspec.to_builtins(fault)
        self._end_tokens(fault, entry.time)
        self._change_people(fault)
        return change_response(fault, self.cloud.respond(request, entry.time))

    def _log(self, request: Request, query: str) -> LogEntry:
        interval, users = query_summary(request.body)
        entry = LogEntry(
            time=asyncio.get_running_loop().time(),
            method=request.method,
            path=request.path,
            query=query,
            digest=hashlib.sha256(request.body).hexdigest(),
            interval=interval,
            users=users,
        )
        token = self.cloud.tokens.sent_with(request)
        if token is not None:
            entry.token = token.number
            entry.client = token.client
        self.log.append(entry)
        return entry

    def _end_tokens(self, fault: Fault, now: float) -> None:
        """Apply the faults that change the cloud itself."""
        if fault.expire_tokens:
            self.cloud.tokens.expire(now)
        if fault.revoke_tokens:
            self.cloud.tokens.revoke()
        if fault.deactivate is not None:
            self.cloud.tokens.deactivate(fault.deactivate)

    def _change_people(self, fault: Fault) -> None:
        """Apply the faults that change who exists, and who belongs where."""
        if fault.members is not None:
            self.cloud.rosters.change(fault.members)
        for user_id, state in fault.states.items():
            self.cloud.directory.set_state(user_id, state)

    async def _announce(self, request: Request) -> None:
        """Wake the tests that wait for a number of requests."""
        async with self._news:
            self._calls += request.path.startswith("/api/")
            self._news.notify_all()

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            self.faults = Faults(orjson.loads(await request.read()))
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.Response(status=204)

    async def _get_log(self, _: web.Request) -> web.Response:
        return _json([asdict(entry) for entry in self.log])

    async def _get_truth(self, request: web.Request) -> web.Response:
        interval = f"{request.query.get('start')}/{request.query.get('end')}"
        try:
            start, end = parse_interval(interval)
        except ApiError as error:
            return web.Response(status=400, text=error.message)
        if request.query.get("kind") == "statuses":
            return _jsonl([span._asdict() for span in self.world.statuses(start, end)])
        return _jsonl(self.world.truth(start, end))

    async def _get_jobs(self, _: web.Request) -> web.Response:
        return _json(self.cloud.jobs.undeleted())

    async def _put_members(self, request: web.Request) -> web.Response:
        try:
            self.cloud.rosters.change(orjson.loads(await request.read()))
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.Response(status=204)

    async def _get_wait(self, request: web.Request) -> web.Response:
        wanted = int(request.query.get("requests", "1"))
        seconds = float(request.query.get("timeout", "30"))
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: self._calls >= wanted)
        except TimeoutError:
            return web.Response(status=408, text=f"{self._calls} of {wanted} requests have come")
        return _json({"requests": self._calls})

    async def _post_hold(self, _: web.Request) -> web.Response:
        self._released.clear()
        return web.Response(status=204)

    async def _post_release(self, _: web.Request) -> web.Response:
        self._released.set()
        return web.Response(status=204)


async def serve(
    world: World, options: Options | None = None, *, port: int = 0, up: Callable[[Emulator], None]
) -> None:
    """Serve until cancelled; call `up` once it listens. Raise OSError if the port is taken."""
    async with Emulator(world, options, port=port) as emulator:
        up(emulator)
        await asyncio.get_running_loop().create_future()


@contextlib.contextmanager
def running(world: World | None = None, options: Options | None = None) -> Iterator[Emulator]:
    """Serve from a thread with its own loop, so that responses do not block the caller's loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="emulator", daemon=True)
    thread.start()
    try:
        emulator = Emulator(world, options)
        asyncio.run_coroutine_threadsafe(emulator.__aenter__(), loop).result()
        try:
            yield emulator
        finally:
            asyncio.run_coroutine_threadsafe(emulator.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _read(request: web.Request) -> Request:
    return Request(
        method=request.method,
        path=request.path,
        query=tuple(request.query.items()),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.read(),
    )


async def _deliver(request: web.Request, cut: Delivery) -> web.Response:
    """Write a response without aiohttp, which cannot send a broken one."""
    transport = request.transport
    for number, piece in enumerate(cut.pieces):
        if number and cut.pause:
            await asyncio.sleep(cut.pause)
        if transport is not None:
            transport.write(piece)
    if cut.end == "hang":
        await asyncio.get_running_loop().create_future()
    if transport is not None and cut.end == "reset":
        # A reset discards what the client has not read yet, so leave it the time to read.
        await asyncio.sleep(0.02)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    elif transport is not None:
        transport.close()
    return web.Response()  # aiohttp sees that the connection is closing and drops it


def _http(response: Response) -> web.Response:
    return web.Response(status=response.status, headers=response.headers, body=response.body)


def _jsonl(rows: Iterable[object]) -> web.Response:
    body = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    return web.Response(body=body, content_type="application/jsonl")


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
