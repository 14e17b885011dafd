"""Convert a state folder from format 1 to format 2. Owns the files of format 1.

Format 1 had the manifest, the parts and the lock of all connections in the folder of the job. The
folders of the connections are completed first. Removing the old manifest is the commit: until then
a conversion that was killed is repeated, and after it only old files are left to delete.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from asyncreport.core.errors import StoreError
from asyncreport.store.atomic import atomic_write
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.identity import file_size
from asyncreport.store.lock import locked
from asyncreport.store.manifest import manifest_path
from asyncreport.store.manifest_lines import (
    AgainLine,
    ChangesLine,
    Header,
    Line,
    PartLine,
    UsersLine,
    decode,
    digest_of_users,
    seal,
    unreadable,
)
from asyncreport.store.part_filter import PartFilter
from asyncreport.store.parts import part_name
from asyncreport.store.portable import sync_folder
from asyncreport.store.replacement import PRIVATE
from asyncreport.store.restatements import NAME as CHANGES

_LEFT_OVER = ("part-*.jsonl", CHANGES, "lock", "lock.json")


def check_converted(folder: Path) -> None:
    """Raise StoreError for a job's folder of format 1, which only a run converts."""
    if is_format_1(folder):
        raise StoreError(
            f"{folder} was written by an earlier version of asyncreport; run the job once: "
            "the run converts the folder and reuses the existing parts"
        )


def is_format_1(folder: Path) -> bool:
    """Tell whether a folder is of version 0.1.0."""
    return file_size(manifest_path(folder)) is not None


@contextmanager
def format_1_locked(folder: Path) -> Iterator[None]:
    """Hold the lock of format 1, if there is such a folder; raise StoreError if it is taken."""
    if not is_format_1(folder):
        yield
        return
    with locked(folder / "lock"):
        yield


def convert_format_1(folder: Path, part_filter: PartFilter) -> None:
    """Convert a job's folder if it has format 1, with all locks held; raise StoreError.

    A part of a query that no connection asks now may be of any of them: each gets it.
    """
    if is_format_1(folder):
        _convert(folder, part_filter)
    _delete_left_over(folder)


def _convert(folder: Path, part_filter: PartFilter) -> None:
    """Complete the folders of the connections, then remove the old manifest."""
    manifest = manifest_path(folder)
    contents = _sort_lines(_read(manifest), part_filter)
    for name, content in contents.items():
        _fill(folder, folder / name, content.numbers)
    _give_changes_to_first(folder, contents)
    for name, content in contents.items():
        _write_manifest(folder, folder / name, content.lines)
    with oserror_as_store_error(manifest, "deleted"):
        manifest.unlink()
        sync_folder(folder)


def _give_changes_to_first(folder: Path, contents: Mapping[str, _Contents]) -> None:
    """Give the list of changes to one connection: it is about the parts of all of them."""
    name, content = next(iter(contents.items()))
    _link(folder / CHANGES, folder / name / CHANGES)
    content.lines.append(ChangesLine(changes=file_size(folder / CHANGES) or 0))


@dataclass(slots=True)
class _Contents:
    """What one connection gets."""

    lines: list[Line] = field(default_factory=lambda: [Header()])
    #: of the parts
    numbers: set[int] = field(default_factory=set)
    #: digests of the user sets that are in `lines`
    user_sets: set[str | None] = field(default_factory=lambda: {None})

    def add_part(self, line: PartLine, user_sets: Mapping[str | None, UsersLine]) -> None:
        """Add a part, and its user ids before it if they are new to the connection."""
        if line.users not in self.user_sets:
            self.user_sets.add(line.users)
            self.lines.append(user_sets[line.users])
        self.numbers.add(line.part)
        self.lines.append(line)

    def add_marks(self, line: AgainLine) -> None:
        """Add the marks for a refresh of the connection's own parts."""
        again = tuple(number for number in line.again if number in self.numbers)
        if again:
            self.lines.append(AgainLine(again=again))


