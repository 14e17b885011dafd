"""What a run did, for people and for `summary.json`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from asyncreport.core.errors import ConfigError
from asyncreport.core.text import MAX_SHOWN, counted, first_lines, plural
from asyncreport.export.missing import MissingChunk, list_missing
from asyncreport.export.teams import UnknownTeam
from asyncreport.store.restatements import Restatements

#: the exit code of a run with gaps
_INCOMPLETE = 1
#: output files that the summary lists for people
_MAX_FILES = 5

_NO_RECORDS = (
    "no records found: check the ids, the range and the filter; "
    "`asyncreport check` shows what the client can see"
)


class MemberChange(Struct, frozen=True, kw_only=True):
    """The ids of users who joined or left a team since the last run.

    Records of the past stay with the user who did the work.
    """

    joined: list[str]
    left: list[str]

    def __str__(self) -> str:
        """Count who joined and who left."""
        return f"{len(self.joined):,} joined, {len(self.left):,} left since the last run"

    def __bool__(self) -> bool:
        """Tell whether anyone joined or left."""
        return bool(self.joined or self.left)


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

    @property
    def exit_code(self) -> int:
        """Give the exit code of a run: 2 if the job file lists users that do not exist."""
        if self.complete:
            return 0
        if any(team.unknown_users for team in self.unknown):
            return ConfigError.exit_code
        return _INCOMPLETE

    def lines(self) -> Iterator[str]:
        """Describe the run for people, line by line."""
        yield f"{self.job}: {self._work()}"
        for fact in self._facts():
            yield f"  {fact}"
        yield from self._files()
        yield from self._gaps()
        yield from self._next_steps()

    def _work(self) -> str:
        """Say how much was fetched and how much reused."""
        reused = counted(self.parts_reused, "part")
        return f"{self._fetched()}, {reused} reused"

    def _fetched(self) -> str:
        """Count the chunks that were fetched, or say that there was nothing to do."""
        if self.chunks_fetched or self.missing:
            return f"{counted(self.chunks_fetched, 'chunk')} fetched"
        if self.complete and not self.outputs_written:
            return "nothing to do"
        return "nothing to fetch"

    def _facts(self) -> Iterator[str]:
        """Describe the work and its results."""
        if self.chunks_split:
            yield self._split_chunks()
        if self.outputs:
            yield from self._records()
        yield ", ".join(self._requests())
        if self.changed.values:
            yield str(self.changed)
        if self._is_empty:
            yield _NO_RECORDS

    def _split_chunks(self) -> str:
        """Say that chunks were split, and how to avoid it."""
        chunks = _subject(self.chunks_split, "chunk", "was", "were")
        return (
            f"{chunks} split because responses were too large or too late; "
            "set a shorter range.chunk to avoid the failed requests"
        )

    def _records(self) -> Iterator[str]:
        """Count the records of each team, and who joined or left it."""
        for team, count in self.records.items():
            line = f"{team}: {counted(count, 'record')}"
            change = self.members.get(team)
            if change:
                line += f" ({change})"
            yield line

    def _requests(self) -> Iterator[str]:
        """Count the requests and the seconds."""
        yield counted(self.requests, "request")
        if self.retries:
            yield counted(self.retries, "retry", "retries")
        yield f"{self.throttled:,} rate limited (429)"
        yield f"{self.waiting_sec:,.1f} s waiting for the rate limit"
        yield f"{self.elapsed_sec:,.1f} s in total"

    @property
    def _is_empty(self) -> bool:
        """Tell whether output files were written and no record is in them."""
        if not self.outputs or not self.complete:
            return False
        return not any(self.records.values())

    def _files(self) -> Iterator[str]:
        """List the first output files."""
        mark = ""
        if self.partial:
            mark = " (partial)"
        yield from _list_files(self.outputs, mark)
        yield from _list_files(self.still_partial, " (partial, written by an earlier run)")

    def _gaps(self) -> Iterator[str]:
        """List the teams and the first chunks that are missing."""
        for team in self.unknown:
            yield f"missing: {team}"
        yield from first_lines(list_missing(self.missing), "chunk")
        if len(self.missing) > MAX_SHOWN:
            yield "summary.json in the state folder lists every chunk that failed"

    def _next_steps(self) -> Iterator[str]:
        """Say what the gaps mean for the output, and what to do."""
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
        """Say what failed chunks mean for the output."""
        stale = sum(chunk.stale for chunk in self.missing)
        missing = len(self.missing) - stale
        if missing:
            chunks = _subject(missing, "chunk", "is", "are")
            yield f"{chunks} missing; {self._effect('contain the rest')}"
        if stale:
            chunks = _subject(stale, "chunk", "was", "were")
            yield f"{chunks} not fetched again; {self._effect('contain the previous values')}"

    def _effect(self, effect: str) -> str:
        """Say what happened to the output files; `effect` is for files that were written."""
        if not self.outputs:
            effect = "were not changed"
        return f"the output files {effect}"


def _subject(number: int, noun: str, one: str, many: str) -> str:
    """Write a counted noun with its verb: `one` for a single thing, `many` for others."""
    return f"{counted(number, noun)} {plural(number, one, many)}"


def _list_files(paths: Sequence[str], mark: str) -> list[str]:
    """List the first files, each with a mark at its end."""
    lines = [f"{path}{mark}" for path in paths]
    return [f"  {line}" for line in first_lines(lines, "file", limit=_MAX_FILES)]
