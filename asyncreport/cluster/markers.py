"""Files by which a worker sees whether a state folder is the client's. Owns them meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from asyncreport.core.job import Job
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.folders import make_folder
from asyncreport.store.objects.localize import bucket_of

#: in the state folder of a job; like other temporary files, the next run removes it
_NAME = ".asyncreport-cluster-{}.tmp"


@dataclass(frozen=True, slots=True)
class Markers:
    """The markers of one command."""

    #: of the command: another one has other files
    command_id: str

    def path(self, job: Job) -> Path | None:
        """Give the marker of a job; None for a bucket, which no worker can confuse with another."""
        if bucket_of(job) is not None:
            return None
        return job.parts_folder / _NAME.format(self.command_id)

    @contextmanager
    def written(self, jobs: Iterable[Job]) -> Iterator[None]:
        """Write the markers of jobs, and delete them at the end; raise StoreError."""
        with ExitStack() as stack:
            for marker in {self.path(job) for job in jobs}:
                if marker is not None:
                    _write(marker)
                    stack.callback(marker.unlink, missing_ok=True)
            yield


def _write(marker: Path) -> None:
    """Write an empty file."""
    make_folder(marker.parent, mode=0o700)
    with oserror_as_store_error(marker, "written"):
        marker.touch()
