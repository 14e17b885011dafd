"""Run the connections of jobs on a cluster, and merge the files of all connections at the end.

Owns the tasks of the cluster: whatever ends the command, none of them runs on.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from asyncreport import __version__
from asyncreport.cluster.board import Board
from asyncreport.cluster.connect import check_installed, connected
from asyncreport.cluster.paths import with_absolute_paths
from asyncreport.cluster.places import Places
from asyncreport.cluster.task import run_connection
from asyncreport.cluster.work import Outcome, Packed, RemoteError, Work, packed
from asyncreport.commands import run
from asyncreport.commands.batch import (
    Ended,
    Labelled,
    Loaded,
    longest_first,
    run_all,
    show_ends,
    show_places,
    show_summary,
)
from asyncreport.config import Unresolved, refresh_interval, unresolved_connections
from asyncreport.core.apart import is_apart
from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Job
from asyncreport.export.run_context import Choices
from asyncreport.export.summary import Summary
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.folders import make_folder
from asyncreport.store.objects.localize import bucket_of
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stderr import say, say_detail

if TYPE_CHECKING:
    from distributed import Client, Future

#: seconds for the workers to stop their tasks: requests are cancelled, writes finished
_TO_STOP = 15

#: in the state folder of a job; like other temporary files, the next run removes it
_MARKER = ".asyncreport-cluster-{}.tmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """What the person who runs jobs on a cluster decides."""

    #: `tcp://scheduler:8786`, or `local:4`
    address: str
    #: connections at the same time on each worker
    at_once: int
    share: tuple[int, int] | None
    refresh: str | None
    overrides: Sequence[str]
    environ: Mapping[str, str]
    #: of variables; each worker reads its own
    env_file: Path


def execute(files: Sequence[Loaded], options: ClusterOptions, *, now: int, **choices: bool) -> int:
    """Run the connections of all jobs, print a line for each, and merge; give the worst exit code.

    `choices` are fields of Choices. Raise ConfigError for a secret that is not in a variable, and
    RemoteError if the cluster cannot be reached.
    """
    check_installed()
    files = [_absolute(file) for file in files]
    batch = _Batch.of(files, options, now=now, choices=choices)
    if not batch.jobs:
        say("this share has no connection: there are fewer connections than shares")
        return 0
    ended = batch.run()
    show_places(ended)
    worst = show_ends(ended)
    if options.share is None:
        incomplete = batch.incomplete(ended)
        for file in files:
            code = _merge(file, now=now, incomplete=file.path in incomplete, **choices)
            worst = max(worst, code)
    return worst


def _absolute(file: Loaded) -> Loaded:
    """Give a job file for workers, whose current folder may be another one."""
    if isinstance(file.job, AsyncReportError):
        return file
    return Loaded(file.path, with_absolute_paths(file.job))


def _merge(file: Loaded, *, now: int, incomplete: bool, **choices: bool) -> int:
    """Write the files of all connections, if the job has some; give the exit code."""
    if isinstance(file.job, AsyncReportError) or is_apart(file.job):
        return 0
    if incomplete and not choices["allow_partial"]:
        say(
            f"{file.job.name}: the output files were not changed, for not every connection is "
            "complete; run again"
        )
        return 0
    return run.execute(file.job, now=now, refresh=None, fetch=False, **choices)


@dataclass(slots=True)
class _Batch:
    """The connections of one command, and what the person chose for all of them."""

    jobs: list[Labelled]
    options: ClusterOptions
    now: int
    choices: dict[str, bool]
    #: of each job file, by their names
    connections: dict[Path, dict[str, Unresolved]]
    #: of this command, on a scheduler that others may use too
    id: str = field(default_factory=lambda: uuid4().hex[:12])

    @classmethod
    def of(
        cls,
        files: Sequence[Loaded],
        options: ClusterOptions,
        *,
        now: int,
        choices: dict[str, bool],
    ) -> _Batch:
        """List the connections of all files, the longest first."""
        share = options.share or (1, 1)
        apart = list(chain.from_iterable(file.by_connection(share) for file in files))
        good = [file.path for file in files if isinstance(file.job, Job)]
        connections = {
            path: unresolved_connections(path, environ=options.environ, overrides=options.overrides)
            for path in good
        }
        return cls(longest_first(apart, now=now), options, now, choices, connections)

    @property
    def name(self) -> str:
        """Name all of it in the display: by the job, if there is only one."""
        names = {job.label.partition("/")[0] for job in self.jobs}
        return names.pop() if len(names) == 1 else f"{len(names)} jobs"

    def run(self) -> list[Ended]:
        """Run all connections; raise Stopped at a signal."""
        screen = Screen()
        board = Board(self.name, len(self.jobs))
        try:
            with self._markers():
                return run_until_signal(self._run(screen, board), screen.stopping)
        except Stopped:
            say("finished chunks are kept; run again to continue")
            raise

    async def _run(self, screen: Screen, board: Board) -> list[Ended]:
        """Connect to the cluster, and run all connections there."""
        options = self.options
        async with (
            screen.showing(board),
            connected(options.address, options.at_once) as client,
            Places(client, options.at_once, board) as places,
        ):
            client.subscribe_topic(self.id, board.take)
            tasks = _Tasks(self, client, board, places)
            try:
                return await run_all(self.jobs, tasks.run)
            finally:
                await tasks.stop()

    def incomplete(self, ended: Sequence[Ended]) -> set[Path]:
        """List the job files with a connection that is not complete."""
        paths = {job.number: job.path for job in self.jobs}
        return {paths[each.number] for each in ended if each.exit_code}

    @contextmanager
    def _markers(self) -> Iterator[None]:
        """Write a file into each state folder, so that a worker knows that it is the same one."""
        markers = {self.marker(job.job) for job in self.jobs if isinstance(job.job, Job)}
        with ExitStack() as stack:
            for marker in markers - {None}:
                assert marker is not None
                make_folder(marker.parent, mode=0o700)
                with oserror_as_store_error(marker, "written"):
                    marker.touch()
                stack.callback(marker.unlink, missing_ok=True)
            yield

    def marker(self, job: Job) -> Path | None:
        """Give the file that only this command writes; None for a bucket: it has one name."""
        if bucket_of(job) is not None:
            return None
        return job.parts_folder / _MARKER.format(self.id)

    def task(self, labelled: Labelled, job: Job) -> Packed:
        """Pack a connection for a worker."""
        return Packed(
            label=labelled.label,
            version=__version__,
            topic=self.id,
            content=packed(self._work(labelled, job)),
        )

    def _work(self, labelled: Labelled, job: Job) -> Work:
        """Describe a connection for a worker: with the names of its variables, not their values."""
        connection = job.connections[0]
        bare = replace(connection, clients=(), proxy=None)
        refresh = refresh_interval(self.options.refresh, job, self.now)
        return Work(
            now=self.now,
            job=replace(job, connections=(bare,), storage={}),
            connection=self.connections[labelled.path][connection.name],
            env_file=self.options.env_file,
            choices=Choices(refresh=refresh, **self.choices),
            marker=self.marker(job),
        )


class _Tasks:
    """The tasks of a batch on a cluster."""

    def __init__(self, batch: _Batch, client: Client, board: Board, places: Places) -> None:
        self._batch = batch
        self._client = client
        self._board = board
        self._places = places
        #: of an OAuth client: two workers would spend its rate budget twice
        self._clients: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._futures: set[Future[bytes]] = set()

    async def run(self, labelled: Labelled, job: Job) -> Summary:
        """Run a connection on a worker, and print its summary."""
        task = self._batch.task(labelled, job)
        async with AsyncExitStack() as stack:
            for client in _clients_of(job):
                await stack.enter_async_context(self._clients[client])
            await stack.enter_async_context(self._places.free)
            outcome = await self._outcome(task)
        return _summary(outcome, job)

    async def _outcome(self, task: Packed) -> Outcome:
        """Submit a task, and wait for its end."""
        key = f"asyncreport-{task.topic}-{task.label}"
        future = self._client.submit(run_connection, task, key=key, pure=False)
        self._futures.add(future)
        try:
            result = await future
        # Of Dask: the task itself raises nothing.
        except Exception as error:
            self._board.finish(task.label)
            raise self._failed(error) from error
        self._board.finish(task.label)
        self._futures.discard(future)
        return msgspec.json.decode(result, type=Outcome)

    def _failed(self, error: Exception) -> RemoteError:
        """Make the error for a task that Dask could not run."""
        match type(error).__name__:
            case "KilledWorker":
                return RemoteError(
                    "its worker died again and again; check the memory of workers, and run again"
                )
            case "FutureCancelledError":
                address = self._batch.options.address
                return RemoteError(f"lost the scheduler at {address}; run again: parts are kept")
            case kind:
                return RemoteError(
                    f"no worker could run it ({kind}: {error}); install asyncreport {__version__} "
                    "with its extras on all workers"
                )

    async def stop(self) -> None:
        """Cancel the tasks that have not ended, and wait until they do not run any more."""
        if not self._futures:
            return
        await self._client.cancel(list(self._futures), force=True)
        try:
            async with asyncio.timeout(_TO_STOP):
                await self._board.until_idle()
        except TimeoutError:
            running = ", ".join(self._board.running)
            say(f"warning: not stopped within {_TO_STOP} s: {running}")


def _summary(outcome: Outcome, job: Job) -> Summary:
    """Print and give the summary of a task that came to its end; raise RemoteError."""
    if outcome.traceback:
        say_detail(outcome.traceback)
    if outcome.summary is None:
        raise RemoteError(outcome.error, outcome.exit_code)
    show_summary(outcome.summary, job)
    return outcome.summary


def _clients_of(job: Job) -> list[tuple[str, str]]:
    """List the OAuth clients of a job, in an order that is the same for all jobs."""
    connection = job.connections[0]
    return sorted({(connection.api_url, client.client_id) for client in connection.clients})
