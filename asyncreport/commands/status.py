"""Show what a job has on disk and whether a run is in progress; read without the lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asyncreport.core.job import Job, Part
from asyncreport.core.text import age, counted, describe_users, first_lines
from asyncreport.core.timeline import iso
from asyncreport.export.snapshot import LastSummary, Snapshot
from asyncreport.store.atomic import oserror_as_store_error
from asyncreport.store.lock import lock_holder
from asyncreport.store.written import Outputs, WrittenFile
from asyncreport.terminal.stdout import show_lines


def execute(job: Job, *, now: int) -> None:
    """Print the status of a job."""
    show_lines(status_lines(job, now=now))


def status_lines(job: Job, *, now: int) -> Iterator[str]:
    """Describe what exists, what is missing and what the last run reported.

    `now` is an instant. Raise StoreError.
    """
    holder = lock_holder(job.state_folder)
    fetched = (job.state_folder / "manifest.jsonl").exists()
    if holder is not None:
        yield f"{job.name}: a run is in progress, {job.state_folder} is in use {holder}"
    elif fetched:
        yield f"{job.name}: no run is in progress"
    if not fetched:
        yield f"{job.name}: nothing fetched yet; `asyncreport run` fetches {job.interval}"
        return
    snapshot = Snapshot.read(job, now=now)
    yield from _on_disk(snapshot, now=now)
    yield from _last_run(snapshot.last_summary)
    if snapshot.last_summary is not None and holder is None:
        yield from _unfinished_run(job.state_folder)


def _on_disk(snapshot: Snapshot, *, now: int) -> Iterator[str]:
    """Describe parts, teams, output files and changes."""
    for connection in snapshot.job.connections:
        yield from _connection(snapshot, connection.name, now=now)
    yield from _teams(snapshot)
    yield from first_lines(_outputs(snapshot), "file")
    changes = _count_changes(snapshot.job.state_folder)
    if changes is not None:
        yield f"changes.jsonl: {counted(changes, 'changed value')}"


def _connection(snapshot: Snapshot, name: str, *, now: int) -> Iterator[str]:
    """Describe the parts of a connection."""
    parts = snapshot.wanted_parts(name)
    records = sum(part.count for part in parts)
    size = sum(part.size for part in parts)
    stale = len(snapshot.plans[name].stale)
    yield (
        f"{name}: {counted(len(parts), 'part')}, {counted(records, 'record')}, {size:,} bytes, "
        f"{stale:,} stale"
    )
    yield from _coverage(snapshot, name)
    if parts:
        yield f"  {_fetched(parts, now=now)}"


def _coverage(snapshot: Snapshot, name: str) -> Iterator[str]:
    """List what is missing, or say what the parts cover."""
    missing = snapshot.missing_chunks(name)
    users = snapshot.plans[name].demand.users
    if missing:
        chunks = [f"missing: {chunk.interval}, {describe_users(chunk.users)}" for chunk in missing]
        for line in first_lines(chunks, "chunk"):
            yield f"  {line}"
    elif users != ():
        yield f"  covers {snapshot.job.interval}, {describe_users(users)}"


def _fetched(parts: list[Part], *, now: int) -> str:
    """Say when parts were fetched."""
    times = [part.fetched_at for part in parts]
    oldest, newest = min(times), max(times)
    first = f"{iso(oldest)} ({age(oldest, now=now)})"
    if oldest == newest:
        return f"fetched {first}"
    return f"fetched from {first} to {iso(newest)} ({age(newest, now=now)})"


def _teams(snapshot: Snapshot) -> Iterator[str]:
    """List the teams whose present members are not known."""
    for name in snapshot.unknown_teams:
        yield f"team {name!r}: no run has looked it up yet"
    for team in snapshot.teams_not_looked_up():
        yield (
            f"team {team.team!r} ({team.selector}): the last run could not look it up; "
            "its members are those of the run before"
        )


def _outputs(snapshot: Snapshot) -> list[str]:
    """Describe each output file."""
    outputs = Outputs(snapshot.job.state_folder)
    return [f"{target.path}: {_output(target.path, outputs)}" for target in snapshot.targets()]


def _output(path: Path, outputs: Outputs) -> str:
    """Compare an output file with what was remembered when it was written."""
    written = outputs.get(path)
    with oserror_as_store_error(path, "read"):
        try:
            on_disk = path.stat()
        except FileNotFoundError:
            return "not written yet" if written is None else "deleted since it was written"
    if written is None:
        return "not written by this job"
    text = _written(written, on_disk.st_size)
    if (on_disk.st_size, on_disk.st_mtime_ns) != (written.size, written.mtime_ns):
        text += ", changed since then"
    return text


def _written(written: WrittenFile, size: int) -> str:
    """Describe a file as it was written; `size` is its size today."""
    records = counted(sum(written.records.values()), "record")
    when = iso(written.mtime_ns // 1_000_000)
    text = f"{records}, {size:,} bytes, written {when}"
    if written.partial:
        text += " (partial)"
    return text


def _count_changes(folder: Path) -> int | None:
    """Count the lines of `changes.jsonl`; None if no value has ever changed."""
    path = folder / "changes.jsonl"
    with oserror_as_store_error(path, "read"):
        try:
            with path.open("rb") as file:
                return sum(1 for _ in file)
        except FileNotFoundError:
            return None


def _last_run(summary: LastSummary | None) -> Iterator[str]:
    """Describe the last run that finished."""
    if summary is None:
        yield "no run has finished yet; run again: existing parts are reused"
        return
    if summary.complete:
        yield f"last finished run: {summary.started}, complete"
    else:
        yield (
            f"last finished run: {summary.started}, {_gaps(summary)}; run again to fetch only these"
        )
    if summary.outputs:
        for team, count in summary.records.items():
            yield f"  {team}: {counted(count, 'record')}"


def _gaps(summary: LastSummary) -> str:
    """Count what the last run could not fetch."""
    stale = sum(chunk.stale for chunk in summary.missing)
    missing = len(summary.missing) - stale
    text = f"{counted(missing, 'chunk')} and {counted(len(summary.unknown), 'team')} missing"
    if stale:
        text += f", {counted(stale, 'chunk')} not fetched again"
    return text


def _unfinished_run(folder: Path) -> Iterator[str]:
    """Report a run that started after the last finished one, and did not finish.

    Each run changes the manifest when it starts and when it saves a part, and writes the summary
    at its end.
    """
    with oserror_as_store_error(folder, "read"):
        saved = (folder / "manifest.jsonl").stat().st_mtime_ns
        finished = (folder / "summary.json").stat().st_mtime_ns
    if saved > finished:
        yield f"a later run did not finish; it last saved at {iso(saved // 1_000_000)}"
