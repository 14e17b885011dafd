"""One chunk: the steps of its contract, from the first request to sorted rows. Owns nothing; `ask` is given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar

from asyncreport.api import contracts
from asyncreport.api.aggregates import Known
from asyncreport.api.wire import Request, Wait
from asyncreport.errors import ApiError, AsyncReportError, RetriesExhausted
from asyncreport.job import Chunk, Query
from asyncreport.records import Accumulator, Block

T = TypeVar("T")

#: turn a request into what it decodes to, however many attempts that takes
Ask = Callable[[Request], Awaitable[Any]]


#: seconds for what a chunk leaves to be asked when it ends
_CLOSING = 5.0


async def drive(steps: Generator[Request | Wait, Any, T], ask: Ask) -> T:
    """Send what a contract yields and give it the answers, or what went wrong instead of one; return what it returns."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                step = next(steps)
                continue
            try:
                answer = await ask(step)
            except (ApiError, RetriesExhausted) as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


async def fetch(chunk: Chunk, query: Query, ask: Ask, known: Known) -> list[Block]:
    """Ask for everything in a chunk; raise RejectedError, AuthError or RetriesExhausted where that cannot be had."""
    facts = Accumulator(query.grid.edges(chunk.interval), query)
    closing: list[Request] = []
    try:
        await drive(contracts.steps(query, chunk, facts, known, closing), ask)
    finally:
        await _close(closing, ask)
    return list(facts.blocks())


async def _close(closing: list[Request], ask: Ask) -> None:
    """Ask what a chunk leaves behind, cancelled or not, for a few seconds: a query job that stays costs the organisation, not the data."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSING):
            for request in closing:
                with suppress(AsyncReportError):  # it is gone already, or nothing can be done about it
                    await ask(request)
