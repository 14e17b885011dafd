"""The command `report`: the browser that it opens, and what it refuses in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process
from tests.exporting import Call, call, run_here, write_job

ROOT = Path(__file__).parents[2]

USERS = [person.id for person in World(agents=4, seed=3).people]

RANGE = {"start": "2024-01-30", "end": "2024-02-02", "granularity": "PT1H"}

#: a `sitecustomize` without the chart library
NO_PLOTLY = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == "plotly":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, emulator: Handle) -> Path:
    """Give a job that was run, with three teams."""
    path = write_job(
        tmp_path_factory.mktemp("report"),
        emulator,
        range=RANGE,
        teams=[
            {"name": name, "users": USERS} for name in ("billing", "sales", "night & <weekend>")
        ],
    )
    run_here(path)
    return path


def report(job: Path, *options: str, **environ: str) -> Call:
    return call("report", job.name, *options, cwd=job.parent, **environ)


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text().partition('id="data">')[2]
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]
    return found


@pytest.mark.extra
def test_the_page_is_opened_in_the_browser_of_the_environment(job: Path) -> None:
    browser, seen = job.parent / "browser", job.parent / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    ended = report(job, "-o", "pages/all teams.html", "--open", BROWSER=str(browser))
    assert ended.code == 0, ended.err
    page = job.parent / "pages" / "all teams.html"
    assert page.exists()
    assert seen.read_text().strip() == page.as_uri()
    seen.unlink()
    assert report(job, "-o", "page.html", BROWSER=str(browser)).code == 0
    assert not seen.exists()


@pytest.mark.extra
def test_a_browser_that_cannot_be_started_is_a_warning(job: Path) -> None:
    """Without a browser, the page is there all the same."""
    ended = report(job, "-o", "b.html", "--open", BROWSER="/bin/false", PATH="/nowhere", DISPLAY="")
    assert ended.code == 0
    assert (job.parent / "b.html").exists()
    assert ended.err.endswith("warning: no browser could be started; open b.html yourself\n")


@pytest.mark.extra
def test_the_foot_has_the_command_that_makes_the_page_again(job: Path) -> None:
    assert report(job, "-o", "night.html", "--team", "night & <weekend>").code == 0
    command = data_of(job.parent / "night.html")["origin"]["command"]
    assert command == "asyncreport report job.yaml --team 'night & <weekend>'"
    assert report(job).code == 0
    assert data_of(job.parent / "report.html")["origin"]["command"] == "asyncreport report job.yaml"


@pytest.mark.extra
def test_an_unknown_team_is_refused_with_the_teams_that_exist(job: Path) -> None:
    ended = report(job, "-o", "none.html", "--team", "biling")
    assert ended == Call(
        2,
        "",
        "error: --team 'biling' is not a team of the job (did you mean 'billing'?): "
        "billing, sales, night & <weekend>\n",
    )
    assert not (job.parent / "none.html").exists()


@pytest.mark.extra
def test_a_file_of_an_export_is_not_overwritten(job: Path) -> None:
    before = (job.parent / "out.jsonl").read_bytes()
    ended = report(job, "-o", "out.jsonl")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.endswith(
        "out.jsonl is an output file of the job 'job'; give the report another path\n"
    )
    assert (job.parent / "out.jsonl").read_bytes() == before


@pytest.mark.extra
def test_a_folder_is_refused(job: Path) -> None:
    (job.parent / "folder").mkdir(exist_ok=True)
    ended = report(job, "-o", "folder")
    assert ended.code == 5
    assert ended.err.endswith(
        "folder is a folder or a device; give the output the path of a file\n"
    )


@pytest.mark.extra
def test_nothing_fetched_yet_is_said_in_one_line(emulator: Handle, tmp_path: Path) -> None:
    ended = report(write_job(tmp_path, emulator, range=RANGE))
    expected = "error: job: nothing fetched yet; `asyncreport run` fetches it\n"
    assert ended == Call(1, "", expected)
    assert list(tmp_path.iterdir()) == [tmp_path / "job.yaml"]


def test_a_missing_chart_library_is_named_with_the_way_to_install_it(job: Path) -> None:
    folder = job.parent / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NO_PLOTLY)
    ended = report(job, "-o", "none.html", PYTHONPATH=f"{folder}:{ROOT}")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: a report needs plotly: /")
    assert ended.err.endswith("python -m pip install 'asyncreport[report]'\n")
    assert not (job.parent / "none.html").exists()
