"""Run the connections of jobs on a cluster, and merge the files of all connections at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from uuid import uuid4

from asyncreport.cluster.board import Board
from asyncreport.cluster.connect import check_installed, connected
from asyncreport.cluster.markers import Markers
from asyncreport.cluster.packer import Packer
from asyncreport.cluster.paths import with_absolute_paths
from asyncreport.cluster.places import Places
from asyncreport.cluster.tasks import Tasks
from asyncreport.commands import run
from asyncreport.commands.batch import (
    Ended,
    Labelled,
    Loaded,
    longest_first,
    run_all,
    say_empty_share,
    show_ends,
    show_summary,
)
from asyncreport.commands.resumable import run_resumable
from asyncreport.commands.run_options import RunOptions
from asyncreport.config import Unresolved, unresolved_connections
from asyncreport.core.apart import is_apart
from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Job
from asyncreport.export.summary import Summary
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.stderr import say


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What the person who runs jobs on a cluster decides for it."""

    #: `tcp://scheduler:8786`, or `local:4`
    address: str
    #: connections at the same time on each worker
    at_once: int
    share: tuple[int, int] | None
    overrides: Sequence[str]
    environ: Mapping[str, str]
    #: of variables; each worker reads its own
    env_file: Path


def execute(files: Sequence[Loaded], cluster: ClusterOptions, options: RunOptions) -> int:
    """Run the connections of all jobs, print a line for each, and merge; give the worst exit code.

    Raise ConfigError for a secret that is not in a variable, and RemoteError if the cluster cannot
    be reached.
    """
    check_installed()
    files = [_absolute(file) for file in files]
    connections = _by_connection(files, cluster.share)
    packer = _packer(files, cluster, options)
    jobs = longest_first(connections, now=options.now)
    if not jobs:
        say_empty_share()
        return 0
    ended = _run(jobs, packer, cluster)
    worst = show_ends(ended)
    if cluster.share is not None:
        # Other machines run the other shares: `merge` writes the files of all connections.
        return worst
    return max(worst, _merge_all(files, options, _incomplete(jobs, ended)))


def _absolute(file: Loaded) -> Loaded:
    """Give a job file for workers, whose current folder may be another one."""
    if isinstance(file.job, AsyncReportError):
        return file
    return Loaded(file.path, with_absolute_paths(file.job))


def _by_connection(files: Sequence[Loaded], share: tuple[int, int] | None) -> list[Loaded]:
    """List the jobs of all connections in a share; without a share, of all."""
    return list(chain.from_iterable(file.by_connection(share or (1, 1)) for file in files))


def _packer(files: Sequence[Loaded], cluster: ClusterOptions, options: RunOptions) -> Packer:
    """Make what describes the connections for workers; raise ConfigError."""
    command_id = uuid4().hex[:12]
    return Packer(
        command_id=command_id,
        options=options,
        env_file=cluster.env_file,
        connections=_unresolved(files, cluster),
        markers=Markers(command_id),
    )


def _unresolved(
    files: Sequence[Loaded], cluster: ClusterOptions
) -> dict[Path, dict[str, Unresolved]]:
    """Read the connections of each job file, with the names of variables; raise ConfigError."""
    paths = [file.path for file in files if isinstance(file.job, Job)]
    read = partial(unresolved_connections, environ=cluster.environ, overrides=cluster.overrides)
    return {path: read(path) for path in paths}


def _run(jobs: Sequence[Labelled], packer: Packer, cluster: ClusterOptions) -> list[Ended]:
    """Run all connections; raise Stopped at a signal."""
    screen = Screen()
    with packer.markers.written(job.job for job in jobs if isinstance(job.job, Job)):
        ends = _run_on_workers(jobs, packer, cluster, screen)
        return run_resumable(ends, screen.stopping)


async def _run_on_workers(
    jobs: Sequence[Labelled], packer: Packer, cluster: ClusterOptions, screen: Screen
) -> list[Ended]:
    """Connect to the cluster, and run all connections there; raise RemoteError."""
    board = Board(_common_name(jobs), len(jobs))
    async with (
        screen.showing(board),
        connected(cluster.address, cluster.at_once) as client,
        Places(client, cluster.at_once, board) as places,
    ):
        client.subscribe_topic(packer.command_id, board.take)
        tasks = Tasks(client, cluster.address, board, places)
        try:
            return await run_all(jobs, partial(_run_one, packer, tasks))
        finally:
            await tasks.stop()


def _common_name(jobs: Sequence[Labelled]) -> str:
    """Name all connections in the display: by their job, if there is only one."""
    names = {job.label.partition("/")[0] for job in jobs}
    if len(names) == 1:
        return names.pop()
    return f"{len(names)} jobs"


async def _run_one(packer: Packer, tasks: Tasks, labelled: Labelled, job: Job) -> Summary:
    """Run a connection on a worker, and print its summary."""
    summary = await tasks.run(packer.task(labelled, job), job)
    show_summary(summary, job)
    return summary


def _incomplete(jobs: Sequence[Labelled], ended: Sequence[Ended]) -> set[Path]:
    """List the job files with a connection that is not complete."""
    paths = {job.number: job.path for job in jobs}
    return {paths[each.number] for each in ended if each.exit_code}


def _merge_all(files: Sequence[Loaded], options: RunOptions, incomplete: Collection[Path]) -> int:
    """Write the files of all connections of each job; give the worst exit code."""
    return max(_merge(file, options, incomplete=file.path in incomplete) for file in files)


def _merge(file: Loaded, options: RunOptions, *, incomplete: bool) -> int:
    """Write the files of all connections, if the job has some; give the exit code."""
    if isinstance(file.job, AsyncReportError) or is_apart(file.job):
        return 0
    if incomplete and not options.allow_partial:
        say(
            f"{file.job.name}: the output files were not changed, because not every connection is "
            "complete; run again"
        )
        return 0
    return run.execute(file.job, replace(options, refresh=None, fetch=False))
