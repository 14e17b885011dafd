"""A line is the commit: no committed part is lost, and no torn line is used."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part
from asyncreport.store.manifest import Manifest, manifest_path
from asyncreport.store.part_filter import PartFilter
from tests.unit.store.facts import FILTER, blocks, chunk, hours, part_file, written

USERS = ("a", "b")


def read(folder: Path) -> Manifest:
    """Read the manifest of a job's only connection."""
    return Manifest.read(folder / "default")


def _add(
    folder: Path, *, users: tuple[str, ...] | None = USERS, replaces: tuple[int, ...] = ()
) -> Part:
    """Commit the next hour."""
    manifest = read(folder)
    here = hours(manifest.next_number, manifest.next_number + 1)
    part = written(folder, manifest.next_number, chunk(here, users), blocks(users or [None], here))
    manifest.add(part, replaces)
    return part


def test_parts_come_back_as_they_were_committed(tmp_path: Path) -> None:
    parts = [
        _add(tmp_path),
        _add(tmp_path, users=None),
        _add(tmp_path, users=('"\n/', "é\u202e")),
        _add(tmp_path),
    ]
    assert read(tmp_path).current_parts(FILTER) == parts


def test_a_missing_folder_counts_as_empty_and_is_not_created(tmp_path: Path) -> None:
    manifest = Manifest.read(tmp_path / "none")
    assert (manifest.current_parts(FILTER), manifest.next_number) == ([], 1)
    assert list(tmp_path.iterdir()) == []


def test_parts_of_another_fingerprint_are_left_out(tmp_path: Path) -> None:
    part = _add(tmp_path)
    manifest = read(tmp_path)
    other = PartFilter({"default": ("e" * 32,)})
    assert manifest.current_parts(other) == manifest.committed(other) == []
    assert manifest.committed(FILTER) == [part]


def test_a_replaced_part_is_not_current(tmp_path: Path) -> None:
    first, second = _add(tmp_path), _add(tmp_path)
    third = _add(tmp_path, replaces=(first.number,))
    assert read(tmp_path).current_parts(FILTER) == [second, third]


def test_a_part_is_marked_for_refresh_until_it_is_replaced(tmp_path: Path) -> None:
    first, second = _add(tmp_path), _add(tmp_path)
    for _ in range(2):
        read(tmp_path).mark_for_refresh([first.number])
    assert (manifest_path(tmp_path / "default")).read_bytes().count(b"again") == 1
    assert read(tmp_path).current_parts(FILTER) == [
        msgspec.structs.replace(first, refresh_pending=True),
        second,
    ]
    third = _add(tmp_path, replaces=(first.number,))
    assert read(tmp_path).current_parts(FILTER) == [second, third]


def test_a_torn_line_of_marks_for_refresh_is_cut_off(tmp_path: Path) -> None:
    first = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    whole = path.read_bytes()
    read(tmp_path).mark_for_refresh([first.number])
    line = path.read_bytes()[len(whole) :]
    for length in range(len(line)):
        path.write_bytes(whole + line[:length])
        manifest = read(tmp_path)
        assert manifest.current_parts(FILTER) == [first]
        manifest.mark_for_refresh([first.number])
        assert path.read_bytes() == whole + line


@pytest.mark.parametrize("change", ["deleted", "shorter", "longer"])
def test_a_part_whose_file_is_missing_or_has_another_size_is_not_current(
    change: str, tmp_path: Path
) -> None:
    first, second = _add(tmp_path), _add(tmp_path)
    path = part_file(tmp_path, first.number)
    content = path.read_bytes()
    path.unlink()
    if change != "deleted":
        path.write_bytes(content[:-1] if change == "shorter" else content + b"\n")
    assert read(tmp_path).current_parts(FILTER) == [second]


def test_a_user_set_is_stored_once(tmp_path: Path) -> None:
    for _ in range(3):
        _add(tmp_path)
    _add(tmp_path, users=("c",))
    lines = [
        json.loads(line) for line in (manifest_path(tmp_path / "default")).read_bytes().splitlines()
    ]
    assert [line["ids"] for line in lines if "ids" in line] == [["a", "b"], ["c"]]
    assert next(iter(lines[1])) == "part"
    assert lines[1]["users"] == lines[0]["users"]


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["no newline", "newline"])
def test_a_torn_last_line_of_any_length_is_cut_off_and_its_number_used_again(
    end: bytes, tmp_path: Path
) -> None:
    first = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    whole = path.read_bytes()
    second = _add(tmp_path)
    line = path.read_bytes()[len(whole) : -1]
    for length in range(len(line)):
        path.write_bytes(whole + line[:length] + (end if length else b""))
        manifest = read(tmp_path)
        assert manifest.current_parts(FILTER) == [first]
        assert manifest.next_number == second.number
        manifest.add(second, ())
        assert path.read_bytes() == whole + line + b"\n"


def test_a_torn_line_of_users_is_written_again(tmp_path: Path) -> None:
    part = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    whole = path.read_bytes()
    for length in range(whole.index(b"\n") + 2):
        path.write_bytes(whole[:length])
        assert _add(tmp_path) == part
        assert path.read_bytes() == whole


def test_a_tail_of_zeros_is_cut_off(tmp_path: Path) -> None:
    first = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    path.write_bytes(path.read_bytes() + bytes(300))
    assert _add(tmp_path).number == first.number + 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"count":2', b'"count":"2"'),
        (b'"part":1,', b""),
        (b"00.000Z/", b"00.000Z-"),
        (b'"fetched_at":"2023', b'"fetched_at":"x'),
        (b'"ids"', b'"idz"'),
        (b'{"users":"', b'{"users":"0'),
        (b'"ids":["a"', b'"ids":["z"'),
    ],
)
def test_an_unreadable_line_inside_is_an_error_that_names_file_line_and_next_step(
    old: bytes, new: bytes, tmp_path: Path
) -> None:
    _add(tmp_path)
    _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(
        StoreError, match=r"manifest\.jsonl, line [12]: cannot be read .* run again"
    ):
        read(tmp_path)


def test_a_part_whose_line_of_user_ids_is_lost_is_an_error_with_the_next_step(
    tmp_path: Path,
) -> None:
    _add(tmp_path)
    _add(tmp_path, users=None)
    path = manifest_path(tmp_path / "default")
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    with pytest.raises(
        StoreError, match=r"line 1: cannot be read \(the line with its user ids is missing\)"
    ):
        read(tmp_path)


def test_an_unreadable_line_before_a_torn_one_is_an_error(tmp_path: Path) -> None:
    _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    path.write_bytes(path.read_bytes() + b'{"part":\n{"par')
    with pytest.raises(StoreError, match="line 3"):
        read(tmp_path)


def test_fields_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    part = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    path.write_bytes(path.read_bytes().replace(b"}\n", b',"later":[1]}\n'))
    assert read(tmp_path).current_parts(FILTER) == [part]


def test_ten_thousand_parts_are_read(tmp_path: Path) -> None:
    part = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    users, line, _ = path.read_bytes().split(b"\n")
    again = [line.replace(b'"part":1,', b'"part":%d,' % number) for number in range(1, 10_001)]
    path.write_bytes(b"\n".join([users, *again, b""]))
    for number in range(2, 10_001):
        part_file(tmp_path, number).hardlink_to(part_file(tmp_path, 1))
    manifest = read(tmp_path)
    assert manifest.next_number == 10_001
    assert manifest.current_parts(FILTER) == [
        msgspec.structs.replace(part, number=number) for number in range(1, 10_001)
    ]
