"""Cut a chunk into pieces where the server gives no answer to the whole, and put their records together again. Pure.

Pieces tile their chunk: users x buckets, nothing lost and nothing twice. They are chunks themselves, and fill one part.
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
from asyncreport.core.job import Chunk
from asyncreport.core.records import Block
from asyncreport.core.timeline import Grid, Interval

#: why a smaller question may be answered: its answer is too large, it came too late, or the question itself is too long
SplitReason = Literal["large", "late", "long"]


@dataclass(slots=True)
class Bound:
    """How much a server was seen to answer at once after it gave no answer to more; None: it answered whatever it was asked."""

    #: users x buckets, of listed users
    cells: int | None = None
    #: of everyone
    buckets: int | None = None
    #: that one question names
    users: int | None = None

    def learn(self, reason: SplitReason, answered: Sequence[Chunk], grid: Grid) -> None:
        """Keep to the largest of a chunk's pieces where the whole had met with trouble; a bound never rises."""
        most = max(size(piece, grid) for piece in answered)
        if reason == "long":
            self.users = _least(self.users, max(len(piece.users or ()) for piece in answered))
        elif answered[0].users is None:
            self.buckets = _least(self.buckets, most)
        else:
            self.cells = _least(self.cells, most)


def _least(known: int | None, new: int) -> int:
    return new if known is None else min(known, new)


def size(piece: Chunk, grid: Grid) -> int:
    """Count users x buckets, or the buckets alone where everyone is asked for."""
    return (len(grid.edges(piece.interval)) - 1) * (1 if piece.users is None else len(piece.users))


def split_reason(error: AsyncReportError) -> SplitReason | None:
    """Tell whether a smaller question may be answered where this error was the answer."""
    if isinstance(error, RejectedError):
        return "large" if error.code == TOO_LARGE else "long" if error.status == 413 else None
    if isinstance(error, RetriesExhausted) and error.reason in {"late", "silent"}:
        return "late"
    return None


def tile(chunk: Chunk, grid: Grid, bound: Bound, *, alone: bool) -> list[Chunk]:
    """Cut a chunk into pieces within a bound, in order of time; `alone`: each bucket is a question of its own anyhow."""
    edges = grid.edges(chunk.interval)
    most, batches = bound.buckets, [chunk.users]
    if chunk.users is not None:
        together = min(
            limit for limit in (len(chunk.users), bound.users, bound.cells) if limit is not None
        )
        batches = [chunk.users[at : at + together] for at in range(0, len(chunk.users), together)]
        most = None if bound.cells is None else bound.cells // together
    step = 1 if alone else min(most or len(edges), len(edges))
    cuts = (*edges[:-1:step], edges[-1])
    return [
        replace(chunk, interval=Interval(start, end), users=users)
        for start, end in pairwise(cuts)
        for users in batches
    ]


def halves(piece: Chunk, grid: Grid, reason: SplitReason) -> Sequence[Chunk]:
    """Cut a piece in two: at the bucket edge in its middle, a single bucket between two users; nothing where it cannot be cut.

    A question that is too long has too many users, and no interval makes it shorter.
    """
    edges = grid.edges(piece.interval)
    if reason != "long" and len(edges) > 2:
        middle = edges[len(edges) // 2]
        spans = Interval(edges[0], middle), Interval(middle, edges[-1])
        return [replace(piece, interval=span) for span in spans]
    users = piece.users or ()
    if len(users) < 2:
        return ()
    middle = len(users) // 2
    return [replace(piece, users=users[:middle]), replace(piece, users=users[middle:])]


def smallest_piece(piece: Chunk, grid: Grid) -> Chunk:
    """Give the smallest part of a piece that can be asked for: its first bucket, of its first user."""
    start, end = grid.edges(piece.interval)[:2]
    return replace(
        piece, interval=Interval(start, end), users=None if piece.users is None else piece.users[:1]
    )


def join(answers: Iterable[Sequence[Block]]) -> list[Block]:
    """Put the blocks of pieces, in order of time, together to those of their chunk."""
    whole: defaultdict[str | None, list[Block]] = defaultdict(list)
    for blocks in answers:
        for block in blocks:
            whole[block.user].append(block)
    return [_joined(user, whole[user]) for user in sorted(whole, key=null_first)]


def _joined(user: str | None, blocks: Sequence[Block]) -> Block:
    lines, queues = (
        b"".join(block.lines for block in blocks),
        frozenset[str]().union(*(block.queues for block in blocks)),
    )
    return Block(user, lines, sum(block.count for block in blocks), queues)


def next_step(piece: Chunk, reason: SplitReason) -> str:
    """Say what is left to do about a piece that cannot be cut."""
    # No cut by users would hold what is of no user.
    everyone = (
        ": list users or teams, or set contract: query-jobs"
        if piece.users is None and reason != "long"
        else ""
    )
    return f"which cannot be cut smaller{everyone}"


def with_piece(error: AsyncReportError, piece: Chunk, fact: str) -> AsyncReportError:
    """Say of the error that ends a chunk which piece of it met it, and why that is not cut again."""
    text = f"{error}; this was {piece.interval} of {_who(piece.users)}, {fact}"
    if isinstance(error, RejectedError):
        return RejectedError(text, status=error.status, code=error.code)
    return RetriesExhausted(text)


def _who(users: Sequence[str] | None) -> str:
    if users is None:
        return "everyone"
    return (
        f"user {users[0]}"
        if len(users) == 1
        else f"{len(users)} users from {users[0]} to {users[-1]}"
    )
