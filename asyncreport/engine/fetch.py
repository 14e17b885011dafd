"""Fetch one chunk, from the first request to sorted rows; split it if the server needs that.

Owns nothing: `ask` sends the requests.
"""

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
from asyncreport.core.answer_sizes import LARGEST_ANSWER
from asyncreport.core.errors import (
    ApiError,
    AsyncReportError,
    AuthError,
    RejectedError,
    RetriesExhausted,
)
from asyncreport.core.job import Chunk, Query
from asyncreport.core.piece_errors import next_step, with_piece
from asyncreport.core.records import Accumulator, Block
from asyncreport.core.splitting import SplitChunk, SplitReason

T = TypeVar("T")

#: give the decoded response to a request, however many attempts that takes
Ask = Callable[[Request], Awaitable[Any]]

#: an error after which smaller pieces may succeed
_PieceError = RejectedError | RetriesExhausted

#: responses to another question after which the same request is sent again
_ODD_RESPONSES = 2

#: seconds before that
_ODD_PAUSE = 1.0

#: seconds for the requests that clean up after a chunk
_CLEANUP_SECONDS = 5.0

#: rows made before other tasks get a turn: a few ms
_ROWS_PER_TURN = 2_000

#: time-outs of one request of a piece that can still be split: each costs a minute
_MAX_TIMEOUTS = 3

#: pieces of one chunk that may be late. Pieces that are too large cost nothing and have no limit
_MAX_LATE = 64


async def drive(steps: Generator[Request | Wait, Any, T], ask: Ask) -> T:
    """Run a contract: send the requests that it yields, and return what it returns.

    The contract gets the decoded response to each request, or the error if there is none.
    """
    try:
        step = next(steps)
        while True:
            step = _resume(steps, await _result(step, ask))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        steps.close()


async def _result(step: Request | Wait, ask: Ask) -> Any:
    """Do what a contract yielded; give the response or the error, None after a wait."""
    if isinstance(step, Wait):
        await asyncio.sleep(step.seconds)
        return None
    # Other errors, as of the configuration or the disk, pass by the contract.
    try:
        return await _ask_again_if_odd(step, ask)
    except (ApiError, AuthError, RetriesExhausted) as error:
        return error


async def _ask_again_if_odd(request: Request, ask: Ask) -> Any:
    """Give the response; ask again, twice, while it is a response to another question."""
    for _ in range(_ODD_RESPONSES):
        try:
            return await ask(request)
        except RejectedError as error:
            if not error.is_odd:
                raise
        # A gateway that mixed up two responses may need a moment.
        await asyncio.sleep(_ODD_PAUSE)
    return await ask(request)


def _resume(steps: Generator[Request | Wait, Any, Any], result: Any) -> Request | Wait:
    """Hand a response or an error to a contract; give what it yields next."""
    if isinstance(result, AsyncReportError):
        return steps.throw(result)
    return steps.send(result)


async def fetch(chunk: Chunk, query: Query, ask: Ask, state: ConnectionState) -> list[Block]:
    """Fetch a chunk, in pieces if the server cannot answer it as a whole; give the rows by user.

    What is learned about the size of answers goes to `state`, for the chunks that follow.
    Raise RejectedError, AuthError or RetriesExhausted if it cannot be fetched, SplitChunk if it
    holds too much for one part.
    """
    return await _ChunkFetch(chunk, query, ask, state).fetch()


