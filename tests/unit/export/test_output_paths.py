"""Output files that cannot be written are refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncreport.core.errors import ConfigError, StoreError
from asyncreport.export.output_paths import check_targets


def test_targets_that_can_be_written_get_their_folders(tmp_path: Path) -> None:
    check_targets([tmp_path / "a" / "b" / "out.jsonl", tmp_path / "out.jsonl"])
    assert (tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_target_that_is_a_folder_or_a_device_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(StoreError, match="is a folder or a device"):
            check_targets([path])


def test_a_target_under_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="could not be created"):
        check_targets([tmp_path / "file" / "out.jsonl"])


def test_a_target_in_a_closed_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # a mode would not stop root
    with pytest.raises(StoreError, match=f"this user may not write to {tmp_path}"):
        check_targets([tmp_path / "out.jsonl"])


def test_targets_that_are_the_same_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative and an absolute path, a link to a folder or a file, or another case."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024").mkdir()
    (tmp_path / "latest").symlink_to("2024")
    (tmp_path / "link.jsonl").symlink_to("2024/out.jsonl")
    here = tmp_path / "2024" / "out.jsonl"
    for other in (
        here,
        Path("2024/out.jsonl"),
        tmp_path / "latest" / "out.jsonl",
        tmp_path / "link.jsonl",
        tmp_path / "2024" / "OUT.jsonl",
    ):
        with pytest.raises(
            ConfigError,
            match=r"are the same file, .*/2024/(out|OUT)\.jsonl; give one of them another path",
        ):
            check_targets([here, tmp_path / "2024" / "more.jsonl", other])


def test_a_link_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "gone" / "out.jsonl")
    with pytest.raises(
        StoreError,
        match=f"is a link into {tmp_path}/gone, which is not a folder; create that folder",
    ):
        check_targets([tmp_path / "out.jsonl"])


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    with pytest.raises(StoreError, match="is not valid UTF-8"):
        check_targets([folder / "out.jsonl"])
    assert not folder.exists()
