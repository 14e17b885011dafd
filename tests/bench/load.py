"""The load of the bench: what is pulled, the server that serves it, and the truth to hold rows against. Owns the server's process.

Every client asks the same grid of queries, one for each day and hundred users by the half hour, so that all send as many requests
and read the same bytes. asyncreport is told so by `range.chunk: P1D`; left to itself it asks for longer chunks, which the tables
show as a line of its own.
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
#: seconds for a control call, and for the process to come up or go
_PATIENCE = 90
#: no proxy of the environment stands between the bench and loopback
_OPENER = build_opener(ProxyHandler({}))
#: whole numbers of each row: what was handled, and ms
_SUMS = ("total_talk_time_sec", "total_hold_time_sec", "total_wrap_up_sec", "total_handle_time_sec")
#: what a row says beside its key and its average
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Rows held against the truth."""

    right: int
    #: another number than the truth's, no such row, or no JSON
    wrong: int
    missing: int
    #: beyond the first of a user and half hour
    twice: int

    @property
    def clean(self) -> bool:
        """Tell whether all is there, once and right."""
        return not (self.wrong or self.missing or self.twice)


@dataclass(frozen=True)
class Load:
    """So many agents for so many days."""

    agents: int
    days: int
    seed: int = 1

    @cached_property
    def users(self) -> list[str]:
        """List the ids of the agents."""
        return [person.id for person in World(self.agents, self.seed).people]

    def asked(self, server: Handle, **rest: Any) -> dict[str, Any]:
        """Write the settings of a peer."""
        known = {
            "url": server.url,
            "client_id": server.client_id,
            "client_secret": server.client_secret,
        }
        return {**known, "users": self.users, "start": START.isoformat(), "days": self.days, **rest}

    @cached_property
    def truth(self) -> dict[tuple[str, str], tuple[Row, float | None]]:
        """Work out every row from the raw emissions, by user and start."""
        start = datetime(START.year, START.month, START.day, tzinfo=UTC)
        world, end = World(self.agents, self.seed), start + timedelta(days=self.days)
        found = records(world, start, end, granularity="PT30M", teams=[("all", self.users)])
        return {_key(row): (_numbers(row), row["avg_handle_time_sec"]) for row in found}

    def judge(self, paths: Iterable[Path], days: int | None = None) -> Verdict:
        """Hold JSONL files against the truth of the first days.

        Averages may be off by a hundredth: how halves are rounded is not what is judged.
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
    told = row.get("avg_handle_time_sec")
    close = told == average if told is None or average is None else abs(told - average) < 0.011
    return close and _numbers(row) == numbers


class Server(Handle):
    """The server at work."""

    def reset(self, *, latency: float, limit: int = 0) -> None:
        """Begin to count anew; answers stay prepared."""
        self._tell("POST", "reset", {"latency": latency, "limit": limit})

    def prepare(self, load: Load) -> None:
        """Have the answers of the grid computed and kept."""
        for query in pull.queries(load.asked(self)):
            self._tell("POST", "prepare", query)

    def counts(self) -> dict[str, Any]:
        """Give what was seen since the reset; the names are those of `load_serve.Counts`."""
        found: dict[str, Any] = json.loads(self._tell("GET", "counts"))
        return found

    def wait_for(self, queries: int) -> None:
        """Return as soon as so many queries have been answered; raise HTTPError (408) after a minute."""
        self._tell("GET", f"wait?queries={queries}")

    def _tell(self, method: str, what: str, body: object = None) -> bytes:
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
    """Start a server of a load, prepared, while the truth is worked out here; end it."""
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
    """Say how many answers of the grid a second the server gives to a client that reads and drops them, 16 at a time."""
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
