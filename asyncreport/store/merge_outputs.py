"""Parts into one output file, with team and names in front of every line. Owns the output files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import orjson

from asyncreport.core.columns import null_first
from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part, Team
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.timeline import Interval, iso
from asyncreport.store.atomic import Sink, atomic_write
from asyncreport.store.folders import make_folder
from asyncreport.store.parts import Entry, PartReader, part_name
from asyncreport.store.target import Source, Target
from asyncreport.store.threads import Interrupted

#: how a part's index is read
ReadIndex = Callable[[Part], Sequence[Entry]]

# No value can contain these bytes: JSON escapes the quotes inside a value, and no value is followed
# by a colon.
_START = b'"interval_start":"'
_INSTANT = len("2023-10-01T10:00:00.000Z")


@dataclass(slots=True, frozen=True)
class UserRun:
    """The records of one user in one team and month: how each line begins, and where they are."""

    team: str
    source: Source
    prefix: bytes
    #: in order of time
    blocks: Sequence[tuple[Part, Entry]]


@dataclass(slots=True, frozen=True, kw_only=True)
class Merged:
    """An output file as it was merged."""

    #: bytes
    size: int
    #: hex
    sha256: str
    #: by the team's name
    records: dict[str, int]
    #: whether the old file had other content, or there was none; False in a dry run
    changed: bool


def merge(
    target: Target,
    reader: PartReader,
    stopped: Event,
    check: Callable[[Path], None] = lambda _: None,
) -> Merged:
    """Write a target's file; when this returns it is complete and durable under its name.

    An old file with the same content is not touched. `check` is called right before another one is
    replaced; if it raises an error, the old file stays.
    Raise StoreError, or Interrupted once `stopped` is set, and the old file stays.
    """
    make_folder(target.path.parent)
    with atomic_write(
        target.path,
        owner=reader.folder,
        needs=lambda: _size(target, reader),
        keep_equal=True,
        before_replace=lambda: check(target.path),
    ) as sink:
        records = _copy_all(target, reader, stopped, sink)
    return Merged(size=sink.size, sha256=sink.sha256, records=records, changed=sink.changed)


def dry_run(target: Target, reader: PartReader, stopped: Event) -> Merged:
    """Report what `merge` would write, and write nothing.

    Raise StoreError, and Interrupted once `stopped` is set.
    """
    with Path(os.devnull).open("wb", buffering=0) as nowhere:
        sink = Sink(nowhere.fileno())
        records = _copy_all(target, reader, stopped, sink)
        sink.flush()
    return Merged(size=sink.size, sha256=sink.sha256, records=records, changed=False)


def _size(target: Target, reader: PartReader) -> int:
    """Add up the bytes of a target's lines from the indexes.

    Queue names are not counted, nor is what the range leaves out.
    """
    size = 0
    for run in walk(target, reader.index):
        for _, entry in run.blocks:
            # The prefix takes the place of the brace that opens a line.
            size += entry.length + entry.count * (len(run.prefix) - 1)
    return size


def _copy_all(target: Target, reader: PartReader, stopped: Event, sink: Sink) -> dict[str, int]:
    """Copy a target's lines into a sink, and count them by team."""
    records = {team.name: 0 for team in target.teams}
    for run in walk(target, reader.checked_index):
        if stopped.is_set():
            raise Interrupted
        records[run.team] += _copy(run, target.interval, reader, sink)
    return records


def walk(target: Target, read_index: ReadIndex) -> Iterator[UserRun]:
    """Go through a target's records in the order of its lines: month, team, user, time."""
    for month in target.months:
        # A generator of its own: it drops one month's indexes before the next month's are read.
        # Two months' indexes at once were a third of the peak memory.
        yield from _walk_month(target, month, read_index)


def _walk_month(target: Target, month: str, read_index: ReadIndex) -> Iterator[UserRun]:
    indexes = {}
    for team in target.teams:
        if team.connection not in indexes:
            indexes[team.connection] = _index(target.parts(team.connection, month), read_index)
    for team in target.teams:
        index = indexes[team.connection]
        source = target.sources[team.connection]
        for user in _members(team, index):
            prefix = _prefix(team.name, user, source.names)
            yield UserRun(team.name, source, prefix, index[user])


def _index(
    parts: Sequence[Part], read_index: ReadIndex
) -> dict[str | None, list[tuple[Part, Entry]]]:
    """Join the indexes of one month's parts, which are in order of time.

    Raise StoreError if two parts hold the same time of a user.
    """
    index: dict[str | None, list[tuple[Part, Entry]]] = {}
    for part in parts:
        for entry in read_index(part):
            blocks = index.setdefault(entry.user, [])
            if blocks and blocks[-1][0].interval.end > part.interval.start:
                raise _overlap(blocks[-1][0], part, entry.user)
            blocks.append((part, entry))
    return index


def _overlap(one: Part, other: Part, user: str | None) -> StoreError:
    return StoreError(
        f"{part_name(one.number)} and {part_name(other.number)} both hold user {user} at "
        f"{iso(other.interval.start)}; delete both files from the state folder and run again: "
        "they are fetched again"
    )


def _members(team: Team, index: Mapping[str | None, object]) -> list[str | None]:
    """List the members of a team who have records; for everyone, the rows without a user first."""
    if team.everyone:
        return sorted(index, key=null_first)
    return [user for user in sorted(set(team.users)) if user in index]


def _prefix(team: str, user: str | None, names: Mapping[str, str | None]) -> bytes:
    """Write how every line of a user begins: an open JSON object."""
    name = None if user is None else names.get(user)
    fields = orjson.dumps({"team": team, "user_id": user, "user_name": name})
    return escape_separators(fields).removesuffix(b"}") + b","


def _copy(run: UserRun, interval: Interval, reader: PartReader, sink: Sink) -> int:
    """Copy one user's lines and count them; this loop moves every byte of an export."""
    copied = 0
    # Only a brace that opens a line follows a newline. Split and joined: twice as fast as
    # bytes.replace, whose search is made for longer texts.
    between = b"\n" + run.prefix
    for part, entry in run.blocks:
        block, count = reader.block(part, entry), entry.count
        if not _covers(interval, part):
            block, count = _within(block, interval)
        if count:
            # Parts of earlier versions may hold separators as they are.
            lines = escape_separators(run.source.with_queue_names(block))
            sink.write(run.prefix)
            sink.write(between.join(lines[1:].split(b"\n{")))
        copied += count
    return copied


def _covers(interval: Interval, part: Part) -> bool:
    return interval.start <= part.interval.start and part.interval.end <= interval.end


def _within(block: bytes, interval: Interval) -> tuple[bytes, int]:
    """Keep the lines that begin in an interval, and count them."""
    # Instants in UTC sort as their texts do.
    start = iso(interval.start).encode()
    end = iso(interval.end).encode()
    found = []
    for line in block.splitlines(keepends=True):
        at = line.index(_START) + len(_START)
        begins = line[at : at + _INSTANT]
        if start <= begins < end:
            found.append(line)
    return b"".join(found), len(found)
