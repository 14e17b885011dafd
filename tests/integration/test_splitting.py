"""Responses that are too large or too late: chunks are split until the server answers.

The output is that of a server without bounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncreport.emulator import World
from asyncreport.export.summary import Summary
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, no_waits, run_here, write_job

SIZE = {"agents": 12, "seed": 5, "requests_per_minute": 0, "job_polls": 0}
USERS = [person.id for person in World(agents=12, seed=5).people]
#: two chunks of 168 hours
RANGE = {"start": "2024-01-08", "end": "2024-01-22", "granularity": "PT1H", "chunk": "P7D"}
#: the first of them
WEEK = "2024-01-08T00:00:00.000Z/2024-01-15T00:00:00.000Z"
#: the same, as messages write it
LOCAL_WEEK = "2024-01-08T00:00Z/2024-01-15T00:00Z"
LISTED = {"teams": [{"name": "all", "users": USERS}]}
QUERY = "aggregates/query"


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    no_waits(monkeypatch)


@pytest.fixture(scope="module")
def boundless() -> Iterator[Handle]:
    with emulator_process(**SIZE) as handle:
        yield handle


def export(folder: Path, emulator: Handle, **sections: Any) -> Summary:
    folder.mkdir(exist_ok=True)
    return run_here(write_job(folder, emulator, **{"range": RANGE, **sections}))


@contextmanager
def bounded(**options: Any) -> Iterator[Handle]:
    with emulator_process(**SIZE, **options) as handle:
        yield handle


def queries(emulator: Handle) -> list[dict[str, Any]]:
    return [seen for seen in emulator.log() if QUERY in seen["path"]]


def neighbours(one: str, other: str) -> str:
    """Give the text of a query that names two users one after the other."""
    return json.dumps(
        [
            {"value": one},
            {"type": "dimension", "dimension": "userId", "operator": "matches", "value": other},
        ]
    )[2:-2].replace(" ", "")


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "everyone-large": ({"max_rows": 150}, {}),
    "everyone-late": ({"slow_above": 12 * 50}, {}),
    "listed-large": ({"max_rows": 100}, LISTED),
    "listed-late": ({"slow_above": 12 * 50}, LISTED),
    "users-late": (
        {"slow_above": 5},
        {**LISTED, "range": {**RANGE, "end": "2024-01-10", "granularity": "P1D"}},
    ),
    "occupancy-large": ({"max_rows": 100}, {**LISTED, "occupancy": True}),
    "occupancy-everyone-late": ({"slow_above": 12 * 40}, {"occupancy": True}),
    "split-large": ({"max_rows": 100}, {"split_by": ["media_type", "queue_id"]}),
    "entities-large": ({"max_rows": 100}, {"contract": "entities"}),
    "entities-late": ({"slow_above": 12 * 50}, {"contract": "entities", **LISTED}),
    "jobs-large": ({"job_rows": 150}, {"contract": "query-jobs", **LISTED}),
    "weeks-large": (
        {"max_rows": 9},
        {
            **LISTED,
            "range": {**RANGE, "start": "2024-01-01", "end": "2024-01-29", "granularity": "P1W"},
        },
    ),
    "days-large": (
        {"max_rows": 60},
        {"range": {**RANGE, "time_zone": "Europe/Dublin", "granularity": "P1D"}},
    ),
    "one-bucket-late": (
        {"slow_above": 3},
        {**LISTED, "range": {"start": "2024-01-08", "end": "2024-01-22", "granularity": "none"}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_fetched_as_a_whole_is_fetched_in_pieces(
    boundless: Handle, tmp_path: Path, case: str
) -> None:
    """The output has the same bytes, and no query job is left behind."""
    options, sections = CASES[case]
    assert export(tmp_path / "calm", boundless, **sections).chunks_split == 0
    with bounded(**options) as emulator:
        cut = export(tmp_path / "cut", emulator, **sections)
        assert emulator.jobs() == []
    assert cut.complete
    assert 1 <= cut.chunks_split <= cut.chunks_fetched
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (
        tmp_path / "calm" / "out.jsonl"
    ).read_bytes()
    assert cut.records["all"] > 0


def test_later_chunks_are_fetched_in_pieces_of_a_size_that_worked(tmp_path: Path) -> None:
    """After the first chunk no request fails; a piece that can be split has three attempts."""
    late = {"slow_above": 12 * 50}
    with bounded(**late) as emulator:
        summary = export(tmp_path, emulator, **LISTED, limits={"concurrency": 1})
        seen = queries(emulator)
    failed = [number for number, each in enumerate(seen) if each["status"] == 504]
    # The whole week eight times; one bucket succeeds, so the server is not down; each half three
    # times, then one bucket again, and the halves of these succeed.
    assert failed == [*range(8), *range(9, 12), *range(15, 18)]
    assert len(seen) == 21 + 4
    assert [each["interval"][:13] for each in seen[21:]] == [
        "2024-01-15T00",
        "2024-01-16T18",
        "2024-01-18T12",
        "2024-01-20T06",
    ]
    assert summary.chunks_split == 1


def test_a_server_that_is_down_is_not_asked_for_every_piece(tmp_path: Path) -> None:
    with bounded() as emulator:
        emulator.faults([{"match": {"path": QUERY}, "do": {"status": 504}}])
        limits = {"max_attempts": 4, "request_timeout": "PT1S", "give_up_after": "PT3S"}
        summary = export(tmp_path, emulator, **LISTED, limits=limits)
        # Two chunks at once, then one after the other until the patience ends.
        assert len(queries(emulator)) <= 5 * (4 + 3)
    assert [gap.error.count("gave up after 4 attempts") for gap in summary.gaps] == [1, 1]
    assert summary.chunks_split == 0


def test_a_chunk_is_split_if_no_response_comes_in_time(boundless: Handle, tmp_path: Path) -> None:
    """In time: within `request_timeout`."""
    few = {
        "range": {**RANGE, "end": "2024-01-09", "chunk": "P1D"},
        "limits": {"request_timeout": "PT1S", "max_attempts": 1},
    }
    export(tmp_path / "calm", boundless, **few)
    with bounded() as emulator:
        emulator.faults(
            [
                {
                    "match": {"path": QUERY, "body": "2024-01-08T00:00:00.000Z/2024-01-09T"},
                    "do": {"hang": True},
                }
            ]
        )
        cut = export(tmp_path / "cut", emulator, **few)
    assert (cut.complete, cut.chunks_split) == (True, 1)
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (
        tmp_path / "calm" / "out.jsonl"
    ).read_bytes()


def test_a_response_that_does_not_fit_into_memory_is_fetched_in_pieces(
    boundless: Handle, tmp_path: Path
) -> None:
    export(tmp_path / "calm", boundless)
    with bounded() as emulator:
        emulator.faults([{"match": {"path": QUERY, "times": 1}, "do": {"gzip": "bomb"}}])
        cut = export(tmp_path / "cut", emulator)
    assert (cut.complete, cut.chunks_split) == (True, 1)
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (
        tmp_path / "calm" / "out.jsonl"
    ).read_bytes()


@pytest.mark.parametrize(
    ("sections", "end"),
    [
        (
            LISTED,
            f"{LOCAL_WEEK} of user {min(USERS)}, which cannot be split further",
        ),
        (
            {},
            f"{LOCAL_WEEK} of everyone, which cannot be split further: "
            "list users or teams, or set contract: query-jobs",
        ),
    ],
    ids=["listed", "everyone"],
)
def test_a_piece_that_cannot_be_split_is_reported_with_the_servers_message(
    tmp_path: Path, sections: dict[str, Any], end: str
) -> None:
    week = {**RANGE, "granularity": "P1W"}
    with bounded(max_rows=1) as emulator:
        result = call(
            "run",
            str(write_job(tmp_path, emulator, range=week, split_by=["queue_id"], **sections)),
            cwd=tmp_path,
        )
    assert result.code == 4
    assert "400 response.entity.too.large: The response is over the size limit" in result.err
    assert f"; the request was for {end}" in result.err.replace("\n", "")


def test_a_query_that_is_too_long_is_split_by_users(boundless: Handle, tmp_path: Path) -> None:
    """All later queries of the run name fewer users too."""
    export(tmp_path / "calm", boundless, **LISTED)
    with bounded() as emulator:
        emulator.faults(
            [
                {
                    "match": {"path": QUERY, "body": neighbours(*sorted(USERS)[5:7])},
                    "do": {"status": 413},
                }
            ]
        )
        cut = export(tmp_path / "cut", emulator, **LISTED, limits={"concurrency": 1})
        assert [seen["status"] for seen in queries(emulator)] == [413, 200, 200, 200, 200]
    assert (cut.complete, cut.chunks_split) == (True, 1)
    assert (tmp_path / "cut" / "out.jsonl").read_bytes() == (
        tmp_path / "calm" / "out.jsonl"
    ).read_bytes()
