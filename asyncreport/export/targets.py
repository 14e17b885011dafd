"""Which output files a job has, and what belongs in each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asyncreport.core.job import Connection, Job, Part, Team
from asyncreport.store.lookups import Names
from asyncreport.store.merge import Source, Target


@dataclass(frozen=True, slots=True)
class OutputFile:
    """An output file."""

    path: Path
    #: in order of time
    months: tuple[str, ...]
    #: in the order of the job
    teams: tuple[Team, ...]


def main_files(job: Job) -> list[OutputFile]:
    """List the files of all teams together."""
    return _files(job, job.output.path, job.teams)


def all_files(job: Job) -> list[OutputFile]:
    """List every file: first those of all teams together, then those of each team."""
    files = main_files(job)
    per_team = job.output.per_team
    if per_team is not None:
        for team in job.teams:
            files += _files(job, per_team.replace("{team}", team.name), (team,))
    return files


def targets(
    job: Job, parts_of: Callable[[Connection], Sequence[Part]], users: Names, queues: Names
) -> list[Target]:
    """List the output files with what belongs in each; `parts_of` gives the current parts."""
    sources = {}
    for connection in job.connections:
        queue_names = None
        if "queueId" in job.query.split_by:
            queue_names = queues.of(connection.identity)
        sources[connection.name] = Source.of(
            parts_of(connection), users.of(connection.identity), queue_names
        )
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
    files = []
    for month in months:
        path = Path(template.replace("{month}", month)).absolute()
        files.append(OutputFile(path, (month,), teams))
    return files