@dataclass(slots=True)
class _ChunkFetch:
    """The fetch of one chunk, as a whole or in pieces."""

    chunk: Chunk
    query: Query
    ask: Ask
    state: ConnectionState
    #: why pieces were split
    split_reasons: set[SplitReason] = field(default_factory=set)
    #: pieces that were late and were split
    late: int = 0

    async def fetch(self) -> list[Block]:
        """Fetch the pieces of the chunk, and join their rows."""
        rows = await self._fetch_pieces(self._tile())
        # Only at the end: a chunk that fails does not show which size works.
        self._learn(list(rows))
        blocks = list(rows.values())
        if len(blocks) == 1:
            return blocks[0]
        return splitting.join(blocks)

    async def _fetch_pieces(self, pieces: list[Chunk]) -> dict[Chunk, list[Block]]:
        """Fetch piece after piece, in order of time."""
        # A stack with the earliest piece on top. The halves of a piece take its place, so pieces
        # are fetched in the order that `join` needs.
        stack = pieces[::-1]
        rows: dict[Chunk, list[Block]] = {}
        while stack:
            piece = stack.pop()
            try:
                rows[piece] = await self._fetch_and_measure(piece)
            except (RejectedError, RetriesExhausted) as error:
                stack += reversed(await self._split(piece, error))
        return rows

    def _tile(self) -> list[Chunk]:
        """Split the chunk into pieces of the size that worked before."""
        alone = contracts.one_bucket_per_query(self.query, self.state)
        return splitting.tile(self.chunk, self.query.grid, self.state.bound, single_buckets=alone)

    def _learn(self, pieces: Sequence[Chunk]) -> None:
        """Note for later chunks which size worked."""
        if not self.split_reasons:
            self.state.bound.answered()
        for reason in self.split_reasons:
            self.state.bound.learn(reason, pieces, self.query.grid)
        if self.split_reasons:
            self.state.chunks_split += 1

    async def _fetch_and_measure(self, piece: Chunk) -> list[Block]:
        """Fetch one piece, and note what its answer held."""
        answer = _Answer()
        blocks = await self._fetch_piece(piece, self._ask_for(piece, answer))
        if self.state.sizes is not None:
            self.state.sizes.answered(
                piece.users,
                cells=self._cells(piece),
                records=sum(block.count for block in blocks),
                received=answer.received,
                seconds=answer.seconds,
            )
        return blocks

    def _cells(self, piece: Chunk) -> int:
        """Multiply the users of a piece by its buckets."""
        cells = splitting.size(piece, self.query.grid)
        if piece.users is None:
            cells *= self.state.population
        return cells

    def _ask_for(self, piece: Chunk, answer: _Answer) -> Ask:
        """Measure the responses to a piece; allow less of what a smaller piece would avoid."""
        ask = self.ask
        if splitting.halves(piece, self.query.grid, "large"):
            ask = _with_few_bytes(ask)
            # The first late piece may be chance. After that, a split costs less than a wait.
            if self.late:
                ask = with_few_timeouts(ask)
        return lambda request: ask(replace(request, measure=answer.add))

    async def _fetch_piece(self, piece: Chunk, ask: Ask) -> list[Block]:
        """Fetch one piece; give its rows by user."""
        # An accumulator per piece: one that fails midway must not leave rows behind, as its halves
        # would add them again.
        accumulator = Accumulator(self.query.grid.edges(piece.interval), self.query)
        cleanup: list[Request] = []
        steps = contracts.steps(self.query, piece, accumulator, self.state, cleanup)
        # In `finally`, so that the query job of a failed or cancelled piece is deleted too, and
        # before the next piece submits its own.
        try:
            await drive(steps, ask)
        finally:
            await _clean_up(cleanup, ask)
        return await _rows(accumulator)

    async def _split(self, piece: Chunk, error: _PieceError) -> Sequence[Chunk]:
        """Give the halves of a piece; raise the error if they would fail too."""
        reason = splitting.split_reason(error)
        if reason is None:
            raise error
        halves = splitting.halves(piece, self.query.grid, reason)
        if not halves:
            raise with_piece(error, piece, next_step(piece, reason)) from error
        if reason == "late":
            self._count_late(piece, error)
            await self._check_server(piece, error)
        if reason == "large":
            self._split_chunk(piece, halves, error)
        self.split_reasons.add(reason)
        return halves

    def _split_chunk(self, piece: Chunk, halves: Sequence[Chunk], error: _PieceError) -> None:
        """Raise SplitChunk if a piece that is too large is the whole chunk, and may be divided."""
        state = self.state
        if state.sizes is None:
            return
        refused = isinstance(error, RejectedError) and error.status is not None
        if not refused:
            # It was longer than `LARGEST_ANSWER`, or is the result of a query job.
            state.sizes.too_large(piece.users, cells=self._cells(piece))
        # A chunk that replaces parts must become one part.
        if piece == self.chunk and not piece.replaces:
            if refused:
                state.bound.learn("large", halves, self.query.grid)
            state.chunks_split += 1
            raise SplitChunk(halves) from error

    def _count_late(self, piece: Chunk, error: _PieceError) -> None:
        """Count a late piece; raise the error if there are too many."""
        self.late += 1
        if self.late == _MAX_LATE:
            fact = f"one of {_MAX_LATE} pieces of its chunk: set a shorter range.chunk"
            raise with_piece(error, piece, fact) from error

    async def _check_server(self, piece: Chunk, error: _PieceError) -> None:
        """Fetch the smallest piece; raise the error if the server does not answer that either.

        Otherwise a server that is down would be asked for every piece of every chunk.
        """
        if not isinstance(error, RetriesExhausted) or error.reason != "silent":
            # The server answered other requests.
            return
        cause = error.__cause__
        smallest = splitting.smallest_piece(piece, self.query.grid)
        try:
            await self._fetch_piece(smallest, with_few_timeouts(self.ask))
        except (RejectedError, RetriesExhausted) as second:
            # The first error says what failed. Except if the request was not sent at all: then
            # another lane may fetch the chunk.
            if isinstance(second, RetriesExhausted) and second.reason == "lane":
                raise second from cause
            raise error from cause


@dataclass(slots=True)
class _Answer:
    """What the responses to one piece took."""

    #: bytes
    received: int = 0
    #: of the slowest one
    seconds: float = 0.0

    def add(self, received: int, seconds: float) -> None:
        """Note a response."""
        self.received += received
        self.seconds = max(self.seconds, seconds)


def _with_few_bytes(ask: Ask) -> Ask:
    """Drop responses that take too much memory."""
    return lambda request: ask(replace(request, most_bytes=LARGEST_ANSWER))


def with_few_timeouts(ask: Ask) -> Ask:
    """Limit the time-outs of each request."""
    return lambda request: ask(replace(request, max_timeouts=_MAX_TIMEOUTS))


async def _rows(accumulator: Accumulator) -> list[Block]:
    """Make the rows of a piece, with pauses."""
    # Rows of a large response take as long as its reading. In the pauses the other workers send and
    # receive, so that the rate limit is used.
    await asyncio.sleep(0)
    blocks: list[Block] = []
    rows = 0
    for block in accumulator.blocks():
        blocks.append(block)
        rows += block.count
        if rows >= _ROWS_PER_TURN:
            rows = 0
            await asyncio.sleep(0)
    return blocks


async def _clean_up(requests: list[Request], ask: Ask) -> None:
    """Send the requests that clean up after a piece, for a few seconds."""
    # A time limit, as a cancelled run waits for this. A query job that stays takes one of the
    # organisation's places until it expires, but no data is lost.
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLEANUP_SECONDS):
            for request in requests:
                # It is gone already, or there is nothing to do about it.
                with suppress(AsyncReportError):
                    await ask(request)
