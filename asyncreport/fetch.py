"""One chunk: the steps of its contract, from the first request to sorted rows. Owns nothing; `ask` is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asyncreport.api import aggregates
from asyncreport.api.wire import Request
from asyncreport.job import Chunk, Query
from asyncreport.records import Accumulator, Block

#: turn a request into what it decodes to, however many attempts that takes
Ask = Callable[[Request], Awaitable[Any]]


async def fetch(chunk: Chunk, query: Query, ask: Ask, learned: aggregates.Learned) -> list[Block]:
    """Ask for everything in a chunk; raise RejectedError, AuthError or RetriesExhausted where that cannot be had."""
    facts = Accumulator(query.grid.edges(chunk.interval), query.split_by)
    steps = aggregates.steps(query, chunk, facts, learned)
    try:
        request = next(steps)
        while True:
            request = steps.send(await ask(request))
    except StopIteration:
        return list(facts.blocks())
    finally:
        steps.close()
