"""A line is the commit: no committed part is lost, and no torn line is used."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part
from asyncreport.store.compaction import compact
from asyncreport.store.manifest import Manifest, manifest_path
from asyncreport.store.manifest_lines import Added
from asyncreport.store.part_filter import PartFilter
from tests.manifests import edit_lines, read_lines, write_lines
from tests.unit.store.facts import FILTER, GRID, blocks, chunk, hours, part_file, written

USERS = ("a", "b")


def read(folder: Path) -> Manifest:
    """Read the manifest of a job's only connection."""
    return Manifest.read(folder / "default")


def opened(folder: Path) -> Manifest:
    """Read the same manifest to write it."""
    (folder / "default").mkdir(parents=True, exist_ok=True)
    manifest = read(folder)
    manifest.start_writing()
    return manifest


def _add(
    folder: Path, *, users: tuple[str, ...] | None = USERS, replaces: tuple[int, ...] = ()
) -> Part:
    """Commit the next hour."""
    manifest = opened(folder)
    here = hours(manifest.next_number, manifest.next_number + 1)
    part = written(folder, manifest.next_number, chunk(here, users), blocks(users or [None], here))
    manifest.add([Added(part, replaces)])
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
    other = PartFilter({"default": ("e" * 32,)}, GRID)
    assert manifest.current_parts(other) == manifest.committed(other) == []
    assert manifest.committed(FILTER) == [part]


def test_a_replaced_part_is_not_current(tmp_path: Path) -> None:
    first, second = _add(tmp_path), _add(tmp_path)
    third = _add(tmp_path, replaces=(first.number,))
    assert read(tmp_path).current_parts(FILTER) == [second, third]


def test_a_part_is_marked_for_refresh_until_it_is_replaced(tmp_path: Path) -> None:
    first, second = _add(tmp_path), _add(tmp_path)
    for _ in range(2):
        opened(tmp_path).mark_for_refresh([first.number])
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
    opened(tmp_path).mark_for_refresh([first.number])
    line = path.read_bytes()[len(whole) :]
    for length in range(len(line)):
        path.write_bytes(whole + line[:length])
        manifest = opened(tmp_path)
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
    header, first, second, *rest = read_lines(manifest_path(tmp_path / "default"))
    assert [line["ids"] for line in (first, *rest) if "ids" in line] == [["a", "b"], ["c"]]
    assert next(iter(header)) == "format"
    assert next(iter(second)) == "part"
    assert second["users"] == first["users"]


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
        manifest = opened(tmp_path)
        assert manifest.current_parts(FILTER) == [first]
        assert manifest.next_number == second.number
        manifest.add([Added(second, ())])
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


def test_a_changed_byte_anywhere_is_an_error_that_names_file_line_and_next_step(
    tmp_path: Path,
) -> None:
    """Not in the last line: nobody can tell a damaged one from one that was cut short."""
    _add(tmp_path)
    _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    content = path.read_bytes()
    last = content.rindex(b"\n", 0, -1)
    for at in range(last):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(StoreError, match=r"manifest\.jsonl") as caught:
            read(tmp_path)
        text = str(caught.value)
        assert "cannot be read" in text or "a newer version" in text


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("part", {"count": "2"}),
        ("part", {"count": -1}),
        ("part", {"count": 1 << 60}),
        ("part", {"part": 0}),
        ("part", {"part": 1 << 50}),
        ("part", {"size": 10, "index_at": 10}),
        ("part", {"interval": "2023-01-01T00:00:00.000Z-2023-01-01T01:00:00.000Z"}),
        ("part", {"interval": "2023-01-01T01:00:00.000Z/2023-01-01T01:00:00.000Z"}),
        ("part", {"fetched_at": "x"}),
        ("part", {"users": "unknown"}),
        ("part", {"replaces": [-1]}),
        ("users", {"users": "0"}),
        ("users", {"ids": ["z"]}),
        ("format", {"format": "2"}),
    ],
)
def test_a_wrong_line_with_a_right_checksum_is_an_error(
    kind: str, change: dict[str, object], tmp_path: Path
) -> None:
    _add(tmp_path)
    _add(tmp_path)
    edit_lines(
        manifest_path(tmp_path / "default"),
        lambda line: {**line, **change} if next(iter(line)) == kind else line,
    )
    with pytest.raises(
        StoreError, match=r"manifest\.jsonl, line [123]: cannot be read .*run again"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"interval": "2023-01-01T00:00:00.000Z/9999-12-31T00:00:00.000Z"},
        {"interval": "0001-01-01T00:00:00.000Z/2023-01-01T00:00:00.000Z"},
        {"interval": "2023-01-01T00:30:00.000Z/2023-01-01T01:00:00.000Z"},
        {"month": "2023-02"},
        {"edges": "0" * 16},
    ],
)
def test_a_part_that_does_not_have_the_buckets_of_one_month_is_not_used(
    change: dict[str, object], tmp_path: Path
) -> None:
    """No interval from the disk decides how many buckets are counted."""
    part = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    edit_lines(path, lambda line: {**line, **change} if "part" in line else line)
    manifest = read(tmp_path)
    assert manifest.current_parts(FILTER) == []
    assert [found.number for found in manifest.live_parts()] == [part.number]


