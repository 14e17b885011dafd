"""Describe connections for the workers that run them. Owns nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from asyncreport import __version__
from asyncreport.cluster.markers import Markers
from asyncreport.cluster.work import Packed, Work, packed
from asyncreport.commands.batch import Labelled
from asyncreport.commands.run_options import RunOptions
from asyncreport.config import Unresolved
from asyncreport.core.job import Connection, Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Packer:
    """Makes the tasks of one command."""

    #: of the command, on a scheduler that others may use too
    command_id: str
    options: RunOptions
    #: each worker reads its own
    env_file: Path
    #: of each job file, by their names
    connections: Mapping[Path, Mapping[str, Unresolved]]
    markers: Markers

    def task(self, labelled: Labelled, job: Job) -> Packed:
        """Make the task for a job of one connection; raise ConfigError for a wrong `--refresh`."""
        connection = self.connections[labelled.path][job.connections[0].name]
        return Packed(
            label=labelled.label,
            version=__version__,
            topic=self.command_id,
            content=packed(self._work(job, connection)),
        )

    def _work(self, job: Job, connection: Unresolved) -> Work:
        """Describe the work on a connection."""
        return Work(
            now=self.options.now,
            job=_without_secrets(job),
            connection=connection,
            env_file=self.env_file,
            choices=self.options.choices(job),
            marker=self.markers.path(job),
        )


def _without_secrets(job: Job) -> Job:
    """Leave out what the worker reads from its own environment."""
    return replace(job, connections=(_without_credentials(job.connections[0]),), storage={})


def _without_credentials(connection: Connection) -> Connection:
    """Leave out the OAuth clients, and the proxy: its URL may contain a password."""
    return replace(connection, clients=(), proxy=None)
