"""Which saved parts a job can use. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Self

from asyncreport.core.job import Job, Part
from asyncreport.core.timeline import Grid, Interval, Slot


class PartFilter:
    """What a part must have to be used by a job's query, for any interval and users.

    `fingerprints` are those of the query, by the connection's name, today's first. `grid` has the
    buckets of today's time zone rules: after a change of the rules, a part of a month whose bucket
    edges have moved cannot be used any more. Parts that end in `left_behind` are not kept.
    """

    def __init__(
        self,
        fingerprints: Mapping[str, tuple[str, ...]],
        grid: Grid,
        left_behind: Interval | None = None,
    ) -> None:
        self.fingerprints = fingerprints
        self._grid = grid
        self._left_behind = left_behind
        # Digests of the edges by month: a job of years has ten thousand parts, and few months.
        self._digests: dict[str, str] = {}

    @classmethod
    def of(cls, job: Job) -> Self:
        """Make the filter of a job."""
        fingerprints = {}
        for connection in job.connections:
            fingerprints[connection.name] = job.query.fingerprints(connection.identity)
        return cls(fingerprints, job.query.grid, job.left_behind)

    def accepts(self, part: Part) -> bool:
        """Tell whether a part can be used."""
        return self.is_of_query(part) and self.is_on_grid(part)

    def is_outdated(self, part: Part) -> bool:
        """Tell whether a part could be used if its bucket edges had not moved."""
        return self.is_of_query(part) and not self.is_on_grid(part)

    def is_of_query(self, part: Part) -> bool:
        """Tell whether a part has what the job's query asks for."""
        return part.fingerprint in self.fingerprints[part.connection]

    def is_kept(self, part: Part) -> bool:
        """Tell whether a part, of any query, was not left behind by a moving range."""
        span = self._left_behind
        if span is None:
            return True
        # A part that ends where the span starts lies before the span.
        return not span.start < part.interval.end <= span.end

    def is_on_grid(self, part: Part) -> bool:
        """Tell whether a part has whole buckets of one month, by today's time zone rules.

        This also bounds the interval of a part by the length of a month, whatever the file says.
        """
        try:
            slot = self._grid.slot(part.interval.start)
        except (ValueError, OverflowError):
            # Not a month of this calendar.
            return False
        if part.edges not in (None, self._digest(slot)):
            return False
        return (
            part.month == slot.month
            and part.interval.start in slot.edges
            and part.interval.end in slot.edges
        )

    def edges(self, instant: int) -> str:
        """Digest the bucket edges of the month of a bucket that holds an instant."""
        return self._digest(self._grid.slot(instant))

    def _digest(self, slot: Slot) -> str:
        if slot.month not in self._digests:
            self._digests[slot.month] = _digest(slot)
        return self._digests[slot.month]


def _digest(slot: Slot) -> str:
    text = " ".join(map(str, slot.edges))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
