"""What the merge would lack although no chunk failed: parts that are lost during a run. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from asyncreport.core.coverage import missing_by_batch
from asyncreport.core.errors import StoreError
from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Chunk, Part
from asyncreport.core.plan import Plan, plan
from asyncreport.core.text import describe_users, first_items

#: chunks that a message lists
_MAX_CHUNKS = 3


class LostPartsError(StoreError):
    """Report chunks whose parts disappeared or were cut while the run was under way.

    `fact` is the message without the next step.
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        """Take what no part covers; the next step is added."""
        lost = first_items([_describe(chunk) for chunk in chunks], "chunk", limit=_MAX_CHUNKS)
        self.fact = f"parts disappeared or were cut during this run: {lost}"
        super().__init__(f"{self.fact}; run again to fetch them")


def plan_again(
    plans: Mapping[str, Plan],
    parts: Mapping[str, Sequence[Part]],
    freshness: Freshness,
) -> dict[str, Plan]:
    """Plan the same demand over the parts that the merge will use; all by connection."""
    return {name: plan(earlier.demand, parts[name], freshness) for name, earlier in plans.items()}


def unexplained(plans: Iterable[Plan], gaps: Iterable[Chunk]) -> list[Chunk]:
    """List what is still to fetch after a pull, except what its gaps explain."""
    by_connection: defaultdict[str, list[Chunk]] = defaultdict(list)
    for gap in gaps:
        by_connection[gap.connection].append(gap)
    chunks = chain.from_iterable(found.chunks for found in plans)
    return [chunk for chunk in chunks if not _explained(chunk, by_connection[chunk.connection])]


def _explained(chunk: Chunk, gaps: Sequence[Chunk]) -> bool:
    """Tell whether gaps of its connection cover a chunk.

    Users who lack the same intervals are put into other batches after a pull than before it, so
    chunks cannot be compared as they are.
    """
    left = missing_by_batch(chunk.users, chunk.interval, gaps)
    return not any(intervals for intervals, _ in left)


def _describe(chunk: Chunk) -> str:
    """Name a chunk in a message."""
    return f"{chunk.connection} {chunk.interval}, {describe_users(chunk.users)}"
