"""Options become a Job like a job file; an error names the option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from asyncreport.config import load_options
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job, Selector
from tests.unit.config.good_job import GOOD, NOW, SECRET, load

LABELS = {
    "range.start": "--start",
    "range.end": "QUERY_END_DATE",
    "range.granularity": "--granularity",
    "teams": "--team",
    "teams[0].users": "--user",
    "occupancy": "--occupancy",
    "connections.default.client_secret": "GENESYS_CLIENT_SECRET",
}
HOME = {"GENESYS_CLIENT_ID": "id-1", "GENESYS_CLIENT_SECRET": SECRET}


def options(**changes: Any) -> dict[str, Any]:
    """Vary the values of a query."""
    return {
        "name": "query",
        "range": {"start": "2023-01-01", "end": "2023-01-02"},
        "teams": [{"name": "query", "users": ("ada", "bob")}],
        "output": {"path": "/tmp/x/query.jsonl"},
        **changes,
    }


def job_of(
    values: dict[str, Any], environ: dict[str, str] = HOME, labels: dict[str, str] = LABELS
) -> Job:
    return load_options(values, labels=labels, environ=environ, now=NOW)


def test_options_give_the_same_job_as_a_file_with_these_keys(folder: Path) -> None:
    values = {
        "name": "aht",
        "connections": {
            "default": {"region": "mypurecloud.ie", "client_id": "id-1", "client_secret": SECRET}
        },
        "range": {
            "start": "2023-01-01",
            "end": "2023-02-01",
            "time_zone": "Europe/Dublin",
            "granularity": "PT30M",
        },
        "teams": [{"name": "billing", "users": ["ada", "bob"]}],
        "output": {"path": "exports/aht.jsonl"},
    }
    assert job_of(values) == load(folder, GOOD)


def test_options_are_of_every_type_that_a_job_file_has() -> None:
    job = job_of(
        options(
            occupancy=True,
            limits={"concurrency": 3},
            teams=[{"name": "a", "team": "Sales"}, {"name": "b", "everyone": True}],
        )
    )
    assert (job.query.occupancy, job.limits.concurrency) == (True, 3)
    assert [team.selector for team in job.teams] == [Selector(kind="team", value="Sales"), None]


def test_nothing_is_expanded_because_the_shell_already_did() -> None:
    assert job_of(options(teams=[{"name": "a", "users": ["${GENESYS_CLIENT_SECRET}"]}])).teams[
        0
    ].users == ("${GENESYS_CLIENT_SECRET}",)


@pytest.mark.parametrize(
    "changes",
    [
        {"range": {"start": "soon", "end": "2023-01-02"}},
        {"range": {"start": None, "end": "2023-01-02"}},
        {"range": {"start": "2023-01-02", "end": "2023-01-01"}},
        {"range": {"start": "2023-01-01", "end": "2023-01-02", "granularity": "1h"}},
        {"teams": [{"name": "query", "users": ["ada", "ada"]}]},
        {"teams": [{"name": "a", "team": "Sales"}, {"name": "b", "team": ""}]},
        {"occupancy": True, "split_by": ["queue_id"]},
        {"occupancy": "yes"},
        {"limits": {"concurrency": 0}},
        {"range": {"end": "2023-01-02"}},
    ],
    ids=str,
)
def test_an_error_names_the_option_instead_of_file_and_line(
    changes: dict[str, Any], snapshot: SnapshotAssertion
) -> None:
    with pytest.raises(ConfigError) as caught:
        job_of(options(**changes))
    assert str(caught.value) == snapshot


def test_a_missing_variable_is_reported_with_the_label_of_the_root() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^asyncreport query: connections: is missing, and the variable GENESYS_CLIENT_ID ",
    ):
        job_of(options(), environ={}, labels={"": "asyncreport query"})


def test_a_secret_that_is_refused_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        job_of(
            options(
                connections={
                    "default": {"region": "eu-west-1", "client_id": "a", "client_secret": [SECRET]}
                }
            )
        )
    assert str(caught.value).startswith("GENESYS_CLIENT_SECRET: must be text such as ")
    assert SECRET not in str(caught.value)
