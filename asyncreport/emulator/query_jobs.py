"""Query jobs: submitted, polled, read page by page, deleted. Pure: every call is told the time; a `QueryJobs` owns its jobs.

As the vendor's SDK 269 has it: `post_analytics_conversations_aggregates_jobs` and its three siblings.
Believed: a page is so many buckets, so that a group may go on on the next page; a job under way has no results (409); too many
jobs at once are a 429; who asks for a job that failed, was cancelled or expired is told that there are no results (404).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from asyncreport.emulator.analytics import count, evaluate
from asyncreport.emulator.answers import Refused, bad_request, not_found
from asyncreport.emulator.options import Fate, Options
from asyncreport.emulator.paging import page_of, pages_of, token_after
from asyncreport.emulator.query import Query, parse_query
from asyncreport.emulator.world import World

#: buckets on a page: when nothing is said, and at most
PAGE_SIZE, MOST_PER_PAGE = 1000, 10_000

_STATES: dict[Fate, str] = {
    "fail": "FAILED",
    "burst": "FAILED",
    "cancel": "CANCELLED",
    "expire": "EXPIRED",
}
#: how long results are kept, as the job says
_KEPT = timedelta(days=1)

#: a bucket of a group
Piece = tuple[dict[str, str], dict[str, Any]]


@dataclass(slots=True, kw_only=True)
class Job:
    """One query job."""

    id: str
    query: Query
    page_size: int
    fate: Fate
    submitted: float
    finished: float | None = None
    #: requests for its status
    polls: int = 0
    #: 409s still to come
    conflicts: int
    #: once they were asked for
    pages: list[Sequence[Piece]] = field(default_factory=list, repr=False)

    @property
    def state(self) -> str:
        """Name the state in the vendor's word."""
        if self.finished is None:
            return "PENDING" if self.polls > 1 else "QUEUED"
        return _STATES.get(self.fate, "FULFILLED")


class QueryJobs:
    """The query jobs of an organisation."""

    def __init__(
        self,
        world: World,
        options: Options,
        *,
        divisions: frozenset[str] | None = None,
        epoch: float = 0.0,
    ) -> None:
        """Begin without jobs; `epoch` is what the time 0 is in seconds since 1970."""
        self._world, self._options, self._divisions, self._epoch = world, options, divisions, epoch
        self._jobs: dict[str, Job] = {}
        self._ids = Random(f"{world.seed}/jobs")
        self._fates = list(options.job_fates)

    def submit(self, asked: dict[str, Any], now: float) -> dict[str, Any]:
        """Answer `POST .../jobs`, which is the query with a `pageSize`."""
        size = _page_size(asked.get("pageSize"))
        query = parse_query({name: value for name, value in asked.items() if name != "pageSize"})
        under_way = sum(job.finished is None for job in self._jobs.values())
        if self._options.most_jobs and under_way >= self._options.most_jobs:
            raise Refused(
                429,
                "too.many.requests.retry.after",
                "Too many query jobs are under way. Retry the request in [1] seconds",
            )
        job = Job(
            id=str(uuid.UUID(int=self._ids.getrandbits(128), version=4)),
            query=query,
            page_size=min(size, self._options.most_per_page or size),
            fate=self._fate(query),
            submitted=now,
            conflicts=self._options.job_conflicts,
        )
        self._jobs[job.id] = job
        return {"jobId": job.id}

    def status(self, job_id: str, now: float) -> dict[str, Any]:
        """Answer `GET .../jobs/{id}`."""
        job = self._ready(job_id)
        job.polls += 1
        self._settle(job, now)
        found = {"state": job.state, "submissionDate": self._date(job.submitted)}
        if job.finished is not None:
            found["completionDate"] = self._date(job.finished)
            found["expirationDate"] = self._date(job.finished + _KEPT.total_seconds())
        why = "The result is too large" if job.fate == "burst" else "The query could not be run"
        return found | ({"errorMessage": why} if job.state == "FAILED" else {})

    def results(self, job_id: str, cursor: str, now: float) -> dict[str, Any]:
        """Answer `GET .../jobs/{id}/results`."""
        job = self._ready(job_id)
        self._settle(job, now)
        if job.finished is None:
            raise _conflict(job)
        if job.state != "FULFILLED":
            raise not_found()
        job.pages = job.pages or self._pages(job)
        number = page_of(cursor, job.id, "cursor") if cursor else 0
        if job.fate == "lapse":
            del self._jobs[job.id]
        found = (
            {"results": _containers(job.pages[number])}
            if job.pages[number] or len(job.pages) == 1
            else {}
        )
        onward = token_after(number, len(job.pages), job.id, repeat=self._options.repeat_cursor)
        return found | ({"cursor": onward} if onward else {})

    def delete(self, job_id: str) -> None:
        """Answer `DELETE .../jobs/{id}`."""
        if self._jobs.pop(job_id, None) is None:
            raise not_found()

    def standing(self) -> list[dict[str, Any]]:
        """List the jobs that were submitted and neither deleted nor lost."""
        return [
            {"id": job.id, "state": job.state, "polls": job.polls, "pages": len(job.pages)}
            for job in self._jobs.values()
        ]

    def _fate(self, query: Query) -> Fate:
        most = self._options.job_rows
        if most and sum(map(len, count(query, self._world, self._divisions).values())) > most:
            return "burst"
        return self._fates.pop(0) if self._fates else "fulfil"

    def _ready(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise not_found()
        if job.conflicts:
            job.conflicts -= 1
            raise _conflict(job)
        return job

    def _settle(self, job: Job, now: float) -> None:
        """Let a job meet its fate once its time has come."""
        if (
            job.finished is None
            and job.polls > self._options.job_polls
            and now - job.submitted >= self._options.job_seconds
        ):
            job.finished = now
            if job.fate == "vanish":
                del self._jobs[job.id]
                raise not_found()

    def _pages(self, job: Job) -> list[Sequence[Piece]]:
        found = evaluate(
            job.query,
            self._world,
            divisions=self._divisions,
            split_groups=self._options.split_groups,
        )
        pieces = [
            (container["group"], entry)
            for container in found.get("results", [])
            for entry in container["data"]
        ]
        return pages_of(pieces, job.page_size, empty=self._options.empty_pages)

    def _date(self, at: float) -> str:
        moment = datetime.fromtimestamp(int(self._epoch + at), UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _containers(page: Sequence[Piece]) -> list[dict[str, Any]]:
    """Gather the neighbouring buckets of one group again."""
    found: list[dict[str, Any]] = []
    for group, entry in page:
        if found and found[-1]["group"] is group:
            found[-1]["data"].append(entry)
        else:
            found.append({"group": group, "data": [entry]})
    return found


def _page_size(given: object) -> int:
    size = PAGE_SIZE if given is None else given
    if isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= MOST_PER_PAGE:
        return size
    most = str(MOST_PER_PAGE)
    raise bad_request(
        "The value [{value}] of {field} is not within 1 to {max}",
        field="pageSize",
        value=str(size),
        max=most,
    )


def _conflict(job: Job) -> Refused:
    return Refused(409, "conflict", "The query job {job} is not ready yet", {"job": job.id})
