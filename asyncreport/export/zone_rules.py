"""Say which parts were saved under other rules of the time zone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asyncreport.core.job import Connection, Job, Part
from asyncreport.core.text import counted, plural


def zone_warnings(job: Job, outdated_of: Callable[[Connection], Sequence[Part]]) -> list[str]:
    """Give a line for each connection with parts in the range that cannot be used any more."""
    warnings = []
    for connection in job.connections:
        parts = [part for part in outdated_of(connection) if part.interval.overlaps(job.interval)]
        if parts:
            warnings.append(_warning(job, connection, len(parts)))
    return warnings


def _warning(job: Job, connection: Connection, number: int) -> str:
    return (
        f"{connection.name}: {counted(number, 'part')} {plural(number, 'was', 'were')} saved under "
        f"other rules for {job.query.grid.zone}, with other bucket edges; "
        f"{plural(number, 'its', 'their')} time is fetched again"
    )
