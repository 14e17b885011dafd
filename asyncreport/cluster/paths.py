"""The paths of a job for workers, whose current folders may be other ones. Owns nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from asyncreport.core.job import Job
from asyncreport.store.objects.localize import bucket_of


def with_absolute_paths(job: Job) -> Job:
    """Give a job for processes in other folders: its paths do not depend on the current one."""
    if bucket_of(job) is not None:
        return job
    output = job.output
    rollups = [replace(each, paths=_absolute(each.paths)) for each in output.rollups]
    return replace(
        job,
        output=replace(
            output,
            paths=_absolute(output.paths),
            per_team=_absolute(output.per_team),
            rollups=tuple(rollups),
            report=output.report and str(Path(output.report).absolute()),
        ),
    )


def _absolute(paths: Sequence[str]) -> tuple[str, ...]:
    """Make paths absolute."""
    return tuple(str(Path(path).absolute()) for path in paths)
