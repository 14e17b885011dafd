"""The parts of one connection, open for writing. Owns the order of durable writes.

Four writes must survive a power cut, in this order, each only after the one before it is durable:

1. the bytes of the part's file, in a temporary file
2. its name in the folder: the temporary file is renamed, then the folder is synced
3. the line with its user ids in the manifest, if these ids are new
4. the part's own line in the manifest; this line is the commit

A process that dies anywhere before the end of 4 leaves the parts as they were: a file that no line
names is deleted by a later run, and a line that is cut short is ignored and overwritten.

In a bucket, the part's file is uploaded after 2. Steps 3 and 4 then write one object with the lines
of all parts that are waiting for their commit, because each request takes long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Chunk, Part
from asyncreport.core.records import Block
from asyncreport.store.atomic import remove_temporaries
from asyncreport.store.compaction import compact, delete_unnamed, keep_only
from asyncreport.store.comparison import compare_replaced
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.lock import HeldLock
from asyncreport.store.manifest import Manifest
from asyncreport.store.manifest_lines import Added
from asyncreport.store.part_filter import PartFilter
from asyncreport.store.parts import part_name, write_part
from asyncreport.store.portable import sync_folder
from asyncreport.store.remote import NOWHERE, Remote
from asyncreport.store.restatements import Restatements, cut_restatements


class PartFolder:
    """The folder of one connection; its name is the connection's."""

    def __init__(
        self,
        folder: Path,
        lock: HeldLock,
        manifest: Manifest,
        part_filter: PartFilter,
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._filter = part_filter
        self.manifest = manifest
        #: parts of the job's query whose bucket edges have moved
        self.outdated = [part for part in manifest.live_parts() if part_filter.is_outdated(part)]
        # The number of the part that was written last; the manifest may not have its line yet.
        self._last_number = 0
        self._uploaded = deque[Added]()
        # By the part's number: why it could not be committed.
        self._failed: dict[int, StoreError] = {}

    @classmethod
    def open(
        cls, folder: Path, lock: HeldLock, part_filter: PartFilter, remote: Remote = NOWHERE
    ) -> PartFolder:
        """Read the manifest of a folder whose lock is held; create it if it does not exist.

        Clean up after a run that was killed. Raise StoreError, if the manifest cannot be read.
        """
        remove_temporaries(folder)
        manifest = Manifest.read(folder, remote)
        # Read first: an unreadable manifest must stay as it is, for a person to look at.
        manifest.start_writing()
        length = cut_restatements(folder, manifest.changes_length)
        if length < manifest.changes_length:
            manifest.note_changes(length, ())
        # The manifest may be new, and its name must be durable before the first commit is.
        with oserror_as_store_error(folder, "written"):
            sync_folder(folder)
        return cls(folder, lock, manifest, part_filter)

    @property
    def is_copy(self) -> bool:
        """Tell whether the parts are kept in a bucket, and this folder has copies of them."""
        return self.manifest.remote is not NOWHERE

    def save(self, chunk: Chunk, blocks: Sequence[Block], *, fetched_at: int) -> Part:
        """Save a chunk's rows durably; raise StoreError, and nothing was saved."""
        part = self.write(chunk, blocks, fetched_at=fetched_at)
        self.upload(part, chunk.replaces)
        self.commit(part)
        return part

    def write(self, chunk: Chunk, blocks: Sequence[Block], *, fetched_at: int) -> Part:
        """Write the file of the next part, durably; raise StoreError."""
        self._lock.check()
        number = max(self.manifest.next_number, self._last_number + 1)
        stats = write_part(self._folder, number, blocks)
        self._last_number = number
        return Part(
            connection=chunk.connection,
            number=number,
            fingerprint=self._filter.fingerprints[chunk.connection][0],
            month=chunk.month,
            interval=chunk.interval,
            users=chunk.users,
            fetched_at=fetched_at,
            count=stats.count,
            size=stats.size,
            index_at=stats.index_at,
            sha256=stats.sha256,
            edges=self._filter.edges(chunk.interval.start),
        )

    def upload(self, part: Part, replaces: tuple[int, ...]) -> None:
        """Write the file of a part to the bucket, if there is one; raise StoreError.

        Other threads may upload other parts meanwhile.
        """
        self.manifest.remote.save_part(part)
        self._uploaded.append(Added(part, replaces))

    def commit(self, part: Part) -> None:
        """Commit an uploaded part, and others that were uploaded; raise StoreError."""
        # After the file and its name are durable: the line is the commit, and a committed part
        # whose file a power cut took would be a hole.
        uploaded = [self._uploaded.popleft() for _ in range(len(self._uploaded))]
        try:
            self._add(uploaded)
        except StoreError as error:
            self._failed.update((added.part.number, error) for added in uploaded)
        # Another call may have tried to commit this part, and failed.
        if part.number in self._failed:
            raise self._failed.pop(part.number)

    def _add(self, uploaded: Sequence[Added]) -> None:
        """Commit parts; they also replace what is outdated."""
        outdated = self.outdated
        parts = []
        for part, replaces in uploaded:
            numbers = tuple(old.number for old in outdated if old.interval.overlaps(part.interval))
            outdated = [old for old in outdated if old.number not in numbers]
            parts.append(Added(part, replaces + numbers))
        self.manifest.add(parts)
        self.outdated = outdated

    def delete_part(self, number: int) -> None:
        """Delete the file of a damaged part, so that it is fetched again; raise StoreError."""
        path = self._folder / part_name(number)
        with oserror_as_store_error(path, "deleted"):
            path.unlink(missing_ok=True)
            sync_folder(self._folder)
        self.manifest.remote.delete(path)

    def delete_replaced(self, stopped: Event, *, at: int) -> Restatements:
        """Write down what changed in replaced parts, then delete their files; `at` is now.

        Deleted too: files that no manifest line names, as their commits did not happen, and parts
        that a range which moves has left behind.
        Raise StoreError, and Interrupted once `stopped` is set.
        """
        # Before the deletion: the old values are in these files only. If the process dies between
        # the two, the manifest says which pairs were compared.
        changed = compare_replaced(self.manifest, stopped, at=at)
        delete_unnamed(self.manifest)
        if self.manifest.is_mostly_replaced:
            self.manifest = compact(self.manifest)
        self.manifest = keep_only(self.manifest, self._filter.is_kept)
        return changed

    def delete_other_queries(self, stopped: Event, *, at: int) -> int:
        """Delete the parts of queries that the job no longer asks; `at` is now.

        Give the bytes of files that an interrupted command left, and that were deleted as well.
        Raise StoreError, and Interrupted once `stopped` is set.
        """
        self._lock.check()
        # First, as in `delete_replaced`: a shorter manifest does not say what was replaced.
        compare_replaced(self.manifest, stopped, at=at)
        left_over = delete_unnamed(self.manifest)
        self.manifest = keep_only(self.manifest, self._filter.is_of_query)
        return left_over
