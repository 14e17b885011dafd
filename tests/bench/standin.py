"""A small server with as much data as a bench wants, in a process of its own. Owns its socket.

`python -m tests.bench.standin '{"agents": 1000, "hours": 8}'` serves on a free port of loopback
until it is killed, and prints the port. Responses are put together from pieces that are made once,
so that the bench does not measure the server.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any
from urllib.request import ProxyHandler, build_opener

from aiohttp import web

from asyncreport.config.zones import load_zone
from asyncreport.core.columns import METRICS
from asyncreport.core.timeline import DAY, HOUR, Granularity, Grid, Interval, iso, parse_iso

#: a proxy of the environment must not come between the bench and loopback
_OPENER = build_opener(ProxyHandler({}))
#: shifts begin at as many times of the day
_SHIFTS = 6
#: 1970-01-01 was a Thursday
_MONDAY = 4 * DAY
_STATS = {"max": 300_000.0, "min": 1_000.0, "count": 3, "sum": 760_500.0}
_METRICS = json.dumps([{"metric": metric, "stats": _STATS} for metric in METRICS]).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How much data there is, and how the server limits requests."""

    agents: int = 1_000
    #: of work in a day
    hours: int = 24
    #: of work in a week, from Monday
    days: int = 7
    #: from this instant on, every bucket of every agent has data
    full_from: int = 2**53
    #: of an agent
    queues: int = 0
    granularity: str = "PT30M"
    #: requests in any 60 s; 0: no limit
    limit: int = 0
    #: seconds before each response
    latency: float = 0.0

    @property
    def users(self) -> tuple[str, ...]:
        """List the ids of the agents."""
        return tuple(f"{n:08x}-0000-4000-8000-{n:012x}" for n in range(self.agents))

    def is_worked(self, start: int, shift: int) -> bool:
        """Tell whether the agents of a shift have data in the bucket that begins at an instant."""
        if start >= self.full_from:
            return True
        worked = start - shift * DAY // _SHIFTS
        if (worked - _MONDAY) % (7 * DAY) >= self.days * DAY:
            return False
        return worked % DAY < self.hours * HOUR


