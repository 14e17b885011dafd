"""Which output files a job has, and what belongs in each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asyncreport.core.job import Connection, Job, Part, Team
from asyncreport.store.lookups import Names
from asyncreport.store.target import Source, Target


@dataclass(frozen=True, slots=True)
class OutputFile:
    """An output file."""

    path: Path
    #: in order of time
    months: tuple[str, ...]
    #: in the order of the job
    teams: tuple[Team, ...]
    #: `YYYY-MM` if it is a file of one month; None: it is of the whole range
    month: str | None = None


def main_files(job: Job) -> list[OutputFile]:
    """List the files of all teams together."""
    return _files(job, job.output.path, job.teams)


def all_files(job: Job) -> list[OutputFile]:
    """List every file: first those of all teams together, then those of each team."""
    return main_files(job) + team_files(job)


def team_files(job: Job) -> list[OutputFile]:
    """List the files of each team."""
    template = job.output.per_team
    if template is None:
        return []
    files = []
    for team in job.teams:
        files += _files(job, template.replace("{team}", team.name), (team,))
    return files


def targets(
    job: Job,
    parts: Mapping[str, Sequence[Part]],
    users: Names,
    queues: Names,
) -> list[Target]:
    """List the output files with what belongs in each; `parts` are by the connection's name."""
    sources = {}
    for connection in job.connections:
        sources[connection.name] = Source.of(
            parts[connection.name],
            users.of(connection.identity),
            _queue_names(job, connection, queues),
        )
    to_target = partial(_target, job, sources)
    return list(map(to_target, all_files(job)))


def _target(job: Job, sources: Mapping[str, Source], file: OutputFile) -> Target:
    """Say what belongs in a file; `sources` is by the connection's name."""
    return Target(
        path=file.path,
        interval=job.interval,
        months=file.months,
        teams=file.teams,
        sources=sources,
    )


def _queue_names(job: Job, connection: Connection, queues: Names) -> dict[str, str | None] | None:
    """Give the names of queues; None: the records have no queues."""
    if "queueId" not in job.query.split_by:
        return None
    return queues.of(connection.identity)


def _files(job: Job, template: str, teams: tuple[Team, ...]) -> list[OutputFile]:
    """List the files of a template: one for each month, or one for the whole range."""
    months = [slot.month for slot in job.query.grid.slots(job.interval)]
    if "{month}" not in template:
        return [OutputFile(Path(template).absolute(), tuple(months), teams)]
    return [_month_file(template, month, teams) for month in months]


def _month_file(template: str, month: str, teams: tuple[Team, ...]) -> OutputFile:
    """Describe the file of a month."""
    path = template.replace("{month}", month)
    return OutputFile(Path(path).absolute(), (month,), teams, month)
