"""`query`: from options and environment to a job, and the likely causes of finding nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from asyncreport.commands.query_causes import explain_no_records
from asyncreport.commands.query_options import QueryOptions, make_job
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job, Selector
from asyncreport.core.timeline import Granularity, Interval, iso, parse_iso

NOW = parse_iso("2024-06-01T12:00Z")
RANGE: dict[str, Any] = {"start": "2024-01-01", "end": "2024-01-02"}
CREDENTIALS = {
    "GENESYS_CLIENT_ID": "id",
    "GENESYS_CLIENT_SECRET": "secret",
    "GENESYS_ENV": "eu-west-1",
}
INSTANT = parse_iso("2024-01-01T00:00Z")


def job(environ: Mapping[str, str] = CREDENTIALS, **asked: Any) -> Job:
    options = {"granularity": "PT1H", "time_zone": "UTC", "contract": "aggregates", **asked}
    return make_job(QueryOptions(**options), Path("/folder"), environ=environ, now=NOW)


def refusal(environ: Mapping[str, str] = CREDENTIALS, **asked: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        job(environ, **asked)
    return str(caught.value)


def test_options_become_a_job_in_the_folder() -> None:
    made = job(
        **RANGE,
        users=("a", "b"),
        granularity="P1D",
        time_zone="Europe/Dublin",
        occupancy=True,
        contract="query-jobs",
    )
    assert made.interval == Interval(INSTANT, parse_iso("2024-01-02T00:00Z"))
    assert (made.query.grid.granularity, made.query.grid.zone.key) == (
        Granularity.P1D,
        "Europe/Dublin",
    )
    assert (made.query.contract, made.query.occupancy) == ("query-jobs", True)
    assert [(team.name, team.users) for team in made.teams] == [("users", ("a", "b"))]
    assert made.output.paths == ("/folder/records.jsonl",)
    assert made.state_folder == Path("/folder/.asyncreport/query")
    assert made.connections[0].clients[0].client_id == "id"


def test_the_environment_is_used_for_options_that_are_not_given() -> None:
    environ = {
        **CREDENTIALS,
        "QUERY_START_DATE": "2024-01-01",
        "QUERY_END_DATE": "2024-01-03",
        "GENESYS_USER_ID": "a, b,",
        "GENESYS_ENV": "mypurecloud.ie",
    }
    made = job(environ)
    assert made.interval == Interval(INSTANT, parse_iso("2024-01-03T00:00Z"))
    assert made.teams[0].users == ("a", "b")
    assert made.connections[0].api_url == "https://api.mypurecloud.ie"


def test_options_take_precedence_over_the_environment() -> None:
    environ = {
        **CREDENTIALS,
        "QUERY_START_DATE": "2020-01-01",
        "QUERY_END_DATE": "2020-01-03",
        "GENESYS_USER_ID": "a",
    }
    made = job(environ, **RANGE, users=("b,c", "d"))
    assert made.interval.start == INSTANT
    assert made.teams[0].users == ("b", "c", "d")
    assert [team.selector for team in job(environ, **RANGE, teams=("Sales",)).teams] == [
        Selector(kind="team", value="Sales")
    ]


def test_teams_and_users_can_be_given_together() -> None:
    made = job(**RANGE, teams=("Sales", "North/South {2}"), users=("a",))
    assert [team.name for team in made.teams] == ["Sales", "North-South -2-", "users"]
    assert [team.selector and team.selector.value for team in made.teams] == [
        "Sales",
        "North/South {2}",
        None,
    ]


def test_teams_and_users_whose_names_collide_get_names_of_their_own() -> None:
    made = job(**RANGE, teams=("A/B", "users", "A-B", "A{B"), users=("a",))
    assert [team.name for team in made.teams] == ["A-B", "users", "A-B (2)", "A-B (3)", "users (2)"]
    assert [team.selector and team.selector.value for team in made.teams] == [
        "A/B",
        "users",
        "A-B",
        "A{B",
        None,
    ]


def test_the_emulator_is_queried_for_everyone_unless_users_are_given() -> None:
    everyone = job({"GENESYS_USER_ID": "of another organisation"}, **RANGE, emulator=True)
    assert everyone.connections[0].emulator is not None
    assert [(team.name, team.users, team.selector) for team in everyone.teams] == [
        ("everyone", (), None)
    ]
    assert job({}, **RANGE, emulator=True, users=("a",)).teams[0].users == ("a",)


@pytest.mark.parametrize(
    ("environ", "asked", "message"),
    [
        (
            {},
            {"start": "2024-1-1"},
            "--start: must be a date or a date-time, but is '2024-1-1' (did you mean '2024-01-0",
        ),
        (
            {"QUERY_START_DATE": "soon"},
            {"start": ""},
            "QUERY_START_DATE: must be a date or a date-time, but is 'soon'; ",
        ),
        (
            {},
            {"end": ""},
            "--end or QUERY_END_DATE: is empty; expected: the end of the range (exclusive): ",
        ),
        (
            {},
            {"end": "2023-01-01"},
            "--end: must be after range.start, but is '2023-01-01'",
        ),
        (
            {},
            {"granularity": "1h"},
            "--granularity: must be a granularity, but is '1h'",
        ),
        (
            {},
            {"time_zone": "Dublin"},
            "--time-zone: must be an IANA time zone, but ",
        ),
        (
            {},
            {"users": ("a", "a")},
            "--user: must differ from teams[0].users[0]",
        ),
        (
            {"GENESYS_USER_ID": "a,a"},
            {"users": ()},
            "GENESYS_USER_ID: must differ from teams[0].users[0], but is 'a'",
        ),
        ({}, {"teams": ("",)}, "--team: must not be empty"),
        (
            {},
            {"teams": ("x", "x")},
            "--team: must differ from teams[0].name, but is 'x'",
        ),
        (
            {},
            {"contract": "entities", "occupancy": True},
            "--occupancy: cannot be combined with contract: entities",
        ),
        (
            {"GENESYS_CLIENT_ID": ""},
            {},
            "asyncreport query: connections: is missing, "
            "and the variable GENESYS_CLIENT_ID is not set ",
        ),
        (
            {},
            {"users": ()},
            "--user or GENESYS_USER_ID: no user is given; "
            "give user ids, or --team with a team's id or exact name",
        ),
    ],
)
def test_an_error_names_the_option_or_the_variable(
    environ: dict[str, str], asked: dict[str, Any], message: str
) -> None:
    assert refusal({**CREDENTIALS, **environ}, **{**RANGE, "users": ("a",), **asked}).startswith(
        message
    )


def explanation(made: Job, *requests: str) -> str:
    return "\n".join(explain_no_records(made, requests, now=NOW))


def test_an_empty_result_shows_what_was_sent_and_the_likely_causes(
    snapshot: SnapshotAssertion,
) -> None:
    assert explanation(job(**RANGE, users=("a",)), "POST /x {}") == snapshot


def test_impossible_causes_are_not_listed(snapshot: SnapshotAssertion) -> None:
    assert explanation(job(**RANGE, emulator=True), "POST /x {}") == snapshot


@pytest.mark.parametrize(
    ("start", "part"), [("2024-06-01", "a part of the range"), ("2024-06-02", "the range")]
)
def test_a_range_in_the_future_is_the_first_cause(start: str, part: str) -> None:
    lines = explanation(job(start=start, end="2024-06-03", users=("a",))).splitlines()
    assert lines[3] == f"- {part} is in the future: now is {iso(NOW)}"


def test_a_team_without_members_sends_no_query(snapshot: SnapshotAssertion) -> None:
    assert explanation(job(**RANGE, teams=("Sales",))) == snapshot


def test_a_long_request_is_cut_and_more_requests_are_counted() -> None:
    lines = explanation(job(**RANGE, users=("a",)), "x" * 1000, "y", "z").splitlines()
    assert lines[1] == f"sent: {'x' * 599}…"
    assert lines[2] == "  and 2 more queries"
