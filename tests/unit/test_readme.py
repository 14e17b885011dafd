"""The README is short and true: its records and its exit codes are those of the code."""

from __future__ import annotations

import json
import re

from asyncreport.config.zones import load_zone
from asyncreport.core import errors
from asyncreport.core.job import Query
from asyncreport.core.measures import Datum, Measure
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import HOUR, Granularity, Grid, iso
from tests.blocks import ROOT, texts
from tests.rows import rows

README = (ROOT / "README.md").read_text()


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_records_have_the_columns_of_a_record() -> None:
    facts = Accumulator((0, HOUR), Query(grid=Grid(Granularity.PT1H, load_zone("UTC"))))
    facts.add("anna", (), [Datum(f"{iso(0)}/{iso(HOUR)}", [Measure("tHandle")])])
    ((row,),) = rows(facts).values()
    (records,) = texts("README.md", "json")
    assert list(json.loads(records.partition("\n{")[0])) == ["team", "user_id", "user_name", *row]


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
    demo, tests = texts("README.md", "sh")
    assert "asyncreport run configs/demo.yaml" in demo
    assert "-m pytest" in tests
