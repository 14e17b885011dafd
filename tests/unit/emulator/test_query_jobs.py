"""Query jobs: their states, their pages, and how they end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from asyncreport.emulator.aggregates import count, write
from asyncreport.emulator.messages import ApiError
from asyncreport.emulator.options import Options
from asyncreport.emulator.query import parse_query
from asyncreport.emulator.query_jobs import QueryJobs
from asyncreport.emulator.view import View
from asyncreport.emulator.world import World

WORLD = World(6)
QUERY: dict[str, Any] = {
    "interval": "2023-10-02T00:00:00.000Z/2023-10-04T00:00:00.000Z",
    "granularity": "PT1H",
    "groupBy": ["userId"],
    "metrics": ["tHandle", "tAcw"],
}
#: 2026-03-03T06:00:00Z
EPOCH = 1_772_517_600


def _response(divisions: frozenset[str] | None = None) -> dict[str, Any]:
    """Return the response to the query without a job."""
    query = parse_query(QUERY)
    return write(query, count(query, WORLD, divisions))


def _jobs(**options: Any) -> QueryJobs:
    return QueryJobs(View(world=WORLD, epoch=EPOCH), Options(**{"job_polls": 0, **options}))


def _submit(jobs: QueryJobs, now: float = 0.0, **given: Any) -> str:
    found = jobs.submit({**QUERY, **given}, now)
    assert set(found) == {"jobId"}
    return str(found["jobId"])


def _pages(jobs: QueryJobs, job_id: str) -> list[dict[str, Any]]:
    """Read all pages of a job that is ready."""
    jobs.status(job_id, 1.0)
    pages = [jobs.results(job_id, "", 1.0)]
    while "cursor" in pages[-1]:
        pages.append(jobs.results(job_id, pages[-1]["cursor"], 1.0))
    return pages


def _pieces(*responses: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [
        (container["group"], entry)
        for response in responses
        for container in response.get("results", [])
        for entry in container["data"]
    ]


def _refusal(call: Any, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        call(*arguments)
    return caught.value.status, caught.value.code


def test_a_job_is_queued_then_pending_then_fulfilled_in_the_vendors_form() -> None:
    jobs = _jobs(job_polls=2)
    job = _submit(jobs, 0.0)
    assert jobs.status(job, 1.0) == {"state": "QUEUED", "submissionDate": "2026-03-03T06:00:00Z"}
    assert jobs.status(job, 2.0) == {"state": "PENDING", "submissionDate": "2026-03-03T06:00:00Z"}
    fulfilled = {
        "state": "FULFILLED",
        "submissionDate": "2026-03-03T06:00:00Z",
        "completionDate": "2026-03-03T06:00:21Z",
        "expirationDate": "2026-03-04T06:00:21Z",
    }
    assert jobs.status(job, 21.4) == fulfilled
    assert jobs.status(job, 60.0) == fulfilled


@pytest.mark.parametrize("size", [1, 2, 7, 1000, None])
def test_the_pages_have_the_results_of_the_query(size: int | None) -> None:
    jobs = _jobs()
    pages = _pages(jobs, _submit(jobs, pageSize=size))
    assert _pieces(*pages) == _pieces(_response())
    assert all(len(_pieces(page)) == (size or 1000) for page in pages[:-1])
    assert all(page["results"] for page in pages)


def test_a_group_may_continue_on_the_next_page() -> None:
    jobs = _jobs()
    pages = _pages(jobs, _submit(jobs, pageSize=5))
    assert any(
        one["results"][-1]["group"] == two["results"][0]["group"] for one, two in pairwise(pages)
    )


def test_an_option_makes_pages_smaller_than_requested() -> None:
    jobs = _jobs(most_per_page=3)
    pages = _pages(jobs, _submit(jobs, pageSize=500))
    assert {len(_pieces(page)) for page in pages[:-1]} == {3}


def test_an_empty_page_has_a_cursor_and_no_results() -> None:
    jobs = _jobs(empty_pages=True)
    pages = _pages(jobs, _submit(jobs, pageSize=10))
    assert [page for page in pages if "results" not in page] == [{"cursor": pages[-2]["cursor"]}]
    assert _pieces(*pages) == _pieces(_response())


def test_an_empty_result_is_one_empty_page() -> None:
    jobs = _jobs()
    assert _pages(jobs, _submit(jobs, interval="2199-01-01T00:00Z/2199-01-02T00:00Z")) == [
        {"results": []}
    ]


def test_a_cursor_may_lead_to_itself_forever() -> None:
    jobs = _jobs(repeat_cursor=True)
    job = _submit(jobs, pageSize=5)
    jobs.status(job, 1.0)
    cursor = jobs.results(job, "", 1.0)["cursor"]
    assert [jobs.results(job, cursor, 1.0)["cursor"] for _ in range(3)] == [cursor] * 3


def test_an_unknown_cursor_or_that_of_another_job_is_a_400() -> None:
    jobs = _jobs()
    one, two = (_submit(jobs, pageSize=5) for _ in range(2))
    jobs.status(one, 1.0)
    jobs.status(two, 1.0)
    cursor = jobs.results(one, "", 1.0)["cursor"]
    for foreign in (cursor, "1", "b3BhcXVl", "zz+é", cursor[:-1]):
        assert _refusal(jobs.results, two, foreign, 1.0) == (400, "bad.request")


def test_a_job_that_is_under_way_has_no_results() -> None:
    jobs = _jobs(job_polls=1)
    job = _submit(jobs)
    assert _refusal(jobs.results, job, "", 1.0) == (409, "conflict")


def test_conflicts_come_first_for_status_and_results() -> None:
    jobs = _jobs(job_conflicts=2)
    job = _submit(jobs)
    assert [_refusal(jobs.status, job, 1.0), _refusal(jobs.results, job, "", 1.0)] == [
        (409, "conflict")
    ] * 2
    assert jobs.status(job, 1.0)["state"] == "FULFILLED"


@pytest.mark.parametrize(
    ("outcome", "state"), [("fail", "FAILED"), ("cancel", "CANCELLED"), ("expire", "EXPIRED")]
)
def test_a_job_that_is_not_fulfilled_has_no_results_and_the_next_one_has(
    outcome: str, state: str
) -> None:
    jobs = _jobs(job_outcomes=(outcome,), job_polls=1)
    job, again = _submit(jobs), _submit(jobs)
    assert [jobs.status(job, 1.0)["state"], jobs.status(job, 1.0)["state"]] == ["QUEUED", state]
    assert ("errorMessage" in jobs.status(job, 1.0)) == (state == "FAILED")
    assert _refusal(jobs.results, job, "", 1.0) == (404, "not.found")
    assert [jobs.status(again, 1.0)["state"] for _ in range(2)] == ["QUEUED", "FULFILLED"]


def test_a_job_may_vanish_when_it_should_be_ready() -> None:
    jobs = _jobs(job_outcomes=("vanish",), job_polls=1)
    job = _submit(jobs)
    assert jobs.status(job, 1.0)["state"] == "QUEUED"
    assert [_refusal(jobs.status, job, 1.0), _refusal(jobs.results, job, "", 1.0)] == [
        (404, "not.found")
    ] * 2


def test_a_job_may_vanish_between_its_pages() -> None:
    jobs = _jobs(job_outcomes=("vanish_later",))
    job = _submit(jobs, pageSize=5)
    assert jobs.status(job, 1.0)["state"] == "FULFILLED"
    cursor = jobs.results(job, "", 1.0)["cursor"]
    assert _refusal(jobs.results, job, cursor, 1.0) == (404, "not.found")


def test_a_deleted_job_does_not_exist_and_the_others_are_listed() -> None:
    jobs = _jobs(job_polls=1)
    one, two = _submit(jobs), _submit(jobs)
    assert jobs.status(two, 1.0)["state"] == "QUEUED"
    assert jobs.undeleted() == [
        {"id": one, "state": "QUEUED", "polls": 0, "pages": 0},
        {"id": two, "state": "QUEUED", "polls": 1, "pages": 0},
    ]
    jobs.delete(one)
    assert [_refusal(jobs.delete, one), _refusal(jobs.status, one, 1.0)] == [(404, "not.found")] * 2
    assert [job["id"] for job in jobs.undeleted()] == [two]


@pytest.mark.parametrize("size", [0, -1, 10_001, 1.5, "10", True])
def test_an_invalid_page_size_is_a_400(size: object) -> None:
    assert _refusal(lambda: _submit(_jobs(), pageSize=size)) == (400, "bad.request")


def test_an_invalid_query_is_refused_when_it_is_submitted() -> None:
    jobs = _jobs()
    assert _refusal(lambda: _submit(jobs, metrics=["tHold"])) == (400, "bad.request")
    assert jobs.undeleted() == []


def test_a_job_sees_only_the_divisions_of_its_client() -> None:
    home = frozenset((WORLD.divisions[0].id,))
    jobs = QueryJobs(View(world=WORLD, divisions=home), Options(job_polls=0))
    seen = _pieces(*_pages(jobs, _submit(jobs)))
    assert seen == _pieces(_response(home))
    assert seen != _pieces(_response())


def test_a_query_job_with_too_many_rows_fails_as_too_large() -> None:
    pieces = _pieces(_response())
    rows = len({(str(group), entry["interval"]) for group, entry in pieces})
    for most, state in ((rows - 1, "FAILED"), (rows, "FULFILLED")):
        jobs = _jobs(job_rows=most)
        found = jobs.status(_submit(jobs), 1.0)
        assert (found["state"], found.get("errorMessage", "")) == (
            state,
            "The result is too large" if state == "FAILED" else "",
        )
