"""docs/record.md is true: fields, order, types and null rules are those of exported records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

from asyncreport import Record
from asyncreport.config.schema import DIMENSIONS
from asyncreport.core.table import Kind
from asyncreport.export.frames import _PANDAS
from asyncreport.formats.as_parquet import _TYPES
from tests.blocks import ROOT, texts
from tests.emulator_process import Handle, emulator_process
from tests.exporting import rows, run_here, write_job
from tests.record_fields import FIELDS, METRICS, TYPES, every_column, groups, null_rule

PAGE = (ROOT / "docs" / "record.md").read_text()
RANGE = {"start": "2023-10-02", "end": "2023-10-04", "time_zone": "Europe/Dublin"}


def is_instant(value: object) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z", str(value)) is not None


def is_local_time(value: object) -> bool:
    return datetime.fromisoformat(str(value)).utcoffset() == timedelta(hours=1)


def is_text(value: object) -> bool:
    return isinstance(value, str)


def is_integer(value: object) -> bool:
    return isinstance(value, int)


def is_number(value: object) -> bool:
    return isinstance(value, float)


def is_date(value: object) -> bool:
    return date.fromisoformat(str(value)).isoformat() == value


CHECKS = {
    "text": is_text,
    "instant": is_instant,
    "local": is_local_time,
    "date": is_date,
    "integer": is_integer,
    "number": is_number,
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=12, requests_per_minute=0) as handle:
        yield handle


def fields(number: int) -> list[str]:
    """List the fields of a table of the page."""
    return list(groups())[number][1]


#: what a job has beyond the smallest one, and the fields of its records
STANDARD = fields(0)
SPLIT = [*STANDARD[:3], *fields(1), *STANDARD[3:]]
SHAPES: Mapping[str, tuple[dict[str, Any], list[str]]] = {
    "plain": ({}, STANDARD),
    "split": ({"split_by": list(DIMENSIONS)}, SPLIT),
    "metrics": ({"metrics": list(METRICS)}, [*STANDARD, *fields(2)]),
    "occupancy": ({"occupancy": True}, [*STANDARD, *fields(3)]),
    "entities": ({"contract": "entities"}, STANDARD),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_records_have_the_fields_of_the_page(shape: str, emulator: Handle, tmp_path: Path) -> None:
    more, expected = SHAPES[shape]
    run_here(write_job(tmp_path, emulator, range=RANGE, **more))
    check(rows(tmp_path / "out.jsonl"), expected)


def test_columns_that_a_job_adds_are_those_of_the_page(emulator: Handle, tmp_path: Path) -> None:
    added = fields(4)
    output = {"path": str(tmp_path / "out.jsonl"), "columns": added}
    split_by = list(DIMENSIONS)
    run_here(write_job(tmp_path, emulator, range=RANGE, split_by=split_by, output=output))
    check(rows(tmp_path / "out.jsonl"), added)


def check(records: list[dict[str, Any]], expected: list[str]) -> None:
    """Compare names and order, the type of each value, and that what is never null is not."""
    assert len(records) > 50
    assert {tuple(record) for record in records} == {tuple(expected)}
    for name in expected:
        values = {record[name] for record in records}
        assert None not in values or null_rule(name), name
        assert all(map(CHECKS[every_column()[name].kind], values - {None})), name


def test_each_field_is_in_one_table_and_its_example_has_its_type() -> None:
    names = [name for _, group in groups() for name in group]
    assert sorted(names) == sorted(FIELDS) == sorted(every_column())
    for name, column in every_column().items():
        assert CHECKS[column.kind](json.loads(FIELDS[name].example)), name


def test_the_null_rules_are_those_of_the_types() -> None:
    hints = get_type_hints(Record)
    optional = {name for name, hint in hints.items() if NoneType in get_args(hint)}
    assert {name for name in STANDARD if null_rule(name)} == optional


def test_the_record_is_an_example_of_each_field() -> None:
    record = json.loads(texts("record.md", "json")[0])
    assert record == {name: json.loads(FIELDS[name].example) for name in STANDARD}


@pytest.mark.parametrize(("kind", "name"), TYPES.items())
def test_the_types_of_other_formats_are_those_of_the_code(kind: Kind, name: str) -> None:
    row = re.search(rf"^\| {name} \|.*$", PAGE.partition("## Types")[2], re.MULTILINE)
    assert row is not None
    cells = [cell.strip() for cell in row[0].split("|")]
    assert cells[4].startswith(f"`{_TYPES[kind]}`")
    assert cells[6].startswith(f"`{_PANDAS.get(kind, 'datetime64')}`")
