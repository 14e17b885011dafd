"""Split a job into one job for each connection, which run independently of each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from asyncreport.core.job import Connection, Job, Team
from asyncreport.core.outputs import Output

#: placeholder for the connection's name in the path of a file
CONNECTION = "{connection}"


def is_single(job: Job) -> bool:
    """Tell whether a job has one connection: if that one is refused, nothing can be fetched."""
    return len(job.connections) == 1


def is_apart(job: Job) -> bool:
    """Tell whether each connection has output files of its own.

    `config` checks that all paths of a job contain `{connection}`, or none.
    """
    return CONNECTION in job.output.paths[0]


def named(job: Job, name: str, text: str) -> str:
    """Put the name of a connection in front of a line, if people see those of others too."""
    if is_single(job) and job.within is None:
        return text
    return f"{name}: {text}"


def apart(job: Job) -> list[Job]:
    """List the jobs that run independently: one for each connection, or only the job itself.

    Each connection has its own files, summary and lock, so that a failure stays in its job.
    """
    if job.within is not None or not is_apart(job):
        return [job]
    return _split(job)


def without_files(job: Job) -> list[Job]:
    """List one job for each connection; it fetches, and writes no output file.

    The files of all connections are written later, once every connection was fetched.
    """
    bare = replace(job.output, per_team=(), rollups=(), report=None)
    return [replace(each, output=replace(bare, paths=())) for each in _split(job)]


def share_of(jobs: Sequence[Job], number: int, shares: int) -> list[Job]:
    """Choose the jobs of one of several machines: every `shares`-th one, from the `number`-th on.

    Jobs are sorted by name: every machine must see the same order, whatever the order in its job
    file. Numbers begin at 1.
    """
    return sorted(jobs, key=_name)[number - 1 :: shares]


def _name(job: Job) -> str:
    """Give the sort key of a job."""
    return job.name


def _split(job: Job) -> list[Job]:
    """List a job for each connection."""
    # Grouped once: a walk over all teams for each connection takes seconds for thousands.
    teams: dict[str, list[Team]] = {connection.name: [] for connection in job.connections}
    for team in job.teams:
        teams[team.connection].append(team)
    first, *others = (_only(job, each, teams[each.name]) for each in job.connections)
    # Notes about the job file are shown once.
    return [first, *(replace(other, notes=()) for other in others)]


def _only(job: Job, connection: Connection, teams: Sequence[Team]) -> Job:
    """Give the job of one connection with these teams."""
    return replace(
        job,
        name=f"{job.name}/{connection.name}",
        connections=(connection,),
        teams=tuple(teams),
        output=_output_of(job.output, connection.name),
        within=job.parts_folder,
    )


def _output_of(output: Output, name: str) -> Output:
    """Write the name of a connection into the paths."""
    rollups = [replace(each, paths=_filled(each.paths, name)) for each in output.rollups]
    return replace(
        output,
        paths=_filled(output.paths, name),
        per_team=_filled(output.per_team, name),
        rollups=tuple(rollups),
        report=output.report and output.report.replace(CONNECTION, name),
    )


def _filled(templates: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Write the name of a connection into paths."""
    return tuple(template.replace(CONNECTION, name) for template in templates)
