"""A good job file becomes a Job."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from asyncreport.config import MULTI_VALUED
from asyncreport.config.metrics import METRICS, NOT_METRICS, REFUSED
from asyncreport.config.schema import DIMENSIONS
from asyncreport.core.columns import column
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import (
    ChunkLength,
    Client,
    Connection,
    Filter,
    Limits,
    Selector,
    Team,
)
from asyncreport.core.local_time import to_instant
from asyncreport.core.outputs import Output
from asyncreport.core.secret import Secret
from asyncreport.core.timeline import DAY, Granularity, Interval, iso
from asyncreport.emulator import vocabulary
from tests.unit.config.good_job import GOOD, SECRET, load, with_range

UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"


def at(text: str) -> int:
    return to_instant(datetime.fromisoformat(text))


def test_the_good_job_has_the_values_of_its_file(folder: Path) -> None:
    job = load(folder)
    assert job.name == "aht"
    assert job.connections == (
        Connection(
            name="default",
            api_url="https://api.mypurecloud.ie",
            login_url="https://login.mypurecloud.ie",
            clients=(Client(client_id="id-1", client_secret=Secret(SECRET)),),
        ),
    )
    assert job.interval == Interval(at("2023-01-01T00:00Z"), at("2023-02-01T00:00Z"))
    assert (job.query.grid.granularity, job.query.grid.zone.key, job.query.grid.whole) == (
        Granularity.PT30M,
        "Europe/Dublin",
        None,
    )
    assert job.teams == (Team(name="billing", connection="default", users=("ada", "bob")),)
    assert job.output == Output(paths=("exports/aht.jsonl",), settle=4 * DAY)
    assert (job.chunk, job.limits, job.query.filter, job.query.split_by) == (
        None,
        Limits(),
        Filter(),
        (),
    )


def test_the_secret_is_in_no_repr(folder: Path) -> None:
    assert SECRET not in repr(load(folder))


def test_every_key_reaches_the_job(folder: Path) -> None:
    text = GOOD.replace("  granularity: PT30M\n", "  granularity: P1D\n  chunk: P7D\n")
    text += (
        "  per_team: exports/{team}-{month}.jsonl\n  settle: PT0S\n"
        "split_by: [media_type, wrap_up_code]\n"
        f"filter: {{media_types: [voice], queues: [{UUID.upper()}], "
        f"divisions: [{UUID.upper()}, d1]}}\n"
        "contract: query-jobs\nmetrics: [nTransferred, tAnswered]\n"
        "limits: {concurrency: 1, max_attempts: 20, give_up_after: PT1H, request_timeout: PT10S}\n"
    )
    job = load(folder, text)
    assert job.query.split_by == ("mediaType", "wrapUpCode")
    assert job.query.filter == Filter(
        media_types=("voice",), queues=(UUID,), divisions=(UUID, "d1")
    )
    assert (job.query.contract, job.query.metrics, job.query.occupancy) == (
        "query-jobs",
        ("nTransferred", "tAnswered"),
        False,
    )
    assert job.limits == Limits(
        concurrency=1, max_attempts=20, give_up_after=3600.0, request_timeout=10.0
    )
    assert job.output == Output(
        paths=("exports/aht.jsonl",), per_team=("exports/{team}-{month}.jsonl",), settle=0
    )
    assert job.chunk == ChunkLength(days=7)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("P1D", ChunkLength(days=1)),
        ("P31D", ChunkLength(days=31)),
        ("PT12H", ChunkLength(hours=12)),
        ("P1M", ChunkLength()),
    ],
)
def test_a_chunk_is_days_hours_or_a_month(folder: Path, text: str, length: ChunkLength) -> None:
    assert load(folder, overrides=[f"range.chunk={text}"]).chunk == length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            with_range("2023-01-01", "2023-01-02", "America/New_York"),
            "2023-01-01T05:00:00.000Z/2023-01-02T05:00:00.000Z",
        ),
        (
            with_range("2023-01-01T09:00", "'2023-01-01 10:00'"),
            "2023-01-01T09:00:00.000Z/2023-01-01T10:00:00.000Z",
        ),
        (
            with_range("'2023-01-01T09:00+05:30'", "2023-01-02", granularity="PT30M"),
            "2023-01-01T03:30:00.000Z/2023-01-02T00:00:00.000Z",
        ),
        (
            with_range("yesterday", "today", "Asia/Tokyo"),
            "2023-11-13T15:00:00.000Z/2023-11-14T15:00:00.000Z",
        ),
        (
            with_range("2023-11-14", "now", granularity="PT15M"),
            "2023-11-14T00:00:00.000Z/2023-11-14T22:00:00.000Z",
        ),
        (
            with_range("2023-11-14", "now", granularity="none"),
            "2023-11-14T00:00:00.000Z/2023-11-14T22:13:00.000Z",
        ),
        (
            with_range("2023-10-01", "now", granularity="P1M"),
            "2023-10-01T00:00:00.000Z/2023-11-01T00:00:00.000Z",
        ),
        (
            with_range("'2023-10-29T01:30+00:00'", "2023-10-30", "Europe/Dublin", "PT30M"),
            "2023-10-29T01:30:00.000Z/2023-10-30T00:00:00.000Z",
        ),
        (
            with_range("2019-11-03", "2019-11-04", "America/Sao_Paulo"),
            "2019-11-03T03:00:00.000Z/2019-11-04T03:00:00.000Z",
        ),
        (
            with_range("2018-11-04", "2018-11-05", "America/Sao_Paulo"),
            "2018-11-04T03:00:00.000Z/2018-11-05T02:00:00.000Z",
        ),
    ],
)
def test_bounds_are_local_times_unless_they_have_an_offset(
    folder: Path, text: str, expected: str
) -> None:
    assert str(load(folder, text).interval) == expected


def test_granularity_none_makes_one_bucket_of_any_range(folder: Path) -> None:
    job = load(folder, with_range("2023-01-01T09:17", "2023-03-01", granularity="none"))
    assert job.query.grid.whole == job.interval
    assert iso(job.interval.start) == "2023-01-01T09:17:00.000Z"


def test_now_in_a_month_without_whole_buckets_is_refused(folder: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"range\.end: must be in a bucket, but is 'now'; 2023-04 in Australia/.*; use PT30M$",
    ):
        load(
            folder,
            with_range("2023-02-01", "now", "Australia/Lord_Howe"),
            now=at("2023-04-15T00:00Z"),
        )


def test_the_default_zone_is_utc_and_the_default_granularity_an_hour(folder: Path) -> None:
    grid = load(
        folder, GOOD.replace("  time_zone: Europe/Dublin\n  granularity: PT30M\n", "")
    ).query.grid
    assert (grid.zone.key, grid.granularity) == ("UTC", Granularity.PT1H)


def test_uuids_are_lower_cased_and_other_ids_are_not(folder: Path) -> None:
    job = load(folder, GOOD.replace("[ada, bob]", f"[{UUID.upper()}, Ada]"))
    assert job.teams[0].users == (UUID, "Ada")


def test_a_team_of_everyone_says_so(folder: Path) -> None:
    team = load(folder, GOOD.replace("users: [ada, bob]", "everyone: true")).teams[0]
    assert (team.everyone, team.users, team.selector) == (True, (), None)
    assert team.selection == "everyone"


def test_a_forgotten_line_of_users_does_not_export_the_whole_organisation(folder: Path) -> None:
    """YAML joins the list to the team's name; the message names the line and the five ways."""
    text = GOOD.replace("    users: [ada, bob]\n", f"      - {UUID}\n      - ada\n")
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    message = str(caught.value)
    assert message.startswith("job.yaml:13: teams[0]: selects no users")
    assert message.endswith("a team needs users, group, team, queue or everyone: true")


