"""Show what a job has on disk and whether a run is in progress; read without the lock."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asyncreport.core.job import Chunk, Job, Part
from asyncreport.core.settled import describe_unsettled
from asyncreport.core.text import age, counted, describe_users, first_lines
from asyncreport.core.timeline import iso, parse_iso
from asyncreport.export.last_summary import LastSummary
from asyncreport.export.snapshot import Snapshot
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.job_parts import last_saved
from asyncreport.store.lock import lock_holder, merge_lock
from asyncreport.store.restatements import NAME as CHANGES
from asyncreport.store.target import Target
from asyncreport.store.written_outputs import Outputs, WrittenFile
from asyncreport.terminal.stderr import lines_shown
from asyncreport.terminal.stdout import show_lines


def execute(job: Job, *, now: int) -> None:
    """Print the status of a job."""
    show_lines(status_lines(job, now=now, most=lines_shown()))


def status_lines(job: Job, *, now: int, most: int) -> Iterator[str]:
    """Describe what exists, what is missing and what the last run reported.

    `now` is an instant. Raise StoreError.
    """
    holder = lock_holder(merge_lock(job.state_folder))
    if holder is not None:
        yield f"{job.name}: a run is in progress, {job.state_folder} is in use {holder}"
    if last_saved(job) is not None:
        yield from _after_first_run(job, holder, now=now, most=most)
    else:
        yield f"{job.name}: nothing fetched yet; `asyncreport run` fetches {job.interval}"


def _after_first_run(job: Job, holder: str | None, *, now: int, most: int) -> Iterator[str]:
    """Describe a state folder with a manifest; `holder` is the process of a run in progress."""
    if holder is None:
        yield f"{job.name}: no run is in progress"
    snapshot = Snapshot.read(job, now=now)
    yield from _on_disk(snapshot, now=now, most=most)
    yield from _last_run(snapshot.last_summary, running=holder is not None)
    if snapshot.last_summary is not None and holder is None:
        yield from _unfinished_run(job)


def _on_disk(snapshot: Snapshot, *, now: int, most: int) -> Iterator[str]:
    """Describe parts, teams, output files and changes."""
    for connection in snapshot.job.connections:
        yield from _ConnectionStatus(snapshot, connection.name, now, most).lines()
    yield from _teams(snapshot)
    yield from first_lines(_outputs(snapshot), "file", limit=most)
    yield from describe_unsettled(snapshot.job, now)
    yield from _changes(snapshot.job)


@dataclass(frozen=True, slots=True)
class _ConnectionStatus:
    """What exists of one connection, and how its lines describe it."""

    snapshot: Snapshot
    name: str
    #: an instant
    now: int
    #: lines of a long list that are shown
    most: int

    def lines(self) -> Iterator[str]:
        """Describe the parts, then what is missing, then when the parts were fetched."""
        parts = self.snapshot.wanted_parts(self.name)
        yield f"{self.name}: {_describe_parts(parts)}, {self._stale:,} stale"
        yield from self._coverage()
        if parts:
            yield f"  {_fetch_times(parts, now=self.now)}"

    @property
    def _stale(self) -> int:
        """Count the parts that the next run fetches again."""
        return len(self.snapshot.plans[self.name].stale)

    def _coverage(self) -> Iterator[str]:
        """List what is missing, or say what the parts cover."""
        missing = self.snapshot.missing_chunks(self.name)
        if missing:
            yield from _missing(missing, self.most)
        else:
            yield from self._covered()

    def _covered(self) -> Iterator[str]:
        """Say what the parts cover, if the job wants any user of this connection."""
        users = self.snapshot.plans[self.name].demand.users
        if users != ():
            yield f"  covers {self.snapshot.job.interval}, {describe_users(users)}"


def _describe_parts(parts: Sequence[Part]) -> str:
    """Count parts, with their records and bytes."""
    records = sum(part.count for part in parts)
    size = sum(part.size for part in parts)
    return f"{counted(len(parts), 'part')}, {counted(records, 'record')}, {size:,} bytes"


def _missing(chunks: Sequence[Chunk], most: int) -> Iterator[str]:
    """List the first chunks that no part covers."""
    lines = [f"missing: {chunk.interval}, {describe_users(chunk.users)}" for chunk in chunks]
    for line in first_lines(lines, "chunk", limit=most):
        yield f"  {line}"


def _fetch_times(parts: Sequence[Part], *, now: int) -> str:
    """Say when parts were fetched: the first and the last time, if they differ."""
    times = [part.fetched_at for part in parts]
    oldest = _with_age(min(times), now=now)
    newest = _with_age(max(times), now=now)
    if oldest == newest:
        return f"fetched {oldest}"
    return f"fetched from {oldest} to {newest}"


def _with_age(instant: int, *, now: int) -> str:
    """Write an instant, and how long ago it was."""
    return f"{iso(instant)} ({age(instant, now=now)})"


def _teams(snapshot: Snapshot) -> Iterator[str]:
    """List the teams whose present members are not known."""
    for name in snapshot.unknown_teams:
        yield f"team {name!r}: its members are not known: no run has looked it up successfully"
    for team in snapshot.teams_not_looked_up():
        yield (
            f"team {team.team!r} ({team.selector}): the last run could not look it up; "
            "its members are those of the run before"
        )


def _outputs(snapshot: Snapshot) -> list[str]:
    """Describe each output file."""
    outputs = Outputs(snapshot.job.state_folder)
    return [f"{target.path}: {_output(target, outputs)}" for target in snapshot.targets()]


def _output(target: Target, outputs: Outputs) -> str:
    """Compare an output file with what was remembered when it was written."""
    written = outputs.get(target.path)
    on_disk = _stat(target.path)
    if on_disk is None:
        return _absent(written)
    if written is None:
        return "not written by this job"
    text = _describe_file(written, on_disk.st_size)
    return f"{text}{_remark(target, outputs, written)}"


def _remark(target: Target, outputs: Outputs, written: WrittenFile) -> str:
    """Say whether somebody changed a file, or whether it is not what a run would write."""
    if not written.matches(target.path):
        return ", changed since then"
    if not outputs.is_current(target):
        return ", made from other data or for another query: the next run updates it"
    return ""


def _stat(path: Path) -> os.stat_result | None:
    """Look up size and time of a file; None if it does not exist."""
    with oserror_as_store_error(path, "read"):
        try:
            return path.stat()
        except FileNotFoundError:
            return None


def _absent(written: WrittenFile | None) -> str:
    """Say whether a file that does not exist was ever written."""
    if written is None:
        return "not written yet"
    return "deleted since it was written"


def _describe_file(written: WrittenFile, size: int) -> str:
    """Describe a file as it was written; `size` is its size today, in bytes."""
    records = counted(sum(written.records.values()), "record")
    when = iso(written.mtime_ns // 1_000_000)
    text = f"{records}, {size:,} bytes, written {when}"
    if written.partial:
        text += " (partial)"
    return text


def _changes(job: Job) -> Iterator[str]:
    """Count the lines of each `changes.jsonl`, if any value has ever changed."""
    for connection in job.connections:
        path = job.state_folder / connection.name / CHANGES
        with oserror_as_store_error(path, "read"):
            if path.exists():
                values = counted(_count_lines(path), "changed value")
                yield f"{connection.name}/{CHANGES}: {values}"


def _count_lines(path: Path) -> int:
    """Count lines one by one: the file may be larger than memory."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _last_run(summary: LastSummary | None, *, running: bool) -> Iterator[str]:
    """Describe the last run that finished; `running`: another run is in progress."""
    if summary is None:
        yield "no run has finished yet" + _advice("run again: existing parts are reused", running)
        return
    yield f"last finished run: started {summary.started}, ended {_end(summary)}"
    yield f"  {_outcome(summary, running=running)}"
    if summary.has_outputs:
        yield from _records(summary)


