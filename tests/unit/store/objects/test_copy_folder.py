"""The temporary folder of a killed process does not stay: records of people are in it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from asyncreport.core.object_urls import COPIES
from asyncreport.store.objects.copy_folder import CopyFolder


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def make(parent: Path, name: str, *, age: float) -> Path:
    """Make a folder as a killed process leaves it."""
    folder = parent / name
    folder.mkdir()
    (folder / "part").write_text("a record")
    (folder / "in-use.lock").touch()
    then = time.time() - age
    os.utime(folder, (then, then))
    return folder


def test_the_folder_is_private_and_goes(parent: Path) -> None:
    folder = CopyFolder()
    assert folder.path.parent == parent
    assert folder.path.stat().st_mode & 0o777 == 0o700
    folder.remove()
    assert not list(parent.iterdir())


def test_folders_of_killed_processes_go(parent: Path) -> None:
    killed = make(parent, f"{COPIES}killed", age=100)
    young = make(parent, f"{COPIES}young", age=1)
    other = make(parent, "other", age=100)
    folder = CopyFolder()
    assert not killed.exists()
    assert young.exists()
    assert other.exists()
    folder.remove()


def test_the_folder_of_a_process_that_works_stays(parent: Path) -> None:
    working = CopyFolder()
    then = time.time() - 100
    os.utime(working.path, (then, then))
    other = CopyFolder()
    assert working.path.exists()
    working.remove()
    other.remove()
    assert not list(parent.iterdir())
