"""Verify an export: first what is on disk, then the totals of the server. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from asyncreport.core.finding import Finding, Report
from asyncreport.core.job import Job
from asyncreport.export.lanes import Connections
from asyncreport.export.names import unknown_users, unknown_users_message
from asyncreport.export.preflight import other_clients
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.teams import UnknownTeam
from asyncreport.export.verify_outputs import check_outputs
from asyncreport.export.verify_parts import check_parts
from asyncreport.export.verify_server import compare_with_server
from asyncreport.store.job_parts import last_saved
from asyncreport.store.lock import in_use, lock_holder, locked, merge_lock
from asyncreport.store.parts import PartReader


async def verify(job: Job, report: Report, *, now: int) -> None:
    """Check the parts and output files, then compare them with the server; `now` is an instant.

    Each finding is reported when it is known. Raise StoreError if a run holds the state folder:
    what it is writing would look like damage.
    """
    folder = job.state_folder
    if last_saved(job) is None:
        report(_nothing_fetched(job))
        return
    writable = os.access(folder, os.W_OK)
    if not writable:
        report(_not_locked(folder))
    with locked(merge_lock(folder)) if writable else nullcontext():
        await _check(job, report, now=now)


def _nothing_fetched(job: Job) -> Finding:
    """Report that there is nothing to verify."""
    return Finding(
        "FAIL",
        f"{job.name}: nothing fetched yet",
        (f"run the job first: no parts in {job.state_folder}",),
    )


def _not_locked(folder: Path) -> Finding:
    """Warn about a folder that cannot be locked; raise StoreError if a run holds it."""
    holder = lock_holder(merge_lock(folder))
    if holder is not None:
        raise in_use(folder, holder)
    return Finding(
        "WARN",
        f"{folder} is not writable, so it cannot be locked",
        ("if a run starts now, the parts that it writes look damaged",),
    )


async def _check(job: Job, report: Report, *, now: int) -> None:
    """Make all checks, with the lock held."""
    snapshot = Snapshot.read(job, now=now)
    _report_all(_other_clients(job, snapshot), report)
    _report_all(_unknown_teams(snapshot), report)
    with PartReader(job.state_folder) as reader:
        passed = await check_parts(snapshot, reader, report)
        await check_outputs(snapshot, reader, report)
        if passed:
            await _compare(snapshot, reader, report, now=now)
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
    *,
    now: int,
) -> None:
    """Compare with the directory and the server; add warnings about clients that were refused."""
    _report_all(_unknown_users(snapshot), report)
    warnings: list[str] = []
    async with Connections(snapshot.job, warnings.append) as connections:
        await compare_with_server(snapshot, reader, connections, report, now=now)
    for warning in warnings:
        report(Finding("WARN", warning.removeprefix("warning: ")))


def _other_clients(job: Job, snapshot: Snapshot) -> Iterator[Finding]:
    """Warn about parts that other OAuth clients fetched."""
    doubts = other_clients(job, lambda connection: snapshot.parts[connection.name])
    for doubt in doubts.values():
        yield Finding("WARN", doubt)


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


def _unknown_users(snapshot: Snapshot) -> Iterator[Finding]:
    """Warn about listed users whom the directory does not know."""
    for connection in snapshot.job.connections:
        parts = snapshot.wanted_parts(connection.name)
        unknown = unknown_users(snapshot.job, connection, parts)
        if unknown:
            yield _without_records(connection.name, unknown)


def _without_records(connection: str, users: Sequence[str]) -> Finding:
    """Warn about users of a connection: their ids may be mistyped."""
    return Finding(
        "WARN",
        f"{connection}: {unknown_users_message(users)}",
        ("none of them has records in the range",),
    )
