"""Files are replaced completely or not at all, and errors say what to do."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from asyncreport.core.errors import StoreError
from asyncreport.store.atomic import append, atomic_write, remove_temporaries
from asyncreport.store.folders import make_folder
from asyncreport.store.json_files import read_json, write_json


def test_a_replaced_file_holds_everything_that_was_written(tmp_path: Path) -> None:
    pieces = [bytes([n % 251]) * 50_001 for n in range(20)]
    with atomic_write(tmp_path / "out", owner=tmp_path) as sink:
        for piece in pieces:
            sink.write(piece)
    whole = b"".join(pieces)
    assert (tmp_path / "out").read_bytes() == whole
    assert (sink.size, sink.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


def test_the_old_file_stays_if_the_new_one_fails(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")

    def interrupted() -> None:
        with atomic_write(tmp_path / "out", owner=tmp_path) as sink:
            sink.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("out", b"old")]


def test_two_jobs_that_write_one_file_use_different_temporary_files(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with (
        atomic_write(path, owner=tmp_path / "a") as one,
        atomic_write(path, owner=tmp_path / "b") as other,
    ):
        one.write(b"one")
        other.write(b"other")
    assert path.read_bytes() == b"one"


def test_a_link_at_the_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    with atomic_write(tmp_path / "out", owner=tmp_path):
        (temporary,) = tmp_path.glob(".asyncreport-*.tmp")
    temporary.symlink_to(victim)
    with atomic_write(tmp_path / "out", owner=tmp_path) as sink:
        sink.write(b"mine")
    assert (victim.read_bytes(), (tmp_path / "out").read_bytes()) == (b"precious", b"mine")


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    with atomic_write(tmp_path / "out", owner=tmp_path) as sink:
        sink.write(b"0123456789" * 10)
    assert (tmp_path / "out").read_bytes() == b"0123456789" * 10


def test_append_cuts_off_what_is_after_the_end(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntw")
    append(tmp_path / "log", b"TWO\n", at=4)
    assert (tmp_path / "log").read_bytes() == b"one\nTWO\n"


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (errno.ENOSPC, "free some space on the disk"),
        (errno.EDQUOT, "free some of this user's quota"),
        (errno.EROFS, "cannot be written: mount it for writing"),
        (errno.EMFILE, "(ulimit -n)"),
        (errno.EFBIG, "(ulimit -f)"),
        (errno.EACCES, "the permissions of this user"),
    ],
)
def test_a_failed_write_names_the_file_the_fact_and_the_next_step(
    number: int, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", refuse)
    with (
        pytest.raises(StoreError) as caught,
        atomic_write(tmp_path / "out", owner=tmp_path) as sink,
    ):
        sink.write(b"new")
    message = str(caught.value)
    assert str(tmp_path / "out") in message
    assert os.strerror(number) in message
    assert step in message
    assert list(tmp_path.iterdir()) == []


def test_only_the_last_of_new_folders_gets_the_mode(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b", mode=0o700)
    make_folder(tmp_path / "a" / "b", mode=0o700)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "b")]
    assert modes[0] != 0o700
    assert modes[1] == 0o700


def test_a_folder_cannot_be_made_under_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="could not be created"):
        make_folder(tmp_path / "file" / "folder")


def test_only_our_own_temporary_files_are_removed(tmp_path: Path) -> None:
    names = {
        ".asyncreport-0123456789abcdef.tmp",
        "notes.tmp",
        ".asyncreport-notes",
        "part-00000001.jsonl",
    }
    for name in names:
        (tmp_path / name).touch()
    remove_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names - {
        ".asyncreport-0123456789abcdef.tmp"
    }


def test_json_is_read_as_it_was_written_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    assert read_json(path, dict[str, int]) is None
    write_json(path, {"a": 1})
    assert read_json(path, dict[str, int]) == {"a": 1}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": "1"}', b"\xff", b'{"\xff": 1}'])
def test_a_damaged_json_file_is_named_with_the_next_step(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"value\.json is damaged.*delete it and run again"):
        read_json(path, dict[str, int])


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o666])
def test_the_new_file_has_the_mode_of_the_old_one(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(mode)
    with atomic_write(path, owner=tmp_path) as sink:
        sink.write(b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", mode)
    path.chmod(0o644)
    write_json(path, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("through_a_link", [False, True])
def test_an_equal_file_is_kept_untouched_on_request(through_a_link: bool, tmp_path: Path) -> None:
    path, real = tmp_path / "out", tmp_path / "real"
    if through_a_link:
        path.symlink_to(real)
    path.write_bytes(b"same")
    before = path.stat()
    with atomic_write(path, owner=tmp_path, keep_equal=True) as sink:
        sink.write(b"same")
    after = path.stat()
    assert not sink.changed
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert path.is_symlink() == through_a_link
    assert not list(tmp_path.glob(".asyncreport-*"))


@pytest.mark.parametrize("old", [None, b"", b"sane", b"same "])
def test_a_file_with_other_content_is_replaced(old: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "out"
    if old is not None:
        path.write_bytes(old)
    with atomic_write(path, owner=tmp_path, keep_equal=True) as sink:
        sink.write(b"same")
    assert sink.changed
    assert path.read_bytes() == b"same"


def test_an_old_file_that_cannot_be_read_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"same")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        # A mode would not stop root.
        patch.setattr(hashlib, "file_digest", refuse)
        with atomic_write(path, owner=tmp_path, keep_equal=True) as sink:
            sink.write(b"same")
    assert sink.changed
    assert path.read_bytes() == b"same"
