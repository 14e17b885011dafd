"""What a job has on disk and whether a run is under way, in lines. Reads the state folder without its lock; sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asyncreport.core.job import Job
from asyncreport.core.text import age, counted, describe_users, first_lines
from asyncreport.core.timeline import iso
from asyncreport.export.snapshot import LastSummary, Snapshot
from asyncreport.store.atomic import oserror_as_store_error
from asyncreport.store.lock import lock_holder
from asyncreport.store.written import Outputs


def status(job: Job, *, now: int) -> Iterator[str]:
    """Say what stands, what is missing and what the last run said; `now` is an instant. Raise StoreError."""
    folder = job.state_folder
    under_way = lock_holder(folder)
    if under_way is not None:
        yield f"{job.name}: a run is under way, {folder} is in use {under_way}"
    if not (folder / "manifest.jsonl").exists():
        yield f"{job.name}: nothing was ever fetched; `asyncreport run` fetches {job.interval}"
        return
    if under_way is None:
        yield f"{job.name}: no run is under way"
    kept = Snapshot.read(job, now=now)
    for connection in job.connections:
        yield from _connection(kept, connection.name, now=now)
    for team in kept.unknown_teams:
        yield f"team {team!r}: no run has looked it up yet"
    for unknown in kept.teams_not_looked_up():
        yield f"team {unknown.team!r} ({unknown.selector}): the last run could not look it up; it has the members of the one before"
    yield from _outputs(kept)
    if (changes := _changes(folder)) is not None:
        yield f"changes.jsonl: {counted(changes, 'changed value')}"
    yield from _last(kept.last_summary)
    if (
        kept.last_summary is not None
        and under_way is None
        and (broken := _broken_off(folder)) is not None
    ):
        yield f"a later run began and did not come to its end; it saved last at {iso(broken)}"


def _connection(kept: Snapshot, name: str, *, now: int) -> Iterator[str]:
    parts, missing = kept.wanted_parts(name), kept.missing_chunks(name)
    records, size = sum(part.count for part in parts), sum(part.size for part in parts)
    stale = len(kept.plans[name].stale)
    yield f"{name}: {counted(len(parts), 'part')}, {counted(records, 'record')}, {size:,} bytes; {stale:,} stale"
    if missing:
        for line in first_lines(
            [f"missing: {chunk.interval}, {describe_users(chunk.users)}" for chunk in missing]
        ):
            yield f"  {line}"
    elif kept.plans[name].demand.users != ():
        yield f"  covers {kept.job.interval}, {describe_users(kept.plans[name].demand.users)}"
    if parts:
        oldest, newest = (
            min(part.fetched_at for part in parts),
            max(part.fetched_at for part in parts),
        )
        yield (
            f"  fetched {iso(oldest)} ({age(oldest, now=now)})"
            if oldest == newest
            else (
                f"  fetched from {iso(oldest)} ({age(oldest, now=now)}) to {iso(newest)} ({age(newest, now=now)})"
            )
        )


def _outputs(kept: Snapshot) -> Iterator[str]:
    outputs, lines = Outputs(kept.job.state_folder), []
    for target in kept.targets():
        made = outputs.get(target.path)
        with oserror_as_store_error(target.path, "read"):
            try:
                found = target.path.stat()
            except FileNotFoundError:
                lines.append(
                    f"{target.path}: not written yet" if made is None else f"{target.path}: gone"
                )
                continue
        if made is None:
            lines.append(f"{target.path}: not written by this job")
            continue
        same = (found.st_size, found.st_mtime_ns) == (made.size, made.mtime_ns)
        records = counted(sum(made.records.values()), "record")
        since = f"{' (partial)' if made.partial else ''}{'' if same else ', changed since'}"
        lines.append(
            f"{target.path}: {records}, {found.st_size:,} bytes, made {iso(made.mtime_ns // 1_000_000)}{since}"
        )
    yield from first_lines(lines)


def _changes(folder: Path) -> int | None:
    path = folder / "changes.jsonl"
    with oserror_as_store_error(path, "read"):
        try:
            with path.open("rb") as file:
                return sum(1 for _ in file)
        except FileNotFoundError:
            return None


def _broken_off(folder: Path) -> int | None:
    """Tell when the manifest was last touched, as the start of each run and each part does, where that is after the last end."""
    with oserror_as_store_error(folder, "read"):
        began, ended = (
            (folder / name).stat().st_mtime_ns for name in ("manifest.jsonl", "summary.json")
        )
    return began // 1_000_000 if began > ended else None


def _last(last: LastSummary | None) -> Iterator[str]:
    if last is None:
        yield "no run has come to its end yet; run again: nothing that stands is fetched again"
        return
    if last.complete:
        yield f"last run that came to its end: {last.started}, complete"
    else:
        old = sum(gap.stale for gap in last.missing)
        gaps = f"{counted(len(last.missing) - old, 'chunk')} and {counted(len(last.unknown), 'team')} missing"
        gaps += f", {counted(old, 'chunk')} not fetched again" if old else ""
        yield f"last run that came to its end: {last.started}, {gaps}; run again: nothing else will be fetched"
    if last.outputs:
        for team, count in last.records.items():
            yield f"  {team}: {counted(count, 'record')}"
