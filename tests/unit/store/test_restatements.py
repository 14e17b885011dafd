"""Values of replaced parts are compared with the new ones; each change is listed once."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.core.records import Block
from asyncreport.core.timeline import iso
from asyncreport.store.restatements import NAME, Replaced, Restatements, write_restatements
from asyncreport.store.threads import Interrupted
from tests.unit.store.facts import START, block, chunk, hours, part_file, row, written


def pair(folder: Path, old: list[Block], new: list[Block], users: list[str] | None) -> Replaced:
    """Write two parts of three hours; the second replaces the first."""
    return Replaced(
        *(
            written(folder, number, chunk(hours(0, 3), users), found)
            for number, found in ((1, old), (2, new))
        )
    )


def listed(folder: Path) -> list[dict[str, Any]]:
    path = folder / "default" / NAME
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_value_that_differs_is_listed_with_its_key(tmp_path: Path) -> None:
    old = [block("a", [row(0, media_type="voice"), row(1, media_type="voice")])]
    new = [block("a", [row(0, media_type="voice"), row(1, media_type="voice", handled=5)])]
    changed = write_restatements(
        tmp_path / "default", [pair(tmp_path, old, new, ["a"])], Event(), at=START
    )
    assert (changed.values, changed.parts) == (1, 1)
    hour = row(1)
    assert listed(tmp_path) == [
        {
            "at": iso(START),
            "part": 2,
            "replaced": 1,
            "user_id": "a",
            "media_type": "voice",
            "interval_start": hour["interval_start"],
            "field": "handled_count",
            "before": 1,
            "after": 5,
        }
    ]


def test_records_that_are_new_or_gone_have_null_on_one_side(tmp_path: Path) -> None:
    changed = write_restatements(
        tmp_path / "default",
        [
            pair(
                tmp_path,
                [block("a", [row(0)])],
                [block("a", [row(2)]), block("b", [row(0)])],
                ["a", "b"],
            )
        ],
        Event(),
        at=START,
    )
    assert changed.values == 3
    found = [(line["user_id"], line["before"], line["after"]) for line in listed(tmp_path)]
    assert found == [
        ("a", 1, None),
        ("a", None, 1),
        ("b", None, 1),
    ]


def test_what_only_the_new_part_covers_is_not_a_change(tmp_path: Path) -> None:
    """Other users, and hours that are not in the old part."""
    old = written(tmp_path, 1, chunk(hours(0, 1), ["a"]), [block("a", [row(0)])])
    new = written(
        tmp_path,
        2,
        chunk(hours(0, 3), None),
        [block(None, [row(0)]), block("a", [row(0), row(1)]), block("b", [row(0)])],
    )
    assert (
        write_restatements(tmp_path / "default", [Replaced(old, new)], Event(), at=START).values
        == 0
    )
    assert not (tmp_path / "default" / NAME).exists()


def test_a_damaged_part_is_not_compared(tmp_path: Path) -> None:
    replaced = pair(tmp_path, [block("a", [row(0)])], [block("a", [row(0, handled=2)])], ["a"])
    part_file(tmp_path, 1).write_bytes(b"x" * replaced.old.size)
    assert write_restatements(tmp_path / "default", [replaced], Event(), at=START).values == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_difference_is_listed_once_however_often_parts_are_compared(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("changes")
    rows = st.dictionaries(st.integers(0, 2), st.integers(0, 2), max_size=3)
    tables = [
        data.draw(st.dictionaries(st.sampled_from("abc"), rows.filter(bool), max_size=3))
        for _ in range(2)
    ]
    found = [
        [
            block(user, [row(hour, handled=n) for hour, n in sorted(table[user].items())])
            for user in sorted(table)
        ]
        for table in tables
    ]
    replaced = pair(folder, found[0], found[1], None)
    before, after = (
        {(user, hour): n for user in table for hour, n in table[user].items()} for table in tables
    )
    differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert write_restatements(folder / "default", [replaced], Event(), at=START).values == len(
        differing
    )
    assert write_restatements(folder / "default", [replaced], Event(), at=START).values == 0
    changes = [
        (line["user_id"], line["interval_start"], line["before"], line["after"])
        for line in listed(folder)
    ]
    assert sorted(changes, key=str) == sorted(
        (
            (user, row(hour)["interval_start"], before.get((user, hour)), after.get((user, hour)))
            for user, hour in differing
        ),
        key=str,
    )


@pytest.mark.parametrize(
    "kept", [b"", b"garbage\n", b"{}\n", b'{"part":2,"repl', b"\xff\xfe\x00", b"[" * 3_000_000]
)
def test_an_edited_or_cut_file_is_kept_and_continued(kept: bytes, tmp_path: Path) -> None:
    replaced = pair(tmp_path, [block("a", [row(0)])], [block("a", [row(0, handled=2)])], ["a"])
    (tmp_path / "default" / NAME).write_bytes(kept)
    assert write_restatements(tmp_path / "default", [replaced], Event(), at=START).values == 1
    *lines, last = (tmp_path / "default" / NAME).read_bytes().splitlines()
    assert b"".join(lines) == kept.removesuffix(b"\n")
    assert json.loads(last)["after"] == 2
    assert write_restatements(tmp_path / "default", [replaced], Event(), at=START).values == 0


def test_a_pair_across_two_blocks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncreport.store.restatements._BLOCK", 7)
    replaced = pair(tmp_path, [block("a", [row(0)])], [block("a", [row(0, handled=2)])], ["a"])
    for _ in range(9):
        (tmp_path / "default" / NAME).write_bytes(
            (tmp_path / "default" / NAME).read_bytes() + b"\n"
            if (tmp_path / "default" / NAME).exists()
            else b""
        )
        write_restatements(tmp_path / "default", [replaced], Event(), at=START)
    assert (tmp_path / "default" / NAME).read_bytes().count(b"handled_count") == 1


def test_few_changes_are_in_memory_at_once(tmp_path: Path) -> None:
    """Neither the changes that are listed already, nor those of many users."""
    users, here = [f"user-{n:03}" for n in range(200)], hours(0, 150)
    replaced = Replaced(
        *(
            written(
                tmp_path,
                handled,
                chunk(here, users),
                [block(user, [row(n, handled=handled) for n in range(150)]) for user in users],
            )
            for handled in (1, 2)
        )
    )
    (tmp_path / "default" / NAME).write_bytes(b"{}\n" * 4_000_000)
    tracemalloc.start()
    changed = write_restatements(tmp_path / "default", [replaced], Event(), at=START)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert changed.values == 200 * 150
    assert (tmp_path / "default" / NAME).stat().st_size > 16_000_000
    assert peak < 5_000_000


def test_after_an_interruption_the_next_comparison_lists_all_changes(
    tmp_path: Path,
) -> None:
    replaced = pair(tmp_path, [block("a", [row(0)])], [block("a", [row(0, handled=2)])], ["a"])
    stopped = Event()
    stopped.set()
    for kept in (None, b"{}\n"):
        if kept:
            (tmp_path / "default" / NAME).write_bytes(kept)
        with pytest.raises(Interrupted):
            write_restatements(tmp_path / "default", [replaced], stopped, at=START)
        assert kept is None or (tmp_path / "default" / NAME).read_bytes() == kept
    assert write_restatements(tmp_path / "default", [replaced], Event(), at=START).values == 1


def test_the_changes_of_several_connections_are_in_several_files() -> None:
    one = Restatements(values=3, parts=1, paths=("west/changes.jsonl",))
    other = Restatements(values=1, parts=1, paths=("east/changes.jsonl",))
    both = Restatements() + one + other + one
    assert str(both) == (
        "7 values in 3 parts changed since the last fetch: west/changes.jsonl, east/changes.jsonl"
    )
