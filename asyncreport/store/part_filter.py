"""Which saved parts a job can use. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from asyncreport.core.job import Job, Part


@dataclass(slots=True, frozen=True)
class PartFilter:
    """The parts that a job can use, whatever their interval and their users."""

    #: of the job's query, by the connection's name
    fingerprints: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, job: Job) -> Self:
        """Make the filter of a job."""
        fingerprints = {}
        for connection in job.connections:
            fingerprints[connection.name] = job.query.fingerprints(connection.identity)
        return cls(fingerprints)

    def is_of_query(self, part: Part) -> bool:
        """Tell whether a part has what the job's query asks for."""
        return part.fingerprint in self.fingerprints[part.connection]
