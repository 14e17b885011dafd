"""What a merge would write: its lines are counted and hashed, and nothing is kept. Owns nothing."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from asyncreport.store.merge_outputs import Merged, lines_of, walk
from asyncreport.store.parts import PartReader
from asyncreport.store.record_lines import Lines
from asyncreport.store.replacement import Sink
from asyncreport.store.target import Target


def dry_run(
    targets: Sequence[Target],
    reader: PartReader,
    stopped: Event,
) -> Generator[tuple[Target, Merged], None, None]:
    """Report what `merge` would write, and write nothing.

    Raise StoreError, and Interrupted once `stopped` is set.
    """
    with Path(os.devnull).open("wb", buffering=0) as nowhere:
        files = [_NoFile(target, Sink(nowhere.fileno())) for target in targets]
        for file in walk(files, reader, stopped):
            yield file.target, file.finish()


@dataclass(slots=True)
class _NoFile:
    """A file that is only counted and hashed."""

    target: Target
    sink: Sink
    lines: Lines = field(init=False)

    def __post_init__(self) -> None:
        """Begin to count."""
        self.lines = lines_of(self.target)

    @property
    def months_left(self) -> Sequence[str]:
        """Give all months."""
        return self.target.months

    def writing(self, _: str) -> AbstractContextManager[Sink]:
        """Give the sink for one month."""
        return nullcontext(self.sink)

    def finish(self) -> Merged:
        """Report what the file would be."""
        self.sink.flush()
        self.sink.changed = False
        return Merged.of(self.target.path, self.sink, self.lines, {})
