"""Split a chunk into pieces if the server does not answer the whole; join their records. Pure.

Pieces tile their chunk (users x buckets): nothing is lost and nothing is fetched twice. A piece is
a chunk itself, and the pieces of a chunk fill one part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from msgspec.structs import replace

from asyncreport.core.columns import null_first
from asyncreport.core.errors import TOO_LARGE, AsyncReportError, RejectedError, RetriesExhausted
from asyncreport.core.job import Chunk, batches
from asyncreport.core.records import Block
from asyncreport.core.text import describe_batch
from asyncreport.core.timeline import Grid, Interval

#: why a smaller request may be answered: the response is too large, it comes too late, or the
#: request itself is too long
SplitReason = Literal["large", "late", "long"]


@dataclass(slots=True)
class Bound:
    """The most that a server answered after it failed to answer more; None: no failure yet."""

    #: users x buckets, of listed users
    cells: int | None = None
    #: buckets of everyone
    buckets: int | None = None
    #: users in one request
    users: int | None = None

    def learn(self, reason: SplitReason, answered: Sequence[Chunk], grid: Grid) -> None:
        """Lower the bound to the largest answered piece of a chunk that had to be split."""
        largest = max(size(piece, grid) for piece in answered)
        if reason == "long":
            most_users = max(len(piece.users or ()) for piece in answered)
            self.users = _lower(self.users, most_users)
        elif answered[0].users is None:
            self.buckets = _lower(self.buckets, largest)
        else:
            self.cells = _lower(self.cells, largest)


def _lower(bound: int | None, answered: int) -> int:
    return answered if bound is None else min(bound, answered)


def size(piece: Chunk, grid: Grid) -> int:
    """Count users x buckets; only the buckets of a piece of everyone."""
    buckets = grid.count(piece.interval)
    if piece.users is None:
        return buckets
    return buckets * len(piece.users)


def split_reason(error: AsyncReportError) -> SplitReason | None:
    """Say why a smaller request may be answered; None: it would fail with this error too."""
    if isinstance(error, RetriesExhausted) and error.reason in {"late", "silent"}:
        return "late"
    if not isinstance(error, RejectedError):
        return None
    if error.code == TOO_LARGE:
        return "large"
    if error.status == 413:
        return "long"
    return None


def tile(chunk: Chunk, grid: Grid, bound: Bound, *, single_buckets: bool) -> list[Chunk]:
    """Split a chunk into pieces within a bound, in order of time.

    `single_buckets`: the contract sends a request for each bucket anyway, so that each is a piece.
    """
    edges = grid.edges(chunk.interval)
    together = _users_together(chunk, bound)
    step = 1 if single_buckets else _buckets_together(bound, together) or len(edges)
    cuts = (*edges[:-1:step], edges[-1])
    pieces = []
    for start, end in pairwise(cuts):
        piece = replace(chunk, interval=Interval(start, end))
        pieces += _by_users(piece, together)
    return pieces


def _users_together(chunk: Chunk, bound: Bound) -> int | None:
    """Give how many users one piece may have, each with at least one bucket; None: everyone."""
    if chunk.users is None:
        return None
    limits = (len(chunk.users), bound.users, bound.cells)
    return min(limit for limit in limits if limit is not None)


def _buckets_together(bound: Bound, users: int | None) -> int | None:
    """Give how many buckets one piece of so many users may have; None: any number."""
    if users is None:
        return bound.buckets
    if bound.cells is None:
        return None
    return bound.cells // users


def _by_users(piece: Chunk, together: int | None) -> list[Chunk]:
    if piece.users is None or together is None:
        return [piece]
    return [replace(piece, users=users) for users in batches(piece.users, together)]


def halves(piece: Chunk, grid: Grid, reason: SplitReason) -> Sequence[Chunk]:
    """Split a piece in two at its middle bucket edge, or a single bucket between two users.

    Give nothing if it cannot be split. A request that is too long is split between users, because a
    shorter interval does not make it shorter.
    """
    edges = grid.edges(piece.interval)
    if len(edges) > 2 and reason != "long":
        middle = edges[len(edges) // 2]
        return [
            replace(piece, interval=Interval(edges[0], middle)),
            replace(piece, interval=Interval(middle, edges[-1])),
        ]
    users = piece.users or ()
    if len(users) < 2:
        return ()
    half = len(users) // 2
    return [replace(piece, users=users[:half]), replace(piece, users=users[half:])]


def smallest_piece(piece: Chunk, grid: Grid) -> Chunk:
    """Give the smallest piece of a piece: its first bucket, of its first user."""
    start, end = grid.edges(piece.interval)[:2]
    first = piece.users and piece.users[:1]
    return replace(piece, interval=Interval(start, end), users=first)


def join(pieces: Iterable[Sequence[Block]]) -> list[Block]:
    """Join the blocks of pieces, given in order of time, to the blocks of their chunk."""
    by_user: defaultdict[str | None, list[Block]] = defaultdict(list)
    for blocks in pieces:
        for block in blocks:
            by_user[block.user].append(block)
    return [_joined(user, by_user[user]) for user in sorted(by_user, key=null_first)]


def _joined(user: str | None, blocks: Sequence[Block]) -> Block:
    lines = b"".join(block.lines for block in blocks)
    count = sum(block.count for block in blocks)
    queues = frozenset[str]().union(*(block.queues for block in blocks))
    return Block(user, lines, count, queues)


def next_step(piece: Chunk, reason: SplitReason) -> str:
    """Say what the user can do about a piece that cannot be split."""
    fact = "which cannot be split further"
    if piece.users is None and reason != "long":
        # Everyone cannot be split between users: what no user handled would be lost.
        return f"{fact}: list users or teams, or set contract: query-jobs"
    return fact


def with_piece(error: AsyncReportError, piece: Chunk, fact: str) -> AsyncReportError:
    """Add to the error that ends a chunk which piece failed, and why it is not split again."""
    request = f"{piece.interval} of {describe_batch(piece.users)}"
    text = f"{error}; the request was for {request}, {fact}"
    if isinstance(error, RejectedError):
        return RejectedError(text, status=error.status, code=error.code)
    return RetriesExhausted(text)
