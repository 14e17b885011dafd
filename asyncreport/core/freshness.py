"""Decide which parts to fetch again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from asyncreport.core.job import Part
from asyncreport.core.timeline import Interval


@dataclass(slots=True, frozen=True, kw_only=True)
class Freshness:
    """The rule for which parts to fetch again."""

    #: ms; a part is stale if it was fetched sooner than this after its end
    settle: int
    #: parts that overlap this interval are stale
    refresh: Interval | None = None
    #: start of this run, an instant; parts fetched at this instant are the run's own and fresh
    now: int
    #: False: the run sends no query, and no part is stale
    fetch: bool = True

    def is_stale(self, part: Part) -> bool:
        """Tell whether to fetch a part again."""
        return self.stale_reason(part) is not None

    def stale_reason(self, part: Part) -> str | None:
        """Say why to fetch a part again, to be read after "was"; None: it is fresh."""
        if not self.fetch or self._is_own(part) or self._lies_in_future(part):
            return None
        if part.fetched_at > self.now:
            # If the clock was ahead, the run may have asked for a time that had not come yet and
            # saved an empty response.
            return "fetched in the future: a clock was wrong"
        if part.refresh_pending or self.refreshes(part):
            return "marked to be fetched again (run --refresh)"
        if part.fetched_at < part.interval.end + self.settle:
            return "fetched while numbers could still change (output.settle)"
        return None

    def _is_own(self, part: Part) -> bool:
        """Tell whether this run fetched a part."""
        return part.fetched_at == self.now

    def _lies_in_future(self, part: Part) -> bool:
        """Tell whether nothing of a part has happened yet: no plan has a chunk to replace it."""
        return part.interval.start >= self.now

    def refreshes(self, part: Part) -> bool:
        """Tell whether the user asked to fetch a part again."""
        return self.refresh is not None and part.interval.overlaps(self.refresh)
