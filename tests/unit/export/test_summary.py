"""What a run says it did."""

from __future__ import annotations

from typing import Any

from asyncreport.core.errors import RejectedError, RetriesExhausted
from asyncreport.core.job import Chunk
from asyncreport.core.timeline import HOUR, Interval
from asyncreport.engine.scheduler import Gap
from asyncreport.export.summary import MissingChunk, Summary
from asyncreport.export.teams import UnknownTeam


def summary(**rest: Any) -> Summary:
    known: dict[str, Any] = {
        "job": "aht",
        "range": "a/b",
        "started": "2024-01-01T00:00:00.000Z",
        "elapsed_sec": 61.25,
        "complete": True,
        "records": {"sales": 1234, "billing": 0},
        "chunks_fetched": 1200,
        "chunks_standing": 3,
        "records_fetched": 1234,
        "requests": 1210,
        "retries": 0,
        "throttled": 0,
        "waiting_sec": 55.0,
        "outputs": ["exports/aht.jsonl"],
        "missing": [],
    }
    return Summary(**{**known, **rest})


def test_a_complete_run() -> None:
    assert list(summary().lines()) == [
        "aht: 1,200 chunks fetched, 3 stood already",
        "  sales: 1,234 records",
        "  billing: 0 records",
        "  1,210 requests, 0 times 429, 55.0 s waited for the limit, 61.2 s in all",
        "  exports/aht.jsonl",
    ]


def test_nothing_to_do() -> None:
    assert next(summary(chunks_fetched=0).lines()) == "aht: nothing to do, 3 parts stand"


def test_nothing_to_fetch_is_not_nothing_to_do() -> None:
    """Where files were written all the same, or a team is unknown."""
    unknown = UnknownTeam(team="lost", selector="group Lost", error="no such group")
    for rest in ({"outputs_written": 1}, {"complete": False, "unknown": [unknown]}):
        assert (
            next(summary(chunks_fetched=0, **rest).lines())
            == "aht: nothing to fetch, 3 parts stand"
        )


def test_files_that_an_earlier_run_left_partial_are_still_called_so() -> None:
    gap = MissingChunk(connection="west", interval="e/f", users=None, error="late")
    lines = list(
        summary(complete=False, missing=[gap], outputs=[], still_partial=["a.jsonl"]).lines()
    )
    assert "  a.jsonl (partial, as an earlier run left it)" in lines


def test_a_run_with_gaps_lists_each() -> None:
    gaps = [
        MissingChunk(
            connection="east", interval="c/d", users=("anna", "bert"), error="[id] POST /x: 504"
        ),
        MissingChunk(connection="west", interval="e/f", users=None, error="late"),
    ]
    assert list(summary(complete=False, missing=gaps, outputs=[], retries=7, throttled=2).lines())[
        1:
    ] == [
        "  1,210 requests, 7 retries, 2 times 429, 55.0 s waited for the limit, 61.2 s in all",
        "missing: east c/d, 2 users from anna to bert: [id] POST /x: 504",
        "missing: west e/f, everyone: late",
        "2 chunks are missing and the output files are as they were; run again: nothing else will be fetched",
    ]


def test_a_chunk_that_was_not_fetched_again_is_not_called_missing() -> None:
    """What was fetched before stands, and the output is whole."""
    old = MissingChunk(connection="east", interval="c/d", users=None, error="late", stands=True)
    gone = MissingChunk(connection="west", interval="e/f", users=None, error="late")
    assert list(summary(complete=False, missing=[old], outputs=[]).lines())[2:] == [
        "not fetched again: east c/d, everyone: late",
        "1 chunk was not fetched again, and its old values stand while the output files are as they were; "
        "run again: nothing else will be fetched",
    ]
    assert list(summary(complete=False, missing=[old, gone, old]).lines())[-2:] == [
        "1 chunk is missing and the output holds the rest",
        "2 chunks were not fetched again, and their old values stand in the output; run again: only what is missing or old will be fetched",
    ]


def test_many_files_are_counted() -> None:
    lines = list(summary(outputs=[f"{n}.jsonl" for n in range(12)]).lines())
    assert lines[-2:] == ["  4.jsonl", "  and 7 more files"]


