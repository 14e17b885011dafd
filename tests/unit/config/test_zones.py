"""Names and rules of time zones come from the package tzdata, whatever files the system has."""

from __future__ import annotations

import re
import shutil
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from asyncreport.config.zones import load_zone, machine_zone, zone_names
from asyncreport.core.timeline import iso
from asyncreport.emulator import zones as emulated
from tests.exporting import run_here
from tests.unit.config.good_job import GOOD, load

CITY = "America/Mexico_City"

JOB = """\
name: days
connections: {default: {emulator: {agents: 6, seed: 2}}}
range: {start: 2024-06-01, end: 2024-06-04, time_zone: America/Mexico_City, granularity: P1D}
teams: [{name: all, everyone: true}]
output: {path: days.jsonl}
"""


@pytest.fixture
def old_system(folder: Path) -> Iterator[None]:
    """Let the system's files give Mexico City a summer time, as before 2022; so has Chicago."""
    old = folder / "zoneinfo" / CITY
    old.parent.mkdir(parents=True)
    package = Path(str(resources.files("tzdata"))) / "zoneinfo"
    shutil.copy(package / "America" / "Chicago", old)
    zoneinfo.reset_tzpath([str(folder / "zoneinfo")])
    ZoneInfo.clear_cache()
    midnight = datetime(2024, 6, 1, tzinfo=ZoneInfo(CITY))
    assert midnight.astimezone(UTC).hour == 5
    yield
    zoneinfo.reset_tzpath()
    ZoneInfo.clear_cache()


@pytest.mark.usefixtures("old_system")
def test_local_days_do_not_follow_old_rules_of_the_system(folder: Path) -> None:
    days = f"range={{start: 2024-06-01, end: 2024-06-03, granularity: P1D, time_zone: {CITY}}}"
    job = load(folder, GOOD, overrides=[days])
    assert [iso(edge) for edge in job.query.grid.edges(job.interval)] == [
        "2024-06-01T06:00:00.000Z",
        "2024-06-02T06:00:00.000Z",
        "2024-06-03T06:00:00.000Z",
    ]


@pytest.mark.usefixtures("old_system")
def test_a_run_on_an_old_system_writes_the_days_of_todays_rules(folder: Path) -> None:
    (folder / "job.yaml").write_text(JOB)
    summary = run_here(Path("job.yaml"))
    assert summary.complete
    lines = Path("days.jsonl").read_text().splitlines()
    assert lines
    assert all('T06:00:00.000Z","interval_end":' in line for line in lines)


def test_every_name_has_rules_and_gives_the_same_zone_again() -> None:
    """Equal zones must be one object: Python compares them by identity."""
    for name in zone_names():
        assert load_zone(name).key == name
        assert load_zone(name) is load_zone(name)


def test_the_emulator_knows_the_same_zones_and_no_file_outside() -> None:
    assert emulated.load_zone(CITY).key == CITY
    for name in ("localtime", "../zones", "/etc/localtime", "", "europe/dublin"):
        with pytest.raises(ValueError, match=f"^{re.escape(name)}$"):
            emulated.load_zone(name)


def test_the_zone_of_this_machine_is_that_of_the_variable_the_link_or_the_file(
    tmp_path: Path,
) -> None:
    assert machine_zone({}, tmp_path) == "UTC"
    (tmp_path / "timezone").write_text("America/New_York\n")
    assert machine_zone({}, tmp_path) == "America/New_York"
    target = tmp_path / "zoneinfo" / "Europe" / "Dublin"
    target.parent.mkdir(parents=True)
    target.touch()
    (tmp_path / "localtime").symlink_to(target)
    assert machine_zone({}, tmp_path) == "Europe/Dublin"
    # What is not a name of a zone does not count.
    assert machine_zone({"TZ": "CET-1CEST"}, tmp_path) == "Europe/Dublin"
    assert machine_zone({"TZ": ":Asia/Tokyo"}, tmp_path) == "Asia/Tokyo"
    assert machine_zone({"TZ": "Etc/UTC"}, tmp_path) == "UTC"
