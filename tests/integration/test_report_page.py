"""The page of a report in a real browser: what it shows, and that it asks nobody for anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from asyncreport.config import load_job
from asyncreport.store.lookups import NameTables
from tests.browser import chromium, opened
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, connection, rows, write_job
from tests.manifests import read_lines
from tests.report_numbers import Export, check_page
from tests.reports import make, run

pytestmark = pytest.mark.extra

RANGE = {
    "start": "2023-10-25",
    "end": "2023-11-12",
    "time_zone": "Europe/Dublin",
    "granularity": "PT30M",
    "chunk": "P1D",
}

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<b>bold</b><br>&lt;i&gt; %{x} @data@",
)
TEAM = "<script>alert(3)<b>night"

#: a day whose data is lost
LOST = "2023-11-01"

#: the charts of a page with occupancy
CHARTS = 7

SCHEMES = ("light", "dark")
WIDTHS = (390, 1400)


@dataclass(frozen=True)
class Made:
    """A report, and the export that it was made from."""

    job: Path
    page: Path
    records: list[dict[str, Any]]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=30, seed=5, requests_per_minute=0) as handle:
        yield handle


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def users(emulator: Handle) -> list[str]:
    found = {one["user_id"] for one in emulator.truth(1_698_192_000_000, 1_699_000_000_000)}
    return sorted(found - {None})


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, emulator: Handle) -> Made:
    """Make a report of hostile names, with a lost day and changed values."""
    folder = tmp_path_factory.mktemp("report")
    ids = users(emulator)
    job = write_job(
        folder,
        emulator,
        connections={"default": connection(emulator)},
        range=RANGE,
        occupancy=True,
        teams=[
            {"name": TEAM, "users": ids[:10]},
            {"name": "day", "users": ids[9:]},
        ],
    )
    run(job)
    state = folder / ".asyncreport" / "job"
    names = dict(zip(ids, HOSTILE, strict=False))
    identity = load_job(job, environ={}, now=NOW).connections[0].identity
    NameTables(state).users.save(identity, names, now=NOW)
    lose(state / "default", LOST)
    (state / "default" / "changes.jsonl").write_text(changed(ids[0]))
    made = make(job)
    return Made(job, made, rows(folder / "out.jsonl"))


def lose(state: Path, start: str) -> None:
    """Delete the parts of a day."""
    for line in read_lines(state / "manifest.jsonl"):
        if line.get("interval", "").startswith(start):
            (state / f"part-{line['part']:08}.jsonl").unlink()


def changed(user: str) -> str:
    """Write one change as a run would."""
    change = {
        "at": "2023-12-01T00:00:00.000Z",
        "part": 2,
        "replaced": 1,
        "user_id": user,
        "interval_start": "2023-11-03T10:00:00.000Z",
        "interval_end": "2023-11-03T10:30:00.000Z",
        "field": "handled_count",
        "before": 1,
        "after": 2,
    }
    return json.dumps(change) + "\n"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_whole_at_each_width_in_each_scheme(
    report: Made, browser: Any, width: int, scheme: str
) -> None:
    """All charts, one request, no fault of axe-core, nothing wider than the screen."""
    with opened(browser, report.page, width=width, scheme=scheme) as found:
        page = found.page
        for number in range(3):
            page.select_option("#team", index=number)
            sizes = page.evaluate(
                "[...document.querySelectorAll('.chart .main-svg:first-child')]"
                ".map((svg) => [svg.clientWidth, svg.clientHeight])"
            )
            assert len(sizes) == CHARTS
            assert all(w > 250 and h > 150 for w, h in sizes)
            assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
        page.wait_for_function(f"document.querySelectorAll('details table').length === {CHARTS}")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert found.accessibility() == []
        assert page.evaluate("document.documentElement.dataset.scheme") == scheme
        assert found.faults() == []
        assert len(found.requests) == 1


def test_every_number_is_that_of_the_records(report: Made, browser: Any) -> None:
    """Tiles, charts and tables of each team, read in the browser and added up here."""
    kept = [one for one in report.records if not one["interval_start"].startswith(LOST)]
    with opened(browser, report.page) as found:
        check_page(found, Export(kept, ZoneInfo(RANGE["time_zone"]), lost=(LOST,)))
        assert found.faults() == []


def number(shown: str | float) -> float | None:
    """Give a number of a table; a dash is none."""
    return None if shown == "–" else float(shown)


def test_missing_data_is_hatched_and_never_zero(report: Made, browser: Any) -> None:
    with opened(browser, report.page) as found:
        page = found.page
        for section in ("aht", "parts", "volume", "occupancy"):
            assert page.locator(f"#{section} pattern").count() >= 1
            assert page.locator(f"#{section} .keys").inner_text().count("data is missing") == 1
        found.open_table("#volume")
        (day,) = [row for row in found.table("volume") if ", 1 Nov" in str(row["Day"])]
        assert day["All teams"] == "–"
        remarks = page.locator("#volume .mark").all_inner_texts()
        assert remarks == ["no data was fetched", "1 value changed later"]
        assert "Data is missing in this report" in page.inner_text("#notices")
        assert page.locator("#quality tbody tr").count() == 2


def test_hostile_names_are_text(report: Made, browser: Any) -> None:
    with opened(browser, report.page) as found:
        page = found.page
        found.open_table("#aht")
        texts = page.locator("#agents tbody th").all_inner_texts()
        for name in HOSTILE:
            assert any(name in text for text in texts)
        assert page.locator("#aht .legend button").all_inner_texts()[1:] == ["day", TEAM]
        assert page.locator("main img, main b, main script, main i").count() == 0
        # The hover label is drawn by Plotly, which knows some markup.
        page.select_option("#team", label=TEAM)
        point = page.locator("#aht .scatterlayer .trace:last-child .point").nth(3)
        point.hover(force=True)
        page.wait_for_selector("#aht .hoverlayer .hovertext")
        assert TEAM in page.locator("#aht .hoverlayer .hovertext").last.text_content()
        assert found.faults() == []


def test_agents_of_one_name_have_their_ids(report: Made, browser: Any) -> None:
    with opened(browser, report.page) as found:
        ids: dict[str, set[str]] = {}
        for agent in found.data()["agents"]:
            ids.setdefault(agent["name"], set()).add(agent["id"])
        doubled = {name: each for name, each in ids.items() if len(each) > 1}
        assert doubled
        marks = found.page.locator("#agents .mark", has_text="another agent has this name")
        shown = {text.partition("; id ")[2] for text in marks.all_inner_texts()}
        assert shown == set().union(*doubled.values())


def test_a_table_is_sorted_by_mouse_and_by_keyboard(report: Made, browser: Any) -> None:
    with opened(browser, report.page) as found:
        page = found.page
        head = page.locator("#agents th[aria-sort]", has_text="Handled")
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        numbers = [float(row["Handled"]) for row in found.table("agents")]
        assert all(one >= other for one, other in pairwise(numbers))
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        assert [float(row["Handled"]) for row in found.table("agents")] == sorted(numbers)
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Space")
        sorted_by = page.locator("#agents th[aria-sort='ascending']")
        assert sorted_by.inner_text() == "Team"
        assert (
            page.locator("#agents th[aria-sort='none']").count()
            == len(found.table("agents")[0]) - 1
        )


def test_agents_are_found_by_name(report: Made, browser: Any) -> None:
    with opened(browser, report.page) as found:
        page = found.page
        page.focus("#find")
        page.keyboard.type("ALERT(2)")
        (row,) = found.table("agents")
        assert row["Agent"] == HOSTILE[1]
        assert page.inner_text("#found") == "1 row"
        page.keyboard.press("Control+a")
        page.keyboard.type("nobody has this name")
        assert found.table("agents") == []
        assert page.inner_text("#found") == "0 rows"


def test_a_team_is_chosen_with_the_keyboard(report: Made, browser: Any) -> None:
    with opened(browser, report.page) as found:
        page = found.page
        page.focus("#team")
        page.keyboard.press("ArrowDown")
        data = found.data()
        scope = data["scopes"][1]
        assert {row["Team"] for row in found.table("agents")} == {TEAM}
        handled = page.locator("#figures dd").first.inner_text()
        assert re.sub(r"\D", "", handled) == str(scope["total"]["handled"])
        found.open_table("#volume")
        expected = [step["numbers"] and step["numbers"]["handled"] for step in scope["steps"]]
        assert [number(row[TEAM]) for row in found.table("volume")] == expected
        assert found.faults() == []


def test_colours_are_switched(report: Made, browser: Any) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    bar = "document.querySelector('#volume .point path').style.fill"
    with opened(browser, report.page, scheme="light") as found:
        page = found.page
        before = page.evaluate(background), page.evaluate(bar)
        page.focus("#scheme")
        page.keyboard.press("Enter")
        page.wait_for_function(f"({bar}) !== '{before[1]}'")
        assert page.evaluate(background) != before[0]
        page.keyboard.press("Enter")
        page.wait_for_function(f"({bar}) === '{before[1]}'")
        assert page.evaluate(background) == before[0]


def test_a_line_is_switched_off_with_the_keyboard(report: Made, browser: Any) -> None:
    with opened(browser, report.page) as found:
        page = found.page
        lines = page.locator("#aht .scatterlayer .trace")
        before = lines.count()
        button = page.locator("#aht .legend button").last
        button.focus()
        page.keyboard.press("Enter")
        assert page.locator("#aht .legend button").last.get_attribute("aria-pressed") == "false"
        assert lines.count() == before - 1
        page.keyboard.press("Enter")
        assert lines.count() == before


def test_paper_has_the_light_colours_and_no_controls(report: Made, browser: Any) -> None:
    with opened(browser, report.page, scheme="dark") as found:
        page = found.page
        printed = page.pdf()
        assert printed.startswith(b"%PDF")
        page.emulate_media(media="print")
        assert not page.locator("#scheme").is_visible()
        assert not page.locator("details").first.is_visible()
        assert found.faults() == []


def test_the_page_of_a_team_has_nothing_of_the_others(report: Made, browser: Any) -> None:
    page = make(report.job, "day.html", "--team", "day")
    assert "alert(3)" not in page.read_text()
    with opened(browser, page) as found:
        data = found.data()
        assert [scope["team"] for scope in data["scopes"]] == ["day"]
        assert {agent["team"] for agent in data["agents"]} == {"day"}
        assert not found.page.locator("#team").is_visible()
        assert found.page.inner_text("h1") == "day"
        assert found.faults() == []


def test_an_empty_export_says_why(tmp_path: Path, emulator: Handle, browser: Any) -> None:
    job = write_job(tmp_path, emulator, range=RANGE, filter={"media_types": ["video"]})
    run(job)
    with opened(browser, make(job), width=390) as found:
        notices = found.page.inner_text("#notices")
        assert "No handled interactions" in notices
        for cause in ("range", "teams, queues or media types", "division", "asyncreport check"):
            assert cause in notices
        for section in ("aht", "volume", "week", "spread", "teams", "agents", "compared"):
            assert found.page.locator(f"#{section}").is_hidden()
        assert found.accessibility() == []
        assert found.faults() == []


def test_one_agent_with_one_record(tmp_path: Path, emulator: Handle, browser: Any) -> None:
    day = 1_698_192_000_000
    worker = next(one["user_id"] for one in emulator.truth(day, day + 43_200_000) if one["user_id"])
    job = write_job(
        tmp_path,
        emulator,
        range={"start": "2023-10-25", "end": "2023-10-26", "granularity": "P1D"},
        teams=[{"name": "one", "users": [worker]}],
    )
    run(job)
    (record,) = rows(tmp_path / "out.jsonl")
    with opened(browser, make(job), width=390) as found:
        check_page(found, Export([record], ZoneInfo("UTC")))
        (row,) = found.table("agents")
        assert row["AHT"] == record["avg_handle_time_sec"]
        assert "One agent handled interactions" in found.page.inner_text("#spread-lead")
        assert found.page.locator("#week .pair").is_hidden()
        assert found.accessibility() == []
        assert found.faults() == []
