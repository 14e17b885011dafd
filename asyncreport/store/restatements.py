"""What the vendor changed later: values of replaced parts that differ in the new parts.

Owns `changes.jsonl`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Annotated, Any, NamedTuple

import orjson
from msgspec import Meta, Struct

from asyncreport.core.columns import null_first
from asyncreport.core.errors import DamagedPartError
from asyncreport.core.job import Part
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.text import counted
from asyncreport.core.timeline import Interval, iso
from asyncreport.store.atomic import PRIVATE, Sink, atomic_write, oserror_as_store_error
from asyncreport.store.parts import Entry, PartReader
from asyncreport.store.threads import Interrupted

NAME = "changes.jsonl"

#: the key of a row ends with this column: split values and the bucket before it, measures after it
_LAST_OF_KEY = "interval_end"

# Says which pair of parts a line belongs to. Searched, not decoded: the file may have gigabytes,
# and lines that somebody edited.
_PAIR = re.compile(rb'"part":(\d{1,18}),"replaced":(\d{1,18}),')
_LONGEST_PAIR = 64

#: of a replaced part and of the new one
_Numbers = tuple[int, int]

#: bytes of the old file that are in memory at once
_BLOCK = 1 << 20


class Replaced(NamedTuple):
    """A replaced part whose file still exists, and the part that replaced it."""

    old: Part
    new: Part


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


def write_restatements(
    folder: Path, replaced: Iterable[Replaced], stopped: Event, *, at: int
) -> Restatements:
    """List, one JSON line each, the values that differ between parts; `at` is now.

    A pair of parts that is listed already is not listed again: a run may be killed after this and
    before it deletes the old files. All lines of one call are written, or none; few are in memory
    at once. Raise StoreError, and Interrupted once `stopped` is set.
    """
    pairs = {(pair.old.number, pair.new.number): pair for pair in replaced}
    if not pairs:
        return Restatements()
    path = folder / NAME
    for numbers in _listed(path, pairs.keys(), stopped):
        del pairs[numbers]
    with PartReader(folder.parent) as reader:
        lines = _all_differences(pairs, reader, stopped, at)
        first = next(lines, None)
        if first is None:
            # The file, which may be large, is not written again for nothing.
            return Restatements()
        return _add_lines(path, chain([first], lines), stopped)


def _add_lines(path: Path, lines: Iterable[tuple[_Numbers, bytes]], stopped: Event) -> Restatements:
    values = 0
    parts = set()
    size = _file_size(path)
    with atomic_write(path, owner=path.parent, mode=PRIVATE, needs=lambda: size) as sink:
        _copy(path, sink, stopped)
        for numbers, line in lines:
            size += len(line)
            sink.write(line)
            values += 1
            parts.add(numbers)
    return Restatements(values=values, parts=len(parts), paths=(str(path),))


def _file_size(path: Path) -> int:
    with oserror_as_store_error(path, "read"):
        return path.stat().st_size if path.exists() else 0


def _listed(path: Path, pairs: Collection[_Numbers], stopped: Event) -> set[_Numbers]:
    """Find the pairs whose changes are in the file."""
    listed: set[_Numbers] = set()
    rest = b""
    for block in _blocks(path, stopped):
        # The end of the block before, in case a pair lies across both.
        text = rest + block
        for new, old in _PAIR.findall(text):
            numbers = (int(old), int(new))
            if numbers in pairs:
                listed.add(numbers)
        rest = text[-_LONGEST_PAIR:]
    return listed


def _copy(path: Path, sink: Sink, stopped: Event) -> None:
    """Copy the old file; a last line that somebody cut stays a line of its own."""
    last = b"\n"
    for last in _blocks(path, stopped):
        sink.write(last)
    if not last.endswith(b"\n"):
        sink.write(b"\n")


def _blocks(path: Path, stopped: Event) -> Iterator[bytes]:
    with oserror_as_store_error(path, "read"):
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return
        with file:
            while block := file.read(_BLOCK):
                if stopped.is_set():
                    raise Interrupted
                yield block


def _all_differences(
    pairs: Mapping[_Numbers, Replaced], reader: PartReader, stopped: Event, at: int
) -> Iterator[tuple[_Numbers, bytes]]:
    for numbers, pair in pairs.items():
        for line in _differences(pair, reader, stopped, at):
            yield numbers, line


def _differences(pair: Replaced, reader: PartReader, stopped: Event, at: int) -> Iterator[bytes]:
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
    pair: Replaced, reader: PartReader, stopped: Event
) -> Iterator[tuple[str | None, list[bytes], list[bytes]]]:
    """Give each user whose rows are not the same bytes, with the old and the new rows."""
    try:
        before, after = _entries(pair.old, reader), _entries(pair.new, reader)
    except DamagedPartError:
        # Nobody can say what a damaged part held.
        return
    for user in _users(pair.old, before.keys() | after.keys()):
        if stopped.is_set():
            raise Interrupted
        old = _rows(pair.old, before.get(user), reader)
        new = _rows(pair.new, after.get(user), reader)
        if old != new:
            yield user, old, new


def _entries(part: Part, reader: PartReader) -> dict[str | None, Entry]:
    return {entry.user: entry for entry in reader.checked_index(part)}


def _users(old: Part, found: Collection[str | None]) -> list[str | None]:
    """Sort users, and leave out those whom the old part did not ask for."""
    if old.users is not None:
        asked = frozenset(old.users)
        found = [user for user in found if user in asked]
    return sorted(found, key=null_first)


def _rows(part: Part, entry: Entry | None, reader: PartReader) -> list[bytes]:
    return [] if entry is None else reader.block(part, entry).splitlines()


def _within(rows: Sequence[bytes], interval: Interval) -> list[bytes]:
    # Instants in UTC sort as their texts do.
    start = iso(interval.start)
    end = iso(interval.end)
    return [row for row in rows if start <= orjson.loads(row)["interval_start"] < end]


def _changes_of_user(
    shared: Mapping[str, object], old: Iterable[bytes], new: Iterable[bytes]
) -> Iterator[bytes]:
    before, after = _by_key(old), _by_key(new)
    for key in dict.fromkeys(chain(before, after)):
        row = {**shared, **dict(key)}
        yield from _changes_of_row(row, before.get(key, {}), after.get(key, {}))


def _changes_of_row(
    shared: Mapping[str, object], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[bytes]:
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
