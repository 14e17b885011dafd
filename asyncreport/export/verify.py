"""Prove that an export is complete and right: parts, tiling, output files, then the server's own totals. Changes nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from threading import Event

from msgspec import Struct

from asyncreport.core.errors import DamagedPartError, StoreError
from asyncreport.core.finding import Finding
from asyncreport.core.job import Job, Part, Query
from asyncreport.core.text import counted, describe_users, first_lines
from asyncreport.core.timeline import iso
from asyncreport.core.verify_rows import row_checker
from asyncreport.export.lanes import Connections
from asyncreport.export.names import unknown_users, unknown_users_message
from asyncreport.export.preflight import other_clients
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.verify_server import server_findings
from asyncreport.store.atomic import oserror_as_store_error
from asyncreport.store.lock import lock_holder, locked
from asyncreport.store.merge import Merged, Target, dry_run
from asyncreport.store.parts import PartReader, part_name
from asyncreport.store.threads import run_in_thread
from asyncreport.store.written import Outputs


class _Ends(Struct):
    """How far the parts of a sweep reach, and which part reaches so far."""

    end: int = 0
    number: int = 0


async def verify(job: Job, *, now: int) -> AsyncIterator[Finding]:
    """Try what is on disk, then ask the server; `now` is an instant.

    Raise StoreError where a run holds the state folder: what it writes meanwhile would look like damage.
    """
    if not (job.state_folder / "manifest.jsonl").exists():
        yield Finding(
            "FAIL",
            f"{job.name}: nothing was ever fetched",
            (f"run it first: there is no {job.state_folder}",),
        )
        return
    ours = os.access(job.state_folder, os.W_OK)
    if not ours:
        yield _unguarded(job.state_folder)
    with locked(job.state_folder) if ours else nullcontext():
        async for finding in _everything(job, now=now):
            yield finding


def _unguarded(folder: Path) -> Finding:
    """Say what it means that a folder's lock cannot be taken; raise StoreError where a run holds it."""
    if (by := lock_holder(folder)) is not None:
        raise StoreError(
            f"{folder} is in use {by}; wait until that run ends, or stop it, then run again"
        )
    told = "what a run writes meanwhile would look like damage"
    return Finding(
        "WARN",
        f"{folder} is closed to this user for writing, so that nothing keeps runs out of it",
        (told,),
    )


async def _everything(job: Job, *, now: int) -> AsyncIterator[Finding]:
    kept = Snapshot.read(job, now=now)
    for finding in (*_origin(job, kept), *_teams(kept)):
        yield finding
    sound = True
    with PartReader(job.state_folder) as reader:
        async for finding in _parts(kept, reader):
            sound = sound and finding.exit_code == 0
            yield finding
        async for finding in _outputs(kept, reader):
            yield finding
        for finding in _strangers(kept) if sound else ():
            yield finding
        if not sound:
            yield Finding("WARN", "the server was not asked: mend the parts first")
            return
        refused: list[str] = []
        async with Connections(job, refused.append) as connections:
            async for finding in server_findings(kept, reader, connections, now=now):
                yield finding
        for text in refused:
            yield Finding("WARN", text.removeprefix("warning: "))


def _origin(job: Job, kept: Snapshot) -> Iterator[Finding]:
    parts = {
        job.query.fingerprint(each.identity): kept.parts[each.name] for each in job.connections
    }
    for doubt in other_clients(job, parts.__getitem__).values():
        yield Finding("WARN", doubt)


def _teams(kept: Snapshot) -> Iterator[Finding]:
    """Tell the teams whose members nobody knows today."""
    for name in kept.unknown_teams:
        yield Finding(
            "FAIL",
            f"team {name!r}: no run has looked it up yet",
            ("run again, and see what is said of it",),
        )
    for team in kept.teams_not_looked_up():
        yield Finding(
            "FAIL",
            f"team {team.team!r} ({team.selector}): the last run could not look it up",
            (team.error, "run again"),
        )


