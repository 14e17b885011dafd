"""Join an export and its report: the page of a job out of its state folder. Reads that folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from threading import Event

from msgspec.structs import replace

from asyncreport import __version__
from asyncreport.config.validate import did_you_mean
from asyncreport.core.errors import AsyncReportError, ConfigError
from asyncreport.core.job import Job, Team
from asyncreport.core.text import first_items
from asyncreport.export.report_file import MakePage, Page
from asyncreport.export.snapshot import Snapshot
from asyncreport.report.data import page_data
from asyncreport.report.facts import Facts, LastRun
from asyncreport.report.page import digest, render
from asyncreport.store.lookups import NameTables
from asyncreport.store.parts import PartReader
from asyncreport.store.written_outputs import Outputs

#: teams that the error for an unknown one lists
_MAX_TEAMS = 10


def page_maker(command: str) -> MakePage:
    """Give the function that makes the page of a run; `command` is for the foot of the page."""
    return partial(_page, command=command)


def _page(snapshot: Snapshot, *, command: str) -> Page:
    """Describe the page of all teams; raise StoreError."""
    facts = report_facts(snapshot, command=command)

    def make(reader: PartReader, stopped: Event) -> bytes:
        return render(page_data(facts, reader, stopped))

    return Page(digest(facts), make)


def report_facts(snapshot: Snapshot, *, command: str, team: str | None = None) -> Facts:
    """Collect what a report is made from; `team` is the name of the only one that it shows.

    Raise ConfigError for an unknown team, and StoreError.
    """
    job = _of_team(_with_distinct_names(snapshot.job), team)
    names = NameTables(job.state_folder).users
    return Facts(
        job=job,
        parts={each.name: snapshot.parts[each.name] for each in job.connections},
        names={each.name: names.of(each.directory) for each in job.connections},
        unknown_teams=_unknown_teams(snapshot, job),
        partial_files=_partial_files(snapshot),
        last_run=_last_run(snapshot),
        command=command,
        version=__version__,
        now=snapshot.freshness.now,
    )


def _with_distinct_names(job: Job) -> Job:
    """Name the connection of teams of one name: the page shows each by itself."""
    return replace(job, teams=tuple(map(_with_distinct_name, job.teams)))


def _with_distinct_name(team: Team) -> Team:
    """Add the connection to a team's name, if several connections have the name."""
    if not team.one_of_several:
        return team
    return replace(team, name=f"{team.name} ({team.connection})")


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


def _unknown_team(name: str, known: Sequence[str]) -> ConfigError:
    """Report a team that the job does not have."""
    shown = first_items(known, limit=_MAX_TEAMS)
    return ConfigError(
        f"--team {name!r} is not a team of the job{did_you_mean(name, known)}: {shown}"
    )


def _unknown_teams(snapshot: Snapshot, job: Job) -> list[str]:
    """Name the teams of a report that the last run could not look up, or no run ever."""
    shown = {team.name for team in job.teams}
    found = [team.team for team in snapshot.teams_not_looked_up() if team.team in shown]
    if len(shown) == len(snapshot.job.teams):
        found += snapshot.unknown_teams
    return found


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