def test_email_addresses_are_listed_users_whose_ids_nobody_knows_yet(folder: Path) -> None:
    team = load(folder, GOOD.replace("[ada, bob]", f"[ada, Anna@example.com, {UUID}]")).teams[0]
    assert (team.users, team.emails) == (("ada", UUID), ("Anna@example.com",))
    assert (team.everyone, team.selection) == (False, "listed users")


@pytest.mark.parametrize("kind", ["group", "team", "queue"])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Équipe d'accueil", "Équipe d'accueil"),
        (UUID.upper(), UUID),
        ("Night-Shift", "Night-Shift"),
    ],
)
def test_a_team_is_looked_up_by_id_or_by_exact_name(
    folder: Path, kind: str, text: str, value: str
) -> None:
    team = load(folder, GOOD.replace("users: [ada, bob]", f'{kind}: "{text}"')).teams[0]
    assert (team.users, team.selector) == ((), Selector(kind=kind, value=value))  # type: ignore[arg-type]
    assert team.selection == f"{kind} {value}"


def test_two_teams_may_have_one_selector_and_a_third_may_be_everyone(folder: Path) -> None:
    job = load(
        folder,
        overrides=["teams=[{name: a, group: x}, {name: b, group: x}, {name: c, everyone: true}]"],
    )
    assert [team.selector and team.selector.value for team in job.teams] == ["x", "x", None]


def test_only_the_entities_contract_sends_credentials_in_the_form(folder: Path) -> None:
    emulated = "connections.default={emulator: true}"
    for overrides, expected in [
        (["contract=entities"], True),
        (["contract=entities", emulated], True),
        (["contract=query-jobs"], False),
        ([emulated], False),
    ]:
        job = load(folder, overrides=overrides)
        assert [each.credentials_in_form for each in job.connections] == [expected], overrides


