"""Make the report of a job: one HTML file out of what is on disk."""

from __future__ import annotations

import shlex
import webbrowser
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from asyncreport.commands.report_page import report_facts
from asyncreport.core.apart import CONNECTION, is_apart
from asyncreport.core.errors import AsyncReportError, ConfigError
from asyncreport.core.job import Job
from asyncreport.core.text import counted
from asyncreport.export.output_paths import check_targets
from asyncreport.export.snapshot import Snapshot
from asyncreport.export.storage import Files, reading
from asyncreport.export.targets import report_path
from asyncreport.formats import PLOTLY
from asyncreport.report.data import page_data
from asyncreport.report.model import PageData
from asyncreport.report.page import render
from asyncreport.store.atomic import atomic_write
from asyncreport.store.job_parts import last_saved
from asyncreport.store.owners import job_name, owner_of
from asyncreport.store.threads import run_in_thread
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stderr import say


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """What the person chose."""

    path: Path
    #: the page of one team; None: of all
    team: str | None = None
    #: show it in a browser
    open_page: bool = False
    #: the name of the job file
    job_file: str

    @property
    def command(self) -> str:
        """Give the command that makes the page again, for its foot."""
        words = ["asyncreport", "report", self.job_file]
        if self.team is not None:
            words += ["--team", self.team]
        return shlex.join(words)


def execute(job: Job, options: ReportOptions, *, now: int) -> int:
    """Write the report of a job and say where it is; give the exit code."""
    _check_library()
    path = _path(job, options)
    run_until_signal(_make(job, options, path.absolute(), now=now))
    if options.open_page:
        _open(path)
    return 0


def check_path(job: Job, options: ReportOptions) -> None:
    """Refuse one page for connections that have files of their own; raise ConfigError."""
    if is_apart(job) and CONNECTION not in str(options.path):
        raise ConfigError(
            f"--output {options.path}: each connection of this job has files of its own; "
            f"write {CONNECTION} into the path: -o report-{CONNECTION}.html"
        )


def _check_library() -> None:
    """Raise ConfigError if the chart library is not installed."""
    if not PLOTLY.is_installed:
        raise ConfigError(f"a report {PLOTLY.needed}")


def _check_fetched(job: Job) -> None:
    """Raise AsyncReportError if there is nothing to report."""
    if last_saved(job) is None:
        raise AsyncReportError(f"{job.name}: nothing fetched yet; `asyncreport run` fetches it")


def _check_target(job: Job, path: Path) -> None:
    """Check that a report can be written, and that no job writes this file; create its folder.

    Raise StoreError or ConfigError.
    """
    owner = owner_of(path)
    if owner is not None and path.exists() and path != report_path(job):
        raise ConfigError(
            f"{path} is an output file of the job {job_name(owner)!r}; give the report another path"
        )
    check_targets([path])


def _open(path: Path) -> None:
    """Show a page in a browser."""
    if not webbrowser.open(path.absolute().as_uri()):
        say(f"warning: no browser could be started; open {path} yourself")


async def _make(job: Job, options: ReportOptions, path: Path, *, now: int) -> None:
    """Write the report while signals are handled, and say what it contains."""
    async with reading(job) as files:
        _check_fetched(files.job)
        _check_target(files.job, path)
        say(await run_in_thread(partial(_write, files, options, now)))


def _write(files: Files, options: ReportOptions, now: int, stopped: Event) -> str:
    """Write the report; describe it in one line. Raise StoreError, ConfigError."""
    job = files.job
    data = _read(files, options, now, stopped)
    page = render(data)
    path = _path(job, options).absolute()
    with atomic_write(path, owner=job.state_folder) as sink:
        sink.write(page)
    return f"{_path(job, options)}: {_contents(data)}, {len(page):,} bytes"


def _path(job: Job, options: ReportOptions) -> Path:
    """Give the path of the page of a job."""
    return Path(str(options.path).replace(CONNECTION, job.connections[0].name))


def _read(files: Files, options: ReportOptions, now: int, stopped: Event) -> PageData:
    """Read what the page shows."""
    snapshot = Snapshot.read(files.job, now=now)
    facts = report_facts(snapshot, command=options.command, team=options.team)
    with files.reader() as reader:
        return page_data(facts, reader, stopped, of_team=options.team is not None)


def _contents(data: PageData) -> str:
    """Count what a report shows."""
    first = data.scopes[0]
    teams = counted(len(data.scopes) - (first.team is None), "team")
    return f"{teams}, {counted(first.agents, 'agent')}, {first.total.handled:,} handled"
