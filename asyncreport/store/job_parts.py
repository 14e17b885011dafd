"""The parts of a job, read while another process may write. Owns nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from asyncreport.core.answer_sizes import Totals
from asyncreport.core.job import Connection, Job, Part
from asyncreport.store.answer_totals import read_totals
from asyncreport.store.conversion import check_converted
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.manifest import Manifest, manifest_path
from asyncreport.store.part_filter import PartFilter


@dataclass(slots=True, frozen=True)
class JobParts:
    """The manifests of a job's connections at the moment when they were read."""

    #: with a folder for each connection
    folder: Path
    #: by the connection's name
    manifests: Mapping[str, Manifest]
    part_filter: PartFilter

    @classmethod
    def read(cls, job: Job) -> Self:
        """Read the manifests; raise StoreError.

        No lock is needed: a run only appends whole lines to a manifest, or replaces the file.
        """
        check_converted(job.parts_folder)
        manifests = {}
        for connection in job.connections:
            name = connection.name
            manifests[name] = Manifest.read(job.parts_folder / name)
        return cls(job.parts_folder, manifests, PartFilter.of(job))

    def current(self, connection: Connection) -> list[Part]:
        """List the parts that were not replaced and whose files exist; raise StoreError."""
        return self.manifests[connection.name].current_parts(self.part_filter)

    def lost(self, connection: Connection) -> list[Part]:
        """List the parts that were not replaced and whose files are gone or have another size."""
        return self.manifests[connection.name].lost_parts(self.part_filter)

    def on_disk(self, connection: Connection) -> list[Part]:
        """List the parts of any query whose files exist, also of queries that the job had before.

        Raise StoreError.
        """
        return self.manifests[connection.name].parts_on_disk()

    def answer_totals(self, connection: Connection) -> Totals:
        """Give what the answers to the job's query held in earlier runs."""
        name = connection.name
        return read_totals(self.folder / name, self.part_filter.fingerprints[name][0])

    def outdated(self, connection: Connection) -> list[Part]:
        """List the parts that cannot be used any more because the time zone's rules changed."""
        manifest = self.manifests[connection.name]
        return [part for part in manifest.live_parts() if self.part_filter.is_outdated(part)]


def last_saved(job: Job) -> int | None:
    """Give the time of the last change of a manifest, in ns; None: nothing was ever fetched.

    Raise StoreError.
    """
    return max(manifest_times(job).values(), default=None)


def manifest_times(job: Job) -> dict[Path, int]:
    """Give the time of the last change of each manifest that exists, in ns; raise StoreError."""
    check_converted(job.parts_folder)
    times = {}
    for connection in job.connections:
        path = manifest_path(job.parts_folder / connection.name)
        time = _time_of(path)
        if time is not None:
            times[path] = time
    return times


def restore_times(times: Mapping[Path, int]) -> None:
    """Set the times of manifests back: a change that fetched nothing is not a run."""
    for path, time in times.items():
        with oserror_as_store_error(path, "written"):
            os.utime(path, ns=(time, time))


def _time_of(path: Path) -> int | None:
    """Give the time of a file's last change, in ns; None: it does not exist."""
    with oserror_as_store_error(path, "read"):
        try:
            return path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
