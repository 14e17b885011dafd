"""Verify an export: first what is on disk, then the totals of the server. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from asyncreport.core.apart import named
from asyncreport.core.errors import AsyncReportError, StoreError
from asyncreport.core.finding import Collector, Finding, Findings, Report, unreported
from asyncreport.core.job import Job
from asyncreport.engine.activity import Activity, Watch, unwatched
from asyncreport.export.lanes import Connections
from asyncreport.export.names import unknown_users, unknown_users_message
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.storage import Files, reading
from asyncreport.export.targets import all_paths
from asyncreport.export.teams import UnknownTeam
from asyncreport.export.verify_outputs import check_outputs
from asyncreport.export.verify_parts import check_parts
from asyncreport.export.verify_server import compare_with_server
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.job_parts import last_saved
from asyncreport.store.parts import PartReader
from asyncreport.store.threads import run_in_thread


async def verify_job(
    job: Job,
    *,
    now: int,
    report: Report = unreported,
    watch: Watch = unwatched,
) -> Findings:
    """Check the parts and output files, then compare them with the server; `now` is an instant.

    Each finding is reported when it is known. No lock is taken, so that a run can start at any
    time. Raise StoreError if a run changed the export meanwhile: what it writes may look like
    damage.
    """
    collector = Collector(report)
    activity = Activity(job.name, "verifying")
    async with watch(activity), reading(job) as files:
        await _verify(files, collector.add, activity, now=now)
    return collector.findings(job.name)


async def _verify(files: Files, report: Report, activity: Activity, *, now: int) -> None:
    """Make all checks, if there is something to verify."""
    job = files.job
    if last_saved(job) is None:
        report(_nothing_fetched(job))
        return
    _report_all(_run_in_progress(files), report)
    with _unchanged(job.state_folder):
        await _check(files, report, activity, now=now)


def _nothing_fetched(job: Job) -> Finding:
    """Report that there is nothing to verify."""
    return Finding(
        "FAIL",
        f"{job.name}: nothing fetched yet",
        (f"run the job first: no parts in {job.state_folder}",),
    )


def _run_in_progress(files: Files) -> Iterator[Finding]:
    """Warn if a run is in progress: it may be fetching what is missing."""
    holder = files.holder
    if holder is not None:
        yield Finding(
            "WARN",
            f"a run is in progress: {files.job.state_folder} is in use {holder}",
            ("what it has not saved yet is reported as missing",),
        )


@contextmanager
def _unchanged(folder: Path) -> Iterator[None]:
    """Raise StoreError if a run changes an export while the body reads it."""
    before = _state_of(folder)
    try:
        yield
    except AsyncReportError as error:
        # The change may be the cause: a part that was read is gone after it was replaced.
        if _state_of(folder) != before:
            raise _changed(folder) from error
        raise
    if _state_of(folder) != before:
        raise _changed(folder)


def _state_of(folder: Path) -> dict[Path, bytes]:
    """Hash the files that say what an export consists of.

    By content: a run without work opens the manifest, which changes its time only.
    """
    hashes = {}
    for path in (*folder.rglob("manifest.jsonl"), *folder.rglob("*.json")):
        # Every run writes a summary, and a process its lock, though nothing else may change.
        if path.name != "summary.json" and not path.name.endswith("lock.json"):
            with oserror_as_store_error(path, "read"):
                hashes[path] = sha256(path.read_bytes()).digest()
    return hashes


def _changed(folder: Path) -> StoreError:
    """Make the error for an export that changed while it was read."""
    return StoreError(
        f"{folder}: a run changed this export meanwhile; verify it again after that run"
    )


async def _check(files: Files, report: Report, activity: Activity, *, now: int) -> None:
    """Make all checks."""
    snapshot = Snapshot.read(files.job, now=now)
    _report_all(_unknown_teams(snapshot), report)
    with files.reader() as reader:
        # First: a run that begins meanwhile may replace them, and the parts take their time.
        await run_in_thread(lambda _: files.fetch_files(all_paths(files.job)))
        passed = await check_parts(snapshot, reader, report)
        await check_outputs(snapshot, reader, report)
        if passed:
            await _compare(snapshot, reader, report, activity, now=now)
        else:
            # The totals of damaged parts would differ from the server's, and the advice to fetch
            # the interval again would be the wrong one.
            report(Finding("WARN", "not compared with the server: fix the parts first"))


def _report_all(findings: Iterable[Finding], report: Report) -> None:
    """Report findings one by one."""
    for finding in findings:
        report(finding)


async def _compare(
    snapshot: Snapshot,
    reader: PartReader,
    report: Report,
    activity: Activity,
    *,
    now: int,
) -> None:
    """Compare with the directory and the server; add warnings about clients that were refused."""
    _report_all(_unknown_users(snapshot, reader), report)
    warnings: list[str] = []
    job = snapshot.job
    async with Connections(job.connections, job.limits, warnings.append) as connections:
        activity.requests = connections.counts_by_name
        await compare_with_server(snapshot, reader, connections, report, now=now)
    for warning in warnings:
        report(Finding("WARN", warning))


def _unknown_teams(snapshot: Snapshot) -> Iterator[Finding]:
    """Report teams whose present members are not known: nothing says which records they need."""
    for name in snapshot.unknown_teams:
        yield _never_looked_up(name)
    for team in snapshot.teams_not_looked_up():
        yield _not_looked_up(team)


def _never_looked_up(name: str) -> Finding:
    """Report a team that no run has looked up."""
    return Finding(
        "FAIL",
        f"team {name!r}: its members are not known: no run has looked it up successfully",
        ("run again: the run reports the reason",),
    )


def _not_looked_up(team: UnknownTeam) -> Finding:
    """Report a team whose members may have changed since they were looked up."""
    return Finding(
        "FAIL",
        f"team {team.team!r} ({team.selector}): the last run could not look it up",
        (team.error, "run again"),
    )


def _unknown_users(snapshot: Snapshot, reader: PartReader) -> Iterator[Finding]:
    """Warn about listed users whom the directory does not know."""
    for connection in snapshot.job.connections:
        parts = snapshot.wanted_parts(connection.name)
        unknown = unknown_users(snapshot.job, connection, parts, reader)
        if unknown:
            yield _without_records(snapshot.job, connection.name, unknown)


def _without_records(job: Job, connection: str, users: Sequence[str]) -> Finding:
    """Warn about users of a connection: their ids may be mistyped."""
    return Finding(
        "WARN",
        named(job, connection, unknown_users_message(users)),
        ("none of them has records in the range",),
    )
