"""The README is true: its job file loads, its record and its exit codes are the code's."""

from __future__ import annotations

import json
import re
from pathlib import Path

from asyncreport.config import load_job
from asyncreport.config.zones import load_zone
from asyncreport.core import errors
from asyncreport.core.job import Query
from asyncreport.core.measures import Datum, Measure
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import HOUR, Granularity, Grid, iso, parse_iso
from tests.rows import rows

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language: str, number: int = 0) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[number]


def test_the_job_file_loads(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    ids = iter(f"id-{n}" for n in range(9))
    path.write_text(re.sub("<[a-z]+ id>", lambda _: next(ids), block("yaml")))
    job = load_job(
        path,
        environ={"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": "secret"},
        now=parse_iso("2024-06-01T00:00Z"),
    )
    assert [team.name for team in job.teams] == ["billing", "sales", "everyone"]


def test_the_record_has_the_columns_of_a_record() -> None:
    facts = Accumulator((0, HOUR), Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))))
    facts.add("anna", (), [Datum(f"{iso(0)}/{iso(HOUR)}", [Measure("tHandle")])])
    ((row,),) = rows(facts).values()
    assert list(json.loads(block("json"))) == ["team", "user_id", "user_name", *row]


def test_the_exit_codes_are_those_of_the_errors() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.AsyncReportError)
    ]
    assert {kind.exit_code for kind in kinds} <= told


def test_there_are_two_set_up_commands() -> None:
    assert README.count("python3 -m venv") == 2
    assert all(
        name in block("sh", number)
        for number, name in enumerate(["asyncreport run configs/demo.yaml", "-m pytest"])
    )