class Server:
    """Respond to queries, look-ups and token requests."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._users = work.users
        self._shifts = {user: n % _SHIFTS for n, user in enumerate(self._users)}
        self._grid = Grid(Granularity(work.granularity), load_zone("UTC"))
        self._data: dict[tuple[str, int, bool], bytes] = {}
        self._sent = deque[float]()
        self.counts = {"queries": 0, "requests": 0, "throttled": 0, "dropped": 0, "most": 0}

    async def aggregates(self, request: web.Request) -> web.StreamResponse:
        """Respond with the data of the users of a query."""
        body = await request.json()
        if self._is_over_limit():
            return web.json_response({"message": "slow"}, status=429, headers={"Retry-After": "3"})
        self.counts["queries"] += 1
        await asyncio.sleep(self._work.latency)
        whole = body.get("granularity") != self._work.granularity
        found = b",".join(self._groups(body["interval"], _listed(body) or self._users, whole))
        self.counts["most"] = max(self.counts["most"], len(found))
        return web.Response(body=b'{"results":[%b]}' % found, content_type="application/json")

    def _is_over_limit(self) -> bool:
        """Count a request; tell whether there were too many in the last minute."""
        now = asyncio.get_running_loop().time()
        self.counts["requests"] += 1
        while self._sent and self._sent[0] <= now - 60:
            self._sent.popleft()
        if self._work.limit and len(self._sent) >= self._work.limit:
            self.counts["throttled"] += 1
            return True
        self._sent.append(now)
        return False

    def _groups(self, interval: str, users: Sequence[str], whole: bool) -> Iterator[bytes]:
        for user in users:
            data = self._data_of(interval, self._shifts[user], whole)
            if not data:
                continue
            if not self._work.queues:
                yield _group(user, b"", data)
            for queue in range(self._work.queues):
                yield _group(user, b',"queueId":"%032x"' % queue, data)

    def _data_of(self, interval: str, shift: int, whole: bool) -> bytes:
        key = (interval, shift, whole)
        if key not in self._data:
            if len(self._data) > 100 * _SHIFTS:
                self._data.clear()
            make = self._make_total if whole else self._make_data
            self._data[key] = make(interval, shift)
        return self._data[key]

    def _make_total(self, interval: str, shift: int) -> bytes:
        """Put all buckets into one."""
        edges = self._grid.edges(Interval(*map(parse_iso, interval.split("/"))))
        worked = sum(self._work.is_worked(start, shift) for start in edges[:-1])
        stats = {**_STATS, "count": worked * _STATS["count"], "sum": worked * _STATS["sum"]}
        metrics = [{"metric": metric, "stats": stats} for metric in METRICS]
        return json.dumps({"interval": interval, "metrics": metrics}).encode() if worked else b""

    def _make_data(self, interval: str, shift: int) -> bytes:
        span = Interval(*map(parse_iso, interval.split("/")))
        return b",".join(
            b'{"interval":"%b/%b","metrics":%b}'
            % (iso(start).encode(), iso(end).encode(), _METRICS)
            for start, end in pairwise(self._grid.edges(span))
            if self._work.is_worked(start, shift)
        )

    async def users(self, request: web.Request) -> web.StreamResponse:
        """Respond to a look-up of names, or with the number of users."""
        if self._is_over_limit():
            return web.json_response({"message": "slow"}, status=429, headers={"Retry-After": "3"})
        ids = request.query.getall("id", [])
        entities = [{"id": each, "name": f"Agent {each[:8]}"} for each in ids or self._users[:1]]
        total = len(ids) or len(self._users)
        return web.json_response({"entities": entities, "total": total, "pageCount": 1})

    async def queues(self, request: web.Request) -> web.StreamResponse:
        """Respond to a look-up of queues."""
        ids = request.query.getall("id", [])
        entities = [{"id": each, "name": f"Queue {each[-4:]}"} for each in ids]
        return web.json_response({"entities": entities, "total": len(ids), "pageCount": 1})

    async def nothing(self, _: web.Request) -> web.StreamResponse:
        """Respond to a call that a run can do without."""
        return web.json_response({"entities": [], "total": 0, "pageCount": 1})

    async def token(self, _: web.Request) -> web.StreamResponse:
        """Give a token."""
        return web.json_response(
            {"access_token": "t", "token_type": "bearer", "expires_in": 86_400}
        )

    async def show_counts(self, _: web.Request) -> web.StreamResponse:
        """Give the counts since they were given last."""
        counts = dict(self.counts)
        self.counts = dict.fromkeys(self.counts, 0)
        return web.json_response(counts)

    async def serve(self) -> None:
        """Serve until the process is killed."""
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/oauth/token", self.token)
        app.router.add_get("/api/v2/users", self.users)
        app.router.add_get("/api/v2/routing/queues", self.queues)
        app.router.add_post("/api/v2/analytics/conversations/aggregates/query", self.aggregates)
        app.router.add_get("/api/v2/tokens/me", self.nothing)
        app.router.add_get("/api/v2/authorization/{call:.*}", self.nothing)
        app.router.add_get("/counts", self.show_counts)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sys.stdout.write(f"{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _group(user: str, queue: bytes, data: bytes) -> bytes:
    return b'{"group":{"mediaType":"voice","userId":"%b"%b},"data":[%b]}' % (
        user.encode(),
        queue,
        data,
    )


def _listed(body: dict[str, Any]) -> list[str]:
    """List the users that a query names."""
    clauses = body.get("filter", {}).get("clauses", ())
    return [
        each["value"]
        for clause in clauses
        for each in clause["predicates"]
        if each["dimension"] == "userId"
    ]


@dataclass(frozen=True, slots=True)
class Standin:
    """A running server."""

    url: str
    work: Work

    def counts(self) -> dict[str, int]:
        """Give the server's counts since the last call."""
        with _OPENER.open(f"{self.url}/counts", timeout=30) as response:
            found: dict[str, int] = json.load(response)
        return found


@contextmanager
def standin(work: Work) -> Iterator[Standin]:
    """Serve in a process of its own while the block runs."""
    command = [sys.executable, "-m", "tests.bench.standin", json.dumps(asdict(work))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Standin(f"http://127.0.0.1:{process.stdout.readline().strip()}", work)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(Server(Work(**json.loads(sys.argv[1]))).serve())
