"""Give a lane its next chunk, as long as the answers so far allow. Owns nothing."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial

from asyncreport.api import contracts
from asyncreport.api.aggregates import ConnectionState
from asyncreport.core.answer_sizes import AnswerSizes
from asyncreport.core.coverage import Users
from asyncreport.core.job import Chunk, Query
from asyncreport.core.plan import Demand, join, remove


@dataclass(slots=True, frozen=True)
class NextChunk:
    """What decides how long the next chunk is."""

    demand: Demand
    query: Query
    state: ConnectionState
    #: an instant; parts that end later are fetched again soon
    settled_before: int

    def take(self, chunks: deque[Chunk]) -> Chunk:
        """Remove the next chunk from the head of a plan's chunks, and give it."""
        sizes = self.state.sizes
        # Queries of one bucket: a longer chunk would save none, and leave workers without work.
        if sizes is None or contracts.one_bucket_per_query(self.query, self.state):
            return chunks.popleft()
        chunk = join(chunks, self.demand, partial(self._most, sizes), self.settled_before)
        remove(chunks, chunk)
        return chunk

    def _most(self, sizes: AnswerSizes, users: Users) -> int | None:
        """Give how many users x buckets of users to ask for; None: unknown."""
        cells = sizes.most(users)
        if cells is None:
            return None
        return min(cells, self._answered(users) or cells)

    def _answered(self, users: Users) -> int | None:
        """Give how many users x buckets the server answers; None: it never failed."""
        bound = self.state.bound
        if users is not None:
            return bound.cells
        if bound.buckets is None:
            return None
        return bound.buckets * self.state.population
