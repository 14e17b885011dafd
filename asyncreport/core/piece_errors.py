"""Say which piece of a chunk failed, and what the user can do about it. Pure."""

from __future__ import annotations

from asyncreport.core.errors import AsyncReportError, RejectedError, RetriesExhausted
from asyncreport.core.job import Chunk
from asyncreport.core.splitting import SplitReason
from asyncreport.core.text import describe_batch


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
