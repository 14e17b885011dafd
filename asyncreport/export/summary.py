"""What a run did, for people and for `summary.json`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from msgspec import Struct

from asyncreport.core.text import counted
from asyncreport.engine.scheduler import Gap
from asyncreport.export.teams import UnknownTeam
from asyncreport.store.restatements import Changed

#: gaps told to people, at most
_SHOWN = 20


class MissingChunk(Struct, frozen=True, kw_only=True):
    """A chunk that could not be fetched."""

    connection: str
    interval: str
    #: ids; None: everyone
    users: tuple[str, ...] | None
    error: str
    #: what the vendor's support asks for; None where no answer came, or none bore one
    correlation_id: str | None = None
    #: it was to be fetched again, and what was fetched before stands
    stands: bool = False

    @classmethod
    def of(cls, gap: Gap, *, stands: bool = False) -> MissingChunk:
        """Describe a gap."""
        return cls(
            connection=gap.chunk.connection,
            interval=str(gap.chunk.interval),
            users=gap.chunk.users,
            error=str(gap.error),
            correlation_id=gap.error.correlation_id,
            stands=stands,
        )

    @classmethod
    def of_all(
        cls, gaps: Iterable[Gap], *, stale: AbstractSet[int] = frozenset()
    ) -> list[MissingChunk]:
        """Describe gaps in order of time: they come in that of their failing; the parts numbered `stale` stand, old as they are."""
        in_order = sorted(
            gaps, key=lambda gap: (gap.chunk.interval, gap.chunk.connection, gap.chunk.users or ())
        )
        return [cls.of(gap, stands=not stale.isdisjoint(gap.chunk.replaces)) for gap in in_order]


class MemberChange(Struct, frozen=True, kw_only=True):
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
    #: of these, such as came out other than they were
    outputs_written: int = 0
    #: files that were not written, and from which something was missing when an earlier run wrote them
    still_partial: list[str] = []
    missing: list[MissingChunk]
    #: of the teams that were looked up; the directory knows today's members alone
    members: dict[str, MemberChange] = {}
    #: in parts that were fetched again
    changed: Changed = Changed()
    #: teams that could not be looked up, and are not in the output
    unknown: list[UnknownTeam] = []

    def lines(self) -> Iterator[str]:
        """Say it to people."""
        if not self.chunks_fetched and not self.missing:
            stand = "stands" if self.chunks_standing == 1 else "stand"
            todo = "do" if self.complete and not self.outputs_written else "fetch"
            yield f"{self.job}: nothing to {todo}, {counted(self.chunks_standing, 'part')} {stand}"
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
        retried = (
            f", {self.retries:,} {'retry' if self.retries == 1 else 'retries'}"
            if self.retries
            else ""
        )
        yield (
            f"  {counted(self.requests, 'request')}{retried}, {self.throttled:,} times 429, "
            f"{self.waiting_sec:,.1f} s waited for the limit, {self.elapsed_sec:,.1f} s in all"
        )
        if self.changed.values:
            yield f"  {self.changed}"
        if self.outputs and self.complete and not any(self.records.values()):
            yield "  no records at all: check ids, range and filter, and with `asyncreport check` what the client sees"
        yield from _files(self.outputs, " (partial)" if self.partial else "")
        yield from _files(self.still_partial, " (partial, as an earlier run left it)")
        yield from self._gaps()

    def _gaps(self) -> Iterator[str]:
        for team in self.unknown:
            yield f"missing: {team}"
        told = ""
        for gap in self.missing[:_SHOWN]:
            who = (
                "everyone"
                if gap.users is None
                else f"{counted(len(gap.users), 'user')} from {gap.users[0]} to {gap.users[-1]}"
            )
            what = "not fetched again" if gap.stands else "missing"
            yield f"{what}: {gap.connection} {gap.interval}, {who}: {'as above' if gap.error == told else gap.error}"
            told = gap.error
        if len(self.missing) > _SHOWN:
            yield f"and {len(self.missing) - _SHOWN:,} more: summary.json in the state folder lists them all"
        if self.unknown:
            teams = f"{counted(len(self.unknown), 'team')} {'is' if len(self.unknown) == 1 else 'are'} missing from the output"
            yield f"{teams}; mend the job file or the directory, and run again"
        old = sum(gap.stands for gap in self.missing)
        if lost := len(self.missing) - old:
            merged = (
                "the output holds the rest" if self.outputs else "the output files are as they were"
            )
            step = "" if old else "; run again: nothing else will be fetched"
            yield f"{counted(lost, 'chunk')} {'is' if lost == 1 else 'are'} missing and {merged}{step}"
        if old:
            one = old == 1
            stand = f"{counted(old, 'chunk')} {'was' if one else 'were'} not fetched again, and {'its' if one else 'their'} old values stand"
            where = "in the output" if self.outputs else "while the output files are as they were"
            yield f"{stand} {where}; run again: {'nothing else' if not lost else 'only what is missing or old'} will be fetched"


def _files(paths: Sequence[str], mark: str) -> Iterator[str]:
    for path in paths[:5]:
        yield f"  {path}{mark}"
    if len(paths) > 5:
        yield f"  and {counted(len(paths) - 5, 'more file')}"
