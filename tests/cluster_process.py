"""A Dask cluster in a process of its own: a scheduler here, and its worker processes.

`python -m tests.cluster_process 2` prints the address of the scheduler, and serves until standard
input ends. What the scheduler and the workers log, as much as there is, goes to standard error.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from tests.exporting import environ

#: log all that can be logged
_LOUD = {
    "DASK_LOGGING__DISTRIBUTED": "debug",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "100",
}


class Cluster:
    """A cluster that runs: the address of its scheduler, and what it has logged so far."""

    def __init__(self, address: str, log: IO[bytes]) -> None:
        self.address = address
        self._log = log

    def logged(self) -> str:
        """Read what the scheduler and the workers have logged."""
        self._log.seek(0)
        return self._log.read().decode()


@contextmanager
def cluster_process(workers: int, cwd: Path, **variables: str) -> Iterator[Cluster]:
    """Start a cluster whose environment has these variables, and end it."""
    command = [sys.executable, "-m", "tests.cluster_process", str(workers)]
    root = str(Path(__file__).parents[1])
    with (
        TemporaryFile() as log,
        subprocess.Popen(
            command,
            cwd=cwd,
            env=environ(PYTHONPATH=root, **_LOUD, **variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield Cluster(process.stdout.readline().strip(), log)
        finally:
            process.terminate()


def main(workers: int) -> None:
    """Serve until the end of standard input."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=workers,
        threads_per_worker=4,
        dashboard_address=None,
        memory_limit=0,
        silence_logs=False,
    ) as cluster:
        print(cluster.scheduler_address, flush=True)  # noqa: T201 - for the test
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
