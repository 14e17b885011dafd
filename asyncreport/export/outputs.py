"""Bring a job's output files up to date: names first, then the merge. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from asyncreport.core.job import Connection, Job, Part
from asyncreport.export.names import NameLookup
from asyncreport.export.targets import targets
from asyncreport.store.merge import Target
from asyncreport.store.parts import PartReader
from asyncreport.store.state import State
from asyncreport.store.written import Outputs, WrittenFile

#: give the current parts of a connection
PartsOf = Callable[[Connection], Sequence[Part]]


@dataclass(frozen=True, slots=True)
class OutputUpdate:
    """What one update of the output files needs."""

    job: Job
    state: State
    parts_of: PartsOf
    names: NameLookup
    outputs: Outputs
    #: the run has gaps
    gaps: bool

    async def run(self, *, refresh_names: bool) -> dict[Path, WrittenFile]:
        """Write the files that changed; list all files that are up to date.

        Raise StoreError, and DamagedPartError for a part that is not what was saved.
        """
        unchanged = self._unchanged()
        if unchanged is not None and not refresh_names and not self.names.is_due(self.job):
            return unchanged
        with PartReader(self.state.folder) as reader:
            complete = await self._update_names(reader, refresh=refresh_names)

            def write(stopped: Event) -> dict[Path, WrittenFile]:
                return self.outputs.write(self._targets(), reader, stopped, names_complete=complete)

            # In the writing thread: the event loop must still handle a signal while gigabytes are
            # hashed and copied, and nothing else may write to the state folder meanwhile.
            return await self.state.run_in_writer(write)

    def _unchanged(self) -> dict[Path, WrittenFile] | None:
        """List all files if no file needs an update; None if one does."""
        files = {}
        for target in self._targets():
            file = self.outputs.unchanged(target)
            if file is None:
                return None
            files[target.path] = file
        return files

    async def _update_names(self, reader: PartReader, *, refresh: bool) -> bool:
        complete = True
        for connection in self.job.connections:
            parts = self.parts_of(connection)
            found = await self.names.update(self.job, connection, parts, reader, refresh=refresh)
            complete = complete and found
        return complete

    def _targets(self) -> list[Target]:
        found = targets(self.job, self.parts_of, self.names.users, self.names.queues)
        if not self.gaps:
            return found
        # An empty file would look like a range without work, and could replace a good file.
        return [target for target in found if target.has_data]
