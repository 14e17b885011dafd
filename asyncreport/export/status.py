"""What a job has on disk and whether a run is in progress. Reads the state folder without a lock.

Instants are texts in UTC, as in `summary.json`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Struct
from msgspec.structs import replace

from asyncreport.core.job import Chunk, Connection, Job, Part
from asyncreport.core.settled import describe_unsettled
from asyncreport.core.timeline import iso
from asyncreport.export.last_summary import LastSummary
from asyncreport.export.queries_on_disk import QueryStatus, describe_queries
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.storage import looking
from asyncreport.export.summary_outputs import key
from asyncreport.export.targets import report_path
from asyncreport.export.teams import UnknownTeam
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.job_parts import JobParts, last_saved
from asyncreport.store.restatements import NAME as CHANGES
from asyncreport.store.target import Target
from asyncreport.store.written_outputs import Outputs, WrittenFile

#: what an output file is, compared with what was remembered when it was written
FileState = Literal["current", "outdated", "changed", "deleted", "not_written", "foreign"]


class UncoveredChunk(Struct, frozen=True, kw_only=True):
    """A time of some users that no part covers."""

    interval: Annotated[str, key("start/end, UTC")]
    users: Annotated[tuple[str, ...] | None, key("user ids; null: everyone")]

    @classmethod
    def of(cls, chunk: Chunk) -> UncoveredChunk:
        """Describe a chunk."""
        return cls(interval=str(chunk.interval), users=chunk.users)


class ConnectionStatus(Struct, frozen=True, kw_only=True):
    """What exists of one connection: the parts that contain something that the job wants."""

    name: Annotated[str, key("name of the connection")]
    users: Annotated[tuple[str, ...] | None, key("ids of all wanted users; null: everyone")]
    parts: Annotated[int, key("number of parts, stale ones included")]
    records: Annotated[int, key("number of records in these parts")]
    bytes: Annotated[int, key("size of the files of these parts")]
    stale: Annotated[int, key("number of parts that the next run fetches again")]
    missing: Annotated[tuple[UncoveredChunk, ...], key("what no part covers, by time")]
    fetched_first: Annotated[str | None, key("UTC; when the oldest part was fetched")]
    fetched_last: Annotated[str | None, key("UTC; when the newest part was fetched")]
    queries: Annotated[
        tuple[QueryStatus, ...],
        key("every query that has parts in the folder; those that the job asks first"),
    ] = ()


class FileStatus(Struct, frozen=True, kw_only=True):
    """An output file, or the report."""

    path: Annotated[str, key("absolute path")]
    state: Annotated[
        FileState,
        key(
            "current; outdated: the next run writes it again; changed or deleted since a run wrote "
            "it; not_written: no run wrote it; foreign: exists, but no run of this job wrote it"
        ),
    ]
    records: Annotated[
        int | None, key("number of records; null: not written, deleted, or the report")
    ] = None
    bytes: Annotated[int | None, key("its size; null: not written, or deleted")] = None
    written: Annotated[str | None, key("UTC; null: not written, or deleted")] = None
    partial: Annotated[bool, key("it was written without records that are missing")] = False


class Status(Struct, frozen=True, kw_only=True):
    """What a job has on disk, what is missing, and what the last run reported."""

    job: Annotated[str, key("name of the job")]
    range: Annotated[str, key("start/end, UTC")]
    read_at: Annotated[str, key("UTC; when the state folder was read")]
    state_folder: Annotated[str, key("path of the state folder")]
    running: Annotated[str | None, key("who holds the lock; null: no run is in progress")]
    fetched: Annotated[bool, key("false: no run has begun to fetch, and all that follows is empty")]
    connections: Annotated[tuple[ConnectionStatus, ...], key("in the order of the job")] = ()
    unknown_teams: Annotated[tuple[str, ...], key("teams that no run has looked up")] = ()
    teams_not_looked_up: Annotated[
        tuple[UnknownTeam, ...],
        key("teams that the last run could not look up; the members of the run before are used"),
    ] = ()
    files: Annotated[
        tuple[FileStatus, ...],
        key("all output files, in the order of the job; the report is the last"),
    ] = ()
    unsettled: Annotated[
        tuple[str, ...],
        key("sentences: from when on numbers may still change, or lie in the future"),
    ] = ()
    changed_values: Annotated[
        dict[str, int],
        key("number of values that the vendor changed, by the path of each changes.jsonl"),
    ] = {}
    last_run: Annotated[LastSummary | None, key("null: no run has finished")] = None
    unfinished_run_saved: Annotated[
        str | None,
        key("UTC; when a run that did not finish last saved; null: the last run finished"),
    ] = None

    @property
    def complete(self) -> bool:
        """Tell whether every team is known and parts cover the range, stale ones included."""
        if not self.fetched or self.unknown_teams:
            return False
        return not any(connection.missing for connection in self.connections)


def read_status(job: Job, *, now: int) -> Status:
    """Read what exists, what is missing and what the last run reported.

    `now` is an instant. Raise StoreError.
    """
    with looking(job) as files:
        return status_of(files.job, files.holder, now=now)


def status_of(job: Job, running: str | None, *, now: int) -> Status:
    """Read the state folder; `running` describes who holds the lock."""
    status = Status(
        job=job.name,
        range=str(job.interval),
        read_at=iso(now),
        state_folder=str(job.state_folder),
        running=running,
        fetched=last_saved(job) is not None,
    )
    if not status.fetched:
        return status
    return _after_first_run(status, job, now)


def _after_first_run(status: Status, job: Job, now: int) -> Status:
    """Add what a state folder with a manifest has; `now` is an instant."""
    snapshot = Snapshot.read(job, now=now)
    on_disk = JobParts.read(job)
    return replace(
        status,
        connections=tuple(_connection(snapshot, on_disk, each) for each in job.connections),
        unknown_teams=snapshot.unknown_teams,
        teams_not_looked_up=tuple(snapshot.teams_not_looked_up()),
        files=tuple(_files(snapshot)),
        unsettled=tuple(describe_unsettled(snapshot.job, now)),
        changed_values=dict(_changes(job)),
        last_run=snapshot.last_summary,
        unfinished_run_saved=_unfinished(job, snapshot, running=status.running is not None),
    )


def _connection(
    snapshot: Snapshot,
    on_disk: JobParts,
    connection: Connection,
) -> ConnectionStatus:
    """Describe the parts of a connection, and what is missing."""
    name = connection.name
    parts = snapshot.wanted_parts(name)
    plan = snapshot.plans[name]
    first, last = _fetch_times(parts)
    return ConnectionStatus(
        name=name,
        users=plan.demand.users,
        parts=len(parts),
        records=sum(part.count for part in parts),
        bytes=sum(part.size for part in parts),
        stale=len(plan.stale),
        missing=tuple(map(UncoveredChunk.of, snapshot.missing_chunks(name))),
        fetched_first=first,
        fetched_last=last,
        queries=tuple(
            describe_queries(
                on_disk.on_disk(connection),
                on_disk.part_filter.fingerprints[name],
            )
        ),
    )


def _fetch_times(parts: Sequence[Part]) -> tuple[str | None, str | None]:
    """Give the first and the last time at which parts were fetched."""
    if not parts:
        return None, None
    times = [part.fetched_at for part in parts]
    return iso(min(times)), iso(max(times))


def _files(snapshot: Snapshot) -> Iterator[FileStatus]:
    """Compare each output file with what was remembered when it was written."""
    outputs = Outputs(snapshot.job.state_folder)
    for target in snapshot.targets():
        yield _file(target.path, outputs, target)
    report = report_path(snapshot.job)
    if report is not None:
        yield replace(_file(report, outputs), records=None)


def _file(path: Path, outputs: Outputs, target: Target | None = None) -> FileStatus:
    """Describe a file; `target` is what belongs in it, None for the report."""
    written = outputs.get(path)
    on_disk = _stat(path)
    if on_disk is None:
        return FileStatus(path=str(path), state=_absent(written))
    if written is None:
        return FileStatus(path=str(path), state="foreign")
    return FileStatus(
        path=str(path),
        state=_state(path, outputs, written, target),
        records=sum(written.records.values()),
        bytes=on_disk.st_size,
        written=iso(written.mtime_ns // 1_000_000),
        partial=written.partial,
    )


def _stat(path: Path) -> os.stat_result | None:
    """Look up size and time of a file; None if it does not exist."""
    with oserror_as_store_error(path, "read"):
        try:
            return path.stat()
        except FileNotFoundError:
            return None


def _absent(written: WrittenFile | None) -> FileState:
    """Say whether a file that does not exist was ever written."""
    if written is None:
        return "not_written"
    return "deleted"


def _state(path: Path, outputs: Outputs, written: WrittenFile, target: Target | None) -> FileState:
    """Say whether somebody changed a file, or whether it is not what a run would write."""
    if not written.matches(path):
        return "changed"
    if target is not None and not outputs.is_current(target):
        return "outdated"
    return "current"


def _changes(job: Job) -> Iterator[tuple[str, int]]:
    """Count the lines of each `changes.jsonl`, by its path in the state folder."""
    for connection in job.connections:
        path = job.parts_folder / connection.name / CHANGES
        with oserror_as_store_error(path, "read"):
            if path.exists():
                yield f"{connection.name}/{CHANGES}", _count_lines(path)


def _count_lines(path: Path) -> int:
    """Count lines one by one: the file may be larger than memory."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _unfinished(job: Job, snapshot: Snapshot, *, running: bool) -> str | None:
    """Say when a run last saved that started after the last finished one, and did not finish.

    Each run changes the manifest when it starts and when it saves a part, and writes the summary
    at its end. `running`: another run is in progress.
    """
    if running or snapshot.last_summary is None:
        return None
    saved = last_saved(job)
    if saved is None or saved <= _time_of(job.state_folder / "summary.json"):
        return None
    return iso(saved // 1_000_000)


def _time_of(path: Path) -> int:
    """Give the time at which a file was last changed, in ns; raise StoreError."""
    with oserror_as_store_error(path, "read"):
        return path.stat().st_mtime_ns
