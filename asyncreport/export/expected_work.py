"""Estimate how much a run will fetch, from what is on disk. Reads the state folder only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Chunk, Job
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.storage import looking

#: assumed for a connection whose users are not known
_USERS = 1_000


def expected_work(job: Job, *, now: int) -> float:
    """Give ms x users that a run at `now` will fetch; infinite if that is not known.

    It only puts jobs in an order, the longest first: what is on disk is not checked.
    """
    try:
        with looking(job) as files:
            snapshot = Snapshot.read(files.job, now=now)
    except StoreError:
        # The run reports it, and soon ends.
        return 0
    if snapshot.unknown_teams:
        return math.inf
    return sum(_work(snapshot.missing_chunks(each.name)) for each in job.connections)


def _work(chunks: Sequence[Chunk]) -> float:
    """Add up chunks."""
    return sum(
        (chunk.interval.end - chunk.interval.start) * len(chunk.users or range(_USERS))
        for chunk in chunks
    )
