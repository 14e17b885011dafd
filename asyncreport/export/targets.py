"""Which output files a job has, and what belongs in each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from asyncreport.core.job import Connection, Job, Part, Team
from asyncreport.store.lookups import Names
from asyncreport.store.merge import Source, Target


class OutputFile(NamedTuple):
    """An output file."""

    path: Path
    #: in order of time
    months: tuple[str, ...]
    #: as the job orders them
    teams: tuple[Team, ...]


def main_files(job: Job) -> list[OutputFile]:
    """List the files of all teams together."""
    return _files(job, job.output.path, job.teams)


def all_files(job: Job) -> list[OutputFile]:
    """List every file: of all teams together, then of each."""
    found = main_files(job)
    if job.output.per_team is not None:
        for team in job.teams:
            found += _files(job, job.output.per_team.replace("{team}", team.name), (team,))
    return found


def targets(
    job: Job, parts: Callable[[Connection], Sequence[Part]], people: Names, queues: Names
) -> list[Target]:
    """Say what every file is made of: `parts` gives a connection's standing ones."""
    split = "queueId" in job.query.split_by
    sources = {
        each.name: Source.of(
            parts(each), people.of(each.identity), queues.of(each.identity) if split else None
        )
        for each in job.connections
    }
    return [
        Target(
            path=file.path,
            interval=job.interval,
            months=file.months,
            teams=file.teams,
            sources=sources,
        )
        for file in all_files(job)
    ]


def _files(job: Job, template: str, teams: tuple[Team, ...]) -> list[OutputFile]:
    months = tuple(slot.month for slot in job.query.grid.slots(job.interval))
    if "{month}" not in template:
        return [OutputFile(Path(template).absolute(), months, teams)]
    return [
        OutputFile(Path(template.replace("{month}", month)).absolute(), (month,), teams)
        for month in months
    ]
