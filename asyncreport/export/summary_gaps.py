"""The chunks that a run could not fetch, for people and for `summary.json`. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated

from msgspec import Struct

from asyncreport.core.errors import AsyncReportError, AuthError, RetriesExhausted
from asyncreport.core.job import Chunk, PartKey
from asyncreport.core.text import counted, describe_users
from asyncreport.engine.activity import Gap
from asyncreport.export.summary_outputs import key

#: the error of a chunk that a merge lacks
NOT_FETCHED = "not fetched yet"


class MissingChunk(Struct, frozen=True, kw_only=True):
    """A chunk that could not be fetched."""

    connection: Annotated[str, key("name of the connection")]
    interval: Annotated[str, key("start/end, UTC")]
    users: Annotated[tuple[str, ...] | None, key("user ids; null: everyone")]
    error: Annotated[str, key("of the last attempt")]
    correlation_id: Annotated[
        str | None,
        key(
            "the vendor's support asks for it; null: no response came, or a response without an id"
        ),
    ] = None
    exit_code: Annotated[
        int,
        key("the exit code of a run with this gap: 3 if the OAuth client was refused, else 1"),
    ] = RetriesExhausted.exit_code
    stale: Annotated[
        bool,
        key("true: it should have been fetched again, and the values of an earlier run are used"),
    ] = False

    @classmethod
    def of(cls, gap: Gap, *, stale: bool = False) -> MissingChunk:
        """Describe a gap."""
        return cls(
            connection=gap.chunk.connection,
            interval=str(gap.chunk.interval),
            users=gap.chunk.users,
            error=str(gap.error),
            correlation_id=gap.error.correlation_id,
            exit_code=_exit_code(gap.error),
            stale=stale,
        )

    @classmethod
    def of_all(
        cls,
        gaps: Iterable[Gap],
        *,
        stale: AbstractSet[PartKey] = frozenset(),
    ) -> list[MissingChunk]:
        """Describe gaps in order of time; `stale` has the keys of stale parts."""
        # The scheduler lists gaps in the order in which they failed, which is different each time.
        in_order = sorted(gaps, key=_by_time)
        return [cls.of(gap, stale=_replaces_only(gap.chunk, stale)) for gap in in_order]

    @property
    def refused(self) -> bool:
        """Tell whether the server refused the OAuth client."""
        return self.exit_code == AuthError.exit_code

    @property
    def title(self) -> str:
        """Say what is missing, without the error."""
        return f"{self.fact}: {self.connection} {self.interval}, {_describe_users(self.users)}"

    @property
    def fact(self) -> str:
        """Say what the output lacks: the records, or their last values."""
        if self.stale:
            return "not fetched again"
        return "missing"


def list_gaps(chunks: Sequence[MissingChunk]) -> list[str]:
    """Describe each refused connection, then each other chunk.

    An error that is the same as in the line before is not repeated.
    """
    lines = _list_refused(chunks)
    previous = ""
    for chunk in chunks:
        if chunk.refused:
            continue
        lines.append(f"{chunk.title}: {_error(chunk, previous)}")
        previous = chunk.error
    return lines


def _list_refused(chunks: Iterable[MissingChunk]) -> list[str]:
    """Describe each connection whose OAuth clients were refused, in one line."""
    refused: defaultdict[tuple[str, str], list[MissingChunk]] = defaultdict(list)
    for chunk in chunks:
        if chunk.refused:
            refused[chunk.connection, chunk.fact].append(chunk)
    return [
        f"{fact}: {connection}, {counted(len(found), 'chunk')}: {found[0].error}"
        for (connection, fact), found in sorted(refused.items())
    ]


def _exit_code(error: AsyncReportError) -> int:
    """Give the exit code of a run with a gap: a refused client needs a person."""
    if isinstance(error, AuthError):
        return error.exit_code
    return RetriesExhausted.exit_code


def _error(chunk: MissingChunk, previous: str) -> str:
    """Give a chunk's error; `previous` is the one in the line before."""
    if chunk.error == previous != NOT_FETCHED:
        return "the same error"
    return chunk.error


def _by_time(gap: Gap) -> tuple[object, ...]:
    """Give the sort key of a gap."""
    return (gap.chunk.interval, gap.chunk.connection, gap.chunk.users or ())


def _replaces_only(chunk: Chunk, stale: AbstractSet[PartKey]) -> bool:
    """Tell whether a chunk was to replace parts, and all of them still exist and are stale."""
    return bool(chunk.replaces) and stale >= chunk.replaced_keys


def _describe_users(users: Sequence[str] | None) -> str:
    """Count users, and give the first and the last id of several."""
    if users is None or len(users) < 2:
        return describe_users(users)
    return f"{len(users):,} users ({users[0]} to {users[-1]})"
