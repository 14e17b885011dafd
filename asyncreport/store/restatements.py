"""What the vendor changed after the fact: fields of replaced parts beside those of the parts that replaced them. Owns `changes.jsonl`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import orjson
from msgspec import Struct

from asyncreport.core.errors import DamagedPartError
from asyncreport.core.job import Part
from asyncreport.core.timeline import Interval, iso
from asyncreport.store.atomic import PRIVATE, Sink, atomic_write, oserror_as_store_error
from asyncreport.store.merge import Interrupted
from asyncreport.store.parts import Entry, PartReader

NAME = "changes.jsonl"

#: a row's key ends with it: split values and the bucket stand before, what was measured behind
_LAST_OF_KEY = "interval_end"

# What tells, of a line, which change it belongs to. Searched for and not decoded: of lines that somebody edited, and of a file of
# gigabytes, nothing else matters.
_PAIR = re.compile(rb'"part":(\d{1,18}),"replaced":(\d{1,18}),')
_LONGEST_PAIR = 64

#: of a part that was replaced, and of the one that did
_Numbers = tuple[int, int]

#: bytes of what was noted before that are held at once
_BLOCK = 1 << 20


class Replaced(NamedTuple):
    """A part whose file still is there, and the part that stands in its place."""

    old: Part
    new: Part


class Restatements(Struct, frozen=True, kw_only=True):
    """How much differed."""

    values: int = 0
    #: parts in which a value did
    parts: int = 0
    #: `changes.jsonl`, where it holds any of them
    path: str = ""

    def __add__(self, more: Restatements) -> Restatements:
        return Restatements(
            values=self.values + more.values,
            parts=self.parts + more.parts,
            path=self.path or more.path,
        )

    def __str__(self) -> str:
        values = f"{self.values:,} value{'' if self.values == 1 else 's'}"
        return f"{values} in {self.parts:,} part{'' if self.parts == 1 else 's'} changed since they were fetched before: {self.path}"


def write_restatements(
    folder: Path, replaced: Iterable[Replaced], stopped: Event, *, at: int
) -> Restatements:
    """List, one JSON line each, the values in which parts differ from those they replaced; `at` is the instant of noting.

    A part that is listed already is not listed again: who was killed before the old files were deleted notes them anew.
    Lines of one call come all or none, and few are held at once. Raise StoreError, and Interrupted once `stopped` is set.
    """
    pairs = {(pair.old.number, pair.new.number): pair for pair in replaced}
    if not pairs:
        return Restatements()
    path = folder / NAME
    for numbers in _listed(path, pairs.keys(), stopped):
        del pairs[numbers]
    with PartReader(folder) as reader:
        found = (
            (numbers, line)
            for numbers, pair in pairs.items()
            for line in _differences(pair, reader, stopped, at)
        )
        first = next(found, None)
        if first is None:
            return Restatements()
        values, parts, size = 0, set(), path.stat().st_size if path.exists() else 0
        with atomic_write(path, owner=folder, mode=PRIVATE, needs=lambda: size) as sink:
            _copy(path, sink, stopped)
            for numbers, line in chain([first], found):
                size += len(line)
                sink.write(line)
                values += 1
                parts.add(numbers)
    return Restatements(values=values, parts=len(parts), path=str(path))


def _listed(path: Path, pairs: Collection[_Numbers], stopped: Event) -> set[_Numbers]:
    """Find those pairs of which changes are listed."""
    listed: set[_Numbers] = set()
    rest = b""
    for block in _blocks(path, stopped):
        text = rest + block
        listed.update(
            numbers
            for new, old in _PAIR.findall(text)
            if (numbers := (int(old), int(new))) in pairs
        )
        rest = text[-_LONGEST_PAIR:]
    return listed


def _copy(path: Path, sink: Sink, stopped: Event) -> None:
    """Copy what was noted before; a last line that somebody cut stays a line of its own."""
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


def _differences(pair: Replaced, reader: PartReader, stopped: Event, at: int) -> Iterator[bytes]:
    try:
        before, after = (
            {entry.user: entry for entry in reader.checked_index(part)} for part in pair
        )
    except DamagedPartError:
        return  # of a part that is not what was saved nobody can say what it held
    users = sorted(before.keys() | after.keys(), key=lambda user: user or "")
    asked = None if pair.old.users is None else frozenset(pair.old.users)
    for user in users:
        if stopped.is_set():
            raise Interrupted
        if asked is not None and user not in asked:
            continue
        old, new = (
            _rows(part, entries.get(user), reader)
            for part, entries in zip(pair, (before, after), strict=True)
        )
        if old != new:
            shared = {
                "at": iso(at),
                "part": pair.new.number,
                "replaced": pair.old.number,
                "user_id": user,
            }
            yield from _of_user(
                shared, _within(old, pair.new.interval), _within(new, pair.old.interval)
            )


def _rows(part: Part, entry: Entry | None, reader: PartReader) -> Sequence[bytes]:
    return reader.block(part, entry).splitlines() if entry is not None else ()


def _within(rows: Sequence[bytes], interval: Interval) -> Iterator[bytes]:
    """Leave out the rows that the other part of a pair does not reach."""
    start, end = iso(interval.start), iso(interval.end)
    for row in rows:
        if start <= orjson.loads(row)["interval_start"] < end:
            yield row


def _of_user(
    shared: Mapping[str, object], old: Iterable[bytes], new: Iterable[bytes]
) -> Iterator[bytes]:
    before, after = _by_key(old), _by_key(new)
    for key in dict.fromkeys(chain(before, after)):
        was, now = before.get(key, {}), after.get(key, {})
        for name in dict.fromkeys(chain(was, now)):
            if was.get(name) != now.get(name):
                change = {
                    **shared,
                    **dict(key),
                    "field": name,
                    "before": was.get(name),
                    "after": now.get(name),
                }
                yield orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE)


def _by_key(rows: Iterable[bytes]) -> dict[tuple[tuple[str, Any], ...], dict[str, Any]]:
    found = {}
    for row in rows:
        fields = list(orjson.loads(row).items())
        end = [name for name, _ in fields].index(_LAST_OF_KEY)
        found[tuple(fields[:end])] = dict(fields[end + 1 :])
    return found
