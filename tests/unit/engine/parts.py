"""Parts as a scheduler gets them from whoever saves a chunk. Pure."""

from __future__ import annotations

from asyncreport.core.job import Chunk, Part


def part_of(chunk: Chunk, *, count: int = 1) -> Part:
    """Make the part of a chunk; nothing is on disk."""
    return Part(
        connection=chunk.connection,
        number=1,
        fingerprint="f",
        month=chunk.month,
        interval=chunk.interval,
        users=None,
        fetched_at=0,
        count=count,
        size=0,
        index_at=0,
        sha256="",
    )
