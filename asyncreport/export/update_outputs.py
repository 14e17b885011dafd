"""Bring a job's output files up to date: names first, then the merge. Owns nothing."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event

from asyncreport.core.job import Part
from asyncreport.core.text import first_items, plural
from asyncreport.export.names import RecordIds
from asyncreport.export.preflight import OutputOwners
from asyncreport.export.run_context import RunContext
from asyncreport.export.targets import all_files, all_paths, targets
from asyncreport.store.drafts import Drafts
from asyncreport.store.parts import PartReader
from asyncreport.store.portable import return_free_memory
from asyncreport.store.target import Target
from asyncreport.store.written_outputs import Outputs, WrittenFile

#: output files that a warning lists
_MAX_FILES = 5


class OutputUpdate:
    """One update of the output files, from exactly these parts, by the connection's name.

    `partial`: records are missing. `gaps`: a chunk could not be fetched. `drafts`: files that the
    pull began.
    """

    def __init__(
        self,
        context: RunContext,
        parts: Mapping[str, Sequence[Part]],
        drafts: Drafts,
        *,
        partial: bool,
        gaps: bool,
    ) -> None:
        self._context = context
        self._parts = parts
        self._drafts = drafts
        self._partial = partial
        self._gaps = gaps
        self._outputs = Outputs(
            context.state.folder,
            partial=partial,
            check=OutputOwners(context.job).check_rename,
        )
        self._names = context.names

    @property
    def changed(self) -> dict[Path, list[str]]:
        """Give the files whose content changed, each with the months that have new rows."""
        return self._outputs.changed

    async def run(self) -> dict[Path, WrittenFile]:
        """Write the files that changed; list all files that are up to date.

        Raise StoreError, and DamagedPartError for a part that is not what was saved.
        """
        files = self._unchanged()
        if files is None or self._names_are_due:
            files = await self._write()
        if not self._partial:
            self._forget_other_files()
        self._warn_of_files_without_data(files)
        return files

    @property
    def _names_are_due(self) -> bool:
        """Tell whether a name is to be looked up again."""
        if self._context.choices.refresh_names:
            return True
        return self._names.is_due(self._context.job)

    def _unchanged(self) -> dict[Path, WrittenFile] | None:
        """List all files if no file needs an update; None if one does."""
        files = {}
        for target in self._targets():
            file = self._outputs.unchanged(target)
            if file is None:
                return None
            files[target.path] = file
        return files

    async def _write(self) -> dict[Path, WrittenFile]:
        """Look up names, then merge."""
        state, activity = self._context.state, self._context.activity
        with self._context.files.reader() as reader:
            activity.phase = "looking up names"
            complete = await self._update_names(reader)
            activity.phase = "writing"
            # Before the merge: a pull of 10,000 users leaves 50 MB between the blocks in use.
            return_free_memory()

            def write(stopped: Event) -> dict[Path, WrittenFile]:
                targets = self._targets()
                return self._outputs.write(
                    targets, reader, stopped, drafts=self._drafts, names_complete=complete
                )

            # In the writing thread: the event loop must still handle a signal while gigabytes are
            # hashed and copied, and nothing else may write to the state folder meanwhile.
            return await state.run_in_writer(write)

    async def _update_names(self, reader: PartReader) -> bool:
        """Look up the names of each connection; False if some could not be looked up."""
        complete = True
        context = self._context
        for connection in context.job.connections:
            parts = self._parts[connection.name]
            ids = await context.state.run_in_writer(partial(self._ids, parts, reader))
            found = await self._names.update(
                context.job, connection, ids, refresh=context.choices.refresh_names
            )
            complete = complete and found
        return complete

    def _ids(self, parts: Sequence[Part], reader: PartReader, _: Event) -> RecordIds:
        """Give what parts name by ids; raise StoreError."""
        return RecordIds.of(self._context.job, parts, reader)

    def _targets(self) -> list[Target]:
        """List the files to write, with what belongs in each."""
        found = targets(
            self._context.job,
            self._parts,
            self._names.tables,
        )
        if not self._gaps:
            return found
        # An empty file would look like a range without work, and could replace a good file.
        return [target for target in found if target.has_data]

    def _forget_other_files(self) -> None:
        """Forget the files that the job does not write any more, and say so."""
        ours = all_paths(self._context.job)
        others = [str(path) for path in self._outputs.forget_others(ours)]
        if others:
            self._context.say(_not_written_any_more(others))

    def _warn_of_files_without_data(self, files: Container[Path]) -> None:
        """Warn about files of the job that are not among those up to date."""
        left = [file.path for file in all_files(self._context.job) if file.path not in files]
        if left:
            self._context.warn(_without_data(left))


def _not_written_any_more(paths: Sequence[str]) -> str:
    """Say that files are left as they are."""
    it = plural(len(paths), "it", "them")
    return (
        f"{first_items(paths, 'file', limit=1)}: an earlier run wrote {it}; "
        f"this job does not write {it} any more and leaves {it} unchanged"
    )


def _without_data(paths: Sequence[Path]) -> str:
    """Say that files were not written because all their chunks failed."""
    it = plural(len(paths), "it", "them")
    files = first_items(list(map(str, paths)), "file", limit=_MAX_FILES)
    return f"not written because no data was fetched for {it}: {files}"
