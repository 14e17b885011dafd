"""The lines of a manifest: what each kind has, and how it is written and read. Pure.

A line is a JSON object whose last key is the CRC-32 of the line without that key. The first line
is the header. Numbers that a reader counts or allocates by are checked here.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part
from asyncreport.core.json_lines import escape_separators
from asyncreport.core.timeline import Interval, iso, parse_iso

#: of the state folder; a folder with a higher number was written by a newer version
FORMAT = 2

# More is not a number that anybody wrote.
_Number = Annotated[int, Meta(ge=1, lt=1 << 40)]
_Size = Annotated[int, Meta(ge=0, lt=1 << 53)]

_CRC = b',"crc":"%08x"}'
_CRC_LENGTH = len(_CRC % 0)


class Header(Struct, frozen=True, kw_only=True):
    """The first line; a later one replaces it."""

    format: int = FORMAT
    #: ids of the organisations that the parts are of, by the connection's identity: its host
    organizations: dict[str, str] = {}


class PartLine(Struct, frozen=True, kw_only=True):
    """A part as its line spells it: instants as text, the user ids by their digest."""

    part: _Number
    fingerprint: str
    month: str
    interval: str
    users: str | None
    fetched_at: str
    count: _Size
    size: _Size
    index_at: _Size
    sha256: str
    #: None: format 1 did not store it
    edges: str | None = None
    replaces: tuple[_Number, ...] = ()

    @classmethod
    def of(cls, part: Part, users: str | None, replaces: tuple[int, ...]) -> PartLine:
        """Spell a part; `users` is the digest of its user ids, or None for everyone."""
        return cls(
            part=part.number,
            fingerprint=part.fingerprint,
            month=part.month,
            interval=str(part.interval),
            users=users,
            fetched_at=iso(part.fetched_at),
            count=part.count,
            size=part.size,
            index_at=part.index_at,
            sha256=part.sha256,
            edges=part.edges,
            replaces=replaces,
        )

    def to_part(self, connection: str, users: tuple[str, ...] | None) -> Part:
        """Make the part of a connection; raise ValueError if the line contradicts itself."""
        if self.index_at >= self.size:
            raise ValueError("its index is not inside the file")
        start, _, end = self.interval.partition("/")
        return Part(
            connection=connection,
            number=self.part,
            fingerprint=self.fingerprint,
            month=self.month,
            interval=Interval(parse_iso(start), parse_iso(end)),
            users=users,
            fetched_at=parse_iso(self.fetched_at),
            count=self.count,
            size=self.size,
            index_at=self.index_at,
            sha256=self.sha256,
            edges=self.edges,
        )


class UsersLine(Struct, frozen=True, kw_only=True):
    """A set of user ids, stored once, before the first part that has it."""

    users: str
    ids: tuple[str, ...]


class AgainLine(Struct, frozen=True, kw_only=True):
    """Numbers of parts that are stale until each is replaced."""

    again: tuple[_Number, ...]


class ChangesLine(Struct, frozen=True, kw_only=True):
    """How long `changes.jsonl` is, and which pairs of parts were just compared."""

    #: bytes; what follows in the file was never finished
    changes: _Size
    #: numbers of the replaced part and of the part that replaced it
    pairs: tuple[tuple[_Number, _Number], ...] = ()


Line = Header | PartLine | UsersLine | AgainLine | ChangesLine

# Every start of every command reads all lines: their kind is known from the first key, and each
# is decoded once.
_KINDS: dict[bytes, type[Line]] = {
    b"part": PartLine,
    b"users": UsersLine,
    b"again": AgainLine,
    b"changes": ChangesLine,
    b"format": Header,
}


def digest_of_users(ids: tuple[str, ...]) -> str:
    """Name a set of user ids."""
    return hashlib.sha256(msgspec.json.encode(ids)).hexdigest()[:32]


class Added(NamedTuple):
    """A part to commit, and the numbers of the parts that it replaces."""

    part: Part
    replaces: tuple[int, ...] = ()


def lines_of(parts: Iterable[Added], known: Iterable[str] = ()) -> Iterator[UsersLine | PartLine]:
    """Give the lines of parts, each set of user ids before the first that needs it.

    `known` are the digests of the sets that have lines already.
    """
    written = set(known)
    for part, replaces in parts:
        users = None
        if part.users is not None:
            users = digest_of_users(part.users)
            if users not in written:
                yield UsersLine(users=users, ids=part.users)
                written.add(users)
        yield PartLine.of(part, users, replaces)


def seal(line: Line) -> bytes:
    """Write a line with its checksum, and the newline at its end."""
    body = escape_separators(msgspec.json.encode(line))
    return body[:-1] + _CRC % zlib.crc32(body) + b"\n"


def unseal(data: bytes) -> Line:
    """Read a line without its newline; raise DecodeError or ValueError if it is wrong."""
    body = data[:-_CRC_LENGTH] + b"}"
    if not data.endswith(_CRC % zlib.crc32(body)):
        raise ValueError("its checksum is wrong")
    return decode(body)


def decode(body: bytes) -> Line:
    """Read a line that has no checksum; raise DecodeError or ValueError if it is wrong."""
    first_key = body[2:10].partition(b'"')[0]
    kind = _KINDS.get(first_key)
    if kind is None:
        raise ValueError("this version does not know this kind of line")
    return msgspec.json.decode(body, type=kind)


def format_of(first: bytes) -> int | None:
    """Read only the format from a first line; None: it is not a header."""
    try:
        return msgspec.json.decode(first, type=_Format).format
    except (msgspec.DecodeError, ValueError):
        return None


class _Format(Struct):
    """What every version's header has."""

    format: int


def unreadable(path: Path, number: int, error: Exception) -> StoreError:
    """Make the error for a line of a manifest."""
    return StoreError(
        f"{path}, line {number}: cannot be read ({error}); restore the file from a "
        f"backup, or delete the folder {path.parent} and run again: everything is fetched again"
    )
