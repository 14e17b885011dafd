"""Options become a Job as a job file does, and an error names the option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
    """Vary the values that a quick report has."""
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


def test_options_make_the_job_that_a_file_with_the_same_keys_makes(folder: Path) -> None:
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
            teams=[{"name": "a", "team": "Sales"}, {"name": "b"}],
        )
    )
    assert (job.query.occupancy, job.limits.concurrency) == (True, 3)
    assert [team.selector for team in job.teams] == [Selector(kind="team", value="Sales"), None]


def test_nothing_is_expanded_for_the_shell_did_that() -> None:
    assert job_of(options(teams=[{"name": "a", "users": ["${GENESYS_CLIENT_SECRET}"]}])).teams[
        0
    ].users == ("${GENESYS_CLIENT_SECRET}",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            options(range={"start": "soon", "end": "2023-01-02"}),
            "--start: range.start: 'soon' is no date and no date with a time; "
            "accepted: 2023-01-01, 2023-01-01T09:30, 2023-01-01T09:30+01:00, today, yesterday, now",
        ),
        (
            options(range={"start": None, "end": "2023-01-02"}),
            "--start: range.start: is empty; expected: the first instant, a date such as 2023-01-01",
        ),
        (
            options(range={"start": "2023-01-02", "end": "2023-01-01"}),
            "QUERY_END_DATE: range.end: '2023-01-01' is not after range.start; a range ends with the first instant that it leaves out",
        ),
        (
            options(range={"start": "2023-01-01", "end": "2023-01-02", "granularity": "1h"}),
            "--granularity: range.granularity: '1h' is no ISO 8601 duration; did you mean 'PT1H'?; "
            "accepted: PT15M, PT30M, PT1H, P1D, P1W, P1M, none",
        ),
        (
            options(teams=[{"name": "query", "users": ["ada", "ada"]}]),
            "--user: teams[0].users[1]: 'ada' is listed twice; remove one (the first is teams[0].users[0])",
        ),
        (
            options(teams=[{"name": "a", "team": "Sales"}, {"name": "b", "team": ""}]),
            "--team: teams[1].team: '' is no id or name; it must not be empty, begin or end with a blank, or hold control characters",
        ),
        (
            options(occupancy=True, split_by=["queue_id"]),
            "--occupancy: occupancy: has no meaning beside split_by: "
            "the time in a routing status is the agent's, of no one queue or medium; remove one of the two",
        ),
        (
            options(occupancy="yes"),
            "--occupancy: occupancy: 'yes' is neither true nor false; accepted: true, false",
        ),
        (
            options(limits={"concurrency": 0}),
            "options: limits.concurrency: 0 is no whole number within the limits; accepted: 1 to 64",
        ),
        (
            options(range={"end": "2023-01-02"}),
            "options: range.start: is missing; expected: the first instant, a date such as 2023-01-01",
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_an_error_names_the_option_in_place_of_file_and_line(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        job_of(values)
    assert str(caught.value) == message


def test_what_the_environment_lacks_is_told_of_the_root() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^asyncreport query: connections: is left out and the variable GENESYS_CLIENT_ID is not set or empty; ",
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
    assert str(caught.value).startswith(
        "GENESYS_CLIENT_SECRET: connections.default.client_secret: is a list, not text"
    )
    assert SECRET not in str(caught.value)
