"""Read the summary of the last run, also one that the version before wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from asyncreport.export.last_summary import LastSummary, read_last_summary

#: what both versions call the same
COMMON = {
    "started": "2024-01-01T00:00:00.000Z",
    "complete": False,
    "records": {"sales": 7},
}
TEAM = {"team": "lost", "selector": "group Lost", "error": "no such group"}
CHUNK = {"connection": "west", "interval": "a/b", "users": None, "error": "late"}


def read(folder: Path, **stored: Any) -> LastSummary | None:
    (folder / "summary.json").write_text(json.dumps({**COMMON, **stored}))
    return read_last_summary(folder)


def test_both_versions_say_the_same(tmp_path: Path) -> None:
    before = read(
        tmp_path,
        outputs=["/a.jsonl"],
        missing=[{**CHUNK, "stands": True}, CHUNK, CHUNK],
        unknown=[TEAM],
    )
    now = read(
        tmp_path,
        outputs=[{"path": "/a.jsonl", "kind": "output"}],
        gaps=[{**CHUNK, "stale": True}, CHUNK, CHUNK],
        unknown_teams=[TEAM],
    )
    assert before == now
    assert now is not None
    assert (now.missing, now.stale, now.has_outputs) == (2, 1, True)
    assert [team.team for team in now.unknown_teams] == ["lost"]


def test_keys_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    found = read(tmp_path, outputs=[], gaps=[], unknown_teams=[], new={"key": [1]})
    assert found is not None
    assert (found.missing, found.stale, found.has_outputs) == (0, 0, False)


def test_no_run_has_finished(tmp_path: Path) -> None:
    assert read_last_summary(tmp_path) is None
