"""What the vendor changed after the fact: fields of replaced parts beside those of the parts that replaced them. Owns `changes.jsonl`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson
from msgspec import Struct

from asyncreport.errors import DamagedPartError
from asyncreport.job import Part
from asyncreport.store.disk import PRIVATE, replacing, reported
from asyncreport.store.parts import Entry, Reader
from asyncreport.timeline import Interval, iso

NAME = "changes.jsonl"

#: a row's key ends with it: split values and the bucket stand before, what was measured behind
_LAST_OF_KEY = "interval_end"


class Replaced(NamedTuple):
    """A part whose file still is there, and the part that stands in its place."""

    old: Part
    new: Part


class Changed(Struct, frozen=True, kw_only=True):
    """How much differed."""

    values: int = 0
    #: parts in which a value did
    parts: int = 0
    #: `changes.jsonl`, where it holds any of them
    path: str = ""

    def __str__(self) -> str:
        values = f"{self.values:,} value{'' if self.values == 1 else 's'}"
        return f"{values} in {self.parts:,} part{'' if self.parts == 1 else 's'} changed since they were fetched before: {self.path}"


class _Line(Struct):
    """What tells, of a line, which change it belongs to."""

    part: int
    replaced: int


def note_changes(folder: Path, replaced: Iterable[Replaced], *, at: int) -> Changed:
    """List, one JSON line each, the values in which parts differ from those they replaced; `at` is the instant of noting.

    A part that is listed already is not listed again: who was killed before the old files were deleted notes them anew.
    Lines of one call come all or none. Raise StoreError.
    """
    path = folder / NAME
    kept = _content(path)
    listed = {(line.replaced, line.part) for line in msgspec.json.Decoder(_Line).decode_lines(kept)}
    lines: list[bytes] = []
    parts = 0
    with Reader(folder) as reader:
        for pair in replaced:
            if (pair.old.number, pair.new.number) not in listed:
                found = list(_differences(pair, reader, at))
                parts += bool(found)
                lines += found
    if not lines:
        return Changed()
    with replacing(path, owner=folder, mode=PRIVATE) as sink:
        for data in (kept, *lines):
            sink.write(data)
    return Changed(values=len(lines), parts=parts, path=str(path))


def _content(path: Path) -> bytes:
    with reported(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""


def _differences(pair: Replaced, reader: Reader, at: int) -> Iterator[bytes]:
    try:
        before, after = ({entry.user: entry for entry in reader.checked_index(part)} for part in pair)
    except DamagedPartError:
        return  # of a part that is not what was saved nobody can say what it held
    users = sorted(before.keys() | after.keys(), key=lambda user: user or "")
    asked = None if pair.old.users is None else frozenset(pair.old.users)
    for user in users:
        if asked is not None and user not in asked:
            continue
        old, new = (_rows(part, entries.get(user), reader) for part, entries in zip(pair, (before, after), strict=True))
        if old != new:
            shared = {"at": iso(at), "part": pair.new.number, "replaced": pair.old.number, "user_id": user}
            yield from _of_user(shared, _within(old, pair.new.interval), _within(new, pair.old.interval))


def _rows(part: Part, entry: Entry | None, reader: Reader) -> Sequence[bytes]:
    return reader.block(part, entry).splitlines() if entry is not None else ()


def _within(rows: Sequence[bytes], interval: Interval) -> Iterator[bytes]:
    """Leave out the rows that the other part of a pair does not reach."""
    start, end = iso(interval.start), iso(interval.end)
    for row in rows:
        if start <= orjson.loads(row)["interval_start"] < end:
            yield row


def _of_user(shared: Mapping[str, object], old: Iterable[bytes], new: Iterable[bytes]) -> Iterator[bytes]:
    before, after = _by_key(old), _by_key(new)
    for key in dict.fromkeys(chain(before, after)):
        was, now = before.get(key, {}), after.get(key, {})
        for name in dict.fromkeys(chain(was, now)):
            if was.get(name) != now.get(name):
                change = {**shared, **dict(key), "field": name, "before": was.get(name), "after": now.get(name)}
                yield orjson.dumps(change, option=orjson.OPT_APPEND_NEWLINE)


def _by_key(rows: Iterable[bytes]) -> dict[tuple[tuple[str, Any], ...], dict[str, Any]]:
    found = {}
    for row in rows:
        fields = list(orjson.loads(row).items())
        end = [name for name, _ in fields].index(_LAST_OF_KEY)
        found[tuple(fields[:end])] = dict(fields[end + 1 :])
    return found
