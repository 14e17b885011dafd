"""What a run reports at its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from syrupy.assertion import SnapshotAssertion

from asyncreport.core.errors import RejectedError, RetriesExhausted
from asyncreport.core.job import Chunk
from asyncreport.core.timeline import HOUR, Interval
from asyncreport.engine.activity import Gap
from asyncreport.export.summary import MemberChange, Summary
from asyncreport.export.summary_gaps import MissingChunk
from asyncreport.export.summary_outputs import SummaryFile, SummaryReport
from asyncreport.export.summary_schema import summary_schema
from asyncreport.export.teams import UnknownTeam
from asyncreport.store.restatements import Restatements

UNKNOWN = UnknownTeam(team="lost", selector="group Lost", error="no such group")


def file(path: str = "exports/aht.jsonl", **rest: Any) -> SummaryFile:
    fields: dict[str, Any] = {
        "kind": "output",
        "team": None,
        "month": None,
        "format": "jsonl",
        "records": 1234,
        "sha256": "5f",
        "complete": True,
        "months_written": [],
    }
    return SummaryFile(path=path, **{**fields, **rest})


def summary(**rest: Any) -> Summary:
    fields: dict[str, Any] = {
        "job": "aht",
        "range": "a/b",
        "started": "2024-01-01T00:00:00.000Z",
        "elapsed_sec": 61.25,
        "complete": True,
        "partial": False,
        "settled_until": "2024-01-01T00:00:00.000Z",
        "empty_from": None,
        "unsettled": [],
        "outputs": [file()],
        "outputs_written": 0,
        "still_partial": [],
        "records": {"sales": 1234, "billing": 0},
        "gaps": [],
        "unknown_teams": [],
        "warnings": [],
        "members": {},
        "changed": Restatements(),
        "chunks_fetched": 1200,
        "chunks_split": 0,
        "parts_reused": 3,
        "records_fetched": 1234,
        "requests": 1210,
        "retries": 0,
        "throttled": 0,
        "waiting_sec": 55.0,
    }
    return Summary(**{**fields, **rest})


def text(**rest: Any) -> str:
    return "\n".join(summary(**rest).lines(20))


def missing(connection: str = "west", interval: str = "e/f", **rest: Any) -> MissingChunk:
    fields: dict[str, Any] = {"users": None, "error": "late", **rest}
    return MissingChunk(connection=connection, interval=interval, **fields)


def test_a_complete_run(snapshot: SnapshotAssertion) -> None:
    assert text() == snapshot


def test_nothing_to_do() -> None:
    assert next(summary(chunks_fetched=0).lines(20)) == "aht: nothing to do, 3 parts reused"


def test_nothing_to_fetch_is_not_nothing_to_do() -> None:
    """If files were written anyway, or a team is unknown."""
    for rest in ({"outputs_written": 1}, {"complete": False, "unknown_teams": [UNKNOWN]}):
        first = next(summary(chunks_fetched=0, **rest).lines(20))
        assert first == "aht: nothing to fetch, 3 parts reused"


def test_files_that_an_earlier_run_wrote_with_gaps_are_still_called_partial() -> None:
    lines = text(complete=False, gaps=[missing()], outputs=[], still_partial=["a.jsonl"])
    assert "  a.jsonl (partial, written by an earlier run)" in lines.splitlines()


def test_a_run_with_gaps_lists_each_gap(snapshot: SnapshotAssertion) -> None:
    gaps = [
        missing("east", "c/d", users=("anna", "bert"), error="[id] POST /x: 504"),
        missing("west", "e/f"),
    ]
    assert text(complete=False, gaps=gaps, outputs=[], retries=7, throttled=2) == snapshot


def test_a_chunk_that_was_not_fetched_again_is_not_called_missing(
    snapshot: SnapshotAssertion,
) -> None:
    """The part of an earlier run is reused, and the output is complete."""
    old = missing("east", "c/d", stale=True)
    assert text(complete=False, gaps=[old], outputs=[]) == snapshot(name="only stale chunks")
    both = text(complete=False, gaps=[old, missing(), old])
    assert both == snapshot(name="stale and missing chunks")


def test_many_files_are_counted() -> None:
    lines = list(summary(outputs=[file(f"{n}.jsonl") for n in range(12)]).lines(5))
    assert lines[-2:] == ["  4.jsonl", "  and 7 more files"]


def test_one_of_a_kind_is_not_a_plural(snapshot: SnapshotAssertion) -> None:
    one = text(
        complete=False,
        gaps=[missing(users=("anna",))],
        unknown_teams=[UNKNOWN],
        chunks_fetched=1,
        chunks_split=1,
        requests=1,
        retries=1,
        records={"sales": 1},
    )
    assert one == snapshot


def test_changed_members_are_counted() -> None:
    members = {
        "sales": MemberChange(joined=["anna"], left=["bert", "carl"]),
        "billing": MemberChange(joined=[], left=[]),
    }
    lines = list(summary(members=members).lines(20))
    assert lines[1:3] == [
        "  sales: 1,234 records (1 joined, 2 left since the last run)",
        "  billing: 0 records",
    ]


def test_the_first_of_many_gaps_are_listed() -> None:
    gaps = [missing("c", f"{n}") for n in range(30)]
    lines = list(summary(complete=False, gaps=gaps, outputs=[]).lines(20))
    assert sum(line.startswith("missing: ") for line in lines) == 20
    assert lines[-3:-1] == [
        "and 10 more chunks",
        "-v and summary.json in the state folder list every chunk that failed",
    ]


def test_an_output_without_records_says_what_to_check(snapshot: SnapshotAssertion) -> None:
    assert text(records={"sales": 0}) == snapshot


def test_a_gap_has_the_correlation_id_that_support_asks_for() -> None:
    chunk = Chunk(connection="east", month="1970-01", interval=Interval(0, HOUR), users=("anna",))
    error = RetriesExhausted("POST /x [correlation id c-1]: 504; gave up after 8 attempts")
    assert MissingChunk.of(Gap(chunk, error)) == MissingChunk(
        connection="east",
        interval="1970-01-01T00:00:00.000Z/1970-01-01T01:00:00.000Z",
        users=("anna",),
        error="POST /x: 504; gave up after 8 attempts [correlation id c-1]",
        correlation_id="c-1",
    )
    without = MissingChunk.of(Gap(chunk, RejectedError("POST /x: cannot connect")))
    assert without.correlation_id is None


def test_a_partial_output_is_marked() -> None:
    lines = text(complete=False, partial=True, gaps=[missing()])
    assert "  exports/aht.jsonl (partial)" in lines.splitlines()


def test_split_chunks_are_reported(snapshot: SnapshotAssertion) -> None:
    assert text(chunks_split=12) == snapshot


def test_gaps_are_listed_in_order_of_time() -> None:
    """The order in which they failed does not matter."""
    chunks = (
        ("west", 2, None),
        ("east", 0, ("bert",)),
        ("west", 1, None),
        ("east", 0, ("anna",)),
    )
    gaps = []
    for connection, hour, users in chunks:
        interval = Interval(hour * HOUR, (hour + 1) * HOUR)
        chunk = Chunk(connection=connection, month="1970-01", interval=interval, users=users)
        gaps.append(Gap(chunk, RetriesExhausted("late")))
    found = [
        (each.interval[11:13], each.connection, each.users) for each in MissingChunk.of_all(gaps)
    ]
    assert found == [
        ("00", "east", ("anna",)),
        ("00", "east", ("bert",)),
        ("01", "west", None),
        ("02", "west", None),
    ]


def test_what_is_not_settled_is_said_after_the_figures() -> None:
    lines = list(summary(unsettled=["not settled from x on", "empty from y on"]).lines(20))
    assert lines[-3:] == [
        "  not settled from x on",
        "  empty from y on",
        "  exports/aht.jsonl",
    ]


def test_the_schema_in_the_documentation_is_that_of_the_code() -> None:
    """To write it again: save `summary_schema()` as JSON with an indent of 2."""
    path = Path(__file__).parents[3] / "docs" / "summary.schema.json"
    assert sorted_choices(json.loads(path.read_text())) == sorted_choices(summary_schema())


def sorted_choices(schema: Any) -> Any:
    """Sort the choices of a schema: versions of msgspec list null first or last."""
    if isinstance(schema, list):
        return sorted(map(sorted_choices, schema), key=repr)
    if isinstance(schema, dict):
        return {key: sorted_choices(value) for key, value in schema.items()}
    return schema


def test_every_key_of_the_summary_is_described() -> None:
    definitions = summary_schema()["$defs"]
    for name, definition in definitions.items():
        for key, value in definition["properties"].items():
            assert value.get("description"), f"{name}.{key}"


def test_a_stored_summary_has_exactly_the_keys_of_its_schema() -> None:
    stored = msgspec.to_builtins(
        summary(
            outputs=[file(kind="per_team", team="sales", month="2024-01")],
            gaps=[missing(users=("anna",), correlation_id="c-1", stale=True)],
            unknown_teams=[UNKNOWN],
            members={"sales": MemberChange(joined=["anna"], left=[])},
            report=SummaryReport(path="/x/aht.html", written=True),
        )
    )
    written = {
        "Summary": stored,
        "SummaryFile": stored["outputs"][0],
        "MissingChunk": stored["gaps"][0],
        "UnknownTeam": stored["unknown_teams"][0],
        "MemberChange": stored["members"]["sales"],
        "Restatements": stored["changed"],
        "SummaryReport": stored["report"],
    }
    definitions = summary_schema()["$defs"]
    assert definitions.keys() == written.keys()
    for name, value in written.items():
        assert definitions[name]["required"] == list(value)
        assert definitions[name]["properties"].keys() == value.keys()
        # Later versions may add keys.
        assert definitions[name].get("additionalProperties", True) is True
