"""What a run checks before its first request. Reads state folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from asyncreport.api.extras import MAX_QUEUES
from asyncreport.config import MULTI_VALUED
from asyncreport.core.columns import column
from asyncreport.core.errors import ConfigError, StoreError
from asyncreport.core.job import Job
from asyncreport.export.targets import all_files
from asyncreport.store.written import Outputs, WrittenFile

#: output files of one job, by the path that links lead to
_Written = Mapping[str, WrittenFile]


def query_warnings(job: Job) -> list[str]:
    """Warn about what a reader may misunderstand, and about what the server may refuse."""
    several = [column(dimension) for dimension in job.query.split_by if dimension in MULTI_VALUED]
    warnings = [
        f"warning: an interaction can have several values of {name}: "
        "its records do not add up to the total"
        for name in several
    ]
    too_many = too_many_queues(job)
    if too_many:
        warnings.append(f"warning: {too_many}")
    return warnings


def too_many_queues(job: Job) -> str | None:
    """Say that a query may have too many queues; None if it has not."""
    queues = len(job.query.filter.queues)
    if queues <= MAX_QUEUES:
        return None
    return (
        f"filter.queues has {queues:,} queues; the server may refuse more than {MAX_QUEUES} in "
        "one query, so use several jobs, or split_by: [queue_id] without this filter"
    )


def check_owners(job: Job) -> None:
    """Check that no output file belongs to another job; raise ConfigError before any work."""
    others = dict(_files_of_other_jobs(job))
    if not others:
        return
    own = Outputs(job.state_folder).by_real_path()
    for file in all_files(job):
        if file.path.exists():
            _check_owner(job, file.path, own, others)


def _check_owner(job: Job, path: Path, own: _Written, others: Mapping[Path, _Written]) -> None:
    real = os.path.realpath(path)
    for folder, written in others.items():
        if real in written and _is_theirs(path, own.get(real), written[real]):
            raise ConfigError(_describe_conflict(job, path, folder))


def _is_theirs(path: Path, ours: WrittenFile | None, theirs: WrittenFile) -> bool:
    if ours is None:
        return True
    # Both jobs wrote this file: it belongs to the job that wrote its current content.
    return theirs.matches(path) and not ours.matches(path)


def _files_of_other_jobs(job: Job) -> Iterator[tuple[Path, _Written]]:
    """Read the output files of the jobs whose state folders are next to this job's folder."""
    own = job.state_folder
    for path in sorted(own.parent.glob("*/outputs.json")):
        folder = path.parent
        if os.path.realpath(folder) == os.path.realpath(own):
            continue
        try:
            yield folder, Outputs(folder).by_real_path()
        except StoreError:
            continue  # The run of that job reports it.


def _describe_conflict(job: Job, path: Path, folder: Path) -> str:
    own = job.state_folder
    steps = "give this job another path, or move the file away"
    if not own.exists():
        steps += (
            f", or, if {folder.name!r} is the old name of this job, rename {folder} to {own.name}"
        )
    return (
        f"{path} is an output file of the job {folder.name!r}, "
        f"and two jobs must not write one file; {steps}; then run again"
    )
