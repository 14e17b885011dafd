"""A user is erased from the parts of a connection; all else about the parts stays."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Event

import pytest

from asyncreport.core.errors import Interrupted
from asyncreport.core.job import Part
from asyncreport.core.records import Block
from asyncreport.store.erase import PartsWithoutUser, UserParts
from asyncreport.store.parts import PartReader
from asyncreport.store.remote import NOWHERE
from asyncreport.store.restatements import NAME
from tests.unit.store.facts import (
    CONNECTION,
    START,
    block,
    chunk,
    hours,
    open_state,
    part_file,
    row,
)

#: the users of each part, and who has rows in it
PARTS = [
    (["a", "b"], ["a", "b"]),
    (["a", "b"], ["b"]),
    (["a"], ["a"]),
    (None, [None, "a", "c"]),
    (["b", "c"], ["c"]),
]


def rows_of(user: str | None, number: int) -> Block:
    return block(user, [row(number, queue_id=f"queue of {user}")])


def saved(folder: Path) -> list[Part]:
    """Save the parts, of different hours; mark the first and the third for a refresh."""

    async def save() -> list[Part]:
        with open_state(folder) as state:
            parts = []
            for number, (users, found) in enumerate(PARTS):
                blocks = [rows_of(user, number) for user in found]
                of = chunk(hours(number, number + 1), users)
                parts.append(await state.save(of, blocks, fetched_at=START))
            await state.mark_for_refresh([parts[0], parts[2]])
            return parts

    return asyncio.run(save())


def erase(folder: Path, user: str, stopped: Event | None = None) -> UserParts:
    with open_state(folder) as state:
        of_connection = state.folders["default"]
        with PartReader(folder, NOWHERE) as reader:
            found = UserParts.find(of_connection.manifest, user, reader)
            new = PartsWithoutUser(of_connection, user, found)
            new.write(reader, stopped or Event())
        new.commit()
    return found


def current(folder: Path) -> list[Part]:
    with open_state(folder) as state:
        return state.current_parts(CONNECTION)


def test_each_part_keeps_what_it_has_of_others(tmp_path: Path) -> None:
    before = saved(tmp_path)
    found = erase(tmp_path, "a")
    assert [(part.number, count) for part, count in found.records.items()] == [
        (1, 1),
        (3, 1),
        (4, 1),
    ]
    assert (found.listed, found.changes) == (3, 0)
    after = {part.interval: part for part in current(tmp_path)}
    wanted = {0: ("b",), 1: ("b",), 3: None, 4: ("b", "c")}
    assert {interval: part.users for interval, part in after.items()} == {
        before[number].interval: users for number, users in wanted.items()
    }
    assert [part.refresh_pending for part in after.values()].count(True) == 1
    assert after[before[0].interval].refresh_pending
    assert after[before[4].interval] == before[4], "it has nothing of the user"
    with PartReader(tmp_path, NOWHERE) as reader:
        for number, part in zip(
            wanted, sorted(after.values(), key=lambda part: part.interval), strict=True
        ):
            others = [user for user in PARTS[number][1] if user != "a"]
            entries = reader.checked_index(part)
            assert [reader.block(part, entry) for entry in entries] == [
                rows_of(user, number).lines for user in others
            ]
            assert reader.queues([part]) == {f"queue of {user}" for user in others}
    assert len([*tmp_path.glob("default/part-*")]) == 4
    assert not erase(tmp_path, "a")
    assert {part.interval: part for part in current(tmp_path)} == after


def test_what_a_killed_run_would_fetch_again_is_not_kept(tmp_path: Path) -> None:
    """The file of a part that was cut may have the user, and nobody can read it."""
    saved(tmp_path)
    cut = part_file(tmp_path, 1)
    cut.write_bytes(cut.read_bytes()[:-10])
    part_file(tmp_path, 5).unlink()
    erase(tmp_path, "a")
    assert not cut.exists()
    assert [part.users for part in current(tmp_path)] == [("b",), None]


def test_stopped_work_changes_nothing_that_counts(tmp_path: Path) -> None:
    before = saved(tmp_path)
    stopped = Event()
    stopped.set()
    with pytest.raises(Interrupted):
        erase(tmp_path, "a", stopped)
    assert [part.sha256 for part in current(tmp_path)] == [part.sha256 for part in before]


def test_lines_of_changes_are_counted_and_taken_out(tmp_path: Path) -> None:
    """What follows the known length was never finished."""
    saved(tmp_path)
    lines = [
        b'{"at":"","user_id":%b,"n":%d}\n' % pair
        for pair in [(b'"a"', 1), (b"null", 2), (b'"aa"', 3), (b'"a"', 4)]
    ]
    changes = tmp_path / "default" / NAME
    with open_state(tmp_path) as state:
        changes.write_bytes(b"".join(lines))
        state.folders["default"].manifest.note_changes(changes.stat().st_size, ())
    assert erase(tmp_path, "a").changes == 2
    assert changes.read_bytes() == lines[1] + lines[2]
    with changes.open("ab") as file:
        file.write(b'{"never":')
    with open_state(tmp_path):
        assert changes.read_bytes() == lines[1] + lines[2]


def test_a_shorter_list_of_changes_is_noted_when_the_folder_is_opened(tmp_path: Path) -> None:
    """Otherwise half a line that a killed run appends later would look finished."""
    saved(tmp_path)
    changes = tmp_path / "default" / NAME
    with open_state(tmp_path) as state:
        state.folders["default"].manifest.note_changes(100, ())
    changes.write_bytes(b"{}\n")
    with open_state(tmp_path) as state:
        assert state.folders["default"].manifest.changes_length == 3
    with changes.open("ab") as file:
        file.write(b'{"half')
    with open_state(tmp_path):
        assert changes.read_bytes() == b"{}\n"
