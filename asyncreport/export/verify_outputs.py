"""Check the output files: unchanged since they were written, and equal to the parts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from asyncreport.core.errors import StoreError
from asyncreport.core.finding import Finding, Report
from asyncreport.core.text import LongList, counted, first_items
from asyncreport.export.snapshot import Snapshot
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.merge_outputs import Merged, dry_run
from asyncreport.store.parts import PartReader
from asyncreport.store.target import Target
from asyncreport.store.threads import run_in_thread
from asyncreport.store.written_outputs import Outputs, WrittenFile

#: paths of a moved folder that are shown
_MAX_PATHS = 3


async def check_outputs(snapshot: Snapshot, reader: PartReader, report: Report) -> None:
    """Check every output file, each in a thread: files may have gigabytes."""
    outputs = Outputs(snapshot.job.state_folder)
    gaps = _has_gaps(snapshot)
    for target in snapshot.targets():
        check = _OutputCheck(target, reader, outputs, gaps)
        report(await run_in_thread(check.finding))


def _has_gaps(snapshot: Snapshot) -> bool:
    """Tell whether the parts of any connection do not cover the range."""
    names = [connection.name for connection in snapshot.job.connections]
    return any(snapshot.missing_chunks(name) for name in names)


@dataclass(frozen=True, slots=True)
class _OutputCheck:
    """The check of one output file."""

    target: Target
    reader: PartReader
    outputs: Outputs
    #: the parts do not cover the range
    gaps: bool

    @property
    def path(self) -> Path:
        """Give the path of the file."""
        return self.target.path

    def finding(self, stopped: Event) -> Finding:
        """Compare the file with what was written and, without gaps, with the parts."""
        try:
            size, sha256 = _digest(self.path)
        except FileNotFoundError:
            return _absent(self.path)
        written = self.outputs.get(self.path)
        if written is None:
            return _not_written(self.path, self.outputs.paths())
        if (size, sha256) != (written.size, written.sha256):
            return _changed(self.path, size, written)
        if self.gaps:
            return _not_compared(self.path)
        return self._compare_with_parts(written, stopped)

    def _compare_with_parts(self, written: WrittenFile, stopped: Event) -> Finding:
        """Merge the parts again, without writing a file, and compare the bytes."""
        try:
            merged = dry_run(self.target, self.reader, stopped)
        except StoreError as error:
            return _not_comparable(self.path, error)
        return _compare(self.path, written, merged)


def _digest(path: Path) -> tuple[int, str]:
    """Give a file's size and SHA-256; raise FileNotFoundError, or StoreError if unreadable."""
    if not path.exists():
        raise FileNotFoundError(path)
    with oserror_as_store_error(path, "read"), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


def _absent(path: Path) -> Finding:
    """Report a file that does not exist."""
    return Finding("FAIL", f"{path}: does not exist", ("run again to write it",))


def _not_written(path: Path, written: Sequence[str]) -> Finding:
    """Report a file that this job did not write: perhaps it wrote it before the folder moved.

    `written` are the paths that the job did write.
    """
    details = ["run again to write it"]
    if written:
        shown = first_items(written, limit=_MAX_PATHS)
        details.insert(0, f"this job wrote other paths (was the folder moved?): {shown}")
    return Finding("FAIL", f"{path}: not written by this job", tuple(details))


def _changed(path: Path, size: int, written: WrittenFile) -> Finding:
    """Report a file that somebody else changed; `size` is its size today, in bytes."""
    return Finding(
        "FAIL",
        f"{path}: changed since it was written",
        (
            _describe_change(size, written.size),
            "move it away and run again to write it from the parts",
        ),
    )


def _describe_change(size: int, old_size: int) -> str:
    """Say how a file changed; sizes are in bytes."""
    if size == old_size:
        return "its size is the same, but its SHA-256 differs"
    return f"it has {size:,} bytes, but had {old_size:,} bytes"


def _not_compared(path: Path) -> Finding:
    """Warn that only the hash of a file was checked."""
    return Finding(
        "WARN",
        f"{path}: unchanged since it was written; "
        "not compared with the parts because some are missing",
    )


def _not_comparable(path: Path, error: StoreError) -> Finding:
    """Report that the parts could not be merged again."""
    return Finding("FAIL", f"{path}: cannot be compared with the parts", (str(error),))


def _compare(path: Path, written: WrittenFile, merged: Merged) -> Finding:
    """Compare a file with a merge of the parts."""
    if _is_equal(written, merged):
        records = counted(sum(merged.records.values()), "record")
        return Finding("OK", f"{path}: {records}, {merged.size:,} bytes, equal to the parts")
    details: list[str | LongList] = [
        LongList(_differences(written, merged), "team"),
        "run again to write it from the parts",
    ]
    return Finding("FAIL", f"{path}: differs from the parts", tuple(details))


def _is_equal(written: WrittenFile, merged: Merged) -> bool:
    """Compare the bytes, and the numbers of records that the summary reported."""
    return (written.sha256, written.records) == (merged.sha256, merged.records)


def _differences(written: WrittenFile, merged: Merged) -> list[str]:
    """List the teams with other numbers of records."""
    lines = []
    for team, in_parts in merged.records.items():
        in_file = written.records.get(team, 0)
        if in_file != in_parts:
            lines.append(f"{team}: {in_file:,} records in the file, {in_parts:,} in the parts")
    return lines or ["each team has as many records as in the parts, but the bytes differ"]
