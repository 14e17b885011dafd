"""The hot path: from the bytes of a page to the bytes of a part's rows, on one core.

It also measures how long that blocks the event loop. `python -m tests.bench.hot` takes about 10 s.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson

from asyncreport.api import aggregates
from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.wire import Request
from asyncreport.config.zones import load_zone
from asyncreport.core.columns import METRICS, average
from asyncreport.core.errors import RejectedError
from asyncreport.core.job import Chunk, Query
from asyncreport.core.measures import MAX_VALUE
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import MINUTE, Granularity, Grid, Interval, iso, parse_iso
from asyncreport.engine.fetch import fetch
from tests.bench.table import Line

RUNS = 9
STEP = 30 * MINUTE
START = parse_iso("2023-10-02T08:00:00Z")
QUERY = Query(grid=Grid(Granularity.PT30M, load_zone("UTC")))


class Stats(msgspec.Struct, gc=False):
    """The numbers of one metric."""

    count: int | None = None
    sum: int | float | None = None


class Measure(msgspec.Struct, gc=False):
    """One metric of one bucket."""

    metric: str
    stats: Stats | None = None


class Datum(msgspec.Struct, gc=False):
    """One bucket of one group."""

    interval: str
    metrics: list[Measure] | None = None


class Group(msgspec.Struct, gc=False):
    """One group of a response."""

    group: dict[str, Any] | None = None
    data: list[Datum] | None = None


class Response(msgspec.Struct):
    """A complete response with types: decoding it is the least that any client must do."""

    results: list[Group]


def chunk_of(users: int, buckets: int) -> Chunk:
    """Return a chunk of some users and half hours."""
    names = tuple(f"{n:08x}-0000-4000-8000-{n:012x}" for n in range(users))
    return Chunk(
        connection="c",
        month="2023-10",
        interval=Interval(START, START + buckets * STEP),
        users=names,
    )


def response(chunk: Chunk) -> bytes:
    """Write a response in the vendor's form: for each user and bucket four metrics, as floats."""
    edges = QUERY.grid.edges(chunk.interval)
    spans = [f"{iso(edge)}/{iso(edge + STEP)}" for edge in edges[:-1]]
    results = [
        {
            "group": {"mediaType": "voice", "userId": user},
            "data": [_datum(span, n + at) for at, span in enumerate(spans)],
        }
        for n, user in enumerate(chunk.users or ())
    ]
    return json.dumps({"results": results}).encode()


def _datum(span: str, n: int) -> dict[str, object]:
    return {
        "interval": span,
        "metrics": [
            {
                "metric": metric,
                "stats": {
                    "max": 300_000.0 + n,
                    "min": 1_000.0,
                    "count": 1 + n % 7,
                    "sum": float(1_000 * n + 777 * at),
                },
            }
            for at, metric in enumerate(METRICS)
        ],
    }


def ours(chunk: Chunk, body: bytes) -> bytes:
    """Do the work with the product's code."""
    facts = Accumulator(QUERY.grid.edges(chunk.interval), QUERY)
    facts.absorb(
        aggregates.page_reader(facts, aggregates.container_adder(QUERY, chunk))(body).facts
    )
    return b"".join([block.lines for block in facts.blocks()])


def by_dicts(chunk: Chunk, body: bytes) -> bytes:
    """Do the same work, with the same checks and sums, on the dicts of `orjson.loads`."""
    asked = frozenset(chunk.users or ())
    edges = QUERY.grid.edges(chunk.interval)
    spans = {f"{iso(edge)}/{iso(edge + STEP)}": at for at, edge in enumerate(edges[:-1])}
    texts = [span.split("/") for span in spans]
    cells: dict[str, dict[int, dict[str, list[int]]]] = {}
    for container in orjson.loads(body)["results"]:
        user = _typed(container["group"]["userId"], str)
        if user not in asked:
            raise RejectedError(user)
        buckets = cells.setdefault(user, {})
        for datum in container["data"]:
            cell = buckets.setdefault(spans[_typed(datum["interval"], str)], {})
            for measure in datum["metrics"]:
                if measure["metric"] in METRICS:
                    stats = measure.get("stats") or {}
                    total = cell.setdefault(_typed(measure["metric"], str), [0, 0])
                    total[0] += round(_typed(stats.get("sum", 0), (int, float)))
                    total[1] += _typed(stats.get("count", 0), int)
    return b"".join(
        [
            orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
            for row in _rows_of_dicts(cells, texts)
        ]
    )


