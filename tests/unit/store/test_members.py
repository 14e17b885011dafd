"""Members of teams are kept, and compared with those that were last reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Selector, Team
from asyncreport.store.lookups import Members


def team(name: str, *users: str, group: str = "", connection: str = "default") -> Team:
    return Team(
        name=name,
        connection=connection,
        users=users,
        selector=Selector(kind="group", value=group or name),
    )


def test_before_the_first_report_there_are_no_changes(tmp_path: Path) -> None:
    assert Members(tmp_path).changes(team("sales", "ann")) is None


def test_the_next_run_reports_who_joined_and_who_left(tmp_path: Path) -> None:
    Members(tmp_path).save([team("sales", "bob", "ann"), team("billing", "ann")], reported=True)
    members = Members(tmp_path)
    assert members.changes(team("sales", "zoe", "ann", "cid")) == (("cid", "zoe"), ("bob",))
    assert members.changes(team("billing", "ann")) == ((), ())
    assert members.changes(team("night")) is None


def test_changes_are_collected_until_a_run_reports_them(tmp_path: Path) -> None:
    """A run without output files reports nothing; the next one with files reports it all."""
    Members(tmp_path).save([team("sales", "ann")])
    assert Members(tmp_path).of(team("sales")) == ("ann",)
    assert Members(tmp_path).changes(team("sales", "ann")) is None
    Members(tmp_path).save([team("sales", "ann")], reported=True)
    Members(tmp_path).save([team("sales", "ann", "bob")])
    members = Members(tmp_path)
    assert members.of(team("sales")) == ("ann", "bob")
    assert members.changes(team("sales", "ann", "bob")) == (("bob",), ())


@pytest.mark.parametrize(
    "other", [team("sales", "ann", group="Other"), team("sales", "ann", connection="west")]
)
def test_a_team_with_another_selector_or_connection_is_another_team(
    tmp_path: Path, other: Team
) -> None:
    Members(tmp_path).save([team("sales", "ann", "bob")], reported=True)
    assert Members(tmp_path).of(other) is None
    assert Members(tmp_path).changes(other) is None
    Members(tmp_path).save([other])
    assert Members(tmp_path).of(other) == ("ann",)
    assert Members(tmp_path).changes(other) is None


def test_a_team_that_could_not_be_looked_up_keeps_its_last_members(tmp_path: Path) -> None:
    Members(tmp_path).save([team("sales", "ann"), team("billing", "bob")], reported=True)
    Members(tmp_path).save([team("billing")], reported=True)
    members = Members(tmp_path)
    assert members.changes(team("sales", "ann", "bob")) == (("bob",), ())
    assert members.changes(team("billing", "bob")) == (("bob",), ())


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "members.json"
    Members(tmp_path).save([Team(name="listed", connection="default", users=("ann",))])
    assert not path.exists()
    Members(tmp_path).save([team("sales", "bob", "ann")])
    before = path.stat()
    Members(tmp_path).save([team("sales", "ann", "bob")])
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_file_is_readable_json_and_private(tmp_path: Path) -> None:
    Members(tmp_path).save([team("sales", "bob", "ann")])
    selector = {"kind": "group", "value": "sales"}
    assert json.loads((tmp_path / "members.json").read_bytes()) == {
        "sales": {
            "connection": "default",
            "selector": selector,
            "users": ["ann", "bob"],
            "shown": None,
        }
    }
    assert (tmp_path / "members.json").stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "members.json").write_text('{"sales": ')
    with pytest.raises(StoreError, match=r"members\.json is damaged: .*; delete it and run again"):
        Members(tmp_path)
