"""Parts into JSON lines: all output files of a job in one walk. Owns the files while it writes.

The walk goes month after month, and in a month file after file, so that the indexes of a month are
read once. A file is open only while its lines of a month are written. A file of another format is
converted from lines that are written into a temporary file here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Protocol, TypeVar

from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.folders import make_folder
from asyncreport.store.parts import PartReader
from asyncreport.store.record_lines import Lines, LineSink, Month, RecordLines
from asyncreport.store.replacement import Replacement, Sink
from asyncreport.store.rollup_lines import RollUpLines
from asyncreport.store.sizes import Indexes, lines_size, read_indexes
from asyncreport.store.target import Target


@dataclass(slots=True, frozen=True, kw_only=True)
class Merged:
    """The lines of an output file as they were merged."""

    #: the file with the lines
    path: Path
    #: bytes
    size: int
    #: hex
    sha256: str
    #: by the team's name; of a roll-up, the rows under an empty name
    records: dict[str, int]
    #: by month: SHA-256 of its lines, in hex; empty if a line may be of two months
    months: dict[str, str]
    #: whether the old file had other content, or there was none; False in a dry run
    changed: bool

    @classmethod
    def of(cls, path: Path, sink: Sink, lines: Lines, months: dict[str, str]) -> Merged:
        """Describe a file that is complete."""
        return cls(
            path=path,
            size=sink.size,
            sha256=sink.sha256,
            records=lines.records,
            months=months,
            changed=sink.changed,
        )


def merge(
    targets: Sequence[Target],
    reader: PartReader,
    stopped: Event,
    begin: Begin | None = None,
) -> Generator[tuple[Target, Merged], None, None]:
    """Write lines; each file that is given is complete and durable under its name.

    The lines for a file of another format are in a temporary file, which is gone once the next one
    is asked for. An old file with the same content is not touched. `begin` may give files that
    have some of their months; None: all are new.
    Raise StoreError, or Interrupted once `stopped` is set; the files that were not given stay.
    """
    files = [(begin or new_file)(target, reader) for target in targets]
    try:
        for file in walk(files, reader, stopped):
            yield file.target, file.finish()
            file.release()
    finally:
        for file in files:
            file.discard()


class _File(Protocol):
    """What the walk needs of a file."""

    target: Target
    lines: Lines

    @property
    def months_left(self) -> Sequence[str]:
        """Give the months that are to be written, in order of time."""

    def writing(self, month: str) -> AbstractContextManager[LineSink]:
        """Open the file for one month."""


#: begin an output file
Begin = Callable[[Target, PartReader], "NewFile"]


def lines_of(target: Target) -> Lines:
    """Begin the lines of a file."""
    if target.form.rollup is not None:
        return RollUpLines(target, target.form.rollup)
    return RecordLines(target)


def new_file(
    target: Target, reader: PartReader, check: Callable[[Path], None] = lambda _: None
) -> NewFile:
    """Begin a file: the output file itself, or one with the lines that it is converted from.

    `check` is called right before an old file is replaced; if it raises an error, that file stays.
    """
    if target.form.format.convert is None:
        return NewFile(target, target.path, reader, check)
    return _Scratch(target, _scratch_path(target, reader.folder), reader, check)


def _scratch_path(target: Target, folder: Path) -> Path:
    """Name the lines of an output file: files of several folders may have one name."""
    return folder / sha256(os.fsencode(target.path)).hexdigest()[:16]


class NewFile:
    """An output file that is being written."""

    def __init__(
        self,
        target: Target,
        path: Path,
        reader: PartReader,
        check: Callable[[Path], None],
    ) -> None:
        self.target = target
        self.lines = lines_of(target)
        self._path = path
        self._reader = reader
        self._check = check
        self._new = Replacement(path, owner=reader.folder)
        self._months: dict[str, str] = {}

    @property
    def months_left(self) -> list[str]:
        """Give the months that are not written yet."""
        return [month for month in self.target.months if month not in self._months]

    def go_on(
        self, target: Target, reader: PartReader, check: Callable[[Path], None] = lambda _: None
    ) -> None:
        """Write the months that are left from a newer list of parts and names."""
        self.target = self.lines.target = target
        self._reader = reader
        self._check = check

    @contextmanager
    def writing(self, month: str) -> Iterator[Sink]:
        """Open the file for one month."""
        make_folder(self._path.parent)
        with self._errors(), self._new.writing() as sink:
            # The only month of a file has the digest of the whole file.
            if len(self.target.months) > 1:
                sink.start_section()
            yield sink
        self._months[month] = self._new.sink.section_sha256

    def _merged(self, path: Path) -> Merged:
        """Describe the lines."""
        months = self._months if self.target.form.has_months else {}
        return Merged.of(path, self._new.sink, self.lines, months)

    def finish(self) -> Merged:
        """Put the file in its place."""
        with self._errors():
            self._new.finish(keep_equal=True, before_replace=lambda: self._check(self._path))
        return self._merged(self._path)

    def release(self) -> None:
        """Do nothing: the file stays."""

    def discard(self) -> None:
        """Remove what is left of a file that was not finished."""
        with self._errors():
            self._new.discard()

    def _errors(self) -> AbstractContextManager[None]:
        """Turn errors of the system into StoreError."""
        return oserror_as_store_error(self._new.path, "written", self._needs)

    def _needs(self) -> int:
        """Count the bytes of the whole file, for a disk that is full."""
        return lines_size(self.target, self._reader)


class _Scratch(NewFile):
    """The lines that a file of another format is converted from."""

    def finish(self) -> Merged:
        """Give the temporary file: it need not survive a power cut."""
        return self._merged(self._new.temporary)

    def release(self) -> None:
        """Remove the lines once the file is converted."""
        self.discard()


F = TypeVar("F", bound=_File)


def walk(files: Sequence[F], reader: PartReader, stopped: Event) -> Iterator[F]:
    """Write the records of all files, month after month; give each file when it is complete."""
    left = [(file, tuple(file.months_left)) for file in files]
    # Files whose last month was written earlier.
    yield from (file for file, months in left if not months)
    for month in sorted(set(chain.from_iterable(months for _, months in left))):
        of_month = [file for file, months in left if month in months]
        write_month(of_month, month, reader, stopped)
        for file in of_month:
            if month == file.target.months[-1]:
                yield file


def write_month(files: Sequence[_File], month: str, reader: PartReader, stopped: Event) -> None:
    """Write the records of one month into each file."""
    # Of this month only, and dropped before the next one: two months at once were a third of the
    # peak memory.
    indexes: Indexes = {}
    rows = Month(month, indexes, reader, stopped)
    for file in files:
        read_indexes(indexes, file.target, month, reader.checked_indexes)
        with file.writing(month) as sink:
            file.lines.write_month(rows, sink)
            if month == file.target.months[-1]:
                file.lines.finish(sink)
