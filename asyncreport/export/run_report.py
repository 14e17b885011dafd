"""Make the summary of a run from what its steps have done. Reads the state folder."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyncreport.core.job import Job, Team
from asyncreport.core.settled import describe_unsettled, future_from, settled_until
from asyncreport.core.timeline import iso
from asyncreport.export.run_context import RunContext
from asyncreport.export.run_steps import Steps
from asyncreport.export.summary import MemberChange, Summary
from asyncreport.export.summary_outputs import list_files
from asyncreport.export.targets import all_files, counted_files
from asyncreport.store.lookups import Members
from asyncreport.store.written_outputs import Outputs, WrittenFile


def summarize(
    steps: Steps,
    files: Mapping[Path, WrittenFile],
    members: Members,
    *,
    elapsed: float,
) -> Summary:
    """Describe what a run did; `files` are up to date, `elapsed` is in seconds."""
    context, job = steps.context, steps.context.job
    return Summary(
        job=job.name,
        range=str(job.interval),
        started=iso(context.now),
        elapsed_sec=_seconds(elapsed),
        complete=steps.complete,
        partial=_is_partial(steps, files),
        settled_until=iso(settled_until(job, context.now)),
        empty_from=_empty_from(context),
        unsettled=describe_unsettled(job, context.now),
        outputs=list_files(job, files, steps.changed),
        outputs_written=len(steps.changed),
        still_partial=_still_partial(steps, files),
        records=_count_records(job, files),
        gaps=steps.gaps,
        unknown_teams=steps.unknown_teams,
        warnings=context.warnings.texts,
        members=_member_changes(members, job.teams),
        changed=steps.restatements,
        **_figures(steps),
    )


def _figures(steps: Steps) -> dict[str, Any]:
    """Count what the run fetched and sent, by the summary's keys."""
    pull, counts = steps.pull, steps.context.connections.counts
    return {
        "chunks_fetched": pull.chunks_fetched,
        "chunks_split": pull.chunks_split,
        "parts_reused": steps.parts_reused,
        "records_fetched": pull.records_fetched,
        "requests": counts.requests,
        "retries": counts.retries,
        "throttled": counts.throttled,
        "waiting_sec": _seconds(counts.waiting),
    }


def _is_partial(steps: Steps, files: Mapping[Path, WrittenFile]) -> bool:
    """Tell whether files were written without records that are missing."""
    return bool(files) and steps.partial


def _empty_from(context: RunContext) -> str | None:
    """Give the instant from which the range is in the future; None: nothing is in the future."""
    job = context.job
    start = future_from(job, context.now)
    if start >= job.interval.end:
        return None
    return iso(start)


def _seconds(seconds: float) -> float:
    """Round to a millisecond."""
    return round(seconds, 3)


def _count_records(job: Job, files: Mapping[Path, WrittenFile]) -> dict[str, int]:
    """Count each team's records in the files of all teams together."""
    written = [files[file.path] for file in counted_files(job) if file.path in files]
    return {team.name: _count_records_of(team, written) for team in job.teams}


def _count_records_of(team: Team, written: Iterable[WrittenFile]) -> int:
    """Count the records of a team in files."""
    return sum(file.records.get(team.name, 0) for file in written)


def _still_partial(steps: Steps, files: Container[Path]) -> list[str]:
    """List the files that this run did not write and an earlier run wrote with gaps."""
    others = _other_paths(steps.context.job, files)
    outputs = Outputs(steps.context.state.folder)
    return [str(path) for path in others if outputs.is_partial(path)]


def _other_paths(job: Job, files: Container[Path]) -> list[Path]:
    """List the paths of a job that are not among its files."""
    paths = [file.path for file in all_files(job)]
    return [path for path in paths if path not in files]


def _member_changes(members: Members, teams: Sequence[Team]) -> dict[str, MemberChange]:
    """Find who joined or left each team since the last run that reported it."""
    changes: dict[str, MemberChange] = {}
    for team in teams:
        change = _member_change(members, team)
        if change is not None:
            # A team of several connections is in the list once for each of them.
            changes[team.name] = change + changes.get(team.name)
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
