"""Check the output files: unchanged since they were written, and equal to the parts."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from threading import Event

from asyncreport.core.errors import StoreError
from asyncreport.core.finding import Finding
from asyncreport.core.text import counted, first_items, first_lines
from asyncreport.export.snapshot import Snapshot
from asyncreport.store.atomic import oserror_as_store_error
from asyncreport.store.merge import Merged, Target, dry_run
from asyncreport.store.parts import PartReader
from asyncreport.store.threads import run_in_thread
from asyncreport.store.written import Outputs, WrittenFile

#: paths of a moved folder that are shown
_MAX_PATHS = 3


async def check_outputs(snapshot: Snapshot, reader: PartReader) -> AsyncIterator[Finding]:
    """Check every output file."""
    outputs = Outputs(snapshot.job.state_folder)
    names = [connection.name for connection in snapshot.job.connections]
    gaps = any(snapshot.missing_chunks(name) for name in names)
    for target in snapshot.targets():
        yield await run_in_thread(partial(_check_output, target, reader, outputs, gaps=gaps))


def _check_output(
    target: Target, reader: PartReader, outputs: Outputs, stopped: Event, *, gaps: bool
) -> Finding:
    """Compare a file with what was written and, without gaps, with the parts."""
    path = target.path
    written = outputs.get(path)
    try:
        size, sha256 = _digest(path)
    except FileNotFoundError:
        return Finding("FAIL", f"{path}: does not exist", ("run again to write it",))
    if written is None:
        return _not_written(path, outputs)
    if (size, sha256) != (written.size, written.sha256):
        return _changed(path, size, written)
    if gaps:
        return Finding(
            "WARN",
            f"{path}: unchanged since it was written; "
            "not compared with the parts because some are missing",
        )
    return _check_content(target, reader, written, stopped)


def _check_content(
    target: Target, reader: PartReader, written: WrittenFile, stopped: Event
) -> Finding:
    """Merge the parts again, without writing a file, and compare the bytes."""
    try:
        merged = dry_run(target, reader, stopped)
    except StoreError as error:
        return Finding("FAIL", f"{target.path}: cannot be compared with the parts", (str(error),))
    return _compare(target.path, written, merged)


def _digest(path: Path) -> tuple[int, str]:
    """Give a file's size and SHA-256; raise FileNotFoundError, or StoreError if unreadable."""
    if not path.exists():
        raise FileNotFoundError(path)
    with oserror_as_store_error(path, "read"), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _not_written(path: Path, outputs: Outputs) -> Finding:
    """Report a file that this job did not write: perhaps it wrote it before the folder moved."""
    details = ["run again to write it"]
    if paths := outputs.paths():
        shown = first_items(paths, limit=_MAX_PATHS)
        details.insert(0, f"this job wrote other paths (was the folder moved?): {shown}")
    return Finding("FAIL", f"{path}: not written by this job", tuple(details))


def _changed(path: Path, size: int, written: WrittenFile) -> Finding:
    """Report a file that somebody else changed."""
    change = "its size is the same, but its SHA-256 differs"
    if size != written.size:
        change = f"it has {size:,} bytes, but had {written.size:,} bytes"
    return Finding(
        "FAIL",
        f"{path}: changed since it was written",
        (change, "move it away and run again to write it from the parts"),
    )


def _compare(path: Path, written: WrittenFile, merged: Merged) -> Finding:
    """Compare a file with a merge of the parts."""
    if (written.sha256, written.records) == (merged.sha256, merged.records):
        records = counted(sum(merged.records.values()), "record")
        return Finding("OK", f"{path}: {records}, {merged.size:,} bytes, equal to the parts")
    details = first_lines(_differences(written, merged), "team")
    details.append("run again to write it from the parts")
    return Finding("FAIL", f"{path}: differs from the parts", tuple(details))


def _differences(written: WrittenFile, merged: Merged) -> list[str]:
    """List the teams with other numbers of records."""
    lines = []
    for team, in_parts in merged.records.items():
        in_file = written.records.get(team, 0)
        if in_file != in_parts:
            lines.append(f"{team}: {in_file:,} records in the file, {in_parts:,} in the parts")
    if not lines:
        lines.append("each team has as many records as in the parts, but the bytes differ")
    return lines
