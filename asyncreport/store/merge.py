"""Standing parts into one output file, with team and names put in front of every line. Owns the output files."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Event

import orjson
from msgspec import Struct

from asyncreport.core.errors import ConfigError, StoreError
from asyncreport.core.job import Part, Team
from asyncreport.core.timeline import Interval, iso
from asyncreport.store.atomic import Sink, atomic_write, make_folder, oserror_as_store_error
from asyncreport.store.parts import Entry, PartReader, part_name

#: how a part's index is read
ReadIndex = Callable[[Part], Sequence[Entry]]

# A value cannot hold these bytes: JSON escapes the quotes inside one, and no value is followed by a colon.
_START = b'"interval_start":"'
_QUEUE = re.compile(rb'"queue_id":(null|"(?:[^"\\]|\\.)*")')
_INSTANT = len("2023-10-01T10:00:00.000Z")


class Source(Struct, frozen=True):
    """One connection's standing parts and names; `Source.of` makes it."""

    #: by month, each in order of time
    months: Mapping[str, Sequence[Part]]
    names: Mapping[str, str | None]
    #: of all names
    names_digest: str
    #: names by queue id; None: the rows have no queue
    queues: Mapping[str, str | None] | None = None

    @classmethod
    def of(
        cls,
        parts: Iterable[Part],
        names: Mapping[str, str | None],
        queues: Mapping[str, str | None] | None = None,
    ) -> Source:
        """Sort parts by month and time."""
        months = defaultdict(list)
        for part in sorted(parts, key=lambda part: part.interval):
            months[part.month].append(part)
        known = [sorted(names.items()), None if queues is None else sorted(queues.items())]
        return cls(months, names, sha256(orjson.dumps(known)).hexdigest(), queues)

    def with_queue_names(self, block: bytes) -> bytes:
        """Put `queue_name` beside every `queue_id`; a quote inside a value is escaped, so that only a key matches."""
        queues = self.queues
        if queues is None:
            return block
        return _QUEUE.sub(
            lambda found: (
                b'%b,"queue_name":%b' % (found[0], orjson.dumps(queues.get(orjson.loads(found[1]))))
            ),
            block,
        )


class Target(Struct, frozen=True, kw_only=True):
    """One output file: where it is and what belongs in it."""

    #: absolute: it is remembered under this name
    path: Path
    #: the range; what lies outside it is cut away
    interval: Interval
    #: in order of time
    months: tuple[str, ...]
    #: as the job orders them
    teams: tuple[Team, ...]
    #: by the connection's name
    sources: Mapping[str, Source]

    def parts(self, connection: str, month: str) -> list[Part]:
        """List a connection's parts that overlap the range, in order of time."""
        return [
            part
            for part in self.sources[connection].months.get(month, ())
            if part.interval.overlaps(self.interval)
        ]

    @property
    def has_data(self) -> bool:
        """Tell whether any part stands that may hold something of it."""
        return any(
            part.users is None or team.users is None or not set(part.users).isdisjoint(team.users)
            for team in self.teams
            for month in self.months
            for part in self.parts(team.connection, month)
        )


class UserRun(Struct, frozen=True):
    """What one user did for one team in one month: what every line begins with, and where the lines are."""

    team: str
    source: Source
    prefix: bytes
    #: in order of time
    blocks: Sequence[tuple[Part, Entry]]


class Merged(Struct, frozen=True, kw_only=True):
    """An output file as it was written."""

    #: bytes
    size: int
    #: hex
    sha256: str
    #: by the team's name
    records: dict[str, int]
    #: whether the old file had another content, or there was none
    changed: bool


def check_targets(paths: Iterable[Path]) -> None:
    """Make the folders of output files and see that these can be written, before any work is done.

    Raise StoreError, and ConfigError where two paths lead to one file.
    """
    first: dict[str, Path] = {}
    for path in paths:
        _check_target(path)
        # Some file systems tell neither case nor composed letters apart.
        real = unicodedata.normalize("NFC", os.path.realpath(path)).casefold()
        if real in first:
            raise ConfigError(
                f"{path} and {first[real]} lead to one file, {os.path.realpath(path)}; give one of the two another path"
            )
        first[real] = path


