"""The load of the bench: the data, the server that serves them, and the correct rows.

Owns the server's process. Every client sends the same grid of queries, by the half hour, one for
each day and hundred users: so all send the same number of requests and read the same bytes.
asyncreport does so with `range.chunk: P1D`; without it, its chunks are longer, and the tables show
that in another line.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import aiohttp
import orjson

from asyncreport.emulator import World
from tests.bench.peers import pull
from tests.emulator_process import Handle
from tests.truth import records

START = date(2024, 1, 1)
_ROOT = Path(__file__).parents[2]
#: seconds for a control call, and for the process to start or end
_PATIENCE = 90
#: a proxy of the environment must not come between the bench and loopback
_OPENER = build_opener(ProxyHandler({}))
#: columns in seconds that are compared in ms
_SUMS = ("total_talk_time_sec", "total_hold_time_sec", "total_wrap_up_sec", "total_handle_time_sec")
#: a row without its key and its average
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Rows compared with the correct ones."""

    right: int
    #: a wrong number, a row that must not exist, or not JSON
    wrong: int
    missing: int
    #: a second row of the same user and half hour
    twice: int

    @property
    def clean(self) -> bool:
        """Tell whether all rows are there, once and correct."""
        return not (self.wrong or self.missing or self.twice)


@dataclass(frozen=True)
class Load:
    """The work of a number of agents in a number of days."""

    agents: int
    days: int
    seed: int = 1

    @cached_property
    def users(self) -> list[str]:
        """List the ids of the agents."""
        return [person.id for person in World(self.agents, self.seed).people]

    def asked(self, server: Handle, **rest: Any) -> dict[str, Any]:
        """Write the settings of a peer."""
        address = {
            "url": server.url,
            "client_id": server.client_id,
            "client_secret": server.client_secret,
        }
        return {
            **address,
            "users": self.users,
            "start": START.isoformat(),
            "days": self.days,
            **rest,
        }

    @cached_property
    def truth(self) -> dict[tuple[str, str], tuple[Row, float | None]]:
        """Compute all rows from the emissions, by user and start."""
        start = datetime(START.year, START.month, START.day, tzinfo=UTC)
        world, end = World(self.agents, self.seed), start + timedelta(days=self.days)
        found = records(world, start, end, granularity="PT30M", teams=[("all", self.users)])
        return {_key(row): (_numbers(row), row["avg_handle_time_sec"]) for row in found}

    def judge(self, paths: Iterable[Path], days: int | None = None) -> Verdict:
        """Compare JSONL files with the correct rows of the first days.

        Averages may differ by a hundredth: clients round halves differently.
        """
        end = (START + timedelta(days=days or self.days)).isoformat()
        wanted = {key: value for key, value in self.truth.items() if key[1] < end}
        right, wrong, twice = set(), 0, 0
        seen: set[tuple[str, str]] = set()
        for row in _read(paths):
            key = None if row is None else _key(row)
            if row is None or key not in wanted:
                wrong += 1
            elif key in seen:
                twice += 1
            elif _agrees(row, *wanted[key]):
                right.add(key)
            else:
                wrong += 1
            seen.add(key or ("", ""))
        return Verdict(
            right=len(right), wrong=wrong, missing=len(wanted.keys() - seen), twice=twice
        )


def _read(paths: Iterable[Path]) -> Iterator[dict[str, Any] | None]:
    for path in paths:
        for line in path.read_bytes().splitlines():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                yield None


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["user_id"], row["interval_start"]


def _numbers(row: dict[str, Any]) -> Row:
    return (
        row["team"],
        row["user_name"],
        row["interval_end"],
        row["handled_count"],
        *(round(row[name] * 1000) for name in _SUMS),
    )


def _agrees(row: dict[str, Any], numbers: Row, average: float | None) -> bool:
    value = row.get("avg_handle_time_sec")
    if _numbers(row) != numbers:
        return False
    if value is None or average is None:
        return bool(value == average)
    return bool(abs(value - average) < 0.011)


class Server(Handle):
    """The running server, and the calls of its control channel."""

    def reset(self, *, latency: float, limit: int = 0) -> None:
        """Set the counts to zero; prepared responses are kept."""
        self._call("POST", "reset", {"latency": latency, "limit": limit})

    def prepare(self, load: Load) -> None:
        """Let the server compute and keep the responses to the grid."""
        for query in pull.queries(load.asked(self)):
            self._call("POST", "prepare", query)

    def counts(self) -> dict[str, Any]:
        """Return the counts since the reset; the names are those of `load_serve.Counts`."""
        found: dict[str, Any] = json.loads(self._call("GET", "counts"))
        return found

    def wait_for(self, queries: int) -> None:
        """Return after so many queries were answered; raise HTTPError (408) after a minute."""
        self._call("GET", f"wait?queries={queries}")

    def _call(self, method: str, what: str, body: object = None) -> bytes:
        data = None if body is None else orjson.dumps(body)
        asked = Request(
            f"{self.url}/load/{what}",
            data=data,
            method=method,
            headers={"content-type": "application/json"},
        )
        with _OPENER.open(asked, timeout=_PATIENCE) as answer:
            found: bytes = answer.read()
            return found


@contextmanager
def serving(load: Load) -> Iterator[Server]:
    """Start a server of a load and end it; it prepares its responses first."""
    settings = json.dumps({"agents": load.agents, "seed": load.seed})
    command = [sys.executable, "-m", "tests.bench.load_serve", settings]
    with subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            server = Server(**json.loads(process.stdout.readline()))
            with ThreadPoolExecutor(1) as pool:
                prepared = pool.submit(server.prepare, load)
                assert load.truth
                prepared.result()
            yield server
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def ceiling(server: Server, load: Load) -> float:
    """Measure how many responses a second the server can send.

    The client reads them, 16 at a time, and does nothing with them.
    """
    bodies = [orjson.dumps(query) for query in pull.queries(load.asked(server))]
    server.reset(latency=0.0)
    asyncio.run(_drop(server, bodies * max(1, 1000 // len(bodies))))
    counts = server.counts()
    return float(counts["answered"] / counts["span"])


async def _drop(server: Server, bodies: list[bytes]) -> None:
    grant = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    async with aiohttp.ClientSession(server.url) as session:
        async with session.post("/oauth/token", data=grant) as answer:
            token = (await answer.json())["access_token"]
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        rest = iter(bodies)

        async def worker() -> None:
            for body in rest:
                async with session.post(pull.PATH, data=body, headers=headers) as answer:
                    answer.raise_for_status()
                    await answer.read()

        await asyncio.gather(*(worker() for _ in range(16)))
