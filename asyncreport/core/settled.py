"""Say until when the range of a job is settled, and from when it is in the future. Pure."""

from __future__ import annotations

from asyncreport.core.job import Job
from asyncreport.core.timeline import iso


def settled_until(job: Job, now: int) -> int:
    """Give the bucket edge up to which a run at `now` fetches data that may no longer change.

    It lies in the range: its start if nothing is settled, its end if everything is. Gaps do not
    count here. All instants are in ms.
    """
    settled = now - job.output.settle
    if settled >= job.interval.end:
        return job.interval.end
    if settled <= job.interval.start:
        return job.interval.start
    before, _ = job.query.grid.edges_around(settled)
    return before


def future_from(job: Job, now: int) -> int:
    """Give the first bucket edge at or after `now`; nothing that begins there has happened yet.

    It lies in the range: its start if all of it is in the future, its end if nothing is.
    """
    if now >= job.interval.end:
        return job.interval.end
    if now <= job.interval.start:
        return job.interval.start
    _, after = job.query.grid.edges_around(now)
    return after


def describe_unsettled(job: Job, now: int) -> list[str]:
    """Say from when the range is not settled, and from when it is empty; often nothing."""
    lines = []
    settled = settled_until(job, now)
    future = future_from(job, now)
    if settled < future:
        lines.append(f"from {iso(settled)} on, the numbers may still change: run again later")
    if future < job.interval.end:
        lines.append(f"empty from {iso(future)} on: this part of the range is in the future")
    return lines
