"""Split a chunk into pieces if the server cannot answer it whole; join their records. Pure.

Pieces tile their chunk (users x buckets): nothing is lost and nothing is fetched twice. A piece is
a chunk itself, and the pieces of a chunk fill one part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from msgspec.structs import replace

from asyncreport.core.columns import null_first
from asyncreport.core.errors import TOO_LARGE, AsyncReportError, RejectedError, RetriesExhausted
from asyncreport.core.job import Chunk, batches
from asyncreport.core.records import Block
from asyncreport.core.timeline import Grid, Interval

#: why the server may answer a smaller request: the response was too large or too late, or the
#: request itself was too long
SplitReason = Literal["large", "late", "long"]

#: chunks answered without a split before a bound rises; a bound that is too high costs minutes
_CALM = 16

#: the HTTP status of a request that is too long
_REQUEST_TOO_LONG = 413


class SplitChunk(Exception):
    """The answer to a whole chunk is too large: each half becomes a chunk of its own.

    Pieces of one chunk would all have to be in memory at the same time.
    """

    def __init__(self, halves: Sequence[Chunk]) -> None:
        """Keep the halves."""
        super().__init__("the answer to a chunk is too large")
        self.halves = halves


@dataclass(slots=True)
class Bound:
    """The most that a server answered after it failed to answer more; None: no failure yet.

    It rises again: the server may have had a bad hour, or the month was busy.
    """

    #: users x buckets, of listed users
    cells: int | None = None
    #: buckets of everyone
    buckets: int | None = None
    #: users in one request
    users: int | None = None
    #: chunks answered since the last change
    _calm: int = 0

    def answered(self) -> None:
        """Note a chunk that was answered without a split."""
        self._calm += 1
        if self._calm >= _CALM:
            self._calm = 0
            self.cells = _doubled(self.cells)
            self.buckets = _doubled(self.buckets)
            self.users = _doubled(self.users)

    def learn(self, reason: SplitReason, answered: Sequence[Chunk], grid: Grid) -> None:
        """Lower the bound to the largest answered piece of a chunk that had to be split."""
        self._calm = 0
        if reason == "long":
            self.users = _lower(self.users, _most_users(answered))
            return
        largest = max(size(piece, grid) for piece in answered)
        if answered[0].users is None:
            self.buckets = _lower(self.buckets, largest)
        else:
            self.cells = _lower(self.cells, largest)


def _most_users(pieces: Sequence[Chunk]) -> int:
    """Give the largest number of users that one of the pieces names."""
    return max(len(piece.users or ()) for piece in pieces)


def _lower(bound: int | None, answered: int) -> int:
    """Lower a bound to what was answered; None: there was no bound yet."""
    if bound is None:
        return answered
    return min(bound, answered)


def _doubled(bound: int | None) -> int | None:
    """Double a bound, if there is one."""
    if bound is None:
        return None
    return 2 * bound


def size(piece: Chunk, grid: Grid) -> int:
    """Count users x buckets; only the buckets of a piece of everyone."""
    buckets = grid.count(piece.interval)
    if piece.users is None:
        return buckets
    return buckets * len(piece.users)


def split_reason(error: AsyncReportError) -> SplitReason | None:
    """Say why the server may answer a smaller request; None: it would fail too."""
    if isinstance(error, RetriesExhausted):
        if error.reason in {"late", "silent"}:
            return "late"
    elif isinstance(error, RejectedError):
        if error.code == TOO_LARGE:
            return "large"
        if error.status == _REQUEST_TOO_LONG:
            return "long"
    return None


def tile(
    chunk: Chunk,
    grid: Grid,
    bound: Bound,
    *,
    single_buckets: bool,
) -> list[Chunk]:
    """Split a chunk into pieces within a bound, in order of time.

    `single_buckets`: the contract sends a request for each bucket anyway, so each is a piece.
    """
    edges = grid.edges(chunk.interval)
    users = _users_together(chunk, bound)
    step = _buckets_together(bound, users) or len(edges)
    if single_buckets:
        step = 1
    cuts = (*edges[:-1:step], edges[-1])
    pieces = []
    for interval in map(Interval, cuts, cuts[1:]):
        pieces += _by_users(replace(chunk, interval=interval), users)
    return pieces


def _users_together(chunk: Chunk, bound: Bound) -> int | None:
    """Give the most users of a piece, each with at least one bucket; None: everyone."""
    if chunk.users is None:
        return None
    most = len(chunk.users)
    for limit in (bound.users, bound.cells):
        if limit is not None:
            most = min(most, limit)
    return most


def _buckets_together(bound: Bound, users: int | None) -> int | None:
    """Give the most buckets of a piece with so many users; None: any number."""
    if users is None:
        return bound.buckets
    if bound.cells is None:
        return None
    return bound.cells // users


def _by_users(piece: Chunk, together: int | None) -> list[Chunk]:
    """Split a piece between its users; a piece of everyone stays whole."""
    if piece.users is None or together is None:
        return [piece]
    return [replace(piece, users=users) for users in batches(piece.users, together)]


def halves(piece: Chunk, grid: Grid, reason: SplitReason) -> Sequence[Chunk]:
    """Split a piece at its middle bucket edge; split a single bucket between two users.

    Give nothing if it cannot be split. A request that is too long is split between users, because a
    shorter interval does not make it shorter.
    """
    edges = grid.edges(piece.interval)
    if len(edges) > 2 and reason != "long":
        return _split_interval(piece, edges[len(edges) // 2])
    users = piece.users or ()
    if len(users) > 1:
        return _split_users(piece, users, len(users) // 2)
    return ()


def _split_interval(piece: Chunk, middle: int) -> Sequence[Chunk]:
    """Split a piece in two at a bucket edge."""
    earlier = Interval(piece.interval.start, middle)
    later = Interval(middle, piece.interval.end)
    return [replace(piece, interval=earlier), replace(piece, interval=later)]


def _split_users(piece: Chunk, users: tuple[str, ...], half: int) -> Sequence[Chunk]:
    """Split a piece in two between its users."""
    return [replace(piece, users=users[:half]), replace(piece, users=users[half:])]


def smallest_piece(piece: Chunk, grid: Grid) -> Chunk:
    """Give the smallest piece of a piece: its first bucket, of its first user."""
    start, end = grid.edges(piece.interval)[:2]
    users = piece.users
    if users is not None:
        users = users[:1]
    return replace(piece, interval=Interval(start, end), users=users)


def join(pieces: Iterable[Sequence[Block]]) -> list[Block]:
    """Join the blocks of pieces, given in order of time, to the blocks of their chunk."""
    by_user: defaultdict[str | None, list[Block]] = defaultdict(list)
    for block in chain.from_iterable(pieces):
        by_user[block.user].append(block)
    return [_joined(user, by_user[user]) for user in sorted(by_user, key=null_first)]


def _joined(user: str | None, blocks: Sequence[Block]) -> Block:
    """Join one user's blocks, given in order of time."""
    lines = [block.lines for block in blocks]
    queues = [block.queues for block in blocks]
    return Block(
        user=user,
        lines=b"".join(lines),
        count=sum(block.count for block in blocks),
        queues=frozenset[str]().union(*queues),
    )
