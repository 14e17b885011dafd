"""A server of prepared answers, in a process of its own: `python -m tests.bench.load_serve '{"agents": 100, "seed": 1}'`.

Tokens, rate limit, refusals and directory are the emulator's own; an answer to a query is computed by it once and kept as bytes,
so that the server is not what is measured. Owns its socket. The control channel:

POST /load/reset     {"latency": seconds, "limit": requests a minute, 0: none}: new tokens and counts; answers are kept
POST /load/prepare   compute and keep the answer to the query in the body
GET /load/counts     what has been seen since the reset, see `Counts`
GET /load/wait       ?queries=N: answers as soon as N queries have been answered (408 after 60 s)
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import asdict, dataclass

from aiohttp import web

from asyncreport.emulator import Options, World
from asyncreport.emulator.cloud import AGGREGATES, Cloud
from asyncreport.emulator.fields import json_object
from asyncreport.emulator.limits import CLIENT_ID, CLIENT_SECRET, Token
from asyncreport.emulator.messages import Request, Response
from asyncreport.emulator.query import Query, parse_query

_JSON = {"content-type": "application/json"}


@dataclass(slots=True)
class Counts:
    """What the server saw: the judge of every client."""

    #: to /api/, tokens left out
    requests: int = 0
    #: queries for aggregates among them, refused ones included
    queries: int = 0
    #: queries answered with data
    answered: int = 0
    #: answered though the same had been answered before
    again: int = 0
    #: answered with 429
    throttled: int = 0
    #: of bodies sent
    sent: int = 0
    #: most requests under way at once
    crowd: int = 0
    #: answers that had to be computed first
    unprepared: int = 0
    #: seconds from the first query's coming to the last answer's going
    span: float = 0.0


#: what a query asks for, however it is written
Question = tuple[int, int, str, tuple[str, ...], tuple[str, ...], frozenset[str] | None]


class Answers:
    """Answers kept by what is asked."""

    def __init__(self) -> None:
        self._kept: dict[Question, bytes] = {}
        # Clients write the same query differently; each way is parsed once.
        self._questions: dict[bytes, Question] = {}

    def question(self, body: bytes) -> Question:
        """Tell what is asked; raise ApiError where it makes no sense."""
        known = self._questions.get(body)
        if known is None:
            asked = json_object(body)
            known = self._questions[body] = _question(
                parse_query(asked), str(asked.get("granularity"))
            )
        return known

    def get(self, question: Question) -> bytes | None:
        """Give the answer's body where it is kept."""
        return self._kept.get(question)

    def keep(self, question: Question, body: bytes) -> None:
        """Keep an answer's body."""
        self._kept[question] = body


class Prepared(Cloud):
    """An emulated organisation that computes each answer once."""

    def __init__(self, world: World, options: Options, answers: Answers) -> None:
        super().__init__(world, options)
        self._answers = answers
        self.counts = Counts()
        self._seen: set[Question] = set()
        self._began = 0.0

    def prepare(self, ask: Request, token: Token, now: float) -> Response:
        """Compute and keep an answer as the emulator gives it."""
        answer = super()._aggregates(ask, token, now)
        self._answers.keep(self._answers.question(ask.body), answer.body)
        return answer

    def _aggregates(self, ask: Request, token: Token, now: float) -> Response:
        question = self._answers.question(ask.body)
        self.counts.again += question in self._seen
        self._seen.add(question)
        body = self._answers.get(question)
        if body is None:
            self.counts.unprepared += 1
            return self.prepare(ask, token, now)
        return Response(headers=_JSON, body=body)

    def began(self, ask: Request, now: float) -> None:
        """Count a request that came."""
        self.counts.requests += ask.path.startswith("/api/")
        if ask.path == AGGREGATES:
            self.counts.queries += 1
            self._began = self._began or now

    def ended(self, ask: Request, answer: Response, now: float) -> None:
        """Count an answer that goes."""
        self.counts.sent += len(answer.body)
        self.counts.throttled += answer.status == 429
        if ask.path == AGGREGATES and answer.status == 200:
            self.counts.answered += 1
            self.counts.span = now - self._began


class Server:
    """Response over HTTP after the latency."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._answers = Answers()
        self._news = asyncio.Condition()
        self._reset({"latency": 0.0, "limit": 0})

    def _reset(self, asked: dict[str, float]) -> None:
        self._latency = asked["latency"]
        self._here = 0
        self._cloud = Prepared(
            self._world,
            Options(requests_per_minute=int(asked["limit"]), tokens_per_minute=0),
            self._answers,
        )

    async def serve(self, request: web.BaseRequest) -> web.Response:
        """Response a request, of the API or of the control channel."""
        try:
            body = await request.read()
        except ConnectionResetError:  # killed while it asked
            return web.Response(status=400)
        headers = {name.lower(): value for name, value in request.headers.items()}
        ask = Request(
            method=request.method,
            path=request.path,
            query=tuple(request.query.items()),
            headers=headers,
            body=body,
        )
        if ask.path.startswith("/load/"):
            return await self._control(ask)
        answer = await self._answer(ask)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _answer(self, ask: Request) -> Response:
        loop, cloud = asyncio.get_running_loop(), self._cloud
        cloud.began(ask, loop.time())
        self._here += 1
        cloud.counts.crowd = max(cloud.counts.crowd, self._here)
        answer = cloud.respond(ask, loop.time())
        try:
            await asyncio.sleep(self._latency)
        finally:
            self._here -= 1
        cloud.ended(ask, answer, loop.time())
        async with self._news:
            self._news.notify_all()
        return answer

    async def _control(self, ask: Request) -> web.Response:
        match ask.method, ask.path.removeprefix("/load/"):
            case "POST", "reset":
                self._reset(json.loads(ask.body))
            case "POST", "prepare":
                self._cloud.prepare(ask, self._cloud.tokens.issue(CLIENT_ID, 0.0), 0.0)
            case "GET", "counts":
                return web.json_response(asdict(self._cloud.counts))
            case "GET", "wait":
                return await self._wait(int(ask.param("queries")))
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
        raise ValueError("the load is asked for users and for nothing else")
    return query.start, query.end, granularity, query.group_by, query.metrics, query.filter.users


async def main(agents: int, seed: int) -> None:
    """Serve until SIGTERM or until the parent closes standard input; say in one JSON line where it is."""
    runner = web.ServerRunner(
        web.Server(Server(World(agents, seed)).serve, access_log=None), handler_cancellation=True
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(sys.stdin, ended.set)  # end of file: the bench is gone, however it went
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    print(
        json.dumps({"url": url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}), flush=True
    )  # noqa: T201
    try:
        await ended.wait()
    finally:
        loop.remove_reader(sys.stdin)
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
