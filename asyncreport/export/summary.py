"""What a run did, for people and for `summary.json`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from msgspec import Struct

from asyncreport.core.text import counted, first_lines, plural
from asyncreport.export.summary_gaps import NOT_FETCHED, MissingChunk, list_gaps
from asyncreport.export.summary_outputs import SummaryFile, SummaryReport, key
from asyncreport.export.teams import UnknownTeam, worst
from asyncreport.store.restatements import Restatements

#: the exit code of a run with gaps
_INCOMPLETE = 1

_NO_RECORDS = (
    "no records found: check the ids, the range and the filter; "
    "`asyncreport check` shows what the client can see"
)


class MemberChange(Struct, frozen=True, kw_only=True):
    """The ids of users who joined or left a team since the last run.

    Records of the past stay with the user who did the work.
    """

    joined: Annotated[list[str], key("user ids")]
    left: Annotated[list[str], key("user ids")]

    def __add__(self, other: MemberChange | None) -> MemberChange:
        """Add those of another connection."""
        if other is None:
            return self
        return MemberChange(
            joined=sorted(self.joined + other.joined), left=sorted(self.left + other.left)
        )

    def __str__(self) -> str:
        """Count who joined and who left."""
        return f"{len(self.joined):,} joined, {len(self.left):,} left since the last run"

    def __bool__(self) -> bool:
        """Tell whether anyone joined or left."""
        return bool(self.joined or self.left)


class Summary(Struct, frozen=True, kw_only=True):
    """One run of a job."""

    job: Annotated[str, key("name of the job")]
    range: Annotated[str, key("start/end, UTC")]
    started: Annotated[str, key("start of the run, UTC")]
    elapsed_sec: Annotated[float, key("length of the run in seconds")]
    complete: Annotated[bool, key("every team is known and every chunk is up to date")]
    partial: Annotated[bool, key("records are missing, and output files were written without them")]
    settled_until: Annotated[
        str,
        key("UTC; later numbers of the range may still change; gaps do not count here"),
    ]
    empty_from: Annotated[
        str | None,
        key("UTC; from here on the range was in the future; null: nothing of it was"),
    ]
    unsettled: Annotated[list[str], key("what the two keys above mean, as sentences")]
    outputs: Annotated[
        list[SummaryFile],
        key("files that are up to date; empty if there are gaps and partial files are not allowed"),
    ]
    outputs_written: Annotated[int, key("number of these files whose content changed")]
    still_partial: Annotated[
        list[str],
        key("paths of files that an earlier run wrote with gaps and this run did not write"),
    ]
    records: Annotated[
        dict[str, int],
        key("number of records in the files of kind output, by team"),
    ]
    gaps: Annotated[list[MissingChunk], key("chunks that could not be fetched, by time")]
    unknown_teams: Annotated[
        list[UnknownTeam],
        key("teams that could not be looked up and are not in the output"),
    ]
    warnings: Annotated[list[str], key("warnings of the run, each once")]
    members: Annotated[
        dict[str, MemberChange],
        key("who joined and left, by team, of teams that are looked up in the directory"),
    ]
    changed: Annotated[Restatements, key("values that differ in parts that were fetched again")]
    chunks_fetched: Annotated[int, key("number of chunks that were fetched and saved")]
    chunks_split: Annotated[
        int,
        key("of these, chunks that were split because responses were too large or too late"),
    ]
    parts_reused: Annotated[int, key("number of parts of earlier runs that are used")]
    records_fetched: Annotated[int, key("number of records in the chunks that were fetched")]
    requests: Annotated[int, key("number of requests, retries included")]
    retries: Annotated[int, key("number of attempts after the first of each request")]
    throttled: Annotated[int, key("number of responses with status 429")]
    waiting_sec: Annotated[
        float, key("seconds of pacing: requests waited, to stay below the rate limit")
    ]
    report: Annotated[
        SummaryReport | None,
        key("the page of output.report; null: the job has none, or the run ended before it"),
    ] = None

    @property
    def exit_code(self) -> int:
        """Give the exit code of a run: 1 with gaps, or that of the worst of what is missing."""
        if self.complete:
            return 0
        codes = [gap.exit_code for gap in self.gaps]
        return max(_INCOMPLETE, worst(self.unknown_teams), *codes)

    def lines(self, most: int) -> Iterator[str]:
        """Describe the run for people, line by line; of long lists at most so many lines."""
        yield f"{self.job}: {self._work()}"
        for fact in self._facts():
            yield f"  {fact}"
        yield from self._files(most)
        yield from self._gaps(most)
        yield from self._next_steps()

    def _work(self) -> str:
        """Say how much was fetched and how much reused."""
        reused = counted(self.parts_reused, "part")
        return f"{self._fetched()}, {reused} reused"

    def _fetched(self) -> str:
        """Count the chunks that were fetched, or say that there was nothing to do."""
        if self.chunks_fetched or self.gaps:
            return f"{counted(self.chunks_fetched, 'chunk')} fetched"
        if self.complete and not self.outputs_written and not self._report_written:
            return "nothing to do"
        return "nothing to fetch"

    @property
    def _report_written(self) -> bool:
        """Tell whether the run wrote a report."""
        return self.report is not None and self.report.written

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
        yield from self.unsettled

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
            yield f"{team}: {counted(count, 'record')}{self._change(team)}"

    def _change(self, team: str) -> str:
        """Say in brackets who joined or left a team; empty if nobody did."""
        change = self.members.get(team)
        if not change:
            return ""
        return f" ({change})"

    def _requests(self) -> Iterator[str]:
        """Count the requests and the seconds."""
        yield f"{counted(self.requests, 'request')} in {self.elapsed_sec:,.1f} s"
        if self.retries:
            yield counted(self.retries, "retry", "retries")
        yield f"{counted(self.throttled, 'answer')} with 429"
        yield f"{self.waiting_sec:,.1f} s pacing"

    @property
    def _is_empty(self) -> bool:
        """Tell whether output files were written and no record is in them."""
        if not self.outputs or not self.complete:
            return False
        return not any(self.records.values())

    def _files(self, most: int) -> Iterator[str]:
        """List the first output files."""
        paths = [file.path for file in self.outputs]
        yield from _list_files(paths, self._mark, most)
        yield from _list_files(self.still_partial, " (partial, written by an earlier run)", most)
        if self.report is not None:
            yield f"  {self.report}"

    @property
    def _mark(self) -> str:
        """Mark the output files if records are missing in them."""
        if self.partial:
            return " (partial)"
        return ""

    def _gaps(self, most: int) -> Iterator[str]:
        """List the teams and the first chunks that are missing."""
        teams = [f"missing: {team}" for team in self.unknown_teams]
        yield from first_lines(teams, "team", limit=most)
        yield from first_lines(list_gaps(self.gaps), "chunk", limit=most)
        if len(self.gaps) > most:
            yield "-v and summary.json in the state folder list every chunk that failed"

    def _next_steps(self) -> Iterator[str]:
        """Say what the gaps mean for the output, and what to do."""
        if self.unknown_teams:
            yield self._missing_teams()
        facts = list(self._failed_chunks())
        if facts:
            facts[-1] += f"; {self._retry()}"
        yield from facts

    def _retry(self) -> str:
        """Say how to fetch the chunks that failed."""
        if any(chunk.refused for chunk in self.gaps):
            return "when the client has access, run again to fetch only these chunks"
        if all(chunk.error == NOT_FETCHED for chunk in self.gaps):
            return "`asyncreport run` fetches them, `asyncreport merge` fetches nothing"
        return "run again to fetch only these chunks"

    def _missing_teams(self) -> str:
        """Count the unknown teams, and say what to do."""
        teams = _subject(len(self.unknown_teams), "team", "is", "are")
        step = "fix the job file or the directory, then run again"
        if worst(self.unknown_teams) == _INCOMPLETE:
            step = "run again"
        return f"{teams} missing; {self._effect('contain the others')}; {step}"

    @property
    def _stale(self) -> int:
        """Count the chunks that were not fetched again."""
        return sum(chunk.stale for chunk in self.gaps)

    def _failed_chunks(self) -> Iterator[str]:
        """Say what failed chunks mean for the output."""
        missing = len(self.gaps) - self._stale
        if missing:
            chunks = _subject(missing, "chunk", "is", "are")
            yield f"{chunks} missing; {self._effect('contain the rest')}"
        if self._stale:
            chunks = _subject(self._stale, "chunk", "was", "were")
            yield f"{chunks} not fetched again; {self._effect('contain the previous values')}"

    def _effect(self, effect: str) -> str:
        """Say what happened to the output files; `effect` is for files that were written."""
        if not self.outputs:
            effect = "were not changed"
        return f"the output files {effect}"


def _subject(number: int, noun: str, one: str, many: str) -> str:
    """Write a counted noun with its verb: `one` for a single thing, `many` for others."""
    return f"{counted(number, noun)} {plural(number, one, many)}"


def _list_files(paths: Sequence[str], mark: str, most: int) -> list[str]:
    """List the first files, each with a mark at its end."""
    lines = [f"{path}{mark}" for path in paths]
    return [f"  {line}" for line in first_lines(lines, "file", limit=most)]
