"""A part has its rows by user, and every changed byte is found."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from asyncreport.core.errors import DamagedPartError, StoreError
from asyncreport.core.job import Part
from asyncreport.core.records import Block
from asyncreport.store.parts import OPEN_FILES, Entry, PartReader, part_name
from asyncreport.store.remote import NOWHERE
from tests.unit.store.facts import blocks, chunk, hours, part_file, row, written


def _part(folder: Path, found: list[Block] | None = None, number: int = 1) -> Part:
    here = hours(0, 3)
    return written(
        folder,
        number,
        chunk(here, None),
        blocks([None, "a", "b"], here) if found is None else found,
    )


def test_each_user_s_rows_are_where_the_index_says(tmp_path: Path) -> None:
    part = _part(tmp_path)
    with PartReader(tmp_path, NOWHERE) as reader:
        found = {entry.user: reader.block(part, entry) for entry in reader.checked_index(part)}
    assert list(found) == [None, "a", "b"]
    assert [json.loads(line) for line in found["a"].splitlines()] == [
        row(hour) for hour in range(3)
    ]
    assert part.count == 9


def test_the_file_is_rows_then_one_line_of_index(tmp_path: Path) -> None:
    part = _part(tmp_path)
    lines = part_file(tmp_path, 1).read_bytes().splitlines(keepends=True)
    assert len(b"".join(lines[:-1])) == part.index_at
    assert json.loads(lines[-1])["users"][0][:2] == [None, 0]
    assert sum(map(len, lines)) == part.size


def test_a_chunk_without_records_is_a_part_too(tmp_path: Path) -> None:
    part = _part(tmp_path, [])
    with PartReader(tmp_path, NOWHERE) as reader:
        assert reader.checked_index(part) == []
    assert (part.count, part.index_at) == (0, 0)


def test_users_are_collected_without_none(tmp_path: Path) -> None:
    parts = [_part(tmp_path), _part(tmp_path, blocks(["c"], hours(0, 1)), number=2)]
    with PartReader(tmp_path, NOWHERE) as reader:
        assert reader.users(parts) == {"a", "b", "c"}


def test_every_changed_byte_is_found_before_a_row_is_used(tmp_path: Path) -> None:
    part = _part(tmp_path, blocks(["a"], hours(0, 1)))
    path = part_file(tmp_path, 1)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with (
            PartReader(tmp_path, NOWHERE) as reader,
            pytest.raises(StoreError, match="its SHA-256 is wrong") as caught,
        ):
            reader.checked_index(part)
    message = str(caught.value)
    assert part_name(1) in message
    assert str(part.interval) in message
    assert "delete this file and run again" in message


def test_a_part_is_hashed_once_by_a_reader(tmp_path: Path) -> None:
    part = _part(tmp_path)
    with PartReader(tmp_path, NOWHERE) as reader:
        entries = reader.checked_index(part)
        path = part_file(tmp_path, 1)
        path.write_bytes(path.read_bytes().replace(b'"handled_count":1', b'"handled_count":2'))
        assert reader.checked_index(part) == entries


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"index_at": 5}, "its index cannot be read"),
        ({"size": 100_000}, "it is too short"),
        ({"count": 8}, "does not have 8 records"),
    ],
)
def test_an_index_that_belongs_to_another_part_is_refused(
    change: dict[str, int], why: str, tmp_path: Path
) -> None:
    part = msgspec.structs.replace(_part(tmp_path), **change)
    with PartReader(tmp_path, NOWHERE) as reader, pytest.raises(StoreError, match=why):
        reader.index(part)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([["a", 0, 10, 1], ["b", 12, 10, 1]], "user b are not where they should be"),
        ([["a", 0, 10, 1], ["b", 8, 10, 1]], "user b are not where they should be"),
        ([["a", 0, 1 << 60, 1]], "does not cover the rows"),
        ([["a", -5, 10, 1]], "user a are not where they should be"),
        ([["a", 0, -10, 1]], "user a are not where they should be"),
        ([["a", 0, 10, 1]], "does not cover the rows"),
        ([], "does not cover the rows"),
        ([["a", 0, 1 << 80, 1]], "out of range|does not cover"),
    ],
)
def test_an_index_that_does_not_tile_the_rows_is_refused(
    entries: list[list[object]], why: str, tmp_path: Path
) -> None:
    """No offset and no length from the disk decides what is read."""
    part = _part(tmp_path)
    path = part_file(tmp_path, 1)
    rows = path.read_bytes()[: part.index_at]
    path.write_bytes(rows + _json(entries))
    part = msgspec.structs.replace(part, size=path.stat().st_size)
    with PartReader(tmp_path, NOWHERE) as reader, pytest.raises(DamagedPartError, match=why):
        reader.index(part)


def _json(entries: list[list[object]]) -> bytes:
    return json.dumps({"users": entries}).encode() + b"\n"


def test_a_block_with_another_number_of_lines_is_refused(tmp_path: Path) -> None:
    part = _part(tmp_path)
    with (
        PartReader(tmp_path, NOWHERE) as reader,
        pytest.raises(StoreError, match="does not have 4 records"),
    ):
        reader.block(part, Entry("a", 0, part.index_at, 4))


def test_a_missing_part_is_damaged(tmp_path: Path) -> None:
    part = _part(tmp_path)
    part_file(tmp_path, 1).unlink()
    with PartReader(tmp_path, NOWHERE) as reader:
        with pytest.raises(DamagedPartError, match="it has disappeared"):
            reader.index(part)
        with pytest.raises(DamagedPartError, match="it has disappeared"):
            reader.checked_index(part)


def test_files_are_closed_in_the_order_of_their_last_use(tmp_path: Path) -> None:
    parts = [
        _part(tmp_path, blocks(["a"], hours(0, 1)), number=number)
        for number in range(1, OPEN_FILES + 10)
    ]
    with PartReader(tmp_path, NOWHERE) as reader:
        for _ in range(2):
            for part in parts:
                assert reader.checked_index(part)
                assert len(reader._open) <= OPEN_FILES
        reader.index(parts[-3])
        assert list(reader._open)[-1] == parts[-3].key


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_files_beyond_the_limit_and_all_at_the_end_are_closed(tmp_path: Path) -> None:
    """The descriptors themselves are counted, not what the reader remembers."""
    parts = [
        _part(tmp_path, blocks(["a"], hours(0, 1)), number=number)
        for number in range(1, OPEN_FILES + 10)
    ]
    before = _descriptors()
    with PartReader(tmp_path, NOWHERE) as reader:
        for part in parts:
            reader.index(part)
        assert _descriptors() == before
        for part in parts:
            reader.read(part, 0, 1)
        assert _descriptors() == before + OPEN_FILES
    assert _descriptors() == before


@dataclass
class _Source:
    """The parts of a folder, in another one."""

    folder: Path
    content: bytes
    brought: list[str] = field(default_factory=list)

    def fetch(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self.brought.append("part")
            part_file(self.folder, part.number).write_bytes(self.content)

    def fetch_indexes(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self.brought.append("index")
            index = self.content[part.index_at :]
            part_file(self.folder, part.number).write_bytes(bytes(part.index_at) + index)


def test_a_file_that_was_opened_for_its_index_is_brought_before_its_rows_are_read(
    tmp_path: Path,
) -> None:
    part = _part(tmp_path)
    path = part_file(tmp_path, part.number)
    source = _Source(tmp_path, path.read_bytes())
    path.write_bytes(bytes(part.size))
    with PartReader(tmp_path, source) as reader:
        entries = reader.index(part)
        assert source.brought == ["index"]
        rows = b"".join(reader.block(part, entry) for entry in entries)
        assert rows == source.content[: part.index_at]
        assert reader.checked_index(part) == entries
    assert source.brought == ["index", "part"]


def test_each_damaged_or_missing_part_is_listed(tmp_path: Path) -> None:
    parts = [_part(tmp_path, number=number) for number in range(1, 4)]
    for number in (1, 3):
        path = part_file(tmp_path, number)
        path.write_bytes(path.read_bytes().replace(b'"handled_count":1', b'"handled_count":2'))
    with PartReader(tmp_path, NOWHERE) as reader:
        assert [error.part[1] for error in reader.damaged(parts)] == [1, 3]
        part_file(tmp_path, 2).unlink()
    with PartReader(tmp_path, NOWHERE) as reader:
        assert [error.part[1] for error in reader.damaged(parts)] == [1, 2, 3]
