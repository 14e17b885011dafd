"""Make the report of a job: one HTML file out of what is on disk."""

from __future__ import annotations

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
from asyncreport.export.snapshot import Snapshot
from asyncreport.formats import PLOTLY
from asyncreport.report.data import page_data
from asyncreport.report.model import PageData
from asyncreport.report.page import render
from asyncreport.store.atomic import atomic_write
from asyncreport.store.folders import make_folder
from asyncreport.store.job_parts import last_saved
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
    #: that makes the report again, for its foot
    command: str


def execute(job: Job, options: ReportOptions, *, now: int) -> int:
    """Write the report of a job and say where it is; give the exit code."""
    _check_library()
    run_until_signal(_write_in_thread(job, options, now=now))
    if options.open_page:
        webbrowser.open(_path(job, options).absolute().as_uri())
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


async def _write_in_thread(job: Job, options: ReportOptions, *, now: int) -> None:
    """Write the report while signals are handled, and say what it contains."""
    say(await run_in_thread(partial(_write, job, options, now)))


def _write(job: Job, options: ReportOptions, now: int, stopped: Event) -> str:
    """Write the report; describe it in one line. Raise StoreError, ConfigError."""
    data = _read(job, options, now, stopped)
    page = render(data)
    path = _path(job, options).absolute()
    make_folder(path.parent)
    with atomic_write(path, owner=job.state_folder) as sink:
        sink.write(page)
    return f"{_path(job, options)}: {_contents(data)}, {len(page):,} bytes"


def _path(job: Job, options: ReportOptions) -> Path:
    """Give the path of the page of a job."""
    return Path(str(options.path).replace(CONNECTION, job.connections[0].name))


def _read(job: Job, options: ReportOptions, now: int, stopped: Event) -> PageData:
    """Read what the page shows."""
    if last_saved(job) is None:
        raise AsyncReportError(f"{job.name}: nothing fetched yet; `asyncreport run` fetches it")
    snapshot = Snapshot.read(job, now=now)
    facts = report_facts(snapshot, command=options.command, team=options.team)
    return page_data(facts, stopped, of_team=options.team is not None)


def _contents(data: PageData) -> str:
    """Count what a report shows."""
    first = data.scopes[0]
    teams = counted(len(data.scopes) - (first.team is None), "team")
    return f"{teams}, {counted(first.agents, 'agent')}, {first.total.handled:,} handled"