def _typed(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise RejectedError(str(value))
    return value


def _rows_of_dicts(
    cells: dict[str, dict[int, dict[str, list[int]]]], texts: list[list[str]]
) -> Iterator[dict[str, object]]:
    nothing = [0, 0]
    for user in sorted(cells):
        for bucket, cell in sorted(cells[user].items()):
            numbers = [number for total in cell.values() for number in total]
            if min(numbers) < 0 or max(numbers) > MAX_VALUE:
                raise RejectedError(user)
            talk, held, acw, handle = (cell.get(metric, nothing) for metric in METRICS)
            yield {
                "interval_start": texts[bucket][0],
                "interval_end": texts[bucket][1],
                "handled_count": handle[1],
                "total_talk_time_sec": talk[0] / 1000,
                "total_hold_time_sec": held[0] / 1000,
                "total_wrap_up_sec": acw[0] / 1000,
                "total_handle_time_sec": handle[0] / 1000,
                "avg_handle_time_sec": average(handle[0], handle[1]),
            }


async def _longest_hold(chunk: Chunk, body: bytes) -> float:
    """Fetch a chunk with one response; return the longest time that it blocked the loop, in s."""
    longest = 0.0

    async def probe() -> None:
        nonlocal longest
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    async def ask(request: Request) -> object:
        await asyncio.sleep(0.01)
        return request.decode(body)

    task = asyncio.create_task(probe())
    await asyncio.sleep(0.05)
    await fetch(chunk, QUERY, ask, ConnectionState())
    await asyncio.sleep(0.01)  # so that the probe sees the end as well
    task.cancel()
    return longest


def _median(work: Callable[[], object]) -> float:
    """Measure work in ms of this process's CPU time, so that other processes do not count."""
    times = []
    for _ in range(RUNS):
        gc.collect()
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return 1000 * statistics.median(times)


def measure() -> dict[str, float]:
    """Measure everything; times are medians in ms."""
    chunk = chunk_of(1_000, 20)
    body = response(chunk)
    assert ours(chunk, body) == by_dicts(chunk, body)
    rows = [orjson.loads(line) for line in ours(chunk, body).splitlines()]
    typed = msgspec.json.Decoder(Response)
    decode = _median(lambda: typed.decode(body))
    dump = _median(lambda: orjson.dumps(rows))
    whole, dicts = _median(lambda: ours(chunk, body)), _median(lambda: by_dicts(chunk, body))
    large = chunk_of(1_000, 24)
    page = response(large)
    stalls = [asyncio.run(_longest_hold(large, page)) for _ in range(RUNS)]
    return {
        "page_mb": len(body) / 1e6,
        "records": len(rows),
        "decode_ms": decode,
        "dump_ms": dump,
        "whole_ms": whole,
        "ratio_to_floor": whole / (decode + dump),
        "dicts_ms": dicts,
        "times_faster_than_dicts": dicts / whole,
        "stall_page_mb": len(page) / 1e6,
        "stall_ms": 1000 * statistics.median(stalls),
        "stall_worst_ms": 1000 * max(stalls),
    }


def lines(*, quick: bool = False) -> Iterator[Line]:  # noqa: ARG001  # quick as it is
    """Compare the figures with their budgets."""
    found = measure()
    ratio, faster, stall = (
        found["ratio_to_floor"],
        found["times_faster_than_dicts"],
        found["stall_ms"],
    )
    page = f"{found['page_mb']:.1f} MB, {found['records']:,.0f} records"
    yield Line(
        f"page to rows ({page}) against typed decoding and one dump",
        "at most 2.0 x",
        f"{ratio:.2f} x",
        ratio <= 2,
    )
    yield Line(
        "page to rows against the same over `orjson.loads` dicts",
        "at least 2 x as fast",
        f"{faster:.1f} x",
        faster >= 2,
    )
    what = f"the event loop blocked by a page of {found['stall_page_mb']:.0f} MB"
    yield Line(what, "at most 100 ms", f"{stall:.0f} ms", stall <= 100)


def main() -> None:
    """Measure and print the figures."""
    for name, value in measure().items():
        sys.stdout.write(f"{name:26} {value:10.2f}\n")
    sys.stdout.write(
        f"msgspec {msgspec.__version__}, orjson {orjson.__version__}, "
        f"Python {sys.version.split()[0]}\n"
    )


if __name__ == "__main__":
    main()
