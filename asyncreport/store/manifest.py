"""The append-only list of saved parts: a part is committed once its line is in the file.

Owns `manifest.jsonl`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part
from asyncreport.store.atomic import append
from asyncreport.store.disk_errors import changed_under_a_run, oserror_as_store_error
from asyncreport.store.identity import Identity, identity
from asyncreport.store.manifest_lines import (
    FORMAT,
    Added,
    AgainLine,
    ChangesLine,
    Header,
    Line,
    PartLine,
    UsersLine,
    digest_of_users,
    format_of,
    lines_of,
    seal,
    unreadable,
    unseal,
)
from asyncreport.store.part_filter import PartFilter
from asyncreport.store.parts import part_name
from asyncreport.store.present_parts import with_files
from asyncreport.store.remote import NOWHERE, Remote
from asyncreport.store.restatements import Pair, Replaced


def manifest_path(folder: Path) -> Path:
    """Give the path of the manifest in a connection's folder."""
    return folder / "manifest.jsonl"


class Manifest:
    """What the manifest in a connection's folder says; a missing file is an empty one."""

    def __init__(self, folder: Path, remote: Remote = NOWHERE) -> None:
        self.folder = folder
        self.remote = remote
        self.path = manifest_path(folder)
        #: None: no line says it yet
        self.header: Header | None = None
        #: bytes of `changes.jsonl` that were finished
        self.changes_length = 0
        self._parts: list[Part] = []
        self._last_number = 0
        # By the number of the replaced part; several parts may replace one, if the chunks of
        # everyone are cut elsewhere than those of listed users were.
        self._replaced_by: defaultdict[int, list[Part]] = defaultdict(list)
        self._user_sets: dict[str, tuple[str, ...]] = {}
        self._refresh_pending: set[int] = set()
        self._compared: set[Pair] = set()
        # Where the last good line ends. Bytes after it were never committed.
        self._end = 0
        # Of the file that this process writes; None: it only reads.
        self._identity: Identity | None = None

    @classmethod
    def read(cls, folder: Path, remote: Remote = NOWHERE) -> Manifest:
        """Read all lines; raise StoreError if one cannot be read and is not the last.

        The last line may be cut short, if the process that wrote it died.
        """
        manifest = cls(folder, remote)
        *lines, rest = _content(manifest.path).split(b"\n")
        if lines:
            manifest._check_format(lines[0])
        for number, line in enumerate(lines, 1):
            try:
                manifest._apply(unseal(line))
            except (msgspec.DecodeError, ValueError) as error:
                is_last = number == len(lines) and not rest
                if is_last:
                    break
                raise unreadable(manifest.path, number, error) from error
            manifest._end += len(line) + 1
        return manifest

    def _check_format(self, first: bytes) -> None:
        """Refuse a newer format before anything else is read: its lines may be different."""
        found = format_of(first)
        if found is not None and found > FORMAT:
            raise StoreError(
                f"{self.path} was written by a newer version of asyncreport (format {found}); "
                "nothing was changed; install that version, or give the job another name"
            )

    @property
    def next_number(self) -> int:
        """Give the number of the next part."""
        return self._last_number + 1

    @property
    def organizations(self) -> Mapping[str, str]:
        """Give the ids of the organisations that the parts are of, by host."""
        return {} if self.header is None else self.header.organizations

    def current_parts(self, part_filter: PartFilter) -> list[Part]:
        """List the usable parts that were not replaced and whose files have the right size.

        A file that is missing, or was cut short, is fetched again. Raise StoreError.
        """
        found = with_files(self.committed(part_filter), self.folder)
        return [self._with_refresh_pending(part) for part in found]

    def lost_parts(self, part_filter: PartFilter) -> list[Part]:
        """List the usable parts that were not replaced and whose files are gone or were cut."""
        present = {part.number for part in self.current_parts(part_filter)}
        return [part for part in self.committed(part_filter) if part.number not in present]

    def committed(self, part_filter: PartFilter) -> list[Part]:
        """List the usable parts that were not replaced, whether their files exist or not."""
        return [part for part in self.live_parts() if part_filter.accepts(part)]

    def live_parts(self) -> Iterator[Part]:
        """Walk the parts that were not replaced, of any query, in the order of their numbers."""
        return (part for part in self._parts if part.number not in self._replaced_by)

    def all_parts(self) -> Sequence[Part]:
        """List all parts, those that were replaced too."""
        return self._parts

    def parts_on_disk(self) -> list[Part]:
        """List the parts of any query that were not replaced and whose files were not cut."""
        return with_files(self.live_parts(), self.folder)

    def files(self) -> set[str]:
        """Name the files of the parts that were not replaced, of any query."""
        return {part_name(part.number) for part in self.live_parts()}

    def replaced(self) -> list[Replaced]:
        """Pair each replaced part with every part that replaced it, to be compared.

        Both files exist, and no line says that they were compared already. Raise StoreError.
        """
        present = {part.number: part for part in with_files(self._parts, self.folder)}
        found = []
        for old in present.values():
            for new in self._replaced_by.get(old.number, ()):
                pair = Replaced(old, new)
                if new.number in present and pair.numbers not in self._compared:
                    found.append(pair)
        return found

    def start_writing(self) -> None:
        """Cut off what was never committed; create the file if there is none. Raise StoreError."""
        append(self.path, b"", at=self._end)
        self._identity = identity(self.path)
        if self.header is None:
            self._append(Header())

    def add(self, parts: Iterable[Added]) -> None:
        """Commit parts whose files are durable; raise StoreError, and the last is not committed.

        In a bucket, all or none are.
        """
        lines = list(lines_of(parts, self._user_sets))
        if lines:
            self._append(*lines)

    def mark_for_refresh(self, numbers: Iterable[int]) -> None:
        """Note that these parts are stale until each is replaced; raise StoreError.

        The note outlives the run: if a refresh is broken off, the next run finishes it.
        """
        new = sorted(set(numbers) - self._refresh_pending)
        if new:
            self._append(AgainLine(again=tuple(new)))

    def note_organization(self, host: str, organization: str) -> None:
        """Keep the id of the organisation that the parts of a host are of; raise StoreError."""
        if self.organizations.get(host) != organization:
            self._append(Header(organizations={**self.organizations, host: organization}))

    def note_changes(self, length: int, pairs: Iterable[Replaced]) -> None:
        """Keep the length of `changes.jsonl`, and what was compared for it; raise StoreError."""
        numbers = tuple(pair.numbers for pair in pairs)
        self._append(ChangesLine(changes=length, pairs=numbers))

    @property
    def is_mostly_replaced(self) -> bool:
        """Tell whether more parts were replaced than are left."""
        return len(self._replaced_by) > len(self._parts) / 2

    def live_lines(self, change: Callable[[Part], Part | None]) -> Iterator[Line]:
        """Give the lines that say the same of the parts that were not replaced.

        `change` gives what a part becomes, perhaps under a new number; None leaves it out.
        """
        changed = {part.number: change(part) for part in self.live_parts()}
        parts = {number: part for number, part in changed.items() if part is not None}
        yield self.header or Header()
        yield ChangesLine(changes=self.changes_length)
        found = sorted(parts.values(), key=lambda part: part.number)
        yield from lines_of(map(Added, found))
        pending = [parts[number].number for number in self._refresh_pending if number in parts]
        if pending:
            yield AgainLine(again=tuple(sorted(pending)))

    def check_unchanged(self) -> None:
        """Check that the file is still the one that this process writes, as it left it.

        Raise StoreError. Somebody may have emptied, restored or replaced the folder.
        """
        with oserror_as_store_error(self.path, "read"):
            found = identity(self.path)
        if found is None or found != self._identity or self.path.stat().st_size != self._end:
            raise changed_under_a_run(self.path)

    def _with_refresh_pending(self, part: Part) -> Part:
        """Mark a part for a refresh."""
        if part.number not in self._refresh_pending:
            return part
        return replace(part, refresh_pending=True)

    def _append(self, *lines: Line) -> None:
        """Append lines durably."""
        self.check_unchanged()
        sealed = [seal(line) for line in lines]
        # First: of a folder that is a copy, this is the commit.
        self.remote.append(b"".join(sealed))
        for line, data in zip(lines, sealed, strict=True):
            # Each append is one line, so that a crash can cut short the last line only.
            append(self.path, data, at=self._end)
            # After the append: if it fails, this manifest still says what the file says.
            self._end += len(data)
            self._apply(line)

    def _apply(self, line: Line) -> None:
        """Add what one line says; raise ValueError if it contradicts another."""
        if isinstance(line, PartLine):
            self._apply_part(line)
        elif isinstance(line, UsersLine):
            self._apply_users(line)
        elif isinstance(line, AgainLine):
            self._refresh_pending.update(line.again)
        elif isinstance(line, ChangesLine):
            self.changes_length = line.changes
            self._compared.update(line.pairs)
        else:
            self.header = line
        if self.header is None:
            raise ValueError("the header is missing")

    def _apply_users(self, line: UsersLine) -> None:
        """Take in a line with user ids."""
        if digest_of_users(line.ids) != line.users:
            raise ValueError("its user ids were changed")
        self._user_sets[line.users] = line.ids

    def _apply_part(self, line: PartLine) -> None:
        """Take in a line of a part."""
        part = line.to_part(self.folder.name, self._users(line.users))
        self._parts.append(part)
        self._last_number = max(self._last_number, part.number)
        for number in line.replaces:
            self._replaced_by[number].append(part)

    def _users(self, digest: str | None) -> tuple[str, ...] | None:
        """Find a user set; None means everyone."""
        if digest is None:
            return None
        if digest not in self._user_sets:
            raise ValueError("the line with its user ids is missing")
        return self._user_sets[digest]


def _content(path: Path) -> bytes:
    """Read the lines of a manifest; a missing file has none."""
    with oserror_as_store_error(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""
