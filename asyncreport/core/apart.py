"""Split a job into one job for each connection, which run independently of each other. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from asyncreport.core.job import Connection, Job
from asyncreport.core.outputs import Output

#: stands for the connection's name in the path of a file
CONNECTION = "{connection}"


def is_apart(job: Job) -> bool:
    """Tell whether each connection has output files of its own.

    `config` checks that all paths of a job contain `{connection}`, or none.
    """
    return CONNECTION in job.output.paths[0]


def apart(job: Job) -> list[Job]:
    """List the jobs that run independently: one for each connection, or only the job itself.

    Each connection has its own files, summary and lock, so that a failure stays in its job.
    """
    if job.within is not None or not is_apart(job):
        return [job]
    first, *others = (_only(job, connection) for connection in job.connections)
    # What a person should know about the job file is said once.
    return [first, *(replace(other, notes=()) for other in others)]


def _only(job: Job, connection: Connection) -> Job:
    """Give the job of one connection."""
    return replace(
        job,
        name=f"{job.name}/{connection.name}",
        connections=(connection,),
        teams=tuple(team for team in job.teams if team.connection == connection.name),
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
