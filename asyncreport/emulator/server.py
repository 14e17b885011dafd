"""The emulator on loopback: the API, and under `/emulator/` a control channel for tests. Owns its sockets and its thread.

PUT /emulator/faults         replace the script of faults, see `faults`
GET /emulator/log            the requests seen so far, of the API and the token endpoint, the last 10,000
GET /emulator/truth          ?start=ISO&end=ISO: every emission, one JSON object a line (&kind=statuses: every routing status)
GET /emulator/jobs           the query jobs that were neither deleted nor lost
PUT /emulator/members        {"group" or "team" or "queue": id, "members": [user id, ...]}: who belongs there from now on
GET /emulator/wait           ?requests=N: answers as soon as N requests to /api/ have been seen (&timeout=S: 408 after that, 30 s)
POST /emulator/hold          all other answers wait from now on ...
POST /emulator/release       ... until now
POST /emulator/revoke        end all tokens at large
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
from collections.abc import Callable, Iterator
from dataclasses import asdict
from types import TracebackType
from typing import Self

import msgspec
import orjson
from aiohttp import web

from asyncreport.emulator.answers import Ask, Refused
from asyncreport.emulator.cloud import Cloud
from asyncreport.emulator.faults import Delivery, Do, Faults, delivery, spoil
from asyncreport.emulator.limits import CLIENT_ID, CLIENT_SECRET, credentials
from asyncreport.emulator.options import Options
from asyncreport.emulator.periods import parse_interval
from asyncreport.emulator.seen import Seen, asked_about
from asyncreport.emulator.world import World

_LOOPBACK = "127.0.0.1"
_MOST_BYTES = 16 * 2**20
#: requests in the log
_KEPT = 10_000
#: SO_LINGER that makes a close a reset
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
        # Like any server it tells dates by its own clock; nothing it counts depends on them.
        self.cloud = Cloud(self.world, options, epoch=time.time() - time.monotonic())
        #: (id, secret) of every OAuth client
        self.clients = credentials(self.cloud.options.clients)
        self.faults = Faults()
        self.log: deque[Seen] = deque(maxlen=_KEPT)
        #: of the API and of the token endpoint, no slash at the end; empty until it is up
        self.url = ""
        self._port = port
        self._latency = self.cloud.options.latency
        self._released = asyncio.Event()
        self._released.set()
        self._news = asyncio.Condition()
        self._calls = 0
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_put("/emulator/faults", self._put_faults)
        app.router.add_get("/emulator/log", self._get_log)
        app.router.add_get("/emulator/truth", self._get_truth)
        app.router.add_get("/emulator/jobs", self._get_jobs)
        app.router.add_put("/emulator/members", self._put_members)
        app.router.add_get("/emulator/wait", self._get_wait)
        app.router.add_post("/emulator/{order:hold|release|revoke}", self._post_order)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # Cancelling with the client's leaving is what ends a hang.
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, _LOOPBACK, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.url = f"http://{_LOOPBACK}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._released.set()
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        """Answer an API request: count it and decide at once, deliver after hold and latency."""
        ask = await _ask(request)
        now = asyncio.get_running_loop().time()
        seen = self._note(ask, request.query_string, now)
        do = self.faults.choose(ask.path, ask.body.decode("utf-8", "replace"))
        if do is not None:
            seen.fault = msgspec.to_builtins(do)
            self._suffer(do, now)
        answer = self.cloud.answer(ask, now)
        if do is not None:
            answer = spoil(do, answer)
        async with self._news:
            self._calls += ask.path.startswith("/api/")
            self._news.notify_all()
        await self._released.wait()
        if self._latency:
            await asyncio.sleep(self._latency)
        cut = delivery(do, answer) if do is not None else None
        if cut is not None:
            return await _deliver(request, cut)
        seen.status = answer.status
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    def _note(self, ask: Ask, query: str, now: float) -> Seen:
        interval, users = asked_about(ask.body)
        digest = hashlib.sha256(ask.body).hexdigest()
        seen = Seen(
            time=now,
            method=ask.method,
            path=ask.path,
            query=query,
            digest=digest,
            interval=interval,
            users=users,
        )
        if (token := self.cloud.tokens.borne(ask)) is not None:
            seen.token, seen.client = token.number, token.client
        self.log.append(seen)
        return seen

    def _suffer(self, do: Do, now: float) -> None:
        """Let a fault change the cloud itself."""
        if do.expire_tokens:
            self.cloud.tokens.expire(now)
        if do.revoke_tokens:
            self.cloud.tokens.revoke()
        if do.deactivate is not None:
            self.cloud.tokens.deactivate(do.deactivate)
        if do.lower_allowed is not None:
            self.cloud.allowed = do.lower_allowed

    async def _put_faults(self, request: web.Request) -> web.Response:
        try:
            self.faults = Faults(orjson.loads(await request.read()))
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.Response(status=204)

    async def _get_log(self, _: web.Request) -> web.Response:
        return _json([asdict(seen) for seen in self.log])

    async def _get_truth(self, request: web.Request) -> web.Response:
        try:
            start, end = parse_interval(f"{request.query.get('start')}/{request.query.get('end')}")
        except Refused as refused:
            return web.Response(status=400, text=refused.message)
        if request.query.get("kind") == "statuses":
            lines = [
                orjson.dumps(span._asdict()) + b"\n" for span in self.world.statuses(start, end)
            ]
        else:
            lines = [
                msgspec.json.encode(emission) + b"\n" for emission in self.world.truth(start, end)
            ]
        return web.Response(body=b"".join(lines), content_type="application/jsonl")

    async def _get_jobs(self, _: web.Request) -> web.Response:
        return _json(self.cloud.jobs.standing())

    async def _put_members(self, request: web.Request) -> web.Response:
        try:
            self.cloud.rosters.change(orjson.loads(await request.read()))
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.Response(status=204)

    async def _get_wait(self, request: web.Request) -> web.Response:
        wanted = int(request.query.get("requests", "1"))
        try:
            async with asyncio.timeout(float(request.query.get("timeout", "30"))), self._news:
                await self._news.wait_for(lambda: self._calls >= wanted)
        except TimeoutError:
            return web.Response(
                status=408, text=f"{self._calls} of {wanted} requests have been seen"
            )
        return _json({"requests": self._calls})

    async def _post_order(self, request: web.Request) -> web.Response:
        {
            "hold": self._released.clear,
            "release": self._released.set,
            "revoke": self.cloud.tokens.revoke,
        }[request.match_info["order"]]()
        return web.Response(status=204)


async def serve(
    world: World, options: Options | None = None, *, port: int = 0, up: Callable[[Emulator], None]
) -> None:
    """Serve until cancelled; `up` is told once it listens. Raise OSError where the port is taken."""
    async with Emulator(world, options, port=port) as emulator:
        up(emulator)
        await asyncio.get_running_loop().create_future()


@contextlib.contextmanager
def running(world: World | None = None, options: Options | None = None) -> Iterator[Emulator]:
    """Serve from a thread with a loop of its own, so that a caller's loop does not stutter while an answer is made."""
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


async def _ask(request: web.Request) -> Ask:
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = tuple(request.query.items())
    return Ask(
        method=request.method,
        path=request.path,
        query=query,
        headers=headers,
        body=await request.read(),
    )


async def _deliver(request: web.Request, cut: Delivery) -> web.Response:
    """Write an answer past aiohttp, which is too well-behaved to break one."""
    transport = request.transport
    for number, piece in enumerate(cut.pieces):
        if number and cut.pause:
            await asyncio.sleep(cut.pause)
        if transport is not None:
            transport.write(piece)
    if cut.end == "hang":
        await asyncio.get_running_loop().create_future()
    if transport is not None and cut.end == "reset":
        await asyncio.sleep(0.02)  # a reset overtakes what the client has not read yet
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    elif transport is not None:
        transport.close()
    return web.Response()  # aiohttp finds the connection closing and drops it


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
