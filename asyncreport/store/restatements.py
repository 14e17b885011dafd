"""What the vendor changed later: values of replaced parts that differ in the new parts.

Owns `changes.jsonl`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Annotated, Any, NamedTuple

import msgspec
import orjson
from msgspec import Meta, Struct

from asyncreport.core.columns import null_first
from asyncreport.core.errors import DamagedPartError, Interrupted
from asyncreport.core.job import Part
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.text import counted
from asyncreport.core.timeline import Interval, iso
from asyncreport.store.atomic import append, appending, atomic_write
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.identity import file_size
from asyncreport.store.parts import Entry, PartReader
from asyncreport.store.portable import sync_folder
from asyncreport.store.remote import PartSource
from asyncreport.store.replacement import PRIVATE

NAME = "changes.jsonl"

#: the key of a row ends with this column: split values and the bucket before it, measures after it
_LAST_OF_KEY = "interval_end"

#: numbers of a replaced part and of the part that replaced it
Pair = tuple[int, int]


class Replaced(NamedTuple):
    """A replaced part whose file still exists, and the part that replaced it."""

    old: Part
    new: Part

    @property
    def numbers(self) -> Pair:
        """Give the numbers of both parts."""
        return self.old.number, self.new.number


class Restatements(Struct, frozen=True, kw_only=True):
    """How many values differed."""

    values: Annotated[int, Meta(description="number of values that differ")] = 0
    parts: Annotated[int, Meta(description="number of parts with such a value")] = 0
    paths: Annotated[
        tuple[str, ...],
        Meta(description="of each changes.jsonl that lists them, one for a connection"),
    ] = ()

    def __add__(self, more: Restatements) -> Restatements:
        return Restatements(
            values=self.values + more.values,
            parts=self.parts + more.parts,
            paths=(*self.paths, *(path for path in more.paths if path not in self.paths)),
        )

    def __str__(self) -> str:
        values, parts = counted(self.values, "value"), counted(self.parts, "part")
        return f"{values} in {parts} changed since the last fetch: {', '.join(self.paths)}"


@dataclass(slots=True, frozen=True)
class Appended:
    """What was appended to `changes.jsonl`."""

    restatements: Restatements
    #: bytes of the file up to its end; what follows was never finished
    length: int


def append_restatements(
    folder: Path,
    replaced: Sequence[Replaced],
    stopped: Event,
    *,
    at: int,
    length: int,
    source: PartSource,
) -> Appended:
    """List, one JSON line each, the values that differ between parts; `at` is now.

    `folder` is the connection's; `length` is the known length of its `changes.jsonl`, and what
    follows there is cut off. Few lines are in memory at once. The lines count once the caller has
    noted the new length. Raise StoreError, and Interrupted once `stopped` is set.
    """
    path = folder / NAME
    with PartReader(folder.parent, source) as reader:
        reader.bring(part for pair in replaced for part in (pair.old, pair.new))
        lines = _all_differences(replaced, reader, stopped, at)
        first = next(lines, None)
        if first is None:
            return Appended(Restatements(), length)
        # Somebody may have deleted the file, or what they had read of it.
        length = min(length, file_size(path) or 0)
        return _append_lines(path, chain([first], lines), length)


def erase_restatements(folder: Path, user: str, length: int) -> int:
    """Take the lines of a user out of `changes.jsonl`; give its new length.

    The lines up to `length` count. Raise StoreError.
    """
    path = folder / NAME
    if not count_restatements(folder, user):
        return length
    with (
        oserror_as_store_error(path, "read"),
        path.open("rb") as file,
        atomic_write(path, owner=folder, mode=PRIVATE) as sink,
    ):
        for line in file:
            if not _is_of(line, user):
                sink.write(line)
    return sink.size


def count_restatements(folder: Path, user: str) -> int:
    """Count the lines of a user in `changes.jsonl`; raise StoreError."""
    path = folder / NAME
    with oserror_as_store_error(path, "read"):
        if not path.exists():
            return 0
        with path.open("rb") as file:
            return sum(_is_of(line, user) for line in file)


def _is_of(line: bytes, user: str) -> bool:
    """Tell whether a line is about a user."""
    # Few lines name the user: the others need not be decoded.
    return user.encode() in line and line.endswith(b"\n") and orjson.loads(line)["user_id"] == user


class Change(Struct, frozen=True, gc=False):
    """One value that the vendor changed."""

    #: when the new value was found, an instant in UTC, as text
    at: str
    user_id: str | None
    #: of the row, an instant in UTC, as text
    interval_start: str


def read_restatements(folder: Path) -> Iterator[Change]:
    """Walk the changes that a connection's folder lists, one by one; raise StoreError."""
    path = folder / NAME
    decoder = msgspec.json.Decoder(Change)
    with oserror_as_store_error(path, "read"):
        if not path.exists():
            return
        with path.open("rb") as file:
            for line in file:
                # A run that was killed may have left the beginning of a line at the end.
                if line.endswith(b"\n"):
                    yield decoder.decode(line)


