"""Lines of roll-ups in memory, for pages rather than output files. Owns nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from threading import Event

from asyncreport.store.merge_outputs import lines_of, walk
from asyncreport.store.parts import PartReader
from asyncreport.store.record_lines import Lines
from asyncreport.store.target import Target


def read_lines(targets: Sequence[Target], reader: PartReader, stopped: Event) -> list[bytes]:
    """Give the lines of each target without writing a file; they must fit in memory.

    Raise StoreError, and Interrupted once `stopped` is set.
    """
    files = [_InMemory(target) for target in targets]
    for _ in walk(files, reader, stopped):
        continue
    return [file.content.getvalue() for file in files]


@dataclass(slots=True)
class _InMemory:
    """Lines that are kept in memory."""

    target: Target
    lines: Lines = field(init=False)
    content: BytesIO = field(default_factory=BytesIO)

    def __post_init__(self) -> None:
        """Begin without lines."""
        self.lines = lines_of(self.target)

    @property
    def months_left(self) -> Sequence[str]:
        """Give all months."""
        return self.target.months

    def writing(self, _: str) -> AbstractContextManager[BytesIO]:
        """Give the buffer that takes the lines."""
        return nullcontext(self.content)
