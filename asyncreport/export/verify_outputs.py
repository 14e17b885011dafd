"""Check the output files: unchanged since they were written, and equal to the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from msgspec.structs import replace

from asyncreport.core.errors import StoreError
from asyncreport.core.finding import Finding, Report
from asyncreport.core.text import LongList, counted, first_items
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.targets import report_path
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.dry_run import dry_run
from asyncreport.store.merge_outputs import Merged
from asyncreport.store.parts import PartReader
from asyncreport.store.replacement import size_and_sha256
from asyncreport.store.target import Target
from asyncreport.store.threads import run_in_thread
from asyncreport.store.written_outputs import Outputs, WrittenFile, by_content

#: paths of a moved folder that are shown
_MAX_PATHS = 3


async def check_outputs(snapshot: Snapshot, reader: PartReader, report: Report) -> None:
    """Check every output file, in threads: files may have gigabytes."""
    outputs = Outputs(snapshot.job.state_folder)
    gaps = _has_gaps(snapshot)
    targets = snapshot.targets()
    findings = await _check_without_parts(targets, outputs, gaps=gaps)
    unchanged = [target for target in targets if target.path not in findings]
    compare = _Comparison(unchanged, reader, outputs)
    findings.update(await run_in_thread(compare.findings))
    for target in targets:
        report(findings[target.path])
    page = report_path(snapshot.job)
    if page is not None:
        report(await run_in_thread(_ReportCheck(page, outputs).finding))


async def _check_without_parts(
    targets: Sequence[Target], outputs: Outputs, *, gaps: bool
) -> dict[Path, Finding]:
    """Compare each file with what was written; leave out files to be compared with the parts."""
    findings: dict[Path, Finding] = {}
    for target in targets:
        check = _OutputCheck(target, outputs, gaps)
        finding = await run_in_thread(check.finding)
        if finding is not None:
            findings[target.path] = finding
    return findings


def _has_gaps(snapshot: Snapshot) -> bool:
    """Tell whether the parts of any connection do not cover the range."""
    names = [connection.name for connection in snapshot.job.connections]
    return any(snapshot.missing_chunks(name) for name in names)


@dataclass(frozen=True, slots=True)
class _OutputCheck:
    """The check of one output file, without its parts."""

    target: Target
    outputs: Outputs
    #: the parts do not cover the range
    gaps: bool

    def finding(self, _: Event) -> Finding | None:
        """Compare the file with what was written; None: it is to be compared with the parts."""
        path = self.target.path
        finding = _not_as_written(path, self.outputs)
        if finding is None and self.gaps:
            return _not_compared(path)
        return finding


@dataclass(frozen=True, slots=True)
class _ReportCheck:
    """The check of the report; the export is complete without it."""

    path: Path
    outputs: Outputs

    def finding(self, _: Event) -> Finding:
        """Compare the report with what was written."""
        finding = _not_as_written(self.path, self.outputs)
        if finding is None:
            return Finding("OK", f"{self.path}: unchanged since it was written")
        return replace(finding, level="WARN")


def _not_as_written(path: Path, outputs: Outputs) -> Finding | None:
    """Report a file that is not what a run wrote; None: it is."""
    try:
        size, sha256 = _digest(path)
    except FileNotFoundError:
        return _absent(path)
    written = outputs.get(path)
    if written is None:
        return _not_written(path, outputs.paths())
    if (size, sha256) != (written.size, written.sha256):
        return _changed(path, size, written)
    return None


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The comparison of output files with the parts, in one walk."""

    targets: Sequence[Target]
    reader: PartReader
    outputs: Outputs

    def findings(self, stopped: Event) -> dict[Path, Finding]:
        """Merge the parts again, without writing a file, and compare the bytes."""
        found: dict[Path, Finding] = {}
        # Files with the same rows are compared with one merge.
        groups = {group[0].path: group for group in by_content(self.targets)}
        firsts = [group[0] for group in groups.values()]
        try:
            for first, merged in dry_run(firsts, self.reader, stopped):
                for target in groups[first.path]:
                    written = self.outputs.get(target.path)
                    assert written is not None
                    found[target.path] = _compare(target, written, merged)
        except StoreError as error:
            for target in self.targets:
                found.setdefault(target.path, _not_comparable(target.path, error))
        return found


def _digest(path: Path) -> tuple[int, str]:
    """Give a file's size and SHA-256; raise FileNotFoundError, or StoreError if unreadable."""
    if not path.exists():
        raise FileNotFoundError(path)
    with oserror_as_store_error(path, "read"):
        return size_and_sha256(path)


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


def _compare(target: Target, written: WrittenFile, merged: Merged) -> Finding:
    """Compare a file, or the lines that it was converted from, with a merge of the parts."""
    path = target.path
    if _is_equal(written, merged):
        rows = counted(sum(merged.records.values()), "row" if target.form.rollup else "record")
        return Finding("OK", f"{path}: {rows}, {written.size:,} bytes, equal to the parts")
    details: list[str | LongList] = [
        LongList(_differences(written, merged), "team"),
        "run again to write it from the parts",
    ]
    return Finding("FAIL", f"{path}: differs from the parts", tuple(details))


def _is_equal(written: WrittenFile, merged: Merged) -> bool:
    """Compare the bytes, and the numbers of records that the summary reported."""
    return (written.lines_sha256, written.records) == (merged.sha256, merged.records)


def _differences(written: WrittenFile, merged: Merged) -> list[str]:
    """List the teams with other numbers of records."""
    lines = []
    for team, in_parts in merged.records.items():
        in_file = written.records.get(team, 0)
        if in_file != in_parts:
            lines.append(
                f"{team or 'all'}: {in_file:,} records in the file, {in_parts:,} in the parts"
            )
    return lines or ["each team has as many records as in the parts, but the bytes differ"]
