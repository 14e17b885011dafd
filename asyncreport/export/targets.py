"""Which output files a job has, and what belongs in each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from asyncreport.core.columns import id_column, names_wanted
from asyncreport.core.job import Connection, Job, Part, Team
from asyncreport.core.outputs import RollUp
from asyncreport.core.reshape import NamesById
from asyncreport.core.rollups import rollup_columns
from asyncreport.formats import Format, format_of
from asyncreport.store.lookups import OTHER_NAMES, Names, NameTables
from asyncreport.store.target import Form, Source, Target

#: "output": of all teams together; "per_team": of one team; "rollup": sums of the records
Kind = Literal["output", "per_team", "rollup"]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """An output file."""

    path: Path
    kind: Kind
    #: in order of time
    months: tuple[str, ...]
    #: in the order of the job
    teams: tuple[Team, ...]
    #: `YYYY-MM` if it is a file of one month; None: it is of the whole range
    month: str | None = None
    #: None: its rows are records
    rollup: RollUp | None = None

    @property
    def format(self) -> Format:
        """Give its format."""
        found = format_of(self.path.name)
        assert found is not None
        return found


def counted_files(job: Job) -> list[OutputFile]:
    """List files that have each record once: those of the first path; often one."""
    return [file for path in job.output.paths[:1] for file in files_of(job, path)]


def files_of(job: Job, template: str) -> list[OutputFile]:
    """List the files of one of the paths with all records, in order of time."""
    return _files(job, "output", template, job.teams)


def all_files(job: Job) -> list[OutputFile]:
    """List every file: those of all teams together, those of each team, and the roll-ups."""
    files = []
    for template in job.output.paths:
        files += files_of(job, template)
    for template in job.output.per_team:
        for name, teams in _by_name(job.teams).items():
            files += _files(job, "per_team", template.replace("{team}", name), teams)
    for rollup in job.output.rollups:
        for template in rollup.paths:
            files += _files(job, "rollup", template, job.teams, rollup)
    return files


def report_path(job: Job) -> Path | None:
    """Give the path of the report; None: the job has none."""
    if job.output.report is None:
        return None
    return Path(job.output.report).absolute()


def all_paths(job: Job) -> list[Path]:
    """List the paths of everything that a run writes: every file, and the report."""
    paths = [file.path for file in all_files(job)]
    report = report_path(job)
    if report is not None:
        paths.append(report)
    return paths


def _by_name(teams: Iterable[Team]) -> dict[str, tuple[Team, ...]]:
    """Group teams by name: a team of several connections is one team on each."""
    found: dict[str, tuple[Team, ...]] = {}
    for team in teams:
        found[team.name] = (*found.get(team.name, ()), team)
    return found


def targets(
    job: Job,
    parts: Mapping[str, Sequence[Part]],
    names: NameTables,
) -> list[Target]:
    """List the output files with what belongs in each; `parts` are by the connection's name."""
    sources = {}
    for connection in job.connections:
        sources[connection.name] = Source.of(
            parts[connection.name],
            names.users.of(connection.directory),
            _queue_names(job, connection, names.queues),
            _other_names(job, connection, names),
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
        form=Form(
            job=job.name,
            query=job.query,
            format=file.format,
            csv=job.output.csv,
            chosen=None if file.rollup else job.output.columns,
            rollup=file.rollup,
        ),
    )


def _queue_names(job: Job, connection: Connection, queues: Names) -> dict[str, str | None] | None:
    """Give the names of queues; None: the records have no queues."""
    if "queueId" not in job.query.split_by:
        return None
    return queues.of(connection.directory)


def wanted_names(job: Job) -> dict[str, str]:
    """List the columns of names that the files have besides users and queues, with their ids."""
    wanted = names_wanted(job.output.columns or ())
    for rollup in job.output.rollups:
        wanted += names_wanted(rollup_columns(rollup, job.query))
    found = {}
    for name in wanted:
        ids = id_column(name, job.query)
        if name in OTHER_NAMES and ids is not None:
            found[name] = ids
    return found


def _other_names(job: Job, connection: Connection, names: NameTables) -> NamesById:
    """Give the other names that the files have."""
    wanted = wanted_names(job)
    return {
        name: (ids, names.others[name].of(connection.directory)) for name, ids in wanted.items()
    }


def _files(
    job: Job,
    kind: Kind,
    template: str,
    teams: tuple[Team, ...],
    rollup: RollUp | None = None,
) -> list[OutputFile]:
    """List the files of a template: one for each month, or one for the whole range."""
    months = [slot.month for slot in job.query.grid.slots(job.interval)]
    if "{month}" not in template:
        path = Path(template).absolute()
        return [OutputFile(path, kind, tuple(months), teams, rollup=rollup)]
    files = []
    for month in months:
        path = Path(template.replace("{month}", month)).absolute()
        files.append(OutputFile(path, kind, (month,), teams, month, rollup))
    return files
