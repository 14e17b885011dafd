"""What a run did, for people and for `summary.json`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from asyncreport.engine import Gap
from asyncreport.progress import counted
from asyncreport.store.changes import Changed
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
    #: what the vendor's support asks for; None where no answer came, or none bore one
    correlation_id: str | None = None

    @classmethod
    def of(cls, gap: Gap) -> Missing:
        """Describe a gap."""
        return cls(
            connection=gap.chunk.connection,
            interval=str(gap.chunk.interval),
            users=gap.chunk.users,
            error=str(gap.error),
            correlation_id=gap.error.correlation_id,
        )


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
    #: something is missing, and output files were written all the same
    partial: bool = False
    #: in the output files, by team
    records: dict[str, int]
    chunks_fetched: int
    #: of these, asked for in pieces after the server gave no answer to the whole
    chunks_cut: int = 0
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
    #: in parts that were fetched again
    changed: Changed = Changed()
    #: teams that could not be looked up, and are not in the output
    unknown: list[Unknown] = []

    def lines(self) -> Iterator[str]:
        """Say it to people."""
        if not self.chunks_fetched and not self.missing:
            stand = "stands" if self.chunks_standing == 1 else "stand"
            yield f"{self.job}: nothing to do, {counted(self.chunks_standing, 'part')} {stand}"
        else:
            yield f"{self.job}: {counted(self.chunks_fetched, 'chunk')} fetched, {self.chunks_standing:,} stood already"
        if self.chunks_cut:
            cut = f"{counted(self.chunks_cut, 'chunk')} {'was' if self.chunks_cut == 1 else 'were'} cut smaller"
            yield f"  {cut}, the answers being too large or too late: a shorter range.chunk spares the failed requests"
        if self.outputs:
            for team, count in self.records.items():
                change = self.members.get(team)
                moved = f" ({change})" if change and (change.joined or change.left) else ""
                yield f"  {team}: {counted(count, 'record')}{moved}"
        retried = f", {self.retries:,} retries" if self.retries else ""
        yield (
            f"  {counted(self.requests, 'request')}{retried}, {self.throttled:,} times 429, "
            f"{self.waiting_sec:,.1f} s waited for the limit, {self.elapsed_sec:,.1f} s in all"
        )
        if self.changed.values:
            yield f"  {self.changed}"
        if self.outputs and self.complete and not any(self.records.values()):
            yield "  no records at all: check ids, range and filter, and with `asyncreport check` what the client sees"
        for path in self.outputs[:5]:
            yield f"  {path}{' (partial)' if self.partial else ''}"
        if len(self.outputs) > 5:
            yield f"  and {counted(len(self.outputs) - 5, 'more file')}"
        yield from self._gaps()

    def _gaps(self) -> Iterator[str]:
        for team in self.unknown:
            yield f"missing: {team}"
        told = ""
        for gap in self.missing[:_SHOWN]:
            who = "everyone" if gap.users is None else f"{counted(len(gap.users), 'user')} from {gap.users[0]} to {gap.users[-1]}"
            yield f"missing: {gap.connection} {gap.interval}, {who}: {'as above' if gap.error == told else gap.error}"
            told = gap.error
        if len(self.missing) > _SHOWN:
            yield f"and {len(self.missing) - _SHOWN:,} more: summary.json in the state folder lists them all"
        if self.unknown:
            teams = f"{counted(len(self.unknown), 'team')} {'is' if len(self.unknown) == 1 else 'are'} missing from the output"
            yield f"{teams}; mend the job file or the directory, and run again"
        if self.missing:
            merged = "the output holds the rest" if self.outputs else "the output files are as they were"
            chunks = f"{counted(len(self.missing), 'chunk')} {'is' if len(self.missing) == 1 else 'are'} missing"
            yield f"{chunks} and {merged}; run again: nothing else will be fetched"
