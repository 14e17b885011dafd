"""No name of a job or a team puts a file outside its folder, over another one, or in the state."""

from __future__ import annotations

import json
import os.path
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job
from asyncreport.export.targets import all_files
from tests.unit.config.good_job import GOOD, load

PIECES = [
    *(
        "..",
        ".",
        "/",
        "\\",
        "a",
        "A",
        "é",
        "e\u0301",
        "\x00",
        "\n",
        "{month}",
        "{team}",
        "{",
        " ",
        "~",
        "con",
    ),
    *("ﬀ", "ß", "SS", "İ", "\u212a", "K", "\u0345", "ᾳ", "\ud800", "\u202e", "2023-01", "aht"),
]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join) | st.text(max_size=6)
TEMPLATES = [
    "exports/{team}.jsonl",
    "exports/{team}/{month}.jsonl",
    "exports/{team}-{month}.jsonl",
    "exports/{month}/{team}{team}.jsonl",
]


def named(folder: Path, job: str, teams: list[str], per_team: str) -> Job | None:
    """Load a job with these names; None if it is refused."""
    listed = [{"name": team, "users": ["ada"]} for team in teams]
    text = GOOD[: GOOD.index("teams:")].replace("name: aht", f"name: {json.dumps(job)}")
    output = {"path": "exports/aht.jsonl", "per_team": per_team}
    try:
        return load(folder, f"{text}teams: {json.dumps(listed)}\noutput: {json.dumps(output)}\n")
    except ConfigError:
        return None


def same_to_a_system(path: Path) -> str:
    """Spell a path so that any two paths that some file system treats as one are equal."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", str(path)).casefold())


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    job=NAMES, teams=st.lists(NAMES, min_size=1, max_size=3), per_team=st.sampled_from(TEMPLATES)
)
def test_with_any_names_each_file_has_its_own_path_in_its_folder(
    folder: Path, job: str, teams: list[str], per_team: str
) -> None:
    loaded = named(folder, job, teams, per_team)
    if loaded is None:
        return
    here = folder / "exports"
    assert (folder / loaded.state_folder).parent == here / ".asyncreport"
    files = [file.path for file in all_files(loaded)]
    for path in files:
        assert Path(os.path.normpath(path)) == path
        assert here in path.parents
        assert ".asyncreport" not in path.parts
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert len({same_to_a_system(path) for path in files}) == len(files)


@pytest.mark.parametrize(
    "name",
    [
        "con",
        "a b",
        "été",
        "Søren's",
        "東京",
        "a.b",
        "team-1",
        "x" * 100,
        "%2e%2e",
        "$HOME",
        "--force",
    ],
)
def test_usual_names_are_accepted(folder: Path, name: str) -> None:
    loaded = named(folder, name, [name], TEMPLATES[0])
    assert loaded is not None
    assert [file.path.name for file in all_files(loaded)] == ["aht.jsonl", f"{name}.jsonl"]


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "../x",
        "/etc/x",
        "a/../../x",
        "a\\b",
        "a\x00b",
        "a\nb",
        "{month}",
        "\ud800",
        "\u202ex",
        " a",
        "x" * 101,
    ],
)
def test_names_that_lead_out_of_the_folder_are_refused(folder: Path, name: str) -> None:
    assert named(folder, name, ["billing"], TEMPLATES[0]) is None
    assert named(folder, "aht", [name], TEMPLATES[0]) is None


@pytest.mark.parametrize(
    "pair", [("Sales", "sales"), ("é", "e\u0301"), ("ß", "SS"), ("\u212a", "k"), ("ﬀ", "FF")]
)
def test_two_teams_whose_files_some_systems_treat_as_one_are_refused(
    folder: Path, pair: tuple[str, str]
) -> None:
    assert named(folder, "aht", list(pair), TEMPLATES[0]) is None