def _end(summary: LastSummary) -> str:
    """Give the instant at which a run ended."""
    started = parse_iso(summary.started)
    return iso(started + round(summary.elapsed_sec * 1000))


def _outcome(summary: LastSummary, *, running: bool) -> str:
    """Say whether a run fetched everything, and what to do if not."""
    if summary.complete:
        return "complete"
    return _gaps(summary) + _advice("run again to fetch what is missing or stale", running)


def _advice(text: str, running: bool) -> str:
    """Advise another run, unless one is in progress."""
    if running:
        return ""
    return f"; {text}"


def _records(summary: LastSummary) -> Iterator[str]:
    """Count the records of each team."""
    for team, count in summary.records.items():
        yield f"  {team}: {counted(count, 'record')}"


def _gaps(summary: LastSummary) -> str:
    """Count what the last run could not fetch."""
    missing = [
        counted(number, noun)
        for number, noun in ((summary.missing, "chunk"), (len(summary.unknown_teams), "team"))
        if number
    ]
    facts = []
    if missing:
        facts.append(f"{' and '.join(missing)} missing")
    if summary.stale:
        facts.append(f"{counted(summary.stale, 'chunk')} not fetched again")
    return ", ".join(facts)


def _unfinished_run(job: Job) -> Iterator[str]:
    """Report a run that started after the last finished one, and did not finish.

    Each run changes the manifest when it starts and when it saves a part, and writes the summary
    at its end.
    """
    saved = last_saved(job)
    if saved is not None and saved > _time_of(job.state_folder / "summary.json"):
        yield f"a later run did not finish; it last saved at {iso(saved // 1_000_000)}"


def _time_of(path: Path) -> int:
    """Give the time at which a file was last changed, in ns; raise StoreError."""
    with oserror_as_store_error(path, "read"):
        return path.stat().st_mtime_ns
