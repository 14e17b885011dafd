"""The `query-jobs` contract: a query is submitted, polled until it is done, read page by page and deleted. Pure.

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

from asyncreport.api.aggregates import Reader, Steps, read_pages, request
from asyncreport.api.problems import MAX_TEXT
from asyncreport.api.wire import Request, Wait, read
from asyncreport.core.errors import TOO_LARGE, ApiError, AuthError, RejectedError, RetriesExhausted
from asyncreport.core.records import Accumulator
from asyncreport.core.text import one_line

PATH = "/api/v2/analytics/conversations/aggregates/jobs"

#: groups or buckets on a page: the vendor documents neither which nor how many there may be
PAGE_SIZE = 1000

#: how often a query is submitted before it is given up
SUBMISSIONS = 3

#: seconds between two polls: at first, and at most; each poll costs a request of the minute
_FIRST, _LAST = 1.0, 15.0

#: a job that will not be fulfilled any more, and may be when it is submitted anew
_GONE = frozenset({"EXPIRED", "CANCELLED"})


class Submitted(Struct, rename="camel"):
    """The answer to a submission."""

    job_id: str


class Status(Struct, rename="camel"):
    """How a query job is doing."""

    state: str | None = None
    error_message: str | None = None


def send(body: dict[str, object], reader: Reader, closing: list[Request], patience: float) -> Steps:
    """Ask one query as a query job, over again where it expires or vanishes; while it stands, its DELETE is in `closing`.

    Raise RejectedError where the vendor reports that it failed, RetriesExhausted where it takes longer than `patience` seconds.
    """
    for _ in range(SUBMISSIONS):
        submitted: Submitted = yield request(
            PATH, {**body, "pageSize": PAGE_SIZE}, _decode_submitted, asynchronous=True
        )
        path = f"{PATH}/{quote(submitted.job_id, safe='')}"
        deletion = Request(method="DELETE", path=path, asynchronous=True)
        closing.append(deletion)
        found: Accumulator | None = None
        try:
            if (yield from _fulfilled(path, patience)):
                found = yield from _pages(path, reader)
        except RejectedError as error:
            if error.status != 404:
                raise
        # At once, for its place is wanted by the next; `closing` is for those that a failure or a stop leaves behind.
        with suppress(ApiError, AuthError, RetriesExhausted):
            yield deletion
        closing.remove(deletion)
        if found is not None:
            return found
    raise RetriesExhausted(
        f"POST {PATH}: the query job was gone before it was read, {SUBMISSIONS} times; run it again later"
    )


def _fulfilled(path: str, patience: float) -> Generator[Request | Wait, Any, bool]:
    """Poll until the job is done; False: it is gone."""
    state: str | None = None
    for pause in _pauses(patience):
        yield Wait(pause)
        status: Status = yield Request(
            method="GET", path=path, decode=_decode_status, asynchronous=True
        )
        state = status.state
        if state == "FULFILLED":
            return True
        if state in _GONE:
            return False
        # Any other state, one that is not documented yet among them, is a job under way.
    shown = (
        state if re.fullmatch("[A-Z_]{1,20}", state or "") else "under way"
    )  # a word that is no state may be anything
    raise RetriesExhausted(
        f"GET {path}: the query job is still {shown} after {patience:.0f} s; run it again later, or raise give_up_after"
    )


def _failed(why: str) -> RejectedError:
    # No code says why a job failed, and its words are no contract: where they do speak of size, less may be had.
    large = re.search(r"too large|size limit", why, re.IGNORECASE)
    return RejectedError(f"the query job failed: {why}", code=TOO_LARGE if large else "")


def _pauses(patience: float) -> Iterator[float]:
    pause, total = _FIRST, 0.0
    while total < patience:
        yield pause
        total += pause
        pause = min(2 * pause, _LAST)


def _pages(path: str, reader: Reader) -> Steps:
    """Read the results from the first page to the last."""

    def request_page(*query: tuple[str, str]) -> Request:
        return Request(method="GET", path=f"{path}/results", query=query, decode=reader)

    return read_pages(request_page(), lambda cursor: request_page(("cursor", cursor)))


def _decode_submitted(body: bytes) -> Submitted:
    return read(_SUBMITTED, body, "submitted query job")


def _decode_status(body: bytes) -> Status:
    status = read(_STATUS, body, "state of a query job")
    if status.state == "FAILED":
        # Here, for what the server says may be what it was sent: whoever sent it looks before it is shown.
        raise _failed(
            one_line(status.error_message or "", MAX_TEXT) or "the server does not say why"
        )
    return status


_SUBMITTED = msgspec.json.Decoder(Submitted)
_STATUS = msgspec.json.Decoder(Status)
