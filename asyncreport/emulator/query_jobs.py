"""Query jobs: submitted, polled, read page by page, deleted. Pure; `QueryJobs` owns its jobs.

Every call gets the time, in seconds. As in the vendor's SDK 269:
`post_analytics_conversations_aggregates_jobs` and the three calls next to it.
Believed: a page is a number of buckets, so a group may continue on the next page; a job that is
under way has no results (409); neither has a job that failed, was cancelled or expired (404).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from asyncreport.emulator.aggregates import write
from asyncreport.emulator.messages import ApiError, bad_request, not_found
from asyncreport.emulator.options import Options, Outcome
from asyncreport.emulator.paging import page_of, pages_of, token_after
from asyncreport.emulator.query import Query, parse_query
from asyncreport.emulator.view import View

#: buckets on a page: the default and the maximum
PAGE_SIZE, MAX_PAGE_SIZE = 1000, 10_000

_STATES: dict[Outcome, str] = {
    "fail": "FAILED",
    "too_large": "FAILED",
    "cancel": "CANCELLED",
    "expire": "EXPIRED",
}
_ERRORS: dict[Outcome, str] = {
    "fail": "The query could not be run",
    "too_large": "The result is too large",
}
#: how long results are kept, according to the job's status
_KEPT = timedelta(days=1)

#: a group and one of its buckets
Piece = tuple[dict[str, str], dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class Job:
    """One query job."""

    id: str
    query: Query
    page_size: int
    outcome: Outcome
    submitted: float
    finished: float | None = None
    #: requests for its status
    polls: int = 0
    #: requests that will get a 409 first
    conflicts: int
    #: empty until the results are requested
    pages: list[Sequence[Piece]] = field(default_factory=list, repr=False)

    @property
    def state(self) -> str:
        """Return the vendor's name of the state."""
        if self.finished is not None:
            return _STATES.get(self.outcome, "FULFILLED")
        if self.polls > 1:
            return "PENDING"
        return "QUEUED"


class QueryJobs:
    """The query jobs of an organisation; nothing is reported after the time of a submission."""

    def __init__(self, view: View, options: Options) -> None:
        self._view = view
        self._options = options
        self._jobs: dict[str, Job] = {}
        self._ids = Random(f"{view.world.seed}/jobs")
        self._outcomes = list(options.job_outcomes)

    def submit(self, body: dict[str, Any], now: float) -> dict[str, Any]:
        """Respond to `POST .../jobs`; the body is a query with a `pageSize`."""
        size = _page_size(body.get("pageSize"))
        fields = {name: value for name, value in body.items() if name != "pageSize"}
        query = self._view.until_now(parse_query(fields), now)
        job = Job(
            id=str(uuid.UUID(int=self._ids.getrandbits(128), version=4)),
            query=query,
            page_size=min(size, self._options.most_per_page or size),
            outcome=self._outcome(query),
            submitted=now,
            conflicts=self._options.job_conflicts,
        )
        self._jobs[job.id] = job
        return {"jobId": job.id}

    def status(self, job_id: str, now: float) -> dict[str, Any]:
        """Respond to `GET .../jobs/{id}`."""
        job = self._find(job_id)
        job.polls += 1
        self._finish_if_due(job, now)
        status = {"state": job.state, "submissionDate": self._date(job.submitted)}
        if job.finished is not None:
            status["completionDate"] = self._date(job.finished)
            status["expirationDate"] = self._date(job.finished + _KEPT.total_seconds())
        if job.state == "FAILED":
            status["errorMessage"] = _ERRORS[job.outcome]
        return status

    def results(self, job_id: str, cursor: str, now: float) -> dict[str, Any]:
        """Respond to `GET .../jobs/{id}/results`."""
        job = self._find(job_id)
        self._finish_if_due(job, now)
        if job.finished is None:
            raise _conflict()
        if job.state != "FULFILLED":
            raise not_found()
        job.pages = job.pages or self._pages(job)
        number = page_of(cursor, job.id, "cursor") if cursor else 0
        if job.outcome == "vanish_later":
            del self._jobs[job.id]
        return self._page(job, number)

    def delete(self, job_id: str) -> None:
        """Respond to `DELETE .../jobs/{id}`."""
        if self._jobs.pop(job_id, None) is None:
            raise not_found()

    def undeleted(self) -> list[dict[str, Any]]:
        """List the jobs that were submitted and neither deleted nor lost."""
        return [
            {"id": job.id, "state": job.state, "polls": job.polls, "pages": len(job.pages)}
            for job in self._jobs.values()
        ]

    def _outcome(self, query: Query) -> Outcome:
        limit = self._options.job_rows
        if limit:
            groups = self._view.count(query)
            if sum(map(len, groups.values())) > limit:
                return "too_large"
        if self._outcomes:
            return self._outcomes.pop(0)
        return "fulfil"

    def _find(self, job_id: str) -> Job:
        """Find a job; raise ApiError if it does not exist, or for a conflict that is due."""
        job = self._jobs.get(job_id)
        if job is None:
            raise not_found()
        if job.conflicts:
            job.conflicts -= 1
            raise _conflict()
        return job

    def _finish_if_due(self, job: Job, now: float) -> None:
        if job.finished is not None or job.polls <= self._options.job_polls:
            return
        job.finished = now
        if job.outcome == "vanish":
            del self._jobs[job.id]
            raise not_found()

    def _pages(self, job: Job) -> list[Sequence[Piece]]:
        found = write(job.query, self._view.count(job.query))
        pieces = []
        for container in found.get("results", []):
            pieces += [(container["group"], entry) for entry in container["data"]]
        return pages_of(pieces, job.page_size, empty=self._options.empty_pages)

    def _page(self, job: Job, number: int) -> dict[str, Any]:
        page: dict[str, Any] = {}
        pieces = job.pages[number]
        if pieces or len(job.pages) == 1:
            page["results"] = _containers(pieces)
        repeat = self._options.repeat_cursor
        cursor = token_after(number, len(job.pages), job.id, repeat=repeat)
        if cursor is not None:
            page["cursor"] = cursor
        return page

    def _date(self, at: float) -> str:
        moment = datetime.fromtimestamp(int((self._view.epoch or 0.0) + at), UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _containers(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    """Put neighbouring buckets of the same group into one container again."""
    found: list[dict[str, Any]] = []
    for group, entry in pieces:
        if found and found[-1]["group"] is group:
            found[-1]["data"].append(entry)
        else:
            found.append({"group": group, "data": [entry]})
    return found


def _page_size(value: object) -> int:
    if value is None:
        return PAGE_SIZE
    # A bool is an int to Python.
    if type(value) is int and 1 <= value <= MAX_PAGE_SIZE:
        return value
    template = "The value [{value}] of {field} is not within 1 to {max}"
    raise bad_request(template, field="pageSize", value=str(value), max=str(MAX_PAGE_SIZE))


def _conflict() -> ApiError:
    text = "The request conflicts with the current state of the target resource."
    return ApiError(409, "conflict", text)