@pytest.mark.parametrize(
    "line",
    [
        "split_by: []",
        "filter: {}",
        "occupancy: false",
        "metrics: []",
        "teams: [{name: a, group: x}]",
    ],
)
def test_the_entities_contract_accepts_empty_values_and_the_directory(
    folder: Path, line: str
) -> None:
    key, _, value = line.partition(": ")
    assert (
        load(folder, overrides=["contract=entities", f"{key}={value}"]).query.contract == "entities"
    )


def test_occupancy_can_be_combined_with_filter_and_metrics(folder: Path) -> None:
    query = load(
        folder, overrides=["occupancy=true", "filter.media_types=[voice]", "metrics=[tAlert]"]
    ).query
    assert (query.occupancy, query.metrics, query.filter.media_types) == (
        True,
        ("tAlert",),
        ("voice",),
    )


def test_every_metric_of_the_vendor_is_a_column_or_refused_with_a_reason() -> None:
    assert len(METRICS) == len({column(metric) for metric in METRICS}) == 77
    assert {*METRICS, *REFUSED} == vocabulary.METRICS
    assert not REFUSED.keys() & set(METRICS)
    assert not NOT_METRICS.keys() & vocabulary.METRICS


def test_a_refusal_advises_only_metrics() -> None:
    advised = {
        word.strip("(,:;)")
        for advice in (*REFUSED.values(), *NOT_METRICS.values())
        for word in advice.split()
        if word[0] in "nt" and not word.islower()
    }
    assert advised
    assert advised <= set(METRICS)


def test_the_dimensions_with_several_values_are_dimensions_of_the_vendor() -> None:
    assert set(DIMENSIONS.values()) > MULTI_VALUED
    assert set(DIMENSIONS.values()) < vocabulary.GROUP_BY


def test_a_team_takes_the_only_connection(folder: Path) -> None:
    assert load(folder, GOOD.replace("default:", "dublin:")).teams[0].connection == "dublin"


def test_a_variable_expands_inside_a_text_and_a_doubled_dollar_does_not(
    folder: Path,
) -> None:
    assert (
        load(folder, GOOD.replace("exports/aht", "${ID}/$ID-$x-${ID}${EMPTY}")).output.paths[0]
        == "id-1/$ID-$x-id-1.jsonl"
    )
    assert load(folder, GOOD.replace("[ada, bob]", "['$${ID}']")).teams[0].users == ("${ID}",)


def test_a_byte_order_mark_and_windows_line_ends_are_ignored(folder: Path) -> None:
    assert load(folder, "\ufeff" + GOOD.replace("\n", "\r\n")) == load(folder)


@pytest.mark.parametrize(
    ("option", "seen"),
    [
        ("range.end=2023-01-15", "2023-01-01T00:00:00.000Z/2023-01-15T00:00:00.000Z"),
        (
            "range={start: 2023-01-01, end: 2023-01-02}",
            "2023-01-01T00:00:00.000Z/2023-01-02T00:00:00.000Z",
        ),
    ],
)
def test_an_override_replaces_a_value_or_a_section(folder: Path, option: str, seen: str) -> None:
    assert str(load(folder, overrides=[option]).interval) == seen


def test_overrides_create_sections_change_lists_and_the_last_one_counts(folder: Path) -> None:
    job = load(
        folder,
        overrides=[
            "limits.concurrency=3",
            "limits.concurrency=4",
            "teams[0].name='x'",
            "teams[0].users=[eve]",
            "split_by=[queue_id]",
        ],
    )
    assert (job.limits.concurrency, job.teams[0].name, job.teams[0].users, job.query.split_by) == (
        4,
        "x",
        ("eve",),
        ("queueId",),
    )


def test_an_override_can_correct_the_file(folder: Path) -> None:
    assert (
        load(
            folder, GOOD.replace("PT30M", "1h"), overrides=["range.granularity=PT1H"]
        ).query.grid.granularity
        is Granularity.PT1H
    )


@pytest.mark.parametrize(
    "option",
    [
        "range.end=soon",
        "range.ned=2023-01-01",
        "teams=[{name: a, users: [1]}]",
        "range.end",
        "=x",
        "range.end=",
        "range.end=[",
        "name.x=1",
        "teams[1].name=x",
        f"connections.default.client_secret:{SECRET}",
        f"connections.default.client_secret=[{SECRET}]",
    ],
)
def test_a_bad_override_is_reported_instead_of_a_line(
    folder: Path, option: str, snapshot: SnapshotAssertion
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, overrides=[option])
    assert SECRET not in str(caught.value)
    assert str(caught.value) == snapshot
