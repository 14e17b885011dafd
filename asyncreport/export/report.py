"""Make the summary of a run from what its steps have done. Reads the state folder."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

from asyncreport.core.job import Job, Team
from asyncreport.core.timeline import iso
from asyncreport.export.steps import Steps
from asyncreport.export.summary import MemberChange, Summary
from asyncreport.export.targets import all_files, main_files
from asyncreport.store.lookups import Members
from asyncreport.store.written import Outputs, WrittenFile


def summarize(
    steps: Steps,
    files: Mapping[Path, WrittenFile],
    members: Members,
    *,
    elapsed: float,
) -> Summary:
    """Describe what a run did; `files` are up to date, `elapsed` is in seconds."""
    job, pull = steps.context.job, steps.pull
    counts = steps.context.connections.counts
    return Summary(
        job=job.name,
        range=str(job.interval),
        started=iso(steps.context.now),
        elapsed_sec=_seconds(elapsed),
        complete=steps.complete,
        partial=bool(files) and steps.partial,
        records=_count_records(job, files),
        members=_member_changes(members, job.teams),
        chunks_fetched=pull.progress.finished,
        chunks_split=pull.chunks_split,
        parts_reused=steps.parts_reused,
        changed=steps.restatements,
        records_fetched=pull.progress.records,
        requests=counts.requests,
        retries=counts.retries,
        throttled=counts.throttled,
        waiting_sec=_seconds(counts.waiting),
        outputs=_paths(files),
        outputs_written=steps.files_changed,
        still_partial=_still_partial(steps, files),
        missing=steps.missing,
        unknown=steps.unknown_teams,
    )


def _seconds(seconds: float) -> float:
    """Round to a millisecond."""
    return round(seconds, 3)


def _count_records(job: Job, files: Mapping[Path, WrittenFile]) -> dict[str, int]:
    """Count each team's records in the files of all teams together."""
    written = [files[file.path] for file in main_files(job) if file.path in files]
    records = {}
    for team in job.teams:
        records[team.name] = sum(file.records.get(team.name, 0) for file in written)
    return records


def _paths(files: Iterable[Path]) -> list[str]:
    """Write paths as texts."""
    return list(map(str, files))


def _still_partial(steps: Steps, files: Container[Path]) -> list[str]:
    """List the files that this run did not write and an earlier run wrote with gaps."""
    outputs = Outputs(steps.context.state.folder)
    paths = [file.path for file in all_files(steps.context.job)]
    return [str(path) for path in paths if path not in files and outputs.is_partial(path)]


def _member_changes(members: Members, teams: Sequence[Team]) -> dict[str, MemberChange]:
    """Find who joined or left each team since the last run that reported it."""
    changes = {}
    for team in teams:
        change = _member_change(members, team)
        if change is not None:
            changes[team.name] = change
    return changes


def _member_change(members: Members, team: Team) -> MemberChange | None:
    """Find who joined or left; None: the users are listed, or no run has reported the team."""
    if team.selector is None:
        return None
    change = members.changes(team)
    if change is None:
        return None
    joined, left = change
    return MemberChange(joined=list(joined), left=list(left))