def _check_target(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise StoreError(
            f"{path} has a name that is no UTF-8, and cannot be remembered; give the output another folder"
        ) from error
    with oserror_as_store_error(path, "reached"):
        if path.exists() and not path.is_file():
            raise StoreError(f"{path} is a folder or a device; give the output the path of a file")
    make_folder(path.parent)
    # A link stays a link, and what it leads to is replaced.
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise StoreError(
            f"{path} is a link into {folder}, which is no folder; make that folder, or mend the link, then run again"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(
            f"{path} cannot be written: {folder} is closed to this user; open it or give another path"
        )


class Interrupted(Exception):
    """Break off a merge that nobody waits for any more; the old file stands."""


def merge(target: Target, reader: PartReader, stopped: Event) -> Merged:
    """Write a target's file, complete under its name when this returns.

    An old file with the same content is not touched.
    Raise StoreError, or Interrupted once `stopped` is set, and the old one stands.
    """
    make_folder(target.path.parent)
    with atomic_write(
        target.path, owner=reader.folder, needs=partial(_size, target, reader), keep_equal=True
    ) as sink:
        records = _pour(target, reader, stopped, sink)
    return Merged(size=sink.size, sha256=sink.sha256, records=records, changed=sink.changed)


def _size(target: Target, reader: PartReader) -> int:
    """Add up what a target's lines take, by the indexes alone; names of queues and what is cut away are not counted."""
    found = walk(target, reader.index)
    return sum(
        entry.length + entry.count * (len(stretch.prefix) - 1)
        for stretch in found
        for _, entry in stretch.blocks
    )


def dry_run(target: Target, reader: PartReader, stopped: Event) -> Merged:
    """Tell what `merge` would write, and write nothing; raise StoreError, and Interrupted once `stopped` is set."""
    with Path(os.devnull).open("wb", buffering=0) as nowhere:
        sink = Sink(nowhere.fileno())
        records = _pour(target, reader, stopped, sink)
        sink.flush()
    return Merged(size=sink.size, sha256=sink.sha256, records=records, changed=False)


def _pour(target: Target, reader: PartReader, stopped: Event, sink: Sink) -> dict[str, int]:
    records = Counter({team.name: 0 for team in target.teams})
    for stretch in walk(target, reader.checked_index):
        if stopped.is_set():
            raise Interrupted
        records[stretch.team] += _copy(stretch, target.interval, reader, sink)
    return dict(records)


def walk(target: Target, read_index: ReadIndex) -> Iterator[UserRun]:
    """Go through what belongs in a target in the order of its lines: month, team, user, time."""
    for month in target.months:
        indexes = {
            name: _index(target.parts(name, month), read_index)
            for name in {team.connection for team in target.teams}
        }
        for team in target.teams:
            index, names = indexes[team.connection], target.sources[team.connection].names
            for user in _members(team, index):
                yield UserRun(
                    team.name,
                    target.sources[team.connection],
                    _prefix(team.name, user, names),
                    index[user],
                )
        # Before the next month's are read: two months' indexes at once were a third of the peak.
        indexes, index = {}, {}


def _index(
    parts: Sequence[Part], read_index: ReadIndex
) -> dict[str | None, list[tuple[Part, Entry]]]:
    """Turn the indexes of one month's parts into one; raise StoreError where two parts hold the same time of a user."""
    index: dict[str | None, list[tuple[Part, Entry]]] = {}
    for part in parts:
        for entry in read_index(part):
            blocks = index.setdefault(entry.user, [])
            if blocks and blocks[-1][0].interval.end > part.interval.start:
                raise StoreError(
                    f"{part_name(blocks[-1][0].number)} and {part_name(part.number)} both hold user {entry.user} at "
                    f"{iso(part.interval.start)}; delete both files from the state folder and run again: they will be fetched again"
                )
            blocks.append((part, entry))
    return index


def _members(team: Team, index: Mapping[str | None, object]) -> list[str | None]:
    """List the members of a team who have records; everyone begins with what no user handled."""
    if team.users is None:
        return sorted(index, key=lambda user: (user is not None, user or ""))
    return [user for user in sorted(set(team.users)) if user in index]


def _prefix(team: str, user: str | None, names: Mapping[str, str | None]) -> bytes:
    name = None if user is None else names.get(user)
    return orjson.dumps({"team": team, "user_id": user, "user_name": name})[:-1] + b","


def _copy(stretch: UserRun, interval: Interval, reader: PartReader, sink: Sink) -> int:
    """Copy one stretch and count its lines: the brace that opens a line, and only that, follows a newline."""
    copied = 0
    between = (
        b"\n" + stretch.prefix
    )  # split and joined: twice as fast as bytes.replace, whose search is for longer texts
    for part, entry in stretch.blocks:
        block, count = reader.block(part, entry), entry.count
        if not (interval.start <= part.interval.start and part.interval.end <= interval.end):
            block, count = _cut(block, interval)
        if count:
            sink.write(stretch.prefix)
            sink.write(between.join(stretch.source.with_queue_names(block)[1:].split(b"\n{")))
        copied += count
    return copied


def _cut(block: bytes, interval: Interval) -> tuple[bytes, int]:
    """Keep the lines that begin in an interval, and count them: instants in UTC sort as their texts do."""
    start, end = iso(interval.start).encode(), iso(interval.end).encode()
    kept = []
    for line in block.splitlines(keepends=True):
        at = line.index(_START) + len(_START)
        if start <= line[at : at + _INSTANT] < end:
            kept.append(line)
    return b"".join(kept), len(kept)