async def _parts(kept: Snapshot, reader: PartReader) -> AsyncIterator[Finding]:
    """Try the parts of all connections, and whether they tile what the job wants."""
    for connection in kept.job.connections:
        yield await _sound(kept.job.query, connection.name, kept.parts[connection.name], reader)
        for finding in (
            *_tiling(kept, connection.name),
            *_overlaps(connection.name, kept.parts[connection.name]),
        ):
            yield finding


async def _outputs(kept: Snapshot, reader: PartReader) -> AsyncIterator[Finding]:
    """Try every output file."""
    outputs = Outputs(kept.job.state_folder)
    gaps = any(kept.missing_chunks(connection.name) for connection in kept.job.connections)
    for target in kept.targets():
        yield await run_in_thread(partial(_output, target, reader, outputs, gaps=gaps))


async def _sound(
    query: Query, connection: str, parts: Sequence[Part], reader: PartReader
) -> Finding:
    """Hash every part again, count its rows and look at each."""
    damaged = []
    for part in parts:
        try:
            await run_in_thread(partial(_read, query, part, reader))
        except StoreError as error:
            damaged.append(str(error))
    if damaged:
        verb = "is" if len(damaged) == 1 else "are"
        return Finding(
            "FAIL",
            f"{connection}: {len(damaged):,} of {counted(len(parts), 'part')} {verb} damaged",
            tuple(first_lines(damaged)),
        )
    records = sum(part.count for part in parts)
    return Finding(
        "OK",
        f"{connection}: {counted(len(parts), 'part')} with {counted(records, 'record')}, each as it was saved",
    )


def _read(query: Query, part: Part, reader: PartReader, stopped: Event) -> None:
    """Read a whole part, a user's rows at a time; raise StoreError where it is not what was saved, or was saved wrongly."""
    try:
        check = row_checker(query, part.interval)
    except ValueError as error:
        raise _wrong(part, reader, str(error)) from error
    before: str | None = None
    for number, entry in enumerate(reader.checked_index(part)):
        if stopped.is_set():
            return
        wrong = (
            "stands out of order"
            if number and (entry.user or "") <= (before or "")
            else check(reader.block(part, entry))
        )
        if wrong is not None:
            raise _wrong(part, reader, f"user {entry.user}: {wrong}")
        before = entry.user


def _wrong(part: Part, reader: PartReader, what: str) -> DamagedPartError:
    return DamagedPartError(
        f"{reader.folder / part_name(part.number)} ({part.interval}), {what}", number=part.number
    )


def _tiling(kept: Snapshot, connection: str) -> Iterator[Finding]:
    missing, made = kept.missing_chunks(connection), kept.plans[connection]
    if missing:
        lost = [
            part
            for part in kept.lost_parts[connection]
            if any(part.interval.overlaps(chunk.interval) for chunk in missing)
        ]
        told = first_lines(
            [f"missing: {chunk.interval}, {describe_users(chunk.users)}" for chunk in missing]
        )
        told += first_lines(
            [
                f"{kept.job.state_folder / part_name(part.number)} ({part.interval}) is gone or was cut"
                for part in lost
            ]
        )
        yield Finding(
            "FAIL",
            f"{connection}: the parts do not cover the range",
            (*told, "run again: only what is missing is fetched"),
        )
    else:
        whom = describe_users(made.demand.users) if made.demand.users != () else "nobody"
        yield Finding("OK", f"{connection}: the parts cover {kept.job.interval}, {whom}")
    reasons = {part.number: kept.freshness.stale_reason(part) for part in made.stale}
    for reason in dict.fromkeys(reasons.values()):
        parts = [part for part in made.stale if reasons[part.number] == reason]
        verb = "was" if len(parts) == 1 else "were"
        told = first_lines(
            [
                f"{part_name(part.number)}: {part.interval}, fetched {iso(part.fetched_at)}"
                for part in parts
            ]
        )
        yield Finding(
            "WARN",
            f"{connection}: {counted(len(parts), 'part')} {verb} {reason}; the next run asks again",
            tuple(told),
        )


def _strangers(kept: Snapshot) -> Iterator[Finding]:
    for connection in kept.job.connections:
        if found := unknown_users(kept.job, connection, kept.wanted_parts(connection.name)):
            yield Finding(
                "WARN",
                f"{connection.name}: {unknown_users_message(found)}",
                ("none of them has records in the range",),
            )


