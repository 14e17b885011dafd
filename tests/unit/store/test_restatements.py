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

from asyncreport.core.errors import Interrupted
from asyncreport.core.records import Block
from asyncreport.core.timeline import iso
from asyncreport.store.remote import NOWHERE
from asyncreport.store.restatements import (
    NAME,
    Appended,
    Replaced,
    Restatements,
    append_restatements,
    cut_restatements,
)
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


def append(
    folder: Path,
    replaced: Replaced,
    *,
    length: int = 0,
    stopped: Event | None = None,
) -> Appended:
    """Compare a pair of parts of a job's only connection."""
    return append_restatements(
        folder / "default",
        [replaced],
        stopped or Event(),
        at=START,
        length=length,
        source=NOWHERE,
    )


def test_a_value_that_differs_is_listed_with_its_key(tmp_path: Path) -> None:
    old = [block("a", [row(0, media_type="voice"), row(1, media_type="voice")])]
    new = [block("a", [row(0, media_type="voice"), row(1, media_type="voice", handled=5)])]
    changed = append(tmp_path, pair(tmp_path, old, new, ["a"])).restatements
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
    replaced = pair(
        tmp_path,
        [block("a", [row(0)])],
        [block("a", [row(2)]), block("b", [row(0)])],
        ["a", "b"],
    )
    assert append(tmp_path, replaced).restatements.values == 3
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
    assert append(tmp_path, Replaced(old, new)).restatements.values == 0
    assert not (tmp_path / "default" / NAME).exists()


def test_a_damaged_part_is_not_compared(tmp_path: Path) -> None:
    replaced = pair(tmp_path, [block("a", [row(0)])], [block("a", [row(0, handled=2)])], ["a"])
    part_file(tmp_path, 1).write_bytes(b"x" * replaced.old.size)
    assert append(tmp_path, replaced).restatements.values == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_difference_is_listed_once(data: st.DataObject, tmp_path_factory: Any) -> None:
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
    assert append(folder, replaced).restatements.values == len(differing)
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


@pytest.mark.parametrize("rest", [b"", b"garbage\n", b'{"part":2,"repl', b"\xff\xfe\x00"])
def test_what_follows_the_known_length_is_cut_off(rest: bytes, tmp_path: Path) -> None:
    replaced = pair(tmp_path, [block("a", [row(0)])], [block("a", [row(0, handled=2)])], ["a"])
    path = tmp_path / "default" / NAME
    first = append(tmp_path, replaced)
    whole = path.read_bytes()
    path.write_bytes(whole + rest)
    second = append(tmp_path, replaced, length=first.length)
    assert (first.length, second.length) == (len(whole), 2 * len(whole))
    assert path.read_bytes() == whole + whole
    path.write_bytes(whole + rest)
    cut_restatements(tmp_path / "default", first.length)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("left", [None, 0, 10])
def test_a_file_that_somebody_deleted_or_shortened_is_continued(
    left: int | None, tmp_path: Path
) -> None:
    """No zeros take the place of what is missing."""
    replaced = pair(tmp_path, [block("a", [row(0)])], [block("a", [row(0, handled=2)])], ["a"])
    path = tmp_path / "default" / NAME
    first = append(tmp_path, replaced)
    whole = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(whole[:left])
    assert cut_restatements(tmp_path / "default", first.length) == (left or 0)
    second = append(tmp_path, replaced, length=first.length)
    assert path.read_bytes() == whole[: left or 0] + whole
    assert second.length == path.stat().st_size


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
    changed = append(tmp_path, replaced, length=12_000_000).restatements
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert changed.values == 200 * 150
    assert (tmp_path / "default" / NAME).stat().st_size > 16_000_000
    assert peak < 5_000_000


def test_an_interrupted_comparison_changes_nothing(tmp_path: Path) -> None:
    replaced = pair(tmp_path, [block("a", [row(0)])], [block("a", [row(0, handled=2)])], ["a"])
    stopped = Event()
    stopped.set()
    with pytest.raises(Interrupted):
        append(tmp_path, replaced, stopped=stopped)
    assert not (tmp_path / "default" / NAME).exists()
    assert append(tmp_path, replaced).restatements.values == 1


def test_the_changes_of_several_connections_are_in_several_files() -> None:
    one = Restatements(values=3, parts=1, paths=("west/changes.jsonl",))
    other = Restatements(values=1, parts=1, paths=("east/changes.jsonl",))
    both = Restatements() + one + other + one
    assert str(both) == (
        "7 values in 3 parts changed since the last fetch: west/changes.jsonl, east/changes.jsonl"
    )
