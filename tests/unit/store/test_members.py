"""Who joined and who left since a team was last looked up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asyncreport.errors import StoreError
from asyncreport.store.members import Members


def test_the_first_look_tells_of_no_change(tmp_path: Path) -> None:
    assert Members(tmp_path).changes("sales", ["ann"]) is None


def test_who_joined_and_who_left_is_told_by_the_next_run(tmp_path: Path) -> None:
    Members(tmp_path).keep({"sales": ("bob", "ann"), "billing": ("ann",)})
    members = Members(tmp_path)
    assert members.changes("sales", ["zoe", "ann", "cid"]) == (("cid", "zoe"), ("bob",))
    assert members.changes("billing", ["ann"]) == ((), ())
    assert members.changes("night", []) is None


def test_a_team_that_could_not_be_looked_up_is_compared_with_the_run_before(tmp_path: Path) -> None:
    Members(tmp_path).keep({"sales": ("ann",), "billing": ("bob",)})
    Members(tmp_path).keep({"billing": ()})
    members = Members(tmp_path)
    assert members.changes("sales", ["ann", "bob"]) == (("bob",), ())
    assert members.changes("billing", ["bob"]) == (("bob",), ())


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "members.json"
    Members(tmp_path).keep({})
    assert not path.exists()
    Members(tmp_path).keep({"sales": ("bob", "ann")})
    before = path.stat()
    Members(tmp_path).keep({"sales": ("ann", "bob")})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_file_is_a_table_that_people_can_read_and_others_cannot(tmp_path: Path) -> None:
    Members(tmp_path).keep({"sales": {"bob", "ann"}})
    assert json.loads((tmp_path / "members.json").read_bytes()) == {"sales": ["ann", "bob"]}
    assert (tmp_path / "members.json").stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "members.json").write_text('{"sales": ')
    with pytest.raises(StoreError, match=r"members\.json is damaged: .*; delete it and run again"):
        Members(tmp_path)
