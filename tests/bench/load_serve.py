"""A server of prepared responses, in a process of its own.

`python -m tests.bench.load_serve '{"agents": 100, "seed": 1}'`

Tokens, rate limit, errors and directory are the emulator's. It computes the response to a query
once and keeps it as bytes, so that the bench does not measure the server. Owns its socket. The
control channel:

POST /load/reset     {"latency": seconds, "limit": requests a minute, 0: none}: new tokens and
                     counts; responses are kept
POST /load/prepare   compute and keep the response to the query in the body
GET /load/counts     the counts since the reset, see `Counts`
GET /load/wait       ?queries=N: respond when N queries have been answered (408 after 60 s)
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import asdict, dataclass, replace

from aiohttp import web

from asyncreport.emulator import Options, World
from asyncreport.emulator.analytics import AGGREGATES
from asyncreport.emulator.cloud import Cloud
from asyncreport.emulator.fields import json_object
from asyncreport.emulator.limits import CLIENT_ID, CLIENT_SECRET
from asyncreport.emulator.messages import Request, Response
from asyncreport.emulator.query import Query, parse_query
from asyncreport.emulator.routes import Call

_JSON = {"content-type": "application/json"}


@dataclass(slots=True)
class Counts:
    """What the server has counted of a client."""

    #: requests to /api/, without those for tokens
    requests: int = 0
    #: queries for aggregates among them, also refused ones
    queries: int = 0
    #: queries that got data
    answered: int = 0
    #: queries that got data a second time
    again: int = 0
    #: responses with 429
    throttled: int = 0
    #: bytes of the bodies
    sent: int = 0
    #: largest number of requests at the same time
    crowd: int = 0
    #: responses that the server had to compute first
    unprepared: int = 0
    #: seconds from the first query to the last response
    span: float = 0.0


#: the meaning of a query, which clients write in different ways
Question = tuple[int, int, str, tuple[str, ...], tuple[str, ...], frozenset[str] | None]


class Responses:
    """Prepared responses by question."""

    def __init__(self) -> None:
        self._kept: dict[Question, bytes] = {}
        # Clients write the same query differently; each form is parsed once.
        self._questions: dict[bytes, Question] = {}

    def question(self, body: bytes) -> Question:
        """Parse a query; raise ApiError for an invalid one."""
        question = self._questions.get(body)
        if question is None:
            fields = json_object(body)
            question = _question(parse_query(fields), str(fields.get("granularity")))
            self._questions[body] = question
        return question

    def get(self, question: Question) -> bytes | None:
        """Return the prepared body, if there is one."""
        return self._kept.get(question)

    def keep(self, question: Question, body: bytes) -> None:
        """Keep the body of a response."""
        self._kept[question] = body


class Prepared(Cloud):
    """An emulated organisation that computes each response once."""

    def __init__(self, world: World, options: Options, responses: Responses) -> None:
        super().__init__(world, options)
        self._responses = responses
        self.counts = Counts()
        self._seen: set[Question] = set()
        self._began = 0.0

    def prepare(self, call: Call) -> Response:
        """Compute and keep the emulator's response to a query."""
        response = super().handle(call)
        self._responses.keep(self._responses.question(call.request.body), response.body)
        return response

    def handle(self, call: Call) -> Response:
        """Respond with what is prepared, if it is a query."""
        if call.request.path != AGGREGATES:
            return super().handle(call)
        question = self._responses.question(call.request.body)
        self.counts.again += question in self._seen
        self._seen.add(question)
        body = self._responses.get(question)
        if body is None:
            self.counts.unprepared += 1
            return self.prepare(call)
        return Response(headers=_JSON, body=body)

    def began(self, request: Request, now: float) -> None:
        """Count a request."""
        self.counts.requests += request.path.startswith("/api/")
        if request.path == AGGREGATES:
            self.counts.queries += 1
            self._began = self._began or now

    def ended(self, request: Request, response: Response, now: float) -> None:
        """Count a response."""
        self.counts.sent += len(response.body)
        self.counts.throttled += response.status == 429
        if request.path == AGGREGATES and response.status == 200:
            self.counts.answered += 1
            self.counts.span = now - self._began


class Server:
    """Respond over HTTP after the latency."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._responses = Responses()
        self._news = asyncio.Condition()
        self._reset({"latency": 0.0, "limit": 0})

    def _reset(self, asked: dict[str, float]) -> None:
        self._latency = asked["latency"]
        self._here = 0
        self._cloud = Prepared(
            self._world,
            Options(requests_per_minute=int(asked["limit"]), tokens_per_minute=0),
            self._responses,
        )

    async def serve(self, request: web.BaseRequest) -> web.Response:
        """Respond to a request of the API or of the control channel."""
        try:
            body = await request.read()
        except ConnectionResetError:  # the client was killed
            return web.Response(status=400)
        headers = {name.lower(): value for name, value in request.headers.items()}
        request = Request(
            method=request.method,
            path=request.path,
            query=tuple(request.query.items()),
            headers=headers,
            body=body,
        )
        if request.path.startswith("/load/"):
            return await self._control(request)
        response = await self._respond(request)
        return web.Response(status=response.status, headers=response.headers, body=response.body)

    async def _respond(self, request: Request) -> Response:
        loop, cloud = asyncio.get_running_loop(), self._cloud
        cloud.began(request, loop.time())
        self._here += 1
        cloud.counts.crowd = max(cloud.counts.crowd, self._here)
        response = cloud.respond(request, loop.time())
        try:
            await asyncio.sleep(self._latency)
        finally:
            self._here -= 1
        cloud.ended(request, response, loop.time())
        async with self._news:
            self._news.notify_all()
        return response

    async def _control(self, request: Request) -> web.Response:
        match request.method, request.path.removeprefix("/load/"):
            case "POST", "reset":
                self._reset(json.loads(request.body))
            case "POST", "prepare":
                token = self._cloud.tokens.issue(CLIENT_ID, 0.0)
                self._cloud.prepare(Call(replace(request, path=AGGREGATES), token, 0.0))
            case "GET", "counts":
                return web.json_response(asdict(self._cloud.counts))
            case "GET", "wait":
                return await self._wait(int(request.param("queries")))
            case _:
                return web.Response(status=404)
        return web.Response(status=204)

    async def _wait(self, wanted: int) -> web.Response:
        try:
            async with asyncio.timeout(60), self._news:
                await self._news.wait_for(lambda: self._cloud.counts.answered >= wanted)
        except TimeoutError:
            return web.Response(status=408)
        return web.Response(status=204)


def _question(query: Query, granularity: str) -> Question:
    if query.filter.test is not None:
        raise ValueError("the queries of the load filter by users alone")
    return query.start, query.end, granularity, query.group_by, query.metrics, query.filter.users


async def main(agents: int, seed: int) -> None:
    """Print the address as one JSON line; serve until SIGTERM or the end of standard input."""
    runner = web.ServerRunner(
        web.Server(Server(World(agents, seed)).serve, access_log=None), handler_cancellation=True
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(sys.stdin, ended.set)  # end of file: the bench has ended
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    address = {"url": url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    sys.stdout.write(json.dumps(address) + "\n")
    sys.stdout.flush()
    try:
        await ended.wait()
    finally:
        loop.remove_reader(sys.stdin)
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
