"""Open a cluster: one that exists, or processes on this machine. Owns both while they are open."""

from __future__ import annotations

import logging
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asyncreport.cluster.work import RemoteError
from asyncreport.core.errors import ConfigError
from asyncreport.formats import Library
from asyncreport.terminal.signals import ctrl_c_later
from asyncreport.terminal.stderr import say_detail

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

#: what follows is the number of processes
LOCAL = "local:"

_DISTRIBUTED = Library("distributed", "distributed", "cluster")

#: seconds for the scheduler to answer
_PATIENCE = 5

#: loggers of Dask and of what it stands on; asyncio reports what they leave behind at the end
_LOGGERS = ("distributed", "tornado", "asyncio")

#: how Dask is set up if its scheduler runs here; the scheduler of a cluster has its own settings
_SETTINGS = {
    # Tasks last for minutes to hours; one that was moved would begin again elsewhere.
    "distributed.scheduler.work-stealing": False,
    # Counted for each task on a worker that dies, whichever of them was the reason.
    "distributed.scheduler.allowed-failures": 10,
    # The engine bounds its memory by itself; a worker that pauses would only be slow.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    # It looks at the stack of each task a hundred times a second, for a page in a browser.
    "distributed.worker.profile.enabled": False,
    # No page in a browser, and nothing else to read over HTTP.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.preload": ["asyncreport.cluster.preload"],
}


def check_installed() -> None:
    """Raise ConfigError if the extra is not installed."""
    if not _DISTRIBUTED.is_installed:
        raise ConfigError(f"--cluster {_DISTRIBUTED.needed}")


@asynccontextmanager
async def connected(address: str, threads: int) -> AsyncIterator[Client]:
    """Give a client of a cluster, and close it; raise RemoteError if nobody answers there.

    `local:4` starts four processes here, each with so many threads.
    """
    _show_logs_as_details()
    if not address.startswith(LOCAL):
        async with await _client(address) as client:
            yield client
        return
    async with (
        await _local_cluster(int(address.removeprefix(LOCAL)), threads) as cluster,
        await _client(cluster.scheduler_address) as client,
    ):
        yield client


async def _client(address: str) -> Client:
    """Connect to a scheduler."""
    from distributed import Client

    try:
        client = await Client(address, asynchronous=True, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise RemoteError(
            f"--cluster {address}: no Dask scheduler answers there; check the address, and that "
            "the scheduler runs: dask scheduler"
        ) from error
    return client


async def _local_cluster(processes: int, threads: int) -> LocalCluster:
    """Start processes on this machine; nobody else can reach them."""
    import dask.config
    from distributed import LocalCluster

    dask.config.set(_SETTINGS)
    with ctrl_c_later():
        return await LocalCluster(
            n_workers=processes,
            threads_per_worker=threads,
            asynchronous=True,
            # Without it, Dask takes the port of its dashboard although there is none.
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )


def _show_logs_as_details() -> None:
    """Show the logs of Dask in this process as messages of -v from now on."""
    import distributed  # noqa: F401 - its import sets its loggers up, to write to stderr

    warnings.filterwarnings("ignore", module=r"(dask|distributed)\b")
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _LOGGERS:
            _set_up(name, handlers=[], propagate=True)
    handler = _Details()
    for name in _LOGGERS:
        _set_up(name, handlers=[handler], propagate=False)
        logging.getLogger(name).setLevel(logging.WARNING)


def _set_up(name: str, *, handlers: list[logging.Handler], propagate: bool) -> None:
    """Say where the records of a logger go."""
    logger = logging.getLogger(name)
    logger.handlers, logger.propagate = handlers, propagate


class _Details(logging.Handler):
    """Writes records as messages of -v."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        say_detail(f"dask: {record.getMessage()}")
