"""What a run did, for people and for `summary.json`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import msgspec
from msgspec import Struct

from asyncreport.core.text import MAX_SHOWN, counted, describe_users, first_lines, plural
from asyncreport.engine.scheduler import Gap
from asyncreport.export.teams import UnknownTeam
from asyncreport.store.restatements import Restatements

#: output files that the summary lists for people
_MAX_FILES = 5


class MissingChunk(Struct, frozen=True, kw_only=True):
    """A chunk that could not be fetched."""

    connection: str
    #: `start/end`, UTC
    interval: str
    #: ids; None: everyone
    users: tuple[str, ...] | None
    error: str
    #: the vendor's support asks for it; None if no response came, or a response without an id
    correlation_id: str | None = None
    #: it should have been fetched again, and the part of an earlier run still exists
    stale: bool = msgspec.field(default=False, name="stands")

    @classmethod
    def of(cls, gap: Gap, *, stale: bool = False) -> MissingChunk:
        """Describe a gap."""
        return cls(
            connection=gap.chunk.connection,
            interval=str(gap.chunk.interval),
            users=gap.chunk.users,
            error=str(gap.error),
            correlation_id=gap.error.correlation_id,
            stale=stale,
        )

    @classmethod
    def of_all(
        cls, gaps: Iterable[Gap], *, stale: AbstractSet[int] = frozenset()
    ) -> list[MissingChunk]:
        """Describe gaps in order of time; `stale` has the numbers of stale parts."""
        # The scheduler lists gaps in the order in which they failed, which is different each time.
        in_order = sorted(gaps, key=_by_time)
        return [cls.of(gap, stale=not stale.isdisjoint(gap.chunk.replaces)) for gap in in_order]

    @property
    def title(self) -> str:
        """Say what is missing, without the error."""
        fact = "missing"
        if self.stale:
            fact = "not fetched again"
        return f"{fact}: {self.connection} {self.interval}, {_describe_users(self.users)}"


class MemberChange(Struct, frozen=True, kw_only=True):
    """The ids of users who joined or left a team since the last run.

    Records of the past stay with the user who did the work.
    """

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
    #: something is missing, and output files were written without it
    partial: bool = False
    #: in the output files, by team
    records: dict[str, int]
    chunks_fetched: int
    #: of these, chunks that were split because the server did not answer for the whole chunk
    chunks_split: int = msgspec.field(default=0, name="chunks_cut")
    #: parts that earlier runs fetched
    parts_reused: int = msgspec.field(name="chunks_standing")
    records_fetched: int
    requests: int
    retries: int
    #: responses with status 429
    throttled: int
    #: seconds for which requests waited at the throttle
    waiting_sec: float
    #: the current files; empty if the run has gaps, unless partial files were allowed
    outputs: list[str]
    #: how many of these changed
    outputs_written: int = 0
    #: files that this run did not write and that an earlier run wrote with gaps
    still_partial: list[str] = []
    missing: list[MissingChunk]
    #: by team, of teams that the directory lists; it knows only the members of today
    members: dict[str, MemberChange] = {}
    #: values that differ in parts that were fetched again
    changed: Restatements = Restatements()
    #: teams that could not be looked up and are not in the output
    unknown: list[UnknownTeam] = []

    def lines(self) -> Iterator[str]:
        """Describe the run for people, line by line."""
        yield f"{self.job}: {self._work()}"
        if self.chunks_split:
            yield f"  {self._split_chunks()}"
        if self.outputs:
            yield from self._records()
        yield f"  {self._requests()}"
        if self.changed.values:
            yield f"  {self.changed}"
        if self._is_empty:
            yield f"  {_NO_RECORDS}"
        yield from self._files()
        yield from self._gaps()
        yield from self._next_steps()

    def _work(self) -> str:
        reused = counted(self.parts_reused, "part")
        if self.chunks_fetched or self.missing:
            fetched = counted(self.chunks_fetched, "chunk")
            return f"{fetched} fetched, {reused} reused"
        if self.complete and not self.outputs_written:
            return f"nothing to do, {reused} reused"
        return f"nothing to fetch, {reused} reused"

    def _split_chunks(self) -> str:
        chunks = _subject(self.chunks_split, "chunk", "was", "were")
        return (
            f"{chunks} split because responses were too large or too late; "
            "set a shorter range.chunk to avoid the failed requests"
        )

    def _records(self) -> Iterator[str]:
        for team, count in self.records.items():
            line = f"  {team}: {counted(count, 'record')}"
            change = self.members.get(team)
            if change is not None and (change.joined or change.left):
                line += f" ({change})"
            yield line

    def _requests(self) -> str:
        facts = [counted(self.requests, "request")]
        if self.retries:
            facts.append(counted(self.retries, "retry", "retries"))
        facts.append(f"{self.throttled:,} rate limited (429)")
        facts.append(f"{self.waiting_sec:,.1f} s waiting for the rate limit")
        facts.append(f"{self.elapsed_sec:,.1f} s in total")
        return ", ".join(facts)

    @property
    def _is_empty(self) -> bool:
        return bool(self.outputs) and self.complete and not any(self.records.values())

    def _files(self) -> Iterator[str]:
        mark = ""
        if self.partial:
            mark = " (partial)"
        yield from _list_files(self.outputs, mark)
        yield from _list_files(self.still_partial, " (partial, written by an earlier run)")

    def _gaps(self) -> Iterator[str]:
        for team in self.unknown:
            yield f"missing: {team}"
        yield from first_lines(_list_gaps(self.missing), "chunk")
        if len(self.missing) > MAX_SHOWN:
            yield "summary.json in the state folder lists every chunk that failed"

    def _next_steps(self) -> Iterator[str]:
        if self.unknown:
            teams = _subject(len(self.unknown), "team", "is", "are")
            yield (
                f"{teams} missing from the output; "
                "fix the job file or the directory, then run again"
            )
        facts = list(self._failed_chunks())
        if facts:
            facts[-1] += "; run again to fetch only these chunks"
        yield from facts

    def _failed_chunks(self) -> Iterator[str]:
        stale = sum(chunk.stale for chunk in self.missing)
        missing = len(self.missing) - stale
        if missing:
            chunks = _subject(missing, "chunk", "is", "are")
            yield f"{chunks} missing; the output files {self._effect('contain the rest')}"
        if stale:
            chunks = _subject(stale, "chunk", "was", "were")
            effect = self._effect("contain the previous values")
            yield f"{chunks} not fetched again; the output files {effect}"

    def _effect(self, effect: str) -> str:
        if self.outputs:
            return effect
        return "were not changed"


_NO_RECORDS = (
    "no records found: check the ids, the range and the filter; "
    "`asyncreport check` shows what the client can see"
)


def _by_time(gap: Gap) -> tuple[object, ...]:
    return (gap.chunk.interval, gap.chunk.connection, gap.chunk.users or ())


def _subject(number: int, noun: str, one: str, many: str) -> str:
    return f"{counted(number, noun)} {plural(number, one, many)}"


def _describe_users(users: Sequence[str] | None) -> str:
    if users is None or len(users) < 2:
        return describe_users(users)
    return f"{describe_users(users)} ({users[0]} to {users[-1]})"


def _list_gaps(chunks: Iterable[MissingChunk]) -> list[str]:
    lines = []
    previous = ""
    for chunk in chunks:
        error = chunk.error
        if error == previous:
            error = "the same error"
        lines.append(f"{chunk.title}: {error}")
        previous = chunk.error
    return lines


def _list_files(paths: Sequence[str], mark: str) -> list[str]:
    lines = [f"{path}{mark}" for path in paths]
    return [f"  {line}" for line in first_lines(lines, "file", limit=_MAX_FILES)]