def _append_lines(path: Path, lines: Iterable[tuple[Pair, bytes]], length: int) -> Appended:
    """Write the differences as lines."""
    values = 0
    parts = set()
    with appending(path, at=length) as sink:
        for pair, line in lines:
            sink.write(line)
            values += 1
            parts.add(pair)
    with oserror_as_store_error(path, "written"):
        sync_folder(path.parent)
    found = Restatements(values=values, parts=len(parts), paths=(str(path),))
    return Appended(found, length + sink.size)


def cut_restatements(folder: Path, length: int) -> int:
    """Cut off what a killed run appended and nobody noted; give the length that is left.

    It is less than `length` if somebody deleted lines. Raise StoreError.
    """
    path = folder / NAME
    size = file_size(path) or 0
    if size > length:
        append(path, b"", at=length)
    return min(size, length)


def _all_differences(
    replaced: Iterable[Replaced],
    reader: PartReader,
    stopped: Event,
    at: int,
) -> Iterator[tuple[Pair, bytes]]:
    """Walk what differs in all pairs."""
    for pair in replaced:
        for line in _differences(pair, reader, stopped, at):
            yield pair.numbers, line


def _differences(pair: Replaced, reader: PartReader, stopped: Event, at: int) -> Iterator[bytes]:
    """Walk what differs in one pair."""
    for user, old, new in _users_who_differ(pair, reader, stopped):
        shared = {
            "at": iso(at),
            "part": pair.new.number,
            "replaced": pair.old.number,
            "user_id": user,
        }
        # One part may reach further than the other: only the time of both is compared.
        before = _within(old, pair.new.interval)
        after = _within(new, pair.old.interval)
        yield from _changes_of_user(shared, before, after)


def _users_who_differ(
    pair: Replaced,
    reader: PartReader,
    stopped: Event,
) -> Iterator[tuple[str | None, list[bytes], list[bytes]]]:
    """Give each user whose rows are not the same bytes, with the old and the new rows."""
    try:
        before, after = _entries(pair.old, reader), _entries(pair.new, reader)
    except DamagedPartError:
        # What a damaged part held is not known.
        return
    for user in _users(pair.old, before.keys() | after.keys()):
        if stopped.is_set():
            raise Interrupted
        old = _rows(pair.old, before.get(user), reader)
        new = _rows(pair.new, after.get(user), reader)
        if old != new:
            yield user, old, new


def _entries(part: Part, reader: PartReader) -> dict[str | None, Entry]:
    """Read the index of a part, by user."""
    return {entry.user: entry for entry in reader.checked_index(part)}


def _users(old: Part, found: Collection[str | None]) -> list[str | None]:
    """Sort users, and leave out those whom the old part did not ask for."""
    if old.users is not None:
        asked = frozenset(old.users)
        found = [user for user in found if user in asked]
    return sorted(found, key=null_first)


def _rows(part: Part, entry: Entry | None, reader: PartReader) -> list[bytes]:
    """Read the rows of a user."""
    return [] if entry is None else reader.block(part, entry).splitlines()


def _within(rows: Sequence[bytes], interval: Interval) -> list[bytes]:
    """Keep the rows of an interval."""
    # Instants in UTC sort as their texts do.
    start = iso(interval.start)
    end = iso(interval.end)
    return [row for row in rows if start <= orjson.loads(row)["interval_start"] < end]


def _changes_of_user(
    shared: Mapping[str, object],
    old: Iterable[bytes],
    new: Iterable[bytes],
) -> Iterator[bytes]:
    """Walk what differs for one user."""
    before, after = _by_key(old), _by_key(new)
    for key in dict.fromkeys(chain(before, after)):
        row = {**shared, **dict(key)}
        yield from _changes_of_row(row, before.get(key, {}), after.get(key, {}))


def _changes_of_row(
    shared: Mapping[str, object],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> Iterator[bytes]:
    """Walk what differs in one row."""
    for name in dict.fromkeys(chain(before, after)):
        was, now = before.get(name), after.get(name)
        if was != now:
            change = {**shared, "field": name, "before": was, "after": now}
            yield escape_separators(orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE))


def _by_key(rows: Iterable[bytes]) -> dict[tuple[tuple[str, Any], ...], dict[str, Any]]:
    """Split each row into its key and its measures."""
    found = {}
    for row in rows:
        values = orjson.loads(row)
        end = list(values).index(_LAST_OF_KEY)
        fields = list(values.items())
        key = tuple(fields[:end])
        found[key] = dict(fields[end + 1 :])
    return found
