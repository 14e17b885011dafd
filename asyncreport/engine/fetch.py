"""One chunk: the steps of its contract, from the first request to sorted rows, in pieces where need be. Owns nothing; `ask` is given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from asyncreport.api import contracts
from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.wire import Request, Wait
from asyncreport.core import splitting
from asyncreport.core.errors import (
    ApiError,
    AsyncReportError,
    AuthError,
    RejectedError,
    RetriesExhausted,
)
from asyncreport.core.job import Chunk, Query
from asyncreport.core.records import Accumulator, Block
from asyncreport.core.splitting import SplitReason

T = TypeVar("T")

#: turn a request into what it decodes to, however many attempts that takes
Ask = Callable[[Request], Awaitable[Any]]

#: seconds for what a chunk leaves to be asked when it ends
_CLOSING = 5.0

#: rows made in one turn of the event loop: some ms
_TURN = 2_000

#: time-outs of one request of a piece that can still be cut: each costs a minute
_TIMEOUTS = 3

#: pieces of one chunk whose answers come too late; of answers that are too large, which cost nothing, there may be any number
_MOST_LATE = 64


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
            except (ApiError, AuthError, RetriesExhausted) as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


async def fetch(chunk: Chunk, query: Query, ask: Ask, known: ConnectionState) -> list[Block]:
    """Ask for everything in a chunk, in pieces where the server gives no answer to the whole or gave none to its like.

    Raise RejectedError, AuthError or RetriesExhausted where it cannot be had.
    """
    return await _Pieces(query, ask, known).of(chunk)


@dataclass(slots=True)
class _Pieces:
    """One chunk being asked for, whole or in pieces."""

    query: Query
    ask: Ask
    known: ConnectionState
    #: why it was cut
    troubles: set[SplitReason] = field(default_factory=set)
    #: cuts for answers that came too late
    late: int = 0

    async def of(self, chunk: Chunk) -> list[Block]:
        """Ask for piece after piece, in order of time; one that is cut gives way to its halves."""
        grid, known = self.query.grid, self.known
        left = splitting.tile(
            chunk, grid, known.bound, alone=contracts.one_bucket_per_query(self.query, known)
        )[::-1]
        done: dict[Chunk, list[Block]] = {}
        while left:
            piece = left.pop()
            try:
                done[piece] = await self._whole(piece, self._ask_for(piece))
            except (RejectedError, RetriesExhausted) as error:
                left += (await self._smaller(piece, error))[::-1]
        for trouble in self.troubles:
            known.bound.learn(trouble, tuple(done), grid)
        known.chunks_split += bool(self.troubles)
        answers = list(done.values())
        return answers[0] if len(answers) == 1 else splitting.join(answers)

    def _ask_for(self, piece: Chunk) -> Ask:
        """Choose how long to ask for a piece: what can still be cut is not waited for as often as what cannot."""
        return (
            with_few_timeouts(self.ask)
            if self.late and splitting.halves(piece, self.query.grid, "late")
            else self.ask
        )

    async def _whole(self, piece: Chunk, ask: Ask) -> list[Block]:
        """Ask for a piece at once; a piece that fails midway has added nothing to the others."""
        facts = Accumulator(self.query.grid.edges(piece.interval), self.query)
        closing: list[Request] = []
        try:
            await drive(contracts.steps(self.query, piece, facts, self.known, closing), ask)
        finally:
            await _close(closing, ask)
        return await _gathered(facts)

    async def _smaller(
        self, piece: Chunk, error: RejectedError | RetriesExhausted
    ) -> Sequence[Chunk]:
        """Give the halves of a piece that was not answered; raise the error where they would fare no better."""
        trouble = splitting.split_reason(error)
        if trouble is None:
            raise error
        halves = splitting.halves(piece, self.query.grid, trouble)
        if not halves:
            raise splitting.with_piece(error, piece, splitting.next_step(piece, trouble)) from error
        if trouble == "late":
            if self.late + 1 == _MOST_LATE:
                raise splitting.with_piece(
                    error,
                    piece,
                    f"one of {_MOST_LATE} pieces of its chunk: set a shorter range.chunk",
                ) from error
            self.late += 1
            await self._prove(piece, error)
        self.troubles.add(trouble)
        return halves

    async def _prove(self, piece: Chunk, error: RejectedError | RetriesExhausted) -> None:
        """Raise the error where the server answers nobody: one that is down must not be asked for every piece of a chunk."""
        if isinstance(error, RetriesExhausted) and error.reason == "late":
            return
        try:
            await self._whole(
                splitting.smallest_piece(piece, self.query.grid), with_few_timeouts(self.ask)
            )
        except (RejectedError, RetriesExhausted) as other:
            # Where the lane is at its end, that is what must be told: its siblings may ask for the chunk.
            if isinstance(other, RetriesExhausted) and other.reason == "lane":
                raise other from error.__cause__
            raise error from error.__cause__


def with_few_timeouts(ask: Ask) -> Ask:
    """Ask with few time-outs."""
    return lambda request: ask(replace(request, max_timeouts=_TIMEOUTS))


async def _gathered(facts: Accumulator) -> list[Block]:
    """Make the rows, and let the other workers have their turns meanwhile: a large answer takes as long to turn into rows as to read."""
    blocks: list[Block] = []
    turn = 0
    await asyncio.sleep(0)
    for block in facts.blocks():
        blocks.append(block)
        turn += block.count
        if turn >= _TURN:
            turn = 0
            await asyncio.sleep(0)
    return blocks


async def _close(closing: list[Request], ask: Ask) -> None:
    """Ask what a chunk leaves behind, cancelled or not, for a few seconds: a query job that stays costs the organisation, not the data."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSING):
            for request in closing:
                with suppress(
                    AsyncReportError
                ):  # it is gone already, or nothing can be done about it
                    await ask(request)
