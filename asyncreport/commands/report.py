"""Make the report of a job: one HTML file out of what is on disk."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from msgspec.structs import replace

from asyncreport import __version__
from asyncreport.config.validate import did_you_mean
from asyncreport.core.errors import AsyncReportError, ConfigError
from asyncreport.core.job import Job
from asyncreport.core.text import counted, first_items
from asyncreport.export.snapshot import Snapshot
from asyncreport.formats import PLOTLY
from asyncreport.report.data import page_data
from asyncreport.report.facts import Facts, LastRun
from asyncreport.report.model import PageData
from asyncreport.report.page import render
from asyncreport.store.atomic import atomic_write
from asyncreport.store.folders import make_folder
from asyncreport.store.job_parts import last_saved
from asyncreport.store.lookups import NameTables
from asyncreport.store.threads import run_in_thread
from asyncreport.store.written_outputs import Outputs
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stderr import say

#: teams that the error for an unknown one lists
_MAX_TEAMS = 10


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
        webbrowser.open(options.path.absolute().as_uri())
    return 0


def _check_library() -> None:
    """Raise ConfigError if the chart library is not installed."""
    if not PLOTLY.is_installed:
        raise ConfigError(f"a report needs plotly: pip install 'asyncreport[{PLOTLY.extra}]'")


async def _write_in_thread(job: Job, options: ReportOptions, *, now: int) -> None:
    """Write the report while signals are handled, and say what it contains."""
    say(await run_in_thread(partial(_write, job, options, now)))


def _write(job: Job, options: ReportOptions, now: int, stopped: Event) -> str:
    """Write the report; describe it in one line. Raise StoreError, ConfigError."""
    data = _read(job, options, now, stopped)
    page = render(data)
    path = options.path.absolute()
    make_folder(path.parent)
    with atomic_write(path, owner=job.state_folder) as sink:
        sink.write(page)
    return f"{options.path}: {_contents(data)}, {len(page):,} bytes"


def _read(job: Job, options: ReportOptions, now: int, stopped: Event) -> PageData:
    """Read what the page shows."""
    if last_saved(job) is None:
        raise AsyncReportError(f"{job.name}: nothing fetched yet; `asyncreport run` fetches it")
    facts = report_facts(Snapshot.read(job, now=now), options, now=now)
    return page_data(facts, stopped, of_team=options.team is not None)


def _contents(data: PageData) -> str:
    """Count what a report shows."""
    first = data.scopes[0]
    teams = counted(len(data.scopes) - (first.team is None), "team")
    return f"{teams}, {counted(first.agents, 'agent')}, {first.total.handled:,} handled"


def report_facts(snapshot: Snapshot, options: ReportOptions, *, now: int) -> Facts:
    """Collect what the report is made from."""
    job = _of_team(snapshot.job, options.team)
    names = NameTables(job.state_folder).users
    return Facts(
        job=job,
        parts={each.name: snapshot.parts[each.name] for each in job.connections},
        names={each.name: names.of(each.identity) for each in job.connections},
        unknown_teams=_unknown_teams(snapshot, job),
        partial_files=_partial_files(snapshot),
        last_run=_last_run(snapshot),
        command=options.command,
        version=__version__,
        now=now,
    )


def _of_team(job: Job, name: str | None) -> Job:
    """Keep one team of a job, and its connection; None: keep all. Raise ConfigError."""
    if not job.teams:
        raise AsyncReportError(f"{job.name}: no team was looked up; `asyncreport run` does that")
    if name is None:
        return job
    for team in job.teams:
        if team.name == name:
            connection = job.connection(team.connection)
            return replace(job, teams=(team,), connections=(connection,))
    raise _unknown_team(name, [team.name for team in job.teams])


def _unknown_teams(snapshot: Snapshot, job: Job) -> list[str]:
    """Name the teams of a report that the last run could not look up, or no run ever."""
    shown = {team.name for team in job.teams}
    found = [team.team for team in snapshot.teams_not_looked_up() if team.team in shown]
    if len(shown) == len(snapshot.job.teams):
        found += snapshot.unknown_teams
    return found


def _unknown_team(name: str, known: Sequence[str]) -> ConfigError:
    """Report a team that the job does not have."""
    shown = first_items(known, limit=_MAX_TEAMS)
    return ConfigError(
        f"--team {name!r} is not a team of the job{did_you_mean(name, known)}: {shown}"
    )


def _partial_files(snapshot: Snapshot) -> list[str]:
    """Name the output files that are as a run with missing data left them."""
    outputs = Outputs(snapshot.job.state_folder)
    paths = [target.path for target in snapshot.targets()]
    return [path.name for path in paths if outputs.is_partial(path)]


def _last_run(snapshot: Snapshot) -> LastRun | None:
    """Describe the last run that finished."""
    summary = snapshot.last_summary
    if summary is None:
        return None
    return LastRun(
        started=summary.started,
        requests=summary.requests,
        settled_until=summary.settled_until,
        stale=summary.stale,
    )
