"""The merge puts queue names after queue ids; the lines are JSON, whatever the names."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event

from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.job import Team
from asyncreport.store.merge_outputs import merge
from asyncreport.store.parts import PartReader
from asyncreport.store.remote import NOWHERE
from asyncreport.store.target import Source, Target
from asyncreport.store.written_outputs import Outputs
from tests.unit.store.facts import FORM, block, chunk, hours, row, written

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['"queue_id":"', '","queue_id":null,"x":"', "\\", '\\"', "\n{", "\u202e"]),
)


def lines(*values: str | None) -> bytes:
    return b"".join(
        json.dumps({"queue_id": value, "skill": value, "n": 1}, separators=(",", ":")).encode()
        + b"\n"
        for value in values
    )


@given(
    st.lists(st.one_of(st.none(), texts), max_size=6),
    st.dictionaries(texts, st.one_of(st.none(), texts), max_size=6),
)
def test_every_queue_id_gets_its_name_and_nothing_else_changes(
    ids: list[str | None], names: dict[str, str | None]
) -> None:
    made = Source.of([], {}, names).with_queue_names(lines(*ids))
    assert [json.loads(line) for line in made.splitlines()] == [
        {
            "queue_id": each,
            "queue_name": names.get(each) if each is not None else None,
            "skill": each,
            "n": 1,
        }
        for each in ids
    ]
    assert [list(json.loads(line)) for line in made.splitlines()] == [
        ["queue_id", "queue_name", "skill", "n"]
    ] * len(ids)


def test_rows_without_queues_are_left_as_they_are() -> None:
    assert Source.of([], {}).with_queue_names(lines("a")) == lines("a")


def rows(*queues: str | None) -> list[dict[str, object]]:
    return [row(n, queue_id=queue) for n, queue in enumerate(queues)]


def test_a_part_lists_the_queues_of_its_rows(tmp_path: Path) -> None:
    part = written(
        tmp_path,
        1,
        chunk(hours(0, 4), None),
        [block(None, rows("q2")), block("anna", rows("q1", None, "q2"))],
    )
    with PartReader(tmp_path, NOWHERE) as reader:
        assert reader.queues([part]) == {"q1", "q2"}


def test_a_file_is_written_again_only_if_a_queue_in_it_has_a_new_name(tmp_path: Path) -> None:
    part = written(tmp_path, 1, chunk(hours(0, 4), None), [block("anna", rows("q1"))])

    def target(**names: str) -> Target:
        source = Source.of([part], {}, names)
        teams = (Team(name="all", connection="c", everyone=True),)
        return Target(
            path=tmp_path / "out.jsonl",
            interval=hours(0, 4),
            months=("2023-01",),
            teams=teams,
            sources={"c": source},
            form=FORM,
        )

    with PartReader(tmp_path, NOWHERE) as reader:
        ((_, merged),) = merge([target(q1="Sales")], reader, Event())
        assert merged.records == {"all": 1}
        outputs = Outputs(tmp_path)
        outputs.write([target(q1="Sales")], reader, Event())
        stamp = (tmp_path / "out.jsonl").stat()
        outputs.write([target(q1="Sales", q9="Elsewhere")], reader, Event())
        assert (tmp_path / "out.jsonl").stat() == stamp
        outputs.write([target(q1="Vente")], reader, Event())
    assert json.loads((tmp_path / "out.jsonl").read_text())["queue_name"] == "Vente"
