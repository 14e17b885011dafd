"""Show what a run would do: chunks, requests, records, time, and which parts it would reuse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from asyncreport.commands.labels import Label, no_label
from asyncreport.core.apart import named
from asyncreport.core.job import Job
from asyncreport.core.text import counted, describe_users, duration, first_lines
from asyncreport.export.job_plan import ConnectionPlan, Cost, JobPlan, PlannedChunk, plan_job
from asyncreport.export.plan_teams import PlannedTeam
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stderr import lines_shown
from asyncreport.terminal.stdout import show_json, show_lines

#: what the costs of a plan leave out, and what they rest on
_ASSUMPTIONS = (
    "look-ups come on top: a few requests, and about one for every 100 users",
    "the time assumes that the server allows requests_per_minute: `asyncreport check` asks it",
)


def execute(job: Job, *, now: int, as_json: bool = False) -> int:
    """Print the plan of a job; give the exit code that a run would have because of its teams."""
    screen = Screen()
    planning = plan_job(job.impatient, now=now, watch=screen.watching)
    plan = run_until_signal(planning, screen.close)
    if as_json:
        show_json(plan, job)
    else:
        show_lines(plan_lines(plan, most=lines_shown(), label=partial(named, job)))
    return plan.exit_code


def plan_lines(plan: JobPlan, *, most: int, label: Label = no_label) -> Iterator[str]:
    """Describe a plan for people; of long lists at most so many lines.

    `label` puts the name of a connection in front of a line.
    """
    yield from plan.notes
    for warning in (*plan.warnings, *plan.unknown_teams):
        # As a run writes it.
        yield f"warning: {warning}"
    for team in plan.teams:
        yield label(team.connection, _team(team))
    for connection in plan.connections:
        yield label(connection.name, _counts(connection))
        yield from _connection(connection, most)
    if any(connection.cost for connection in plan.connections):
        yield from _ASSUMPTIONS
    yield from plan.unsettled


def _team(team: PlannedTeam) -> str:
    """Say how a team is selected, and how many users that is today."""
    text = "the number of users is not known"
    if team.users is not None:
        text = counted(team.users, "user")
    return f"team {team.team!r} ({team.selector}): {text}"


def _connection(plan: ConnectionPlan, most: int) -> Iterator[str]:
    """Describe the plan of a connection: what is reused, the costs, then what is fetched."""
    yield from _indented(_reused(plan), "reused interval", most)
    if plan.cost is not None:
        yield f"  {_requests(plan.cost)}"
        yield f"  {_most_records(plan.cost)}"
        yield from _indented(_replaced(plan), "part", most)
        yield from _indented([_chunk(chunk) for chunk in plan.chunks], "chunk", most)


def _counts(plan: ConnectionPlan) -> str:
    """Count parts and chunks."""
    if not plan.known:
        return "no plan, because no team could be looked up"
    reused = counted(plan.parts_reused, "part")
    chunks = counted(len(plan.chunks), "chunk")
    if not plan.stale:
        return f"{reused} reused, {chunks} to fetch"
    return f"{reused} reused, {len(plan.stale):,} replaced, {chunks} to fetch"


def _indented(lines: Sequence[str], noun: str, most: int) -> Iterator[str]:
    """Indent the first lines, and say how many more exist."""
    for line in first_lines(lines, noun, limit=most):
        yield f"  {line}"


def _reused(plan: ConnectionPlan) -> list[str]:
    """List the intervals of parts that a run would reuse."""
    return [f"reuse: {each.interval}, {describe_users(each.users)}" for each in plan.reused]


def _replaced(plan: ConnectionPlan) -> list[str]:
    """List the parts that a run would replace, and why."""
    lines = []
    for part in plan.stale:
        users = describe_users(part.users)
        lines.append(f"replace: part {part.number}, {part.interval}, {users}: it was {part.reason}")
    return lines


def _chunk(chunk: PlannedChunk) -> str:
    """Say what a chunk fetches."""
    action = "fetch"
    if chunk.again:
        action = "fetch again"
    return f"{action}: {chunk.interval}, {describe_users(chunk.users)}"


def _requests(cost: Cost) -> str:
    """Describe the requests, and the time that they take."""
    fewest, most = f"{cost.fewest_requests:,}", counted(cost.most_requests, "request")
    text = f"{_range(fewest, most)}, {_time(cost)}"
    if cost.lower_bound:
        text = f"at least {text}"
    if cost.fewest_requests < cost.most_requests:
        text += f"; {_basis(cost)}"
    return text


def _range(least: str, most: str) -> str:
    """Write a range; only its end, if both are the same."""
    if most == least or most.startswith(f"{least} request"):
        return most
    return f"{least} to {most}"


def _time(cost: Cost) -> str:
    """Say how long requests take at the rate limit of the clients."""
    time = _range(_duration(cost.shortest_sec), _duration(cost.longest_sec))
    text = f"{time} at {cost.requests_per_minute:,} requests per minute"
    if cost.clients > 1:
        text += f" with each of {cost.clients} clients"
    return text


def _duration(seconds: float) -> str:
    """Write the length of a time."""
    if seconds < 1:
        return "under 1 s"
    return duration(seconds)


def _basis(cost: Cost) -> str:
    """Say what the smaller number of requests rests on."""
    records = cost.records_per_bucket
    if records is None:
        return "the emptier the answers, the fewer requests; nothing was fetched yet"
    return f"the smaller number if users have {records:.2g} records in a bucket, as so far"


def _most_records(cost: Cost) -> str:
    """Give the largest possible number of records."""
    return (
        f"at most {cost.most_records:,} records{_splits(cost.split_by)}: "
        "users x buckets; a bucket without activity has no record"
    )


def _splits(columns: Sequence[str]) -> str:
    """Say by what the records of a bucket are split; empty if they are not."""
    if not columns:
        return ""
    return f" for each combination of {', '.join(columns)}"
