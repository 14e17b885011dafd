"""Say what was sent, and why nothing may have been found. Reads the parts of a query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asyncreport.api import contracts
from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.wire import Request
from asyncreport.core.job import Chunk, Job, Part
from asyncreport.core.records import Accumulator
from asyncreport.core.text import counted, shorten
from asyncreport.core.timeline import Interval, iso
from asyncreport.store.job_parts import JobParts

#: characters of a request that are shown
_MAX_REQUEST = 600

_OTHER_MEMBERS = "the team had other members in the range: the directory knows only today's members"
_WRONG_USER = (
    "a user id is wrong, or the user was inactive in the range: compare the ids with Admin > People"
)
_NOTHING_HANDLED = (
    "nothing was handled in the range: an interaction counts when its after-call work ends; "
    "use an earlier --start or a later --end"
)
_NARROW_FILTER = "the filter is too narrow: add users or teams"
_HIDDEN_DIVISION = (
    "the roles of the OAuth client do not cover the division of the users, which the server "
    "does not report: Admin > Integrations > OAuth > the client > Roles"
)


def sent_requests(job: Job) -> Iterator[str]:
    """Make the first request of each chunk again.

    From the parts, because only they have the members of a team that was looked up.
    """
    for part in JobParts.read(job).current(job.connections[0]):
        yield _describe_request(_first_request(job, part))


def _first_request(job: Job, part: Part) -> Request:
    """Make the first request for a part again."""
    chunk = _chunk(job, part)
    accumulator = Accumulator(job.query.grid.edges(part.interval), job.query)
    state = ConnectionState()
    steps = contracts.steps(job.query, chunk, accumulator, state, [])
    request = next(steps)
    steps.close()
    assert isinstance(request, Request)
    return request


def _chunk(job: Job, part: Part) -> Chunk:
    """Make the chunk that became a part."""
    return Chunk(
        connection=job.connections[0].name,
        month=part.month,
        interval=part.interval,
        users=part.users,
    )


def _describe_request(request: Request) -> str:
    """Write a request in one line, with its JSON body."""
    body = (request.body or b"").decode()
    return f"{request.method} {request.path} {body}"


def explain_no_records(job: Job, requests: tuple[str, ...], *, now: int) -> Iterator[str]:
    """Show what was sent, and the likely causes of finding nothing; `now` is an instant."""
    yield f"nothing found in {job.interval}"
    yield from _sent(requests)
    yield "likely causes:"
    for cause in _likely_causes(job, now):
        yield f"- {cause}"


def _sent(requests: Sequence[str]) -> Iterator[str]:
    """Show the first request, and count the others."""
    if not requests:
        yield "sent: no query, because the team has no members today"
        return
    first, *more = requests
    yield f"sent: {shorten(first, _MAX_REQUEST)}"
    if more:
        yield f"  and {counted(len(more), 'more query', 'more queries')}"


def _likely_causes(job: Job, now: int) -> Iterator[str]:
    """List what may be wrong, the most certain first."""
    yield from _future(job.interval, now)
    if _has_selector(job):
        yield _OTHER_MEMBERS
    if _has_listed_users(job):
        yield _WRONG_USER
    yield _NOTHING_HANDLED
    if _has_selector(job) or _has_listed_users(job):
        yield _NARROW_FILTER
    yield _HIDDEN_DIVISION


def _has_selector(job: Job) -> bool:
    """Tell whether the members of a team were looked up."""
    return any(team.selector is not None for team in job.teams)


def _has_listed_users(job: Job) -> bool:
    """Tell whether a team consists of users who were given by id."""
    return any(team.users or team.emails for team in job.teams)


def _future(interval: Interval, now: int) -> Iterator[str]:
    """Say which part of a range has not happened yet."""
    if interval.start >= now:
        yield f"the range is in the future: now is {iso(now)}"
    elif interval.end > now:
        yield f"a part of the range is in the future: now is {iso(now)}"
