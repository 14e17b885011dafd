"""One chunk: the steps of its contract, from the first request to sorted rows. Owns nothing; `ask` is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from asyncreport.api import aggregates
from asyncreport.api.wire import Request
from asyncreport.job import Chunk, Query
from asyncreport.records import Accumulator, Block

T = TypeVar("T")

#: turn a request into what it decodes to, however many attempts that takes
Ask = Callable[[Request], Awaitable[Any]]


async def drive(steps: Generator[Request, Any, T], ask: Ask) -> T:
    """Send what a contract yields and give it the answers; return what it returns."""
    try:
        request = next(steps)
        while True:
            request = steps.send(await ask(request))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


async def fetch(chunk: Chunk, query: Query, ask: Ask, learned: aggregates.Learned) -> list[Block]:
    """Ask for everything in a chunk; raise RejectedError, AuthError or RetriesExhausted where that cannot be had."""
    facts = Accumulator(query.grid.edges(chunk.interval), query.split_by)
    await drive(aggregates.steps(query, chunk, facts, learned), ask)
    return list(facts.blocks())
