"""Where the records of a job go: files, columns, roll-ups. Pure."""

from __future__ import annotations

from msgspec import Struct

from asyncreport.core.table import Column, CsvStyle

#: a roll-up over each hour of the week
WEEKDAY_HOUR = "weekday_hour"

#: a roll-up over the whole range; reports have it, files do not
WHOLE = "none"


class RollUp(Struct, frozen=True, kw_only=True):
    """Sums of records over longer buckets."""

    #: what a row is of: `team`, `user`, or columns of the job's split
    by: tuple[str, ...]
    #: `PT1H`, `P1D`, `P1W`, `P1M`, WEEKDAY_HOUR or WHOLE
    every: str
    #: files with the same rows; each may contain `{month}`
    paths: tuple[str, ...]
    #: write the buckets without records of those who are known
    fill: bool = False

    @property
    def by_team_or_user(self) -> bool:
        """Tell whether a row is of one team or one user."""
        return not {"team", "user"}.isdisjoint(self.by)


class Output(Struct, frozen=True, kw_only=True):
    """Where the records go, and in which form."""

    #: files with the same records; each may contain `{month}`
    paths: tuple[str, ...]
    #: each contains `{team}`, and may contain `{month}`
    per_team: tuple[str, ...] = ()
    #: None: all columns of a record
    columns: tuple[Column, ...] | None = None
    csv: CsvStyle = CsvStyle()
    rollups: tuple[RollUp, ...] = ()
    #: an HTML page; None: the job has none
    report: str | None = None
    #: ms; a part fetched sooner than this after its end is fetched again by the next run
    settle: int

    @property
    def templates(self) -> list[str]:
        """List the paths of all files, with their placeholders."""
        rollups = [path for rollup in self.rollups for path in rollup.paths]
        return [*self.paths, *self.per_team, *rollups, *filter(None, [self.report])]
