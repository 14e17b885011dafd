"""What terminals of several widths show, and the picture of one in the README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.blocks import ROOT
from tests.emulator_process import emulator_process
from tests.exporting import call, write_job
from tests.terminal_pictures import PICTURE
from tests.terminal_screen import Shown, run_on_terminal

RANGE = {"start": "2024-01-15", "end": "2024-01-17"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder with a job that lacks a permission."""
    teams = [{"name": "all", "everyone": True}, {"name": "sales", "team": "Sales"}]
    path = tmp_path_factory.mktemp("screens")
    with emulator_process(agents=4, seed=3, denied=["groups:team:view"]) as emulator:
        write_job(path, emulator, range=RANGE, teams=teams)
        yield path


def check(folder: Path, columns: int = 80, **variables: str) -> Shown:
    shown = run_on_terminal("check", "job.yaml", cwd=folder, columns=columns, **variables)
    assert shown.code == 3
    return shown


def words(text: str) -> list[str]:
    """List the words without what differs from run to run."""
    return re.sub(r"[\d.,]+ GB|correlation\s+id\s+\S+", "", text).split()


@pytest.fixture(scope="module")
def in_pipe(folder: Path) -> list[str]:
    return words(call("check", "job.yaml", cwd=folder).out.replace(str(folder), "~"))


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_a_terminal_shows_the_words_of_a_pipe_and_cuts_none(
    folder: Path, in_pipe: list[str], columns: int
) -> None:
    shown = check(folder, columns)
    assert max(map(len, shown.screen.lines())) <= columns
    assert words(shown.text) == in_pipe


def test_a_terminal_has_colours(folder: Path) -> None:
    styles = {str(span.style) for span in check(folder).screen.text().spans}
    assert styles >= {"color(1)", "color(2)"}  # red, green


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colours_the_words_are_the_same(
    folder: Path, in_pipe: list[str], variables: dict[str, str]
) -> None:
    shown = check(folder, **variables)
    assert words(shown.text) == in_pipe
    assert not any(span.style for span in shown.screen.text().spans)


def test_the_bar_leaves_no_line_behind_and_the_picture_shows_a_run(tmp_path: Path) -> None:
    shown = run_on_terminal("demo", cwd=tmp_path)
    assert shown.code == 0
    for lines in shown.frames:
        assert sum(re.match(r"demo  .*\d/6", line) is not None for line in lines) <= 1
    assert "\ndemo  ████████████████████████  100 %  6/6  in 0:" in shown.text
    assert without_figures(shown.text) == without_figures(picture_text())


def without_figures(text: str) -> str:
    """Leave out figures that vary from run to run."""
    return re.sub(r"[\d.]+/s|in 0:\d\d|[\d.]+ s\b", "N", text)


def picture_text() -> str:
    """Read the lines of the README's picture, below the command line."""
    rows: dict[float, str] = {}
    for each in ET.parse(PICTURE).iter("{http://www.w3.org/2000/svg}text"):
        if each.get("text-anchor") is None:  # the title has one
            row = float(each.get("y", "0"))
            rows[row] = rows.get(row, "") + (each.text or "").replace("\xa0", " ")
    prompt, *rest = (rows[row].rstrip() for row in sorted(rows))
    assert prompt == "$ asyncreport demo"
    return "\n".join(rest)


def test_the_picture_fetches_nothing_and_names_no_folder_of_a_machine() -> None:
    text = PICTURE.read_text()
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"font-face|@import|<image|/tmp|/home|/root", text)
    assert len(text) < 20_000
    assert f"(docs/{PICTURE.name})" in (ROOT / "README.md").read_text()
