"""Which paths of a job are objects of a bucket, and the same job with files in a folder. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from msgspec.structs import replace

from asyncreport.core.job import Job
from asyncreport.core.object_urls import SCHEME
from asyncreport.core.outputs import Output

# What `Path` makes of it.
_AS_PATH = "s3:/"


def bucket_of(job: Job) -> str | None:
    """Name the bucket of a job; None: its files are on disk.

    `config` checks that all paths of a job are in one bucket, or none.
    """
    return bucket_of_paths(_templates(job.output), job.within)


def bucket_of_paths(paths: Sequence[str], within: Path | None = None) -> str | None:
    """Name the bucket of paths; None: they are on disk."""
    for path in (*paths, str(within or "")):
        key = path.removeprefix(SCHEME).removeprefix(_AS_PATH)
        if key != path:
            return key.partition("/")[0]
    return None


def localized(job: Job, root: Path) -> Job:
    """Give the job whose files are in the folder `root`, in a folder for the bucket."""
    output = job.output
    rollups = [replace(each, paths=_in(root, each.paths)) for each in output.rollups]
    local = replace(
        output,
        paths=_in(root, output.paths),
        per_team=_in(root, output.per_team),
        rollups=tuple(rollups),
        report=output.report and _in(root, (output.report,))[0],
    )
    within = job.within and Path(_in(root, (str(job.within),))[0])
    return replace(job, output=local, within=within)


def _templates(output: Output) -> list[str]:
    """List the paths of all files."""
    report = () if output.report is None else (output.report,)
    rollups = chain.from_iterable(each.paths for each in output.rollups)
    return [*output.paths, *output.per_team, *rollups, *report]


def _in(root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Put paths of objects into a folder."""
    return tuple(f"{root}/{path.removeprefix(SCHEME).removeprefix(_AS_PATH)}" for path in paths)
