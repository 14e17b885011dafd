"""The files of a job in a bucket, copied into a folder of this machine while a command works.

Owns that folder. The bucket has what counts; the folder is deleted in the end. What a killed
command must not lose is written to the bucket at once: parts, and the lines of the manifest, which
are the commits. All else is written to the bucket once the command has done its work, the output
files first.

The parts of a year may be gigabytes: at first each is a file of the right size without content.
Output files are like that too. The reader of parts brings what it opens (`store/parts.py`), and
compares the SHA-256, as with any part; what reads output files calls `fetch_files` before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event

from msgspec import Struct

from asyncreport.core.job import Job, Part
from asyncreport.store.json_files import read_json, write_json
from asyncreport.store.manifest import Manifest, manifest_path
from asyncreport.store.objects.bucket import Bucket, Found
from asyncreport.store.objects.conditions import check_conditions
from asyncreport.store.objects.copied_files import CopiedFiles
from asyncreport.store.objects.copy_folder import CopyFolder
from asyncreport.store.objects.lease import NAME, RENEWALS, Lease, Leases, describe_holder
from asyncreport.store.objects.localize import bucket_of, localized
from asyncreport.store.objects.manifest_entries import ManifestEntries
from asyncreport.store.parts import PartReader, part_name, part_path
from asyncreport.store.remote import Remote
from asyncreport.store.threads import check_stopped, map_in_threads
from asyncreport.store.written_outputs import Outputs

_PART = re.compile(r"part-\d{8,}(-[0-9a-f]{16})?\.jsonl")

#: connections whose manifests are read at the same time
_MANIFESTS = 16

#: temporary files, locks, and what has objects of its own kind
_NOT_COPIED = re.compile(r"\.asyncreport-.*|(.*\.)?lock(\.json)?|manifest\.jsonl|lease\.json")

#: says which content of the bucket is an output file as a run wrote it
_UPLOADS = "uploads.json"

#: written last, and not at all if the command failed: they say what the output files are
_OF_OUTPUTS = ("outputs.json", _UPLOADS, "summary.json")

_OWNERS = ".asyncreport/owners.json"


class _Upload(Struct, frozen=True, kw_only=True):
    """An output file as it was written to the bucket."""

    etag: str
    #: of the file that was written; `outputs.json` has it too
    mtime_ns: int


class ConnectionCopy:
    """What is written of one connection, in the bucket; the methods raise StoreError."""

    def __init__(self, copy: WorkingCopy, folder: Path, entries: ManifestEntries) -> None:
        self._copy = copy
        self._folder = folder
        self._entries = entries

    def append(self, lines: bytes) -> None:
        """Commit lines of the manifest; if that fails, nothing is committed."""
        self._entries.append(lines, manifest_path(self._folder).read_bytes)

    def replace(self, lines: bytes) -> None:
        """Commit lines as the whole manifest; if that fails, it stays as it was."""
        self._entries.replace(lines)

    def save_part(self, part: Part) -> None:
        """Write the file of a part that is not committed yet."""
        path = self._folder / part_name(part.number)
        key = _key_of_part(self._copy.files.key(self._folder), part)
        self._copy.files.upload(path, key)
        # A killed process may have written the same part, without the commit that follows here.
        self._copy.is_named(key)

    def save(self, path: Path) -> None:
        """Write another file of the connection."""
        self._copy.files.upload(path)

    def delete(self, path: Path) -> None:
        """Delete the file of a damaged part."""
        files = self._copy.files
        files.bucket.delete([files.object_key(path)])
        files.forget(path)

    def fetch(self, parts: Iterable[Part]) -> None:
        """Bring the content of parts."""
        self._copy.fetch(parts)

    def fetch_indexes(self, parts: Iterable[Part]) -> None:
        """Bring the indexes of parts."""
        self._copy.fetch_indexes(parts)


class WorkingCopy:
    """A job's files in the folder; the methods raise StoreError, and Interrupted after a stop.

    `outputs` lists the output files of a job.
    """

    def __init__(
        self,
        job: Job,
        settings: Mapping[str, str],
        outputs: Callable[[Job], Sequence[Path]],
        lease_seconds: float,
    ) -> None:
        name = bucket_of(job)
        assert name is not None
        self._folder = CopyFolder()
        self._root = self._folder.path
        #: the job with its files in the folder
        self.job = localized(job, self._root)
        self.files = CopiedFiles(Bucket(name, settings), self._root, self._go_on)
        # With connections and threads of its own: renewals must not wait for other objects.
        self._lease_bucket = Bucket(name, settings, timeout=lease_seconds / RENEWALS)
        #: who holds the lease of the job; None: nobody, as far as can be seen
        self.holder: str | None = None
        self._lease_seconds = lease_seconds
        self._connections = {each.name for each in self.job.connections}
        self._bucket = self.files.bucket
        self._outputs = outputs(self.job)
        self._leases = Leases(self._lease_bucket, lease_seconds)
        self._stack = ExitStack()
        # By the connection's name.
        self._copies: dict[str, ConnectionCopy] = {}
        # By the key of the object.
        self._uploads: dict[str, _Upload] = {}
        # Objects of parts whose commits did not happen.
        self._unnamed: set[str] = set()

    def close(self) -> None:
        """Release the leases and delete the folder."""
        try:
            self._stack.close()
        finally:
            self._bucket.close()
            self._lease_bucket.close()
            self._folder.remove()

    def open_to_read(self, *, all_connections: bool = False) -> None:
        """Copy what the bucket has; a run may write meanwhile.

        `all_connections`: also those that the job had before.
        """
        folder = self.files.key(self.job.state_folder)
        self.holder = describe_holder(self._bucket, folder, self._lease_seconds)
        if all_connections:
            self._add_connections_of_before()
        self._pull({})

    def open_to_write(
        self,
        say: Callable[[str], None],
        stopped: Event,
        *,
        all_connections: bool,
    ) -> None:
        """Take the leases, then copy what the bucket has; `stopped` ends the wait for a lease.

        `all_connections`: also those that the job had before.
        """
        state = self.files.key(self.job.state_folder)
        check_conditions(self._bucket, state)
        if all_connections:
            self._add_connections_of_before()
        self._stack.enter_context(self._leases)
        folders = {state, *map(self._connection_key, self._connections)}
        held = self._leases.take(folders, say, stopped)
        self._pull(held)

    def _add_connections_of_before(self) -> None:
        """Add the connections that have a folder, unless they are jobs of their own."""
        if self.job.within is None:
            top = self.files.key(self._top)
            keys = [each.key.removeprefix(f"{top}/") for each in self._bucket.list_all(top)]
            found = {key.removesuffix(f"/{NAME}") for key in keys if key.endswith(f"/{NAME}")}
            self._connections |= found

    def try_bucket(self) -> None:
        """Try what a run does in the bucket, with an object of its own."""
        folder = self.files.key(self.job.state_folder)
        check_conditions(self._bucket, folder)
        self._bucket.list_all(folder)

    def _go_on(self) -> None:
        """Raise Interrupted if the work was stopped, StoreError if a lease was lost."""
        check_stopped()
        self._leases.check()

    def check(self) -> None:
        """Raise StoreError unless this process holds its leases; nothing is sent."""
        self._leases.check()

    def remote(self, connection: str) -> Remote:
        """Give where the parts of a connection are kept."""
        return self._copies[connection]

    # From the bucket

    def fetch(self, parts: Iterable[Part]) -> None:
        """Bring the content of parts."""
        self.files.fetch(part_path(self.job.parts_folder, part) for part in parts)

    def reader(self) -> PartReader:
        """Give what reads the parts, and brings their content before."""
        return PartReader(self.job.parts_folder, self)

    def fetch_files(self, paths: Iterable[Path]) -> None:
        """Bring the content of files that are not parts."""
        self.files.fetch(paths)

    def fetch_indexes(self, parts: Iterable[Part]) -> None:
        """Bring what says which users have records in parts."""
        folder = self.job.parts_folder
        self.files.fetch_ends((part_path(folder, part), part) for part in parts)

    def _pull(self, held: Mapping[str, Lease]) -> None:
        """Copy the state folder, and make parts and output files without content."""
        lines = self._read_manifests(held)
        # After the manifests: a run that works meanwhile has written the parts that they name.
        listed = self._bucket.list_all(self.files.key(self._top))
        self._bucket.each(self.files.download, filter(_is_small, listed))
        for name, of_connection in lines.items():
            key = self._connection_key(name)
            found = [each for each in listed if each.key.startswith(f"{key}/")]
            self._pull_connection(name, of_connection, found)
        self._pull_outputs()

    def _read_manifests(self, held: Mapping[str, Lease]) -> dict[str, bytes]:
        """Read the manifests of all connections; give their lines by connection."""
        names = sorted(self._connections)
        # Not in the bucket's own threads: each manifest has its entries read there.
        with ThreadPoolExecutor(_MANIFESTS) as threads:
            found = map_in_threads(partial(self._read_manifest, held), names, threads)
        return dict(zip(names, found, strict=True))

    def _read_manifest(self, held: Mapping[str, Lease], name: str) -> bytes:
        """Read all lines of a connection's manifest; begin to write it if its lease is held."""
        key = self._connection_key(name)
        lease = held.get(key)
        entries = ManifestEntries(self._bucket, key, lease)
        if lease is None:
            return entries.read()
        self._copies[name] = ConnectionCopy(self, self.files.path(key), entries)
        return entries.start_writing()

    @property
    def _top(self) -> Path:
        """Give the folder that has all state of the job."""
        if self.job.within is None:
            return self.job.parts_folder
        return self.job.state_folder

    def _connection_key(self, name: str) -> str:
        """Give the key of a connection's folder."""
        return self.files.key(self.job.parts_folder / name)

    def _pull_connection(self, name: str, lines: bytes, listed: Sequence[Found]) -> None:
        """Write the manifest of a connection, and make its parts as files without content."""
        key = self._connection_key(name)
        folder = self.files.path(key)
        times = [each.modified for each in listed if each.key.startswith(f"{key}/manifest/")]
        if lines and times:
            self.files.write(manifest_path(folder), lines, max(times))
            self._make_parts(folder, listed)

    def _make_parts(self, folder: Path, listed: Iterable[Found]) -> None:
        """Make the parts of a connection, without content."""
        key = self.files.key(folder)
        objects = {each.key: each for each in listed if each.key.startswith(f"{key}/part-")}
        for part in Manifest.read(folder).all_parts():
            found = objects.pop(_key_of_part(key, part), None)
            if found is not None:
                self.files.make_empty(folder / part_name(part.number), found, found.modified)
        self._unnamed.update(objects)

    def _pull_outputs(self) -> None:
        """Make the output files that exist, without content, and copy the tables of owners."""
        self._uploads = read_json(self._uploads_path, dict[str, _Upload]) or {}
        known = self._known_outputs()
        for folder in sorted({path.parent for path in known}):
            for found in self._bucket.list_folder(self.files.key(folder)):
                if self.files.path(found.key) in known:
                    self._make_output(found)
            self._pull_owners(folder)

    @property
    def _uploads_path(self) -> Path:
        return self.job.state_folder / _UPLOADS

    def _known_outputs(self) -> set[Path]:
        """List the output files of the job, of now and before."""
        before = map(Path, Outputs(self.job.state_folder).paths())
        return {*(path for path in before if path.is_relative_to(self._root)), *self._outputs}

    def _make_output(self, found: Found) -> None:
        """Make an output file without content; its time is that of the file that was written."""
        last = self._uploads.get(found.key)
        modified = found.modified
        if last is not None and last.etag == found.etag:
            modified = last.mtime_ns
        self.files.make_empty(self.files.path(found.key), found, modified)

    def _pull_owners(self, folder: Path) -> None:
        """Copy the table that says which job writes which output file of a folder."""
        key = self.files.key(folder / _OWNERS)
        self.files.download(Found(key, 0, "", 0))

    # To the bucket

    def claim_outputs(self, claim: Callable[[], None]) -> None:
        """Claim the output files, again and again until no other job has claimed meanwhile."""
        folders = sorted({path.parent for path in self._outputs})
        while True:
            claim()
            if self._save_all_owners(folders):
                return
            for folder in folders:
                self._pull_owners(folder)

    def _save_all_owners(self, folders: Iterable[Path]) -> bool:
        """Write the tables of owners; False if another job has written one meanwhile."""
        # Not `all` over a generator: after the first conflict the others are still to be written.
        saved = [self._save_owners(folder) for folder in folders]
        return all(saved)

    def _save_owners(self, folder: Path) -> bool:
        """Write a table of owners, unless another job has written it since it was read."""
        path = folder / _OWNERS
        if not path.exists() or not self.files.has_changed(path):
            return True
        data = path.read_bytes()
        key, etag = self.files.key(path), self.files.etags.get(path)
        if etag is None:
            new = self._bucket.create(key, data)
        else:
            new = self._bucket.replace(key, data, etag)
        if new is None:
            return False
        self.files.note_equal(path, new)
        return True

    def save(self, *, failed: bool = False) -> None:
        """Write what changed to the bucket; if the command `failed`, no output file.

        The output files come first, then what says what they are, and deletions last: a process
        that dies in between leaves a bucket whose next run writes the same files again.
        """
        self.check()
        if not failed:
            self._save_outputs()
        self._save_state(failed=failed)
        self._delete()

    def _save_outputs(self) -> None:
        """Write the output files that changed."""
        for path in sorted(self._known_outputs()):
            if path.exists():
                if self.files.has_changed(path):
                    self.files.upload(path)
                    self.check()
                etag = self.files.etags[path]
                uploaded = _Upload(etag=etag, mtime_ns=path.stat().st_mtime_ns)
                self._uploads[self.files.key(path)] = uploaded
        if self._uploads:
            write_json(self._uploads_path, self._uploads)

    def _save_state(self, *, failed: bool) -> None:
        """Write the small files of the state folder that changed."""
        found = [path for path in sorted(self._top.rglob("*")) if path.is_file()]
        changed = [
            each for each in found if _is_small_name(each.name) and self.files.has_changed(each)
        ]
        self._bucket.each(self.files.upload, [each for each in changed if not _is_last(each)])
        last = [] if failed else filter(_is_last, changed)
        for path in sorted(last, key=lambda each: _OF_OUTPUTS.index(each.name)):
            self.files.upload(path)

    def is_named(self, key: str) -> None:
        """Note that a commit names the object of a part."""
        self._unnamed.discard(key)

    def _delete(self) -> None:
        """Delete the objects whose files were deleted, and parts that were never committed."""
        gone = self.files.gone()
        keys = sorted({*map(self.files.object_key, gone)} | self._unnamed)
        self._go_on()
        self._bucket.delete(keys)
        self._unnamed.clear()
        for path in gone:
            self.files.forget(path)


def _is_small(found: Found) -> bool:
    """Tell whether an object is a small file of a state folder."""
    folder, _, name = found.key.rpartition("/")
    return not folder.endswith("/manifest") and _is_small_name(name)


def _is_small_name(name: str) -> bool:
    """Tell whether a file with this name in a state folder is copied as a whole."""
    return _PART.fullmatch(name) is None and _NOT_COPIED.fullmatch(name) is None


def _is_last(path: Path) -> bool:
    """Tell whether a file says what the output files are."""
    return path.name in _OF_OUTPUTS


def _key_of_part(folder: str, part: Part) -> str:
    """Name the object of a part.

    By its content too: a process that lost its lease may write a part of this number as well, and
    must not overwrite the one that was committed.
    """
    stem = part_name(part.number).removesuffix(".jsonl")
    return f"{folder}/{stem}-{part.sha256[:16]}.jsonl"
