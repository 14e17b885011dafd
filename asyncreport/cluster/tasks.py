"""The tasks of one command on a cluster. Owns them: whatever ends the command, none runs on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from asyncreport import __version__
from asyncreport.cluster.board import Board
from asyncreport.cluster.places import Places
from asyncreport.cluster.task import run_connection
from asyncreport.cluster.work import Outcome, Packed, RemoteError
from asyncreport.core.job import Job
from asyncreport.export.summary import Summary
from asyncreport.terminal.stderr import say, say_detail

if TYPE_CHECKING:
    from distributed import Client, Future

#: seconds for the workers to stop their tasks: requests are cancelled, writes finished
_TO_STOP = 15


class Tasks:
    """Runs tasks, as many at the same time as there are places, and one for each OAuth client."""

    def __init__(self, client: Client, address: str, board: Board, places: Places) -> None:
        self._client = client
        #: as the person gave it
        self._address = address
        self._board = board
        self._places = places
        #: of an OAuth client: two workers would spend its rate budget twice
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._futures: set[Future[bytes]] = set()

    async def run(self, task: Packed, job: Job) -> Summary:
        """Run the task of a job on a worker; raise RemoteError if it has no summary."""
        # A connection that waits for its client must not hold a place meanwhile.
        async with self._held(_oauth_clients(job)), self._places.free:
            outcome = await self._outcome(task)
        return _summary(outcome)

    @asynccontextmanager
    async def _held(self, oauth_clients: Iterable[tuple[str, str]]) -> AsyncIterator[None]:
        """Keep the other tasks of OAuth clients waiting while the body runs."""
        async with AsyncExitStack() as stack:
            for oauth_client in oauth_clients:
                await stack.enter_async_context(self._locks[oauth_client])
            yield

    async def _outcome(self, task: Packed) -> Outcome:
        """Submit a task, and wait for its end; raise RemoteError if Dask could not run it."""
        future = self._submit(task)
        try:
            result = await future
        # Of Dask: the task itself raises nothing.
        except Exception as error:
            self._board.finish(task.label)
            raise _dask_error(error, self._address) from error
        # Not in `finally`: a task that is cancelled here still runs on its worker.
        self._board.finish(task.label)
        self._futures.discard(future)
        return msgspec.json.decode(result, type=Outcome)

    def _submit(self, task: Packed) -> Future[bytes]:
        """Give a task to the scheduler."""
        key = f"asyncreport-{task.topic}-{task.label}"
        future = self._client.submit(run_connection, task, key=key, pure=False)
        self._futures.add(future)
        return future

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


def _oauth_clients(job: Job) -> list[tuple[str, str]]:
    """List the OAuth clients of a job, in an order that is the same for all jobs."""
    # Else two jobs could wait for each other's client.
    connection = job.connections[0]
    return sorted({(connection.api_url, client.client_id) for client in connection.clients})


def _dask_error(error: Exception, address: str) -> RemoteError:
    """Make the error for a task that Dask could not run."""
    kind = type(error).__name__
    if kind == "KilledWorker":
        return RemoteError(
            "its worker died again and again; check the memory of workers, and run again"
        )
    if kind == "FutureCancelledError":
        return RemoteError(f"lost the scheduler at {address}; run again: parts are kept")
    return RemoteError(
        f"no worker could run it ({kind}: {error}); install asyncreport {__version__} with its "
        "extras on all workers"
    )


def _summary(outcome: Outcome) -> Summary:
    """Give the summary of a task that came to its end; raise RemoteError."""
    if outcome.traceback:
        say_detail(outcome.traceback)
    if outcome.summary is None:
        raise RemoteError(outcome.error, outcome.exit_code)
    return outcome.summary