def _overlaps(connection: str, parts: Sequence[Part]) -> Iterator[Finding]:
    """Find parts that hold the same time of the same user."""
    anyone, everyone = _Ends(), _Ends()
    of_user: dict[str, _Ends] = {}
    found: dict[tuple[int, int], Part] = {}
    for part in sorted(parts, key=lambda part: (part.interval, part.number)):
        before = (
            [anyone]
            if part.users is None
            else [everyone, *(of_user[user] for user in part.users if user in of_user)]
        )
        for ends in before:
            if ends.end > part.interval.start:
                found.setdefault((ends.number, part.number), part)
        reach = _Ends(part.interval.end, part.number)
        anyone = max(anyone, reach, key=lambda ends: ends.end)
        if part.users is None:
            everyone = max(everyone, reach, key=lambda ends: ends.end)
        of_user.update(
            (user, max(of_user.get(user, reach), reach, key=lambda ends: ends.end))
            for user in part.users or ()
        )
    if found:
        told = [
            f"{part_name(one)} and {part_name(other)} at {iso(part.interval.start)}"
            for (one, other), part in found.items()
        ]
        step = "delete these files from the state folder and run again: they will be fetched again"
        yield Finding(
            "FAIL",
            f"{connection}: parts hold the same time of the same user",
            (*first_lines(told), step),
        )


def _output(
    target: Target, reader: PartReader, outputs: Outputs, stopped: Event, *, gaps: bool
) -> Finding:
    """Hold a file against what was written and, where nothing is missing, against what the parts make of it."""
    made = outputs.get(target.path)
    try:
        found = _digest(target.path)
    except FileNotFoundError:
        return Finding(
            "FAIL", f"{target.path}: there is no such file", ("run again: it is written anew",)
        )
    if made is None:
        return Finding(
            "FAIL",
            f"{target.path}: no run has written it",
            (*_elsewhere(outputs), "run again: it is written anew"),
        )
    if found != (made.size, made.sha256):
        was = (
            f"it has {found[0]:,} bytes and had {made.size:,}"
            if found[0] != made.size
            else "its size is the same and its SHA-256 another"
        )
        step = "move it away and run again: it is written anew from the parts"
        return Finding("FAIL", f"{target.path}: changed since it was written", (was, step))
    if gaps:
        return Finding(
            "WARN",
            f"{target.path}: unchanged since it was written, and not held against the parts, for some are missing",
        )
    try:
        merged = dry_run(target, reader, stopped)
    except StoreError as error:
        return Finding("FAIL", f"{target.path}: cannot be held against the parts", (str(error),))
    return _held_against(target, (found[1], made.records), merged)


def _held_against(target: Target, held: tuple[str, dict[str, int]], merged: Merged) -> Finding:
    if held == (merged.sha256, merged.records):
        return Finding(
            "OK",
            f"{target.path}: {counted(sum(merged.records.values()), 'record')}, {merged.size:,} bytes, as the parts make it",
        )
    told = [
        f"{team}: {held[1].get(team, 0):,} records, and {count:,} in the parts"
        for team, count in merged.records.items()
        if count != held[1].get(team, 0)
    ]
    differs = first_lines(told) or ["as many records of each team, and other bytes"]
    return Finding(
        "FAIL",
        f"{target.path}: not what the parts make of it",
        (*differs, "run again: it is written anew"),
    )


def _elsewhere(outputs: Outputs) -> Iterator[str]:
    """Say which paths are remembered: a folder that was moved has another."""
    if paths := outputs.paths():
        yield f"the job's state remembers other paths, as of a folder that was moved: {', '.join(paths[:3])}{' ...' if paths[3:] else ''}"


def _digest(path: Path) -> tuple[int, str]:
    """Give a file's size and SHA-256; raise FileNotFoundError, and StoreError where it cannot be read."""
    if not path.exists():
        raise FileNotFoundError(path)
    with oserror_as_store_error(path, "read"), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest
