"""A job that a program gives as a mapping is the job of a file with this content."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from asyncreport.config import load_job
from asyncreport.core.errors import ConfigError
from tests.unit.config.good_job import GOOD, NOW, SECRET, load

HOME = {"ID": "id-1", "SECRET": SECRET}


def mapping(**changes: Any) -> dict[str, Any]:
    return {**YAML(typ="safe").load(GOOD), **changes}


def mistake(values: dict[Any, Any], *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_job(values, environ=HOME, overrides=overrides, now=NOW)
    return str(caught.value)


def test_a_mapping_gives_the_job_of_its_file(folder: Path) -> None:
    """Also with dates, which this reader of YAML makes of `2023-01-01`."""
    values = mapping()
    assert isinstance(values["range"]["start"], date)
    assert load_job(values, environ=HOME, now=NOW) == load(folder, GOOD)


def test_variables_are_expanded() -> None:
    values = mapping(name="${NAME}-1")
    assert load_job(values, environ={**HOME, "NAME": "east"}, now=NOW).name == "east-1"
    assert "the variable NAME is not set" in mistake(values)


def test_overrides_are_applied() -> None:
    job = load_job(mapping(), environ=HOME, overrides=["name=other"], now=NOW)
    assert job.name == "other"


def test_paths_tuples_and_times_with_an_offset_are_accepted() -> None:
    values = mapping(output={"path": Path("exports/aht.jsonl")}, teams=tuple(mapping()["teams"]))
    values["range"] = {
        **values["range"],
        "start": datetime(2023, 1, 1, tzinfo=UTC),
        "time_zone": "UTC",
    }
    job = load_job(values, environ=HOME, now=NOW)
    assert job.output.paths == ("exports/aht.jsonl",)
    assert str(job.interval).startswith("2023-01-01T00:00:00.000Z/")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 5}, "job: name: must be text such as aht-2023, but is 5"),
        ({"occupancy": "yes"}, "job: occupancy: must be "),
        ({"rnage": {}}, "job: rnage: "),
        ({"name": b"x"}, "job: name: is a bytes; accepted: text, numbers, booleans, None, lists"),
        ({"teams": {1, 2}}, "job: teams: is a set; accepted: "),
        ({"filter": {1: "x"}}, "job: filter: the key 1 is not text; put it in quotes"),
    ],
)
def test_a_mistake_names_the_key(changes: dict[str, Any], message: str) -> None:
    assert mistake(mapping(**changes)).startswith(message)


def test_a_mapping_that_contains_itself_is_refused() -> None:
    values = mapping()
    values["filter"] = values
    assert "more than 20 levels of nesting" in mistake(values)


def test_the_value_of_a_secret_is_not_shown() -> None:
    """Whatever its type is."""
    for secret in (b"SECRET-9", ["SECRET-9"], 12345.5):
        values = mapping(connections={"default": {"region": "mypurecloud.ie"}})
        values["connections"]["default"]["client_secret"] = secret
        assert "SECRET-9" not in mistake(values)
        assert "12345" not in mistake(values)
