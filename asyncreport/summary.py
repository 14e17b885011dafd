"""What a run did, for people and for `summary.json`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from asyncreport.engine import Gap
from asyncreport.teams import Unknown

#: gaps told to people, at most
_SHOWN = 20


class Missing(Struct, frozen=True, kw_only=True):
    """A chunk that could not be fetched."""

    connection: str
    interval: str
    #: ids; None: everyone
    users: tuple[str, ...] | None
    error: str

    @classmethod
    def of(cls, gap: Gap) -> Missing:
        """Describe a gap."""
        return cls(connection=gap.chunk.connection, interval=str(gap.chunk.interval), users=gap.chunk.users, error=str(gap.error))


class Change(Struct, frozen=True, kw_only=True):
    """Who joined a team and who left it since the last run, by id; records of the past stay with whoever did the work."""

    joined: list[str]
    left: list[str]

    def __str__(self) -> str:
        return f"{len(self.joined):,} joined, {len(self.left):,} left since the last run"


class Summary(Struct, frozen=True, kw_only=True):
    """One run of a job."""

    job: str
    #: `start/end`
    range: str
    #: UTC
    started: str
    elapsed_sec: float
    #: nothing is missing
    complete: bool
    #: in the output files, by team
    records: dict[str, int]
    chunks_fetched: int
    #: fetched by earlier runs
    chunks_standing: int
    records_fetched: int
    requests: int
    retries: int
    #: answers 429
    throttled: int
    #: seconds in which a request stood at the throttle
    waiting_sec: float
    #: the files as they stand; none where the run has gaps and was not told to merge all the same
    outputs: list[str]
    missing: list[Missing]
    #: of the teams that were looked up; the directory knows today's members alone
    members: dict[str, Change] = {}
    #: teams that could not be looked up, and are not in the output
    unknown: list[Unknown] = []

    def lines(self) -> Iterator[str]:
        """Say it to people."""
        if not self.chunks_fetched and not self.missing:
            yield f"{self.job}: nothing to do, {self.chunks_standing:,} parts stand"
        else:
            yield f"{self.job}: {self.chunks_fetched:,} chunks fetched, {self.chunks_standing:,} stood already"
        if self.outputs:
            for team, count in self.records.items():
                change = self.members.get(team)
                moved = f" ({change})" if change and (change.joined or change.left) else ""
                yield f"  {team}: {count:,} records{moved}"
        retried = f", {self.retries:,} retries" if self.retries else ""
        yield (
            f"  {self.requests:,} requests{retried}, {self.throttled:,} times 429, "
            f"{self.waiting_sec:,.1f} s waited for the limit, {self.elapsed_sec:,.1f} s in all"
        )
        for path in self.outputs[:5]:
            yield f"  {path}"
        if len(self.outputs) > 5:
            yield f"  and {len(self.outputs) - 5:,} more files"
        yield from self._gaps()

    def _gaps(self) -> Iterator[str]:
        for team in self.unknown:
            yield f"missing: {team}"
        for gap in self.missing[:_SHOWN]:
            who = "everyone" if gap.users is None else f"{len(gap.users)} users from {gap.users[0]} to {gap.users[-1]}"
            yield f"missing: {gap.connection} {gap.interval}, {who}: {gap.error}"
        if len(self.missing) > _SHOWN:
            yield f"and {len(self.missing) - _SHOWN:,} more: summary.json in the state folder lists them all"
        if self.unknown:
            yield f"{len(self.unknown):,} teams are missing from the output; mend them in the job file or the directory, and run again"
        if self.missing:
            merged = "the output holds the rest" if self.outputs else "the output files are as they were"
            yield f"{len(self.missing):,} chunks are missing and {merged}; run again: only they will be fetched"
