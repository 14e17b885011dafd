"""Peak memory of a real export, in a process of its own.

The server is a small stand-in with data in every bucket. `python -m tests.bench.memory` takes about
two minutes; `python -m tests.bench.memory 365 8` pulls a year with 8 hours of work a day.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiohttp import web

from asyncreport.cli import cli
from asyncreport.config.zones import load_zone
from asyncreport.core import plan
from asyncreport.core.columns import METRICS
from asyncreport.core.timeline import DAY, HOUR, Granularity, Grid, Interval, iso, parse_iso
from tests.bench.contest import LAUNCHER
from tests.bench.table import Line
from tests.exporting import environ

USERS = tuple(f"{n:08x}-0000-4000-8000-{n:012x}" for n in range(1_000))
START = parse_iso("2014-01-01T00:00:00Z")
GRID = Grid(Granularity.PT30M, load_zone("UTC"))
HOURS = web.AppKey("hours", int)
#: requests a minute if the server has no limit
UNLIMITED = 30_000
#: numbers of users x steps in a response that are compared
SIZES = (10_000, 20_000, 40_000, 80_000)


def _metrics() -> bytes:
    stats = {"max": 300_000.0, "min": 1_000.0, "count": 3, "sum": 760_500.0}
    return json.dumps([{"metric": metric, "stats": stats} for metric in METRICS]).encode()


_METRICS = _metrics()


async def _aggregates(request: web.Request) -> web.Response:
    """Respond with data for each bucket and user: the same for all, so that they are made once."""
    body = await request.json()
    interval = Interval(*map(parse_iso, body["interval"].split("/")))
    clauses = body.get("filter", {}).get("clauses", ())
    listed = [
        each["value"]
        for clause in clauses
        for each in clause["predicates"]
        if each["dimension"] == "userId"
    ]
    hours = request.app[HOURS]
    spans = (
        f"{iso(start)}/{iso(end)}".encode()
        for start, end in pairwise(GRID.edges(interval))
        if start % DAY < hours * HOUR
    )
    data = b",".join(b'{"interval":"%b","metrics":%b}' % (span, _METRICS) for span in spans)
    groups = (
        b'{"group":{"mediaType":"voice","userId":"%b"},"data":[%b]}' % (user.encode(), data)
        for user in listed or USERS
    )
    return web.Response(
        body=b'{"results":[%b]}' % b",".join(groups), content_type="application/json"
    )


async def _users(request: web.Request) -> web.Response:
    ids = request.query.getall("id", [])
    entities = [{"id": each, "name": f"Agent {each[:8]}"} for each in ids or USERS[:1]]
    return web.json_response(
        {"entities": entities, "total": len(ids) or len(USERS), "pageCount": 1}
    )


async def _token(_: web.Request) -> web.Response:
    return web.json_response({"access_token": "t", "token_type": "bearer", "expires_in": 86_400})


async def _serve(hours: int) -> None:
    """Serve on a free port of loopback until killed, and print the port.

    There is work in the first hours of each day.
    """
    app = web.Application(client_max_size=2**24)
    app[HOURS] = hours
    app.router.add_post("/oauth/token", _token)
    app.router.add_get("/api/v2/users", _users)
    app.router.add_post("/api/v2/analytics/conversations/aggregates/query", _aggregates)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


@contextmanager
def _server(hours: int) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.memory", "serve", str(hours)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def _job(folder: Path, url: str, *, days: int, users: Sequence[str] | None, limit: int) -> Path:
    team: dict[str, Any] = (
        {"name": "all", "everyone": True}
        if users is None
        else {"name": "all", "users": list(users)}
    )
    place = {
        "api_url": url,
        "login_url": url,
        "client_id": "c",
        "client_secret": "s",
        "requests_per_minute": limit,
    }
    job = {
        "name": "job",
        "connections": {"default": place},
        "range": {
            "start": iso(START)[:10],
            "end": iso(START + days * DAY)[:10],
            "granularity": "PT30M",
        },
        "teams": [team],
        "output": {"path": str(folder / "out.jsonl")},
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job))
    return path


def peak(
    *,
    days: int,
    steps: int = plan.MAX_CELLS,
    users: Sequence[str] | None = None,
    hours: int = 24,
    limit: int = UNLIMITED,
) -> dict[str, float]:
    """Export some days of 1,000 agents by the half hour in a process of its own.

    Return its peak in MB, the records, and the seconds.
    """
    with _server(hours) as url, tempfile.TemporaryDirectory() as name:
        job = _job(Path(name), url, days=days, users=users, limit=limit)
        run = [sys.executable, "-m", "tests.bench.memory", "run", str(steps), str(job)]
        done = subprocess.run(
            [*LAUNCHER, "3600", *run], env=environ(), capture_output=True, text=True, check=True
        )
        figures = json.loads(done.stdout)
        if figures["code"]:
            raise RuntimeError(done.stderr)
        summary = json.loads((Path(name) / ".asyncreport" / "job" / "summary.json").read_text())
        assert summary["records"]["all"] == days * 2 * hours * len(USERS)
        return {
            "peak_mb": figures["rss_mb"],
            "records": summary["records"]["all"],
            "seconds": figures["seconds"],
        }


def lines() -> Iterator[Line]:
    """Compare peaks with the budget: full months in several ways, and 8 hours a day."""
    for what, mb in (
        ("a month of all users, every half hour full", peak(days=31)),
        ("a month of 1,000 listed users, every half hour full", peak(days=31, users=USERS)),
        ("a month of all users, every half hour full, at 300 a minute", peak(days=31, limit=300)),
        ("a month of all users, 8 hours a day", peak(days=31, hours=8)),
        ("a year of all users, 8 hours a day", peak(days=365, hours=8)),
    ):
        yield Line(
            f"peak memory, 1,000 agents, {what}",
            "at most 150 MB",
            f"{mb['peak_mb']:.0f} MB",
            mb["peak_mb"] <= 150,
        )


def main(arguments: Sequence[str]) -> None:
    """Serve, run one export as a child, pull some days, or compare sizes of responses."""
    if arguments[:1] == ["serve"]:
        asyncio.run(_serve(int(arguments[1])))
    elif arguments[:1] == ["run"]:
        plan.MAX_CELLS = int(arguments[1])
        cli(["run", arguments[2]])
    elif arguments:
        days, hours = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 24
        sys.stdout.write(f"{days} days of {hours} hours: {peak(days=days, hours=hours)}\n")
    else:
        for steps in SIZES:
            sys.stdout.write(
                f"{steps:6,} steps, a month of all users: {peak(days=31, steps=steps)}\n"
            )
        sys.stdout.write(
            f"{plan.MAX_CELLS:6,} steps, a month of 1,000 listed: {peak(days=31, users=USERS)}\n"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
