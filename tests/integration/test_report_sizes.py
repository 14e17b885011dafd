"""Reports of many teams, of ten years, and of two organisations, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.bench.answers import job_of
from tests.bench.standin import Work, standin
from tests.browser import Opened, chromium, opened
from tests.emulator_process import emulator_process
from tests.exporting import connection, rows, write_job
from tests.report_numbers import Export, check_page
from tests.reports import make, run

pytestmark = pytest.mark.extra

UTC = ZoneInfo("UTC")

#: labels of axes that lie on each other
_OVERLAPS = """
() => [...document.querySelectorAll(".chart")].flatMap((chart) => {
  const texts = [...chart.querySelectorAll(".xtick text")];
  // Plotly hides a label that would not fit at the end.
  const boxes = texts.map((each) => each.getBoundingClientRect()).filter((box) => box.width);
  return boxes.filter((box, place) => place > 0 && box.left < boxes[place - 1].right);
}).length
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def check_looks(found: Opened, width: int) -> None:
    """Check that labels can be read, that nothing is too wide, and that all can be used."""
    assert found.page.evaluate(_OVERLAPS) == 0
    assert found.page.evaluate("document.documentElement.scrollWidth") == width
    assert found.accessibility() == []
    assert found.faults() == []


def test_twenty_teams(tmp_path: Path, browser: Any) -> None:
    """The eight that handled most have lines, and the page says so; the table has all."""
    with standin(Work(agents=24, days=5, granularity="P1D")) as server:
        users = server.work.users
        teams = [{"name": f"team {n}", "users": users[: n + 2]} for n in range(20)]
        job = job_of(server, tmp_path, start="2024-01-01", end="2024-01-15", teams=teams)
        run(job)
    page = make(job)
    with opened(browser, page) as found:
        lines = found.page.locator("#aht .legend button").all_inner_texts()
        assert lines == ["All teams", *(f"team {n}" for n in range(19, 11, -1))]
        note = found.page.locator("#aht .note").inner_text()
        assert note.startswith("Lines: all teams together, and the 8 teams that handled most.")
        assert "The other 12 teams are in the table" in note
        found.open_table("#aht")
        assert len(found.table("aht")[0]) == 1 + 1 + 20
        assert found.page.inner_text("#found") == "25 of 230 rows shown"
        found.page.focus("#all-agents")
        found.page.keyboard.press("Enter")
        assert len(found.table("agents")) == 230
        assert found.page.locator("#all-agents").is_hidden()
        found.page.select_option("#team", label="team 3")
        assert found.page.locator("#aht .note").is_hidden()
        assert found.page.locator("#aht .legend button").all_inner_texts() == [
            "All teams",
            "team 3",
        ]
        check_page(found, Export(rows(tmp_path / "out.jsonl"), UTC), of=(None, "team 3"))
    with opened(browser, page, width=390) as found:
        check_looks(found, 390)


def test_ten_years_by_month(tmp_path: Path, browser: Any) -> None:
    """A year stands at each label, and no label lies on another one."""
    with standin(Work(agents=2, days=5, granularity="P1D")) as server:
        job = job_of(server, tmp_path, start="2014-01-01", end="2024-01-01")
        run(job)
    page = make(job)
    for width in (390, 1400):
        with opened(browser, page, width=width) as found:
            data = found.data()
            assert (data["every"], len(data["steps"])) == ("P1M", 120)
            labels = found.page.locator("#volume .xtick text").all_text_contents()
            assert labels[0] == "Jan 2014"
            assert len(labels) > 2
            check_looks(found, width)
    with opened(browser, page) as found:
        assert "The job's intervals are longer than an hour" in found.page.inner_text("#week")
        check_page(found, Export(rows(tmp_path / "out.jsonl"), UTC))


def test_weeks_of_two_years_have_the_year_at_their_labels(tmp_path: Path, browser: Any) -> None:
    with standin(Work(agents=1, days=5, granularity="P1D")) as server:
        job = job_of(server, tmp_path, start="2023-07-03", end="2024-07-01")
        run(job)
    with opened(browser, make(job), width=390) as found:
        labels = found.page.locator("#volume .xtick text").all_text_contents()
        assert labels[0] == "3 Jul 23"
        check_looks(found, 390)


def test_two_organisations(tmp_path: Path, browser: Any) -> None:
    """The tables name the organisation; agents of both with one id are two agents."""
    with (
        emulator_process(agents=4, seed=5, requests_per_minute=0) as east,
        emulator_process(agents=3, seed=6, requests_per_minute=0) as west,
    ):
        job = write_job(
            tmp_path,
            east,
            connections={"east": connection(east), "west": connection(west)},
            range={"start": "2024-01-01", "end": "2024-01-05", "granularity": "PT1H"},
            occupancy=True,
            teams=[
                {"name": "here", "connection": "east", "everyone": True},
                {"name": "there", "connection": "west", "everyone": True},
            ],
        )
        run(job)
    with opened(browser, make(job)) as found:
        assert "organisations: east, west" in found.page.inner_text("#about")
        organisations = {row["Team"]: row["Organisation"] for row in found.table("teams")}
        assert organisations == {"here": "east", "there": "west"}
        check_page(found, Export(rows(tmp_path / "out.jsonl"), UTC))
        check_looks(found, 1400)