def test_one_of_a_kind_is_no_plural() -> None:
    gap = MissingChunk(connection="west", interval="e/f", users=("anna",), error="late")
    unknown = UnknownTeam(team="lost", selector="group Lost", error="no such group")
    made = summary(
        complete=False,
        missing=[gap],
        unknown=[unknown],
        chunks_fetched=1,
        requests=1,
        records={"sales": 1},
    )
    assert list(made.lines()) == [
        "aht: 1 chunk fetched, 3 stood already",
        "  sales: 1 record",
        "  1 request, 0 times 429, 55.0 s waited for the limit, 61.2 s in all",
        "  exports/aht.jsonl",
        "missing: team 'lost' (group Lost) cannot be looked up: no such group",
        "missing: west e/f, 1 user from anna to anna: late",
        "1 team is missing from the output; mend the job file or the directory, and run again",
        "1 chunk is missing and the output holds the rest; run again: nothing else will be fetched",
    ]


def test_of_many_gaps_the_first_are_told() -> None:
    gaps = [
        MissingChunk(connection="c", interval=f"{n}", users=None, error="late") for n in range(30)
    ]
    lines = list(summary(complete=False, missing=gaps, outputs=[]).lines())
    assert sum(line.startswith("missing: ") for line in lines) == 20
    assert lines[-2] == "and 10 more: summary.json in the state folder lists them all"


def test_an_output_without_any_record_says_where_to_look() -> None:
    lines = list(summary(records={"sales": 0}).lines())
    assert (
        "  no records at all: check ids, range and filter, and with `asyncreport check` what the client sees"
        in lines
    )


def test_a_gap_bears_the_correlation_id_that_support_asks_for() -> None:
    chunk = Chunk(connection="east", month="1970-01", interval=Interval(0, HOUR), users=("anna",))
    gap = MissingChunk.of(
        Gap(chunk, RetriesExhausted("[c-1] POST /x: 504; gave up after 8 attempts"))
    )
    assert gap == MissingChunk(
        connection="east",
        interval="1970-01-01T00:00:00.000Z/1970-01-01T01:00:00.000Z",
        users=("anna",),
        error="[c-1] POST /x: 504; gave up after 8 attempts",
        correlation_id="c-1",
    )
    assert (
        MissingChunk.of(Gap(chunk, RejectedError("POST /x: cannot connect"))).correlation_id is None
    )


def test_a_partial_output_is_marked() -> None:
    gap = MissingChunk(connection="west", interval="e/f", users=None, error="late")
    assert "  exports/aht.jsonl (partial)" in list(
        summary(complete=False, partial=True, missing=[gap]).lines()
    )


def test_chunks_that_had_to_be_cut_are_told() -> None:
    lines = list(summary(chunks_cut=12).lines())
    assert (
        lines[1]
        == "  12 chunks were cut smaller, the answers being too large or too late: a shorter range.chunk spares the failed requests"
    )
    assert next(iter(list(summary(chunks_cut=1).lines())[1:])).startswith(
        "  1 chunk was cut smaller, "
    )


def test_gaps_are_told_in_order_of_time_whichever_failed_first() -> None:
    gaps = [
        Gap(
            Chunk(
                connection=connection,
                month="1970-01",
                interval=Interval(at * HOUR, (at + 1) * HOUR),
                users=users,
            ),
            RetriesExhausted("late"),
        )
        for connection, at, users in (
            ("west", 2, None),
            ("east", 0, ("bert",)),
            ("west", 1, None),
            ("east", 0, ("anna",)),
        )
    ]
    found = [
        (each.interval[11:13], each.connection, each.users) for each in MissingChunk.of_all(gaps)
    ]
    assert found == [
        ("00", "east", ("anna",)),
        ("00", "east", ("bert",)),
        ("01", "west", None),
        ("02", "west", None),
    ]


def test_one_retry_is_no_plural() -> None:
    assert "1,210 requests, 1 retry, 0 times 429" in "".join(summary(retries=1).lines())
