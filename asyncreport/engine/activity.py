"""What a command is doing: the command changes it, a display reads it. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Chunk
from asyncreport.net import RequestCounts


@dataclass(frozen=True, slots=True)
class Gap:
    """A chunk that could not be fetched."""

    chunk: Chunk
    error: AsyncReportError


@dataclass(slots=True)
class Count:
    """What has been done for one connection."""

    chunks: int = 0
    #: chunks saved
    finished: int = 0
    #: records saved
    records: int = 0
    gaps: list[Gap] = field(default_factory=list)


@dataclass(slots=True)
class Progress:
    """What has been done so far; only the engine changes it, others read it."""

    #: the server has answered this query before: there are parts of it
    proven: bool = False
    #: by the connection's name, in the order of the works
    counts: dict[str, Count] = field(default_factory=dict)

    def of(self, name: str) -> Count:
        """Give the count of a connection."""
        return self.counts.setdefault(name, Count())

    @property
    def chunks(self) -> int:
        """Count all chunks."""
        return sum(count.chunks for count in self.counts.values())

    @property
    def finished(self) -> int:
        """Count the chunks that were saved."""
        return sum(count.finished for count in self.counts.values())

    @property
    def records(self) -> int:
        """Count the records that were saved."""
        return sum(count.records for count in self.counts.values())

    @property
    def gaps(self) -> list[Gap]:
        """List the chunks that could not be fetched."""
        return list(chain.from_iterable(count.gaps for count in self.counts.values()))

    def begin_again(self) -> None:
        """Forget the gaps before another plan: it lists their chunks again if they are needed."""
        for count in self.counts.values():
            count.chunks -= len(count.gaps)
            count.gaps.clear()


#: what a command does, one after another; some of them more than once
Phase = Literal[
    "starting",
    "opening the bucket",
    "checking",
    "looking up teams",
    "listing",
    "planning",
    "fetching",
    "looking up names",
    "writing",
    "making the report",
    "uploading",
    "verifying",
]


def _no_requests() -> Mapping[str, RequestCounts]:
    """Give the counts before any connection is open."""
    return {}


@dataclass(slots=True)
class Activity:
    """What a command is doing."""

    #: the job's name
    name: str
    phase: Phase = "starting"
    #: of the chunks to fetch
    progress: Progress = field(default_factory=Progress)
    #: give what the requests of each open connection have cost so far, by its name
    requests: Callable[[], Mapping[str, RequestCounts]] = _no_requests
    #: parts that wait for the disk
    saving: Callable[[], int] = lambda: 0


#: show an activity while a block runs
Watch = Callable[[Activity], AbstractAsyncContextManager[None]]


def unwatched(_: Activity) -> AbstractAsyncContextManager[None]:
    """Show nothing."""
    return nullcontext()