def test_a_part_of_an_earlier_version_has_no_edges_and_is_used(tmp_path: Path) -> None:
    part = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    edit_lines(path, lambda line: {**line, "edges": None} if "part" in line else line)
    assert read(tmp_path).current_parts(FILTER) == [msgspec.structs.replace(part, edges=None)]


@pytest.mark.parametrize("found", [3, 99])
def test_a_newer_format_is_refused_whatever_its_lines_look_like(found: int, tmp_path: Path) -> None:
    path = manifest_path(tmp_path / "default")
    path.parent.mkdir()
    path.write_text(f'{{"format":{found},"later":true}}\nnobody knows\n')
    with pytest.raises(StoreError, match=f"written by a newer version .*format {found}"):
        read(tmp_path)


@pytest.mark.parametrize("line", [b"{}", b'{"other":1}', b""])
def test_a_line_of_an_unknown_kind_is_an_error(line: bytes, tmp_path: Path) -> None:
    _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    header, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join((header, line, b"\n", *rest)))
    with pytest.raises(StoreError, match="line 2: cannot be read"):
        read(tmp_path)


def test_without_its_header_a_manifest_is_not_read(tmp_path: Path) -> None:
    _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    with pytest.raises(StoreError, match=r"line 1: cannot be read \(the header is missing\)"):
        read(tmp_path)


def test_the_organization_is_kept(tmp_path: Path) -> None:
    part = _add(tmp_path)
    assert read(tmp_path).organizations == {}
    for _ in range(2):
        opened(tmp_path).note_organization("https://api", "org-1")
    assert manifest_path(tmp_path / "default").read_bytes().count(b"org-1") == 1
    assert read(tmp_path).organizations == {"https://api": "org-1"}
    assert read(tmp_path).current_parts(FILTER) == [part]


def test_after_compaction_the_same_parts_are_current(tmp_path: Path) -> None:
    """Ids, marks, the organisation and the length of the changes stay; dead lines go."""
    numbers = []
    for _ in range(3):
        numbers.append(_add(tmp_path, replaces=tuple(numbers[-1:])).number)
    other = _add(tmp_path, users=("c",))
    manifest = opened(tmp_path)
    manifest.note_organization("https://api", "org-1")
    manifest.note_changes(77, [])
    manifest.mark_for_refresh([1, other.number])
    before = manifest.current_parts(FILTER)
    shorter = compact(manifest)
    for found in (shorter, read(tmp_path)):
        assert found.current_parts(FILTER) == before
        assert (found.organizations, found.changes_length) == ({"https://api": "org-1"}, 77)
        assert found.next_number == manifest.next_number
    lines = read_lines(manifest_path(tmp_path / "default"))
    assert [next(iter(line)) for line in lines] == [
        "format",
        "changes",
        "users",
        "part",
        "users",
        "part",
        "again",
    ]
    assert lines[-1]["again"] == [other.number]
    # The writer goes on with the new file.
    shorter.mark_for_refresh([3])
    assert len(read_lines(manifest_path(tmp_path / "default"))) == 8
    # Whoever still has the old one must not write.
    with pytest.raises(StoreError, match="by another process while this run used it"):
        manifest.mark_for_refresh([2])


def test_an_unreadable_line_before_a_torn_one_is_an_error(tmp_path: Path) -> None:
    _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    path.write_bytes(path.read_bytes() + b'{"part":\n{"par')
    with pytest.raises(StoreError, match="line 4"):
        read(tmp_path)


def test_fields_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    part = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    edit_lines(path, lambda line: {**line, "later": [1]})
    assert read(tmp_path).current_parts(FILTER) == [part]


def test_ten_thousand_parts_are_read(tmp_path: Path) -> None:
    part = _add(tmp_path)
    path = manifest_path(tmp_path / "default")
    header, users, line = read_lines(path)
    parts = [{**line, "part": number} for number in range(1, 10_001)]
    write_lines(path, [header, users, *parts])
    for number in range(2, 10_001):
        part_file(tmp_path, number).hardlink_to(part_file(tmp_path, 1))
    manifest = read(tmp_path)
    assert manifest.next_number == 10_001
    assert manifest.current_parts(FILTER) == [
        msgspec.structs.replace(part, number=number) for number in range(1, 10_001)
    ]
