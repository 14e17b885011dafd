"""What is shown of the last run's `summary.json`, also of one that the version before wrote.

Reads the state folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct

from asyncreport.export.teams import UnknownTeam
from asyncreport.store.json_files import read_json


class _Gap(Struct, frozen=True):
    """A chunk that could not be fetched; an earlier version wrote `stands` for stale."""

    stale: bool = False
    stands: bool = False


class _Stored(Struct, frozen=True):
    """The keys of this version and of the one before; later versions may store more."""

    started: str
    complete: bool
    records: dict[str, int]
    elapsed_sec: float = 0.0
    requests: int = 0
    settled_until: str | None = None
    #: paths in the version before, objects now
    outputs: list[object] = []
    gaps: list[_Gap] = []
    unknown_teams: list[UnknownTeam] = []
    #: gaps, in the version before
    missing: list[_Gap] = []
    #: unknown teams, in the version before
    unknown: list[UnknownTeam] = []

    @property
    def number_of_gaps(self) -> int:
        """Count the gaps, whatever their key."""
        return len(self.gaps) + len(self.missing)

    @property
    def number_of_stale(self) -> int:
        """Count the gaps of stale parts, whatever their keys."""
        stale = sum(gap.stale for gap in self.gaps)
        return stale + sum(gap.stands for gap in self.missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSummary:
    """What is shown of the last run that finished."""

    #: an instant in UTC, as text
    started: str
    #: how long the run took, in seconds
    elapsed_sec: float
    requests: int
    #: an instant in UTC, as text; None: the version before did not say it
    settled_until: str | None
    complete: bool
    #: output files were written, or were up to date
    has_outputs: bool
    #: in the output files, by team
    records: dict[str, int]
    #: number of chunks without any part
    missing: int
    #: number of chunks that should have been fetched again
    stale: int
    unknown_teams: list[UnknownTeam]


def read_last_summary(folder: Path) -> LastSummary | None:
    """Read the summary in a state folder; None: no run has finished. Raise StoreError."""
    stored = read_json(folder / "summary.json", _Stored)
    if stored is None:
        return None
    return LastSummary(
        started=stored.started,
        elapsed_sec=stored.elapsed_sec,
        requests=stored.requests,
        settled_until=stored.settled_until,
        complete=stored.complete,
        has_outputs=bool(stored.outputs),
        records=stored.records,
        missing=stored.number_of_gaps - stored.number_of_stale,
        stale=stored.number_of_stale,
        unknown_teams=[*stored.unknown_teams, *stored.unknown],
    )
