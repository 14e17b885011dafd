"""What answers to a query held, and so how long the next chunks may be. Pure.

A chunk is planned as if every bucket of every user had a record. Agents who work eight hours on
five days fill a quarter of their buckets, so four such chunks fit into one answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Struct

from asyncreport.core.coverage import Users
from asyncreport.core.plan import MAX_CELLS, MAX_RECORDS

#: bytes of an answer that is read; a longer one is dropped, and its chunk is split
LARGEST_ANSWER = 16 * 2**20

#: bytes that an answer should hold: what is expected may be wrong by a third
_MAX_BYTES = LARGEST_ANSWER * 3 // 4

#: seconds that an answer should take; requests time out after a minute
_MAX_SECONDS = 10.0

#: most users x buckets of a chunk. Most organisations never fill an answer with them
MOST_CELLS = 8 * MAX_CELLS

#: users x buckets from which on totals are halved, so that figures of last year fade
_FADE = 40_000_000


class Totals(Struct, frozen=True, kw_only=True):
    """What the answers to one query held; a state folder keeps it from run to run."""

    #: users x buckets that were asked for
    cells: int = 0
    records: int = 0
    #: bytes on the wire, decompressed
    received: int = 0
    #: users x buckets that the next chunk may have
    most: int = MAX_CELLS

    @property
    def density(self) -> Density | None:
        """Give what one user's bucket held on average; None: nothing was asked yet."""
        if not self.cells:
            return None
        return Density(self.records / self.cells, self.received / self.cells)

    @property
    def chunk_cells(self) -> int | None:
        """Give how many users x buckets the first chunk of a run may have; None: unknown."""
        density = self.density
        if density is None:
            return None
        return min(density.fitting, self.most)


#: as if nearly nothing was ever answered
EMPTY_ANSWERS = Totals(cells=1, most=MOST_CELLS)


@dataclass(slots=True, frozen=True)
class Density:
    """What answers hold for each bucket of each user."""

    records: float
    #: bytes on the wire
    received: float

    @property
    def fitting(self) -> int:
        """Give how many users x buckets one answer should hold, at least 1."""
        fullest = max(self.records / MAX_RECORDS, self.received / _MAX_BYTES, 1 / MOST_CELLS)
        return max(1, int(1 / fullest))

    def fuller(self, other: Density) -> Density:
        """Give the higher figures of two."""
        return Density(max(self.records, other.records), max(self.received, other.received))


@dataclass(slots=True)
class AnswerSizes:
    """What a run knows about the answers to its query. Users in it are those of one chunk."""

    #: of earlier runs, then of this one too
    totals: Totals = field(default_factory=Totals)
    #: the last two, by the users of the chunk: other users may be busier, and some have left
    _last: dict[Users, tuple[Density, Density]] = field(default_factory=dict)

    def most(self, users: Users) -> int | None:
        """Give how many users x buckets the next chunk of users may have; None: unknown."""
        if users not in self._last:
            return self.totals.chunk_cells
        earlier, last = self._last[users]
        # The fuller one of two: a holiday must not make the chunk after it too long.
        return min(earlier.fuller(last).fitting, self.totals.most)

    def answered(
        self, users: Users, *, cells: int, records: int, received: int, seconds: float
    ) -> None:
        """Note an answer over so many users x buckets, and how long the server took."""
        self._note(users, Density(records / cells, received / cells))
        self._add(cells, records, received, self._most_after(cells, seconds))

    def too_large(self, users: Users, *, cells: int) -> None:
        """Note an answer that was dropped after `LARGEST_ANSWER` bytes."""
        # As if it had been twice as large: with the true figure there would be nothing to note, and
        # half of the chunk may be too large again.
        self._note(users, Density(0.0, 2 * LARGEST_ANSWER / cells))

    def _note(self, users: Users, density: Density) -> None:
        """Remember what an answer held, and the one before it."""
        _, last = self._last.get(users, (density, density))
        self._last[users] = (last, density)

    def _most_after(self, cells: int, seconds: float) -> int:
        """Give how many users x buckets a chunk may have after an answer.

        At most twice as many as were answered, and no more than can be answered in time. The length
        of a planned chunk is always allowed: a slow gateway may take as long for a small request.
        """
        in_time = int(cells * min(2.0, _MAX_SECONDS / max(seconds, 0.001)))
        if seconds > _MAX_SECONDS:
            return max(MAX_CELLS, min(self.totals.most, in_time))
        return max(self.totals.most, min(MOST_CELLS, in_time))

    def _add(self, cells: int, records: int, received: int, most: int) -> None:
        """Add an answer to the totals."""
        kept = self.totals
        fade = 1 + (kept.cells > _FADE)
        self.totals = Totals(
            cells=kept.cells // fade + cells,
            records=kept.records // fade + records,
            received=kept.received // fade + received,
            most=most,
        )