def _sort_lines(lines: Sequence[Line], part_filter: PartFilter) -> dict[str, _Contents]:
    """Give each line to the connections that it may belong to, by name."""
    owners = _owners(part_filter)
    contents = {name: _Contents() for name in part_filter.fingerprints}
    user_sets: dict[str | None, UsersLine] = {}
    for line in lines:
        if isinstance(line, UsersLine):
            user_sets[line.users] = line
        elif isinstance(line, PartLine):
            for name in owners.get(line.fingerprint, contents):
                contents[name].add_part(line, user_sets)
        elif isinstance(line, AgainLine):
            for content in contents.values():
                content.add_marks(line)
    return contents


def _owners(part_filter: PartFilter) -> dict[str, list[str]]:
    """Give the connection of each fingerprint; of two with one identity, the first."""
    owners: dict[str, list[str]] = {}
    for name, fingerprints in part_filter.fingerprints.items():
        for fingerprint in fingerprints:
            owners.setdefault(fingerprint, [name])
    return owners


def _read(manifest: Path) -> list[Line]:
    """Read all lines; a last one that was cut short was never committed. Raise StoreError."""
    with oserror_as_store_error(manifest, "read"):
        *lines, rest = manifest.read_bytes().split(b"\n")
    found: list[Line] = []
    user_sets: set[str | None] = {None}
    for number, line in enumerate(lines, 1):
        try:
            found.append(_read_line(line, user_sets))
        except (msgspec.DecodeError, ValueError) as error:
            if number == len(lines) and not rest:
                break
            raise unreadable(manifest, number, error) from error
    return found


def _read_line(data: bytes, user_sets: set[str | None]) -> Line:
    """Read one line; raise DecodeError or ValueError if the line or what it refers to is wrong.

    `user_sets` has the digests of the lines before.
    """
    line = decode(data)
    if isinstance(line, UsersLine):
        if digest_of_users(line.ids) != line.users:
            raise ValueError("its user ids were changed")
        user_sets.add(line.users)
    elif isinstance(line, PartLine):
        if line.users not in user_sets:
            raise ValueError("the line with its user ids is missing")
        line.to_part("", None)
    return line


def _fill(folder: Path, target: Path, numbers: set[int]) -> None:
    """Give a connection's folder the files of its parts, under the same numbers."""
    for number in sorted(numbers):
        _link(folder / part_name(number), target / part_name(number))
    with oserror_as_store_error(target, "written"):
        sync_folder(target)


def _link(old: Path, new: Path) -> None:
    """Give a file a second name, or a copy on a disk without links; a lost file stays lost."""
    with oserror_as_store_error(new, "written"):
        if not old.exists() or new.exists():
            return
        try:
            os.link(old, new)
        except OSError:
            _copy(old, new)


def _copy(old: Path, new: Path) -> None:
    """Copy a part into the folder of a connection."""
    with old.open("rb") as source, atomic_write(new, owner=new.parent, mode=PRIVATE) as sink:
        shutil.copyfileobj(source, sink)


def _write_manifest(folder: Path, target: Path, lines: Sequence[Line]) -> None:
    """Write the manifest of a connection."""
    content = b"".join(map(seal, lines))
    path = manifest_path(target)
    with oserror_as_store_error(path, "read"):
        if path.exists() and path.read_bytes() != content:
            raise StoreError(
                f"{folder} was converted, and then an earlier version of asyncreport wrote "
                f"{manifest_path(folder)}; delete this file and run again: what only that version "
                "fetched is fetched again"
            )
    with atomic_write(path, owner=target, mode=PRIVATE) as sink:
        sink.write(content)


def _delete_left_over(folder: Path) -> None:
    """Delete the old files once nothing needs them."""
    with oserror_as_store_error(folder, "cleaned up"):
        for pattern in _LEFT_OVER:
            for path in folder.glob(pattern):
                path.unlink()
