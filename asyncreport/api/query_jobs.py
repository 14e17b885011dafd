"""The `query-jobs` contract: submit a query, poll it, read its pages, delete it. Pure.

https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/async-aggregate-queries
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from asyncreport.api.aggregates import Reader, Steps, read_pages
from asyncreport.api.error_reports import MAX_TEXT
from asyncreport.api.invalid_text import check_id
from asyncreport.api.queries import query_request
from asyncreport.api.wire import Request, Wait, read
from asyncreport.core.errors import TOO_LARGE, ApiError, AuthError, RejectedError, RetriesExhausted
from asyncreport.core.records import Accumulator
from asyncreport.core.text import one_line

PATH = "/api/v2/analytics/conversations/aggregates/jobs"

#: groups or buckets on a page: the vendor documents neither which nor how many there may be
PAGE_SIZE = 1000

#: how often a query is submitted before it is given up
MAX_SUBMISSIONS = 3

#: seconds between two polls, first and at most; each poll is one request of the rate limit
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0

#: whether a job that is over has results; without, it may have if it is submitted again
_FINAL = {
    "FULFILLED": True,
    "EXPIRED": False,
    "CANCELLED": False,
}

#: a state; other text in its place is not shown
_STATE = re.compile("[A-Z_]{1,20}")

#: words of a failure that is about the size of the result
_SIZE = re.compile(r"too large|size limit", re.IGNORECASE)


class Submitted(Struct, rename="camel"):
    """The response to a submission."""

    job_id: str


class Status(Struct, rename="camel"):
    """The state of a query job."""

    state: str | None = None
    error_message: str | None = None


def send(body: dict[str, object], reader: Reader, closing: list[Request], timeout: float) -> Steps:
    """Run one query as a query job; submit it again if it expires or vanishes.

    While the job exists, its DELETE is in `closing`. Raise RejectedError if the vendor reports that
    the job failed, RetriesExhausted if it takes longer than `timeout` seconds.
    """
    submission = query_request(
        PATH,
        {**body, "pageSize": PAGE_SIZE},
        _decode_submitted,
        asynchronous=True,
    )
    for _ in range(MAX_SUBMISSIONS):
        submitted: Submitted = yield submission
        path = f"{PATH}/{quote(submitted.job_id, safe='')}"
        found = yield from _read_and_delete(path, reader, closing, timeout)
        if found is not None:
            return found
    raise RetriesExhausted(
        f"POST {PATH}: {MAX_SUBMISSIONS} times the query job was gone before its results were "
        "read; run it again later"
    )


def _read_and_delete(
    path: str,
    reader: Reader,
    closing: list[Request],
    timeout: float,
) -> Generator[Request | Wait, Any, Accumulator | None]:
    """Wait for a job, read its results and delete it; None if the job is gone."""
    deletion = Request(method="DELETE", path=path, asynchronous=True)
    # Before anything else is yielded: a failure or a stop from here on must delete the job.
    closing.append(deletion)
    found = yield from _results(path, reader, timeout)
    # Now and not at the end of the chunk, because the next job needs its place. Whatever
    # happens to the DELETE, the results are complete.
    with suppress(ApiError, AuthError, RetriesExhausted):
        yield deletion
    closing.remove(deletion)
    return found


def _results(
    path: str, reader: Reader, timeout: float
) -> Generator[Request | Wait, Any, Accumulator | None]:
    """Wait for a job and read its results; None if the job is gone."""
    try:
        if not (yield from _fulfilled(path, timeout)):
            return None
        return (yield from _read_results(path, reader))
    except RejectedError as error:
        if error.status == 404:
            return None
        raise


def _fulfilled(path: str, timeout: float) -> Generator[Request | Wait, Any, bool]:
    """Poll until the job is done; False if it is gone."""
    poll = Request(method="GET", path=path, decode=_decode_status, asynchronous=True)
    state = ""
    for pause in _pauses(timeout):
        yield Wait(pause)
        status: Status = yield poll
        state = status.state or ""
        if state in _FINAL:
            return _FINAL[state]
        # Any other state, also one that is not documented yet, means that the job is in progress.
    raise _too_slow(path, state, timeout)


def _too_slow(path: str, state: str, timeout: float) -> RetriesExhausted:
    """Make the error for a job that was in this state when its time was over."""
    if not _STATE.fullmatch(state):
        state = "in progress"
    return RetriesExhausted(
        f"GET {path}: the query job is still {state} after {timeout:.0f} s; "
        "run it again later, or set a longer limits.give_up_after"
    )


def _pauses(timeout: float) -> Iterator[float]:
    """Walk the seconds before each poll, until their sum reaches the timeout."""
    pause = _FIRST_PAUSE
    total = 0.0
    while total < timeout:
        yield pause
        total += pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def _read_results(path: str, reader: Reader) -> Steps:
    """Read the results from the first page to the last."""
    results = f"{path}/results"

    def with_cursor(cursor: str) -> Request:
        return Request(
            method="GET",
            path=results,
            query=(("cursor", cursor),),
            decode=reader,
        )

    return read_pages(Request(method="GET", path=results, decode=reader), with_cursor)


def _decode_submitted(body: bytes) -> Submitted:
    """Decode the response to a submission; raise TransientError if it has no job."""
    submitted = read(_SUBMITTED, body, "submitted query job")
    check_id(submitted.job_id)
    return submitted


def _decode_status(body: bytes) -> Status:
    """Decode the response to a poll; raise RejectedError if the job failed."""
    status = read(_STATUS, body, "state of a query job")
    if status.state == "FAILED":
        # Raised while decoding, because the text may repeat a secret: the client checks for that.
        raise _failure(one_line(status.error_message or "", MAX_TEXT))
    return status


def _failure(reason: str) -> RejectedError:
    """Make the error for a failed job.

    No code says why a job failed. If its text is about size, a smaller query may succeed.
    """
    code = TOO_LARGE if _SIZE.search(reason) else ""
    return RejectedError(
        f"the query job failed: {reason or 'the server does not say why'}",
        code=code,
    )


_SUBMITTED = msgspec.json.Decoder(Submitted)
_STATUS = msgspec.json.Decoder(Status)
