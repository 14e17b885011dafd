"""The report that a run writes: when, and what the summary says about it.

A function that is passed in makes the page. Reads and writes the state folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from threading import Event

from msgspec.structs import replace

from asyncreport.core.errors import AsyncReportError
from asyncreport.export.preflight import OutputOwners
from asyncreport.export.run_context import RunContext
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.summary import Summary
from asyncreport.export.summary_outputs import SummaryReport
from asyncreport.export.targets import report_path
from asyncreport.store.atomic import atomic_write
from asyncreport.store.json_files import write_json
from asyncreport.store.parts import PartReader
from asyncreport.store.written_outputs import Outputs


@dataclass(frozen=True, slots=True)
class Page:
    """The page of a report; it is made only if it is needed."""

    #: of all that it shows, but not of when it was made
    digest: str
    #: raises StoreError, and Interrupted once the event is set
    render: Callable[[PartReader, Event], bytes]


#: describe the page of a job; raises StoreError
MakePage = Callable[[Snapshot], Page]

_NO_OUTPUTS = "the output files were not written either"


async def with_report(context: RunContext, summary: Summary, make_page: MakePage | None) -> Summary:
    """Bring the report of a job up to date after its output files; add it to the saved summary.

    A report that fails is a warning: the export is complete without it.
    """
    path = report_path(context.job)
    if path is None or make_page is None:
        return summary
    started = time.monotonic()
    report = await _update(context, path, summary, make_page)
    found = replace(
        summary,
        report=report,
        warnings=context.warnings.texts,
        elapsed_sec=round(summary.elapsed_sec + time.monotonic() - started, 3),
    )
    write_json(context.state.folder / "summary.json", found)
    return found


async def _update(
    context: RunContext, path: Path, summary: Summary, make_page: MakePage
) -> SummaryReport:
    """Write the report if what it shows has changed, and say whether it was written."""
    if not summary.outputs:
        return SummaryReport(path=str(path), written=False, reason=_NO_OUTPUTS)
    context.activity.phase = "making the report"
    update = _Update(context, path, make_page, partial=summary.partial)
    try:
        written = await context.state.run_in_writer(update.run)
    # Also a fault of ours: the output files are complete, and the run must end as they are.
    except Exception as error:  # noqa: BLE001 - a warning says what happened
        reason = _describe(error)
        context.warn(f"{path} was not written: {reason}; the output files are not affected")
        return SummaryReport(path=str(path), written=False, reason=reason)
    return SummaryReport(path=str(path), written=written)


def _describe(error: Exception) -> str:
    """Say what went wrong."""
    if isinstance(error, AsyncReportError):
        return str(error)
    return f"internal error, {type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class _Update:
    """One update of a report."""

    context: RunContext
    path: Path
    make_page: MakePage
    _: KW_ONLY
    #: records are missing
    partial: bool

    def run(self, stopped: Event) -> bool:
        """Write the report, unless it is up to date; tell whether it was written.

        Raise StoreError, and Interrupted once `stopped` is set.
        """
        job = self.context.job
        page = self.make_page(Snapshot.read(job, now=self.context.now))
        folder = job.state_folder
        outputs = Outputs(folder, partial=self.partial)
        if outputs.is_made_from(self.path, page.digest):
            return False
        with self.context.files.reader() as reader:
            content = page.render(reader, stopped)
        owners = OutputOwners(job)
        check = partial(owners.check_rename, self.path)
        with atomic_write(self.path, owner=folder, before_replace=check) as sink:
            sink.write(content)
        outputs.remember(self.path, content, page.digest)
        return True
