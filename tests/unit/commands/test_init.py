"""The interview of `init`: answers or options in, a job out; a person and a server are fakes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from asyncreport.commands.init_access import (
    Variables,
    described,
    known_client,
    missing_variables,
    named,
    read_hosts,
)
from asyncreport.commands.init_interview import ClientResult, Interview
from asyncreport.commands.init_options import InitOptions
from asyncreport.commands.init_questions import BUCKETS, FORMATS, Question, pick
from asyncreport.commands.init_teams import Candidate, TeamSearch, given_teams
from asyncreport.commands.team_names import TeamNames, valid_name
from asyncreport.config import load_text
from asyncreport.config.job_text import JobDraft, Selected, TeamDraft, job_text
from asyncreport.config.names import NAME_BYTES, check_name
from asyncreport.config.regions import PLACES, REGIONS, find, listed
from asyncreport.config.schema import GRANULARITIES
from asyncreport.config.validate import Place
from asyncreport.config.yaml import Node
from asyncreport.core.errors import AsyncReportError, ConfigError
from asyncreport.core.job import Job
from asyncreport.core.secret import Secret
from asyncreport.core.timeline import parse_iso
from asyncreport.formats import Library

NOW = parse_iso("2024-06-01T12:00Z")
USER = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
DIRECTORY = [
    Candidate("user", USER, "Ada Lovelace"),
    Candidate("user", "b" + USER[1:], "Bob"),
    Candidate("team", "t1", "Billing East", 5),
    Candidate("team", "t2", "Billing West", 1),
    Candidate("group", "g1", "Équipe d'accueil", 20),
    Candidate("group", "g2", "Circle", 1),
    Candidate("group", "g3", "Circle", 2),
    Candidate("queue", "q1", "Billing East"),
]


class Typing:
    """A person who types some answers, then nothing more."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[Question] = []
        self.seen: list[str] = []

    def ask(self, question: Question) -> str:
        self.asked.append(question)
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    def say(self, lines: Sequence[str]) -> None:
        self.seen += lines


class Server:
    """An organisation in which the first checks fail with these exit codes."""

    def __init__(self, *failures: int, unknown_teams: int = 0, allowed: int | None = None) -> None:
        self.allowed = allowed
        self.failures = list(failures)
        self.unknown_teams = unknown_teams
        self.jobs: list[Job] = []

    def check_client(self, job: Job) -> ClientResult:
        self.jobs.append(job)
        if self.failures:
            return ClientResult(self.failures.pop(0))
        return ClientResult(0, self.allowed)

    def check_teams(self, job: Job) -> int:
        self.jobs.append(job)
        return self.unknown_teams

    def candidates(self, _: Job) -> Iterable[Candidate]:
        return DIRECTORY


GIVEN: dict[str, Any] = {
    "region": "mypurecloud.ie",
    "client_id": "id-1",
    "client_secret": Secret("s3cret"),
    "teams": ("Billing East", "Billing West"),
    "start": "2024-01-01",
    "end": "2024-02-01",
    "time_zone": "Europe/Dublin",
    "granularity": "PT15M",
    "output": "out/east.jsonl",
}
TYPED = (
    "mypurecloud.ie",
    "id-1",
    "s3cret",
    "1 2",
    "",
    "2024-01-01",
    "2024-02-01",
    "Europe/Dublin",
    "1",
    "jsonl",
    "out/east.jsonl",
)


def hold(
    person: Typing | None = None,
    server: Server | None = None,
    process: Mapping[str, str] = {},
    file: Mapping[str, str] = {},
    existing: Sequence[str] = (),
    **options: Any,
) -> JobDraft:
    interview = Interview(
        options=InitOptions(**options),
        variables=Variables(process, file),
        now=NOW,
        zone="Europe/Berlin",
        person=person,
        organisation=server or Server(),
        exists=lambda path: path in existing,
    )
    draft, client = interview.hold()
    # What was agreed on is what `run` loads.
    environ = {**interview.variables.all, **client.variables}
    load_text(job_text(draft), "job.yaml", environ=environ, now=NOW)
    return draft


def refusal(**options: Any) -> str:
    with pytest.raises(AsyncReportError) as caught:
        hold(**options)
    return str(caught.value)


def test_answers_give_the_same_job_as_options() -> None:
    assert hold(Typing(*TYPED)) == hold(**GIVEN)


def test_a_person_is_asked_only_for_what_no_option_gives() -> None:
    for option in ("start", "time_zone", "granularity"):
        person = Typing("")
        draft = hold(person, **{**GIVEN, "end": "today", option: ""})
        assert len(person.asked) == 1
        assert getattr(draft, option) == person.asked[0].default


def test_everything_with_a_default_may_be_left_out() -> None:
    needed = {key: GIVEN[key] for key in ("region", "client_id", "client_secret")}
    draft = hold(**needed, everyone=True, job=Path("sub/my job.yaml"))
    assert draft == hold(Typing(*[""] * 7), **needed, job=Path("sub/my job.yaml"))
    assert (draft.name, draft.path) == ("my job", "exports/my job.csv")
    assert (draft.start, draft.end, draft.time_zone) == ("today-P35D", "today", "Europe/Berlin")


def test_without_a_person_one_error_names_all_that_is_missing() -> None:
    message = refusal()
    for option in ("--region", "--api-url", "--client-id", "--client-secret-file", "--team"):
        assert option in message
    assert "--start" not in message
    rest = {**GIVEN, "teams": (), "region": ""}
    assert refusal(**rest).endswith(
        "missing: --region, or --api-url; --team, --group, --queue, --user or --everyone"
    )


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("region", "eu-west-9", "--region: must be a region, but is 'eu-west-9' (did you mean"),
        ("start", "01.02.2024", "--start: must be "),
        ("end", "2023-01-01", "--end: must be after range.start"),
        ("time_zone", "Berlin", "--time-zone: must be an IANA time zone, but is 'Berlin'"),
        ("granularity", "30 min", "--granularity: must be a granularity"),
        ("output", "out/east.txt", "--output: must be a file with a known extension"),
        ("client_id", "ïd", "--client-id: has a character that is not ASCII"),
        ("users", ("ada", "ada"), "--user: "),
    ],
)
def test_a_wrong_option_is_named(option: str, value: Any, words: str) -> None:
    assert words in refusal(**{**GIVEN, option: value})


def test_options_that_exclude_each_other() -> None:
    assert refusal(**GIVEN, api_url="https://g.example") == (
        "--api-url: cannot be given together with --region; give one of them"
    )
    assert "--login-url: needs --api-url" in refusal(**GIVEN, login_url="https://g.example")
    assert "--format: cannot be given together with --output" in refusal(**GIVEN, format="csv")
    assert "accepted: csv, xlsx" in refusal(**{**GIVEN, "output": "", "format": "xls"})


def test_a_wrong_answer_is_explained_and_asked_again() -> None:
    person = Typing(
        *["mars", TYPED[0], "", "ïd", TYPED[1], "", "s\u00e9cret", TYPED[2], "99", "zz"],
        *["1 2", "", "1.1.2024", TYPED[5], "2000-01-01", TYPED[6], "Berlin", TYPED[7]],
        *["8", TYPED[8], "word", TYPED[9], "out/east.txt", TYPED[10]],
    )
    assert hold(person) == hold(**GIVEN)
    explained = "\n".join(line for line in person.seen if line.startswith("  "))
    for words in ("must be a region", "known extension", "did you mean 'Europe/Berlin'"):
        assert words in explained
    # A person who was asked knows no option.
    assert "--" not in explained


@pytest.mark.parametrize(
    ("option", "typed", "suggested"),
    [
        ("region", "mypurecloud.it", "mypurecloud.ie"),
        ("start", "30", "today-P30D"),
        ("start", "last 30 days", "today-P30D"),
        ("start", "Last Month", "last_month"),
        ("start", "31.01.2024", "2024-01-31"),
        ("end", "TODAY", "today"),
        ("time_zone", "Berlin time", "Europe/Berlin"),
        ("granularity", "30 min", "PT30M"),
    ],
)
def test_enter_takes_what_was_suggested(option: str, typed: str, suggested: str) -> None:
    person = Typing(typed, "")
    rest = {**GIVEN, "end": "today"}
    draft = hold(person, **{**rest, option: ""})
    assert person.asked[-1].default == suggested
    assert draft == hold(**{**rest, option: suggested})


def test_both_readings_of_a_date_are_named_and_none_is_the_default() -> None:
    person = Typing("01/10/2023", "2023-10-01")
    draft = hold(person, **{**GIVEN, "start": ""})
    assert draft.start == "2023-10-01"
    assert "(did you mean 2023-10-01 or 2023-01-10?)" in "\n".join(person.seen)
    assert person.asked[1].default == "today-P35D"


@pytest.mark.parametrize("person", [None, Typing(*TYPED)])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("region", "eu-west-9"),
        ("start", "30"),
        ("end", "1/2/2024"),
        ("end", "2000-01-01"),
        ("time_zone", "Berlin"),
        ("granularity", "PT2M"),
        ("output", "out/east.txt"),
        ("users", ("ada", "ada")),
    ],
)
def test_a_wrong_option_is_refused_before_any_request(
    option: str, value: Any, person: Typing | None
) -> None:
    server = Server()
    with pytest.raises(ConfigError):
        hold(person, server, **{**GIVEN, option: value})
    assert server.jobs == []


def test_a_format_without_its_library_is_marked_and_refused_before_any_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Library, "is_installed", False)
    for wrong in ({"output": "", "format": "xlsx"}, {"output": "a.jsonl.zst"}):
        server = Server()
        with pytest.raises(ConfigError, match="-m pip install 'asyncreport"):
            hold(server=server, **{**GIVEN, **wrong})
        assert server.jobs == []
    person = Typing("xlsx", "csv", "")
    assert hold(person, **{**GIVEN, "output": ""}).path == "exports/job.csv"
    listed = [line for line in person.seen if "(needs: " in line]
    assert [line.split()[1] for line in listed] == ["xlsx", "parquet"]
    assert listed[0].endswith("Excel (needs: pip install 'asyncreport[xlsx]')")
    assert max(map(len, listed)) <= 80


def test_options_with_a_fine_granularity_may_have_fine_bounds() -> None:
    fine = {"granularity": "PT15M", "start": "2024-01-01T00:15"}
    assert hold(**{**GIVEN, **fine}).start == "2024-01-01T00:15"


def test_an_end_as_an_option_waits_for_the_start_that_is_typed() -> None:
    person = Typing("2020-01-01")
    draft = hold(person, **{**GIVEN, "start": "", "end": "2020-02-01"})
    assert (draft.start, draft.end) == ("2020-01-01", "2020-02-01")


def test_the_lines_fit_into_80_columns() -> None:
    person = Typing("?", *TYPED)
    hold(person)
    assert any("mypurecloud.jp" in line for line in person.seen)
    prompts = [f"{each.text} [{each.default}]: " for each in person.asked]
    assert [line for line in (*person.seen, *prompts) if len(line) > 80] == []


def test_a_client_that_does_not_work_is_asked_for_again() -> None:
    person = Typing("mypurecloud.ie", "id-1", "wrong", "s\u00e9cret", "s3cret", *TYPED[3:])
    server = Server(3)
    assert hold(person, server) == hold(**GIVEN)
    first, second = (job.connections[0].clients[0] for job in server.jobs)
    assert (first.client_id, second.client_id) == ("id-1", "id-1")
    assert (first.client_secret, second.client_secret) == (Secret("wrong"), Secret("s3cret"))
    # Whoever types a secret then must not see it.
    assert [question.hidden for question in person.asked[2:5]] == [True] * 3


def test_region_and_id_are_asked_for_again_only_if_the_person_wants() -> None:
    person = Typing("mypurecloud.de", "id-2", "wrong", "", "mypurecloud.ie", *TYPED[1:])
    assert hold(person, Server(3)) == hold(**GIVEN)
    assert [question.default for question in person.asked[4:6]] == ["mypurecloud.de", "id-2"]


def test_a_host_that_does_not_answer_is_asked_for_again_at_once() -> None:
    """Another secret would not help."""
    person = Typing("mypurecloud.de", "id-1", "s3cret", "mypurecloud.ie", "", *TYPED[2:])
    assert hold(person, Server(1)) == hold(**GIVEN)


def test_the_person_sees_which_host_a_place_means() -> None:
    person = Typing("germany", *TYPED[1:])
    assert hold(person).hosts == {"region": "mypurecloud.de"}
    place = person.seen.index("  mypurecloud.de / eu-central-1 (Germany, Frankfurt)")
    assert person.seen[place + 1] == "  host: https://api.mypurecloud.de"
    for region in (*REGIONS, *REGIONS.values()):
        assert max(map(len, described({"region": region}))) < 78
    gateway = {"api_url": "https://g.example", "login_url": "https://l.example"}
    assert described(gateway) == ["host: https://g.example"]


def test_without_a_person_a_client_that_does_not_work_ends_with_its_exit_code() -> None:
    with pytest.raises(AsyncReportError) as caught:
        hold(server=Server(3), **GIVEN)
    assert caught.value.exit_code == 3
    with pytest.raises(AsyncReportError) as caught:
        hold(server=Server(unknown_teams=2), **GIVEN)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("allowed", "written"), [(None, None), (300, None), (100, 100)])
def test_a_low_limit_of_the_server_is_written(allowed: int | None, written: int | None) -> None:
    draft = hold(server=Server(allowed=allowed), **GIVEN)
    assert draft.requests_per_minute == written
    assert (f"\n    requests_per_minute: {written}" in job_text(draft)) is (written is not None)


def test_a_gateway_has_two_urls() -> None:
    person = Typing("https://g.example/api", "https://l.example", *TYPED[1:])
    draft = hold(person)
    assert draft.hosts == {"api_url": "https://g.example/api", "login_url": "https://l.example"}
    rest = {**GIVEN, "region": ""}
    both = {"api_url": "https://g.example/api", "login_url": "https://l.example"}
    assert hold(**rest, **both) == draft
    assert "to allow it, set allow_http: true" in refusal(**rest, api_url="http://g.example")
    assert hold(**rest, api_url="http://g.example", allow_http=True).allow_http
    assert hold(**rest, api_url="https://g.example").hosts["login_url"] == "https://g.example"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("mypurecloud.de", {"region": "mypurecloud.de"}),
        ("https://apps.mypurecloud.de/directory/#/admin", {"region": "mypurecloud.de"}),
        ("apps.euw2.pure.cloud", {"region": "euw2.pure.cloud"}),
        ("https://login.mypurecloud.ie", {"region": "mypurecloud.ie"}),
        ("EU-West-1", {"region": "eu-west-1"}),
        ("Dublin", {"region": "mypurecloud.ie"}),
        ("germany", {"region": "mypurecloud.de"}),
        ("7", {"region": "mypurecloud.ie"}),
        # Two regions are in Japan.
        ("japan", {"region": "japan"}),
        ("nowhere", {"region": "nowhere"}),
        (
            "http://127.0.0.1:1",
            {"api_url": "http://127.0.0.1:1", "login_url": "http://127.0.0.1:1"},
        ),
        ("localhost:80", {"api_url": "localhost:80", "login_url": "localhost:80"}),
    ],
)
def test_an_address_is_a_region_or_a_gateway(text: str, hosts: dict[str, str]) -> None:
    assert read_hosts(text) == hosts


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("2", "PT30M"),
        ("pt30m", "PT30M"),
        ("hour", "PT1H"),
        ("Half", "PT30M"),
        ("Day", "P1D"),
        ("whole range", "none"),
        ("0", "0"),
        ("8", "8"),
        ("a", "a"),
        ("minute", "minute"),
    ],
)
def test_a_word_is_picked_by_number_or_description(text: str, word: str) -> None:
    assert pick(text, BUCKETS) == word


def test_every_choice_can_be_typed() -> None:
    assert tuple(BUCKETS) == GRANULARITIES
    assert set(PLACES) == set(REGIONS)
    for choices in (BUCKETS, FORMATS):
        for word, description in choices.items():
            assert pick(word, choices) == pick(description, choices) == word
    for line, domain in zip(listed(), REGIONS.values(), strict=True):
        number, *_, place = re.split(r"  +", line.strip())
        assert find(number) == domain
        assert place.count(",") < 2


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("aht", "aht.xlsx"),
        ("out/", "out/job.xlsx"),
        ("~/aht", "/home/ada/aht.xlsx"),
        ("out/{month}", "out/{month}.xlsx"),
        ("out/aht.csv", "out/aht.csv"),
    ],
)
def test_a_path_may_leave_out_its_ending(
    typed: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What writes .xlsx is an extra.
    monkeypatch.setattr(Library, "is_installed", True)
    person = Typing("excel", typed)
    draft = hold(person, process={"HOME": "/home/ada"}, **{**GIVEN, "output": ""})
    assert draft.path == path


def test_a_file_that_a_run_would_replace_is_asked_for_again() -> None:
    existing = ["a.csv", "b.csv"]
    person = Typing("a", "b", "b")
    rest = {**GIVEN, "output": "", "format": "csv"}
    assert hold(person, existing=existing, **rest).path == "b.csv"
    assert [line.split()[0] for line in person.seen if "replaces it" in line] == existing
    assert hold(Typing("a", ""), existing=existing, **rest).path == "a.csv"
    assert hold(Typing("a", "c"), existing=existing, **rest).path == "c.csv"
    assert hold(Typing(), existing=existing, **{**GIVEN, "output": "a.csv"}).path == "a.csv"


def test_the_person_sees_which_time_the_answers_mean() -> None:
    """Now is 14:00 on 1 June in Berlin; months are whole, and so the range is shorter."""
    person = Typing("today-P35D", "today", "Europe/Berlin", "month")
    hold(person, **{**GIVEN, "start": "", "end": "", "time_zone": "", "granularity": ""})
    text = "\n".join(person.seen)
    assert "a run today is from 2024-04-01T00:00+02:00 until 2024-06-01T00:00+02:00" in text
    assert "range.start: today-P35D is rounded down to 2024-04-01T00:00+02:00" in text


# Variables ---------------------------------------------------------------------------------------

USUAL = {"GENESYS_CLIENT_ID": "id-1", "GENESYS_CLIENT_SECRET": "s3cret"}
EMPTY = {"GENESYS_CLIENT_ID": "", "GENESYS_CLIENT_SECRET": ""}


def test_a_client_of_the_variables_is_not_asked_for() -> None:
    for process, file in ((USUAL, {}), ({}, USUAL)):
        person = Typing(TYPED[0], *TYPED[3:])
        assert hold(person, process=process, file=file) == hold(**GIVEN)
    rest = {key: value for key, value in GIVEN.items() if not key.startswith("client")}
    assert hold(file=USUAL, **rest) == hold(**GIVEN)


def test_a_region_of_the_variables_is_the_default() -> None:
    person = Typing("", *TYPED[1:])
    assert hold(person, file={"GENESYS_ENV": "mypurecloud.ie"}) == hold(**GIVEN)


@pytest.mark.parametrize(
    ("process", "file", "prefix", "added"),
    [
        ({}, {}, "GENESYS", ["ID", "SECRET"]),
        ({}, EMPTY, "GENESYS", ["ID", "SECRET"]),
        ({}, USUAL, "GENESYS", []),
        (USUAL, {}, "GENESYS", []),
        ({}, {"GENESYS_CLIENT_ID": "id-1"}, "GENESYS", ["SECRET"]),
        ({}, {"GENESYS_CLIENT_ID": "id-2"}, "GENESYS_2", ["ID", "SECRET"]),
        # The environment takes precedence: what is added to the file would have no effect.
        (EMPTY, USUAL, "GENESYS_2", ["ID", "SECRET"]),
        (
            {"GENESYS_CLIENT_ID": "id-2"},
            {"GENESYS_2_CLIENT_ID": "id-3"},
            "GENESYS_3",
            ["ID", "SECRET"],
        ),
    ],
)
def test_another_client_never_replaces_one(
    process: dict[str, str], file: dict[str, str], prefix: str, added: list[str]
) -> None:
    variables = Variables(process, file)
    client = named("id-1", "s3cret", variables)
    assert client.id_variable == f"{prefix}_CLIENT_ID"
    gateway = {"api_url": "https://g.example", "login_url": "https://g.example"}
    missing = missing_variables(client, gateway, variables)
    assert list(missing) == [f"{prefix}_CLIENT_{each}" for each in added]
    after = Variables(process, {**file, **missing})
    assert [after.get(name) for name in client.variables] == ["id-1", "s3cret"]


def test_a_region_comes_with_the_usual_variables_only() -> None:
    """`query` and `list` read it; a job file names its own."""
    hosts = {"region": "mypurecloud.ie"}

    def added(file: dict[str, str]) -> list[str]:
        variables = Variables({}, file)
        client = named("id-1", "s3cret", variables)
        return list(missing_variables(client, hosts, variables))

    assert added({})[-1] == "GENESYS_ENV"
    assert added({"GENESYS_CLIENT_ID": "id-1"}) == ["GENESYS_CLIENT_SECRET", "GENESYS_ENV"]
    assert added(USUAL) == []
    assert added({"GENESYS_ENV": "eu-west-2"}) == list(USUAL)
    assert "GENESYS_ENV" not in added({"GENESYS_CLIENT_ID": "another"})


def test_a_secret_of_the_variables_belongs_to_their_id() -> None:
    variables = Variables({}, USUAL)
    assert known_client("", "", variables) == ("id-1", "s3cret")
    assert known_client("id-2", "", variables) == ("id-2", "")
    assert known_client("id-2", "new", variables) == ("id-2", "new")
    only_secret = Variables({}, {"GENESYS_CLIENT_SECRET": "s3cret"})
    assert known_client("id-2", "", only_secret) == ("id-2", "s3cret")


# Teams -------------------------------------------------------------------------------------------


def choose(*typed: str, directory: Sequence[Candidate] = DIRECTORY) -> list[TeamDraft]:
    search = TeamSearch(directory)
    for text in typed:
        search.type(text)
    return search.teams()


def select(draft: TeamDraft) -> tuple[str, str, tuple[str, ...]]:
    return draft.name, draft.selection, tuple(each.value for each in draft.selected)


def test_a_search_finds_words_in_any_order_and_without_accents() -> None:
    search = TeamSearch(DIRECTORY)
    for text, names in {
        "east BILL": ["Billing East", "Billing East"],
        "equipe": ["Équipe d'accueil"],
        "love": ["Ada Lovelace"],
        USER: ["Ada Lovelace"],
    }.items():
        lines = search.type(text)
        assert [line.rpartition("  ")[2] for line in lines] == names
    assert "no name contains 'zz'" in search.type("zz")[0]
    assert "Circle (g2)" in "\n".join(search.type("circle"))
    assert search.summary() == "2 teams, 3 groups, 1 queue, 2 users"
    assert TeamSearch([]).summary() == "nothing"


def test_numbers_choose_and_choose_back() -> None:
    assert [select(team) for team in choose("billing", "1-2, 3")] == [
        ("Billing East", "team", ("Billing East",)),
        ("Billing West", "team", ("Billing West",)),
        ("Billing East (2)", "queue", ("Billing East",)),
    ]
    assert [team.name for team in choose("billing", "1-2", "1")] == ["Billing West"]
    assert [team.selection for team in choose("billing", "1", "1")] == ["everyone"]
    assert choose() == choose("billing")


def test_a_number_that_the_list_does_not_have_chooses_nothing() -> None:
    for text in ("9", "0", "1 9", "2-300000", "999999"):
        search = TeamSearch(DIRECTORY)
        search.type("billing")
        (line,) = search.type(text)
        assert "only 1 to 3" in line
        assert search.chosen == []


def test_a_name_that_is_a_number_can_be_searched() -> None:
    directory = [*DIRECTORY, Candidate("team", "t9", "Team 24", 1)]
    assert [team.name for team in choose("/24", "1", directory=directory)] == ["Team 24"]


def test_only_the_first_of_many_are_shown() -> None:
    many = [Candidate("user", f"u{n:03}", f"User {n:03}") for n in range(100)]
    search = TeamSearch(many)
    lines = search.lines()
    assert len(lines) == 16
    assert "85 more" in lines[-1]
    assert "only 1 to 15" in search.type("16")[0]


def test_users_are_one_team_and_have_their_names_as_comments() -> None:
    (team,) = choose("ada", "1", "bob", "1")
    assert select(team) == ("chosen users", "users", (USER, "b" + USER[1:]))
    assert [each.comment for each in team.selected] == ["Ada Lovelace", "Bob"]
    assert choose("ada", "1")[0].name == "Ada Lovelace"


def test_a_name_that_two_have_is_selected_by_id() -> None:
    (team,) = choose("circle", "2")
    assert team.selected == (Selected("g3", "Circle"),)


names = st.text(st.characters(codec="utf-8"), max_size=60)
ANY = hold(**GIVEN)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["team", "group", "queue", "user"]), names), max_size=6))
def test_whatever_names_are_chosen_the_job_loads(found: list[tuple[Any, str]]) -> None:
    """Names of the directory may be any text."""
    directory = [Candidate(kind, f"{USER[:-1]}{n}", name) for n, (kind, name) in enumerate(found)]
    search = TeamSearch(directory)
    search.chosen = directory
    assert all(line.isprintable() for line in search.lines())
    teams = tuple(search.teams())
    text = job_text(replace(ANY, teams=teams))
    job = load_text(text, "job.yaml", environ=USUAL, now=NOW)
    assert [team.name for team in job.teams] == [team.name for team in teams]
    chosen = [team.selector.value for team in job.teams if team.selector]
    rosters = [each for each in directory if each.kind != "user"]
    assert len(chosen) == len(rosters)
    assert all(value in (each.name, each.id) for value, each in zip(chosen, rosters, strict=True))


@settings(deadline=None)
@given(st.lists(names, max_size=8))
@example(["\u201csales\u201d", "\u2019", "\u2018 .\u201csales\u201d"])
def test_names_of_teams_are_valid_and_differ(texts: list[str]) -> None:
    chooser = TeamNames()
    chosen = [chooser.choose(text, number) for number, text in enumerate(texts)]
    assert len({name.casefold() for name in chosen}) == len(texts)
    for name in [*chosen, *map(valid_name, texts)]:
        check_name(Place.of(Node("name", name, name)), name)
    assert all(len(name.encode()) <= NAME_BYTES for name in chosen)


def test_options_select_teams_by_kind() -> None:
    options = InitOptions(
        teams=("Sales",), groups=("Sales",), queues=("Sales",), users=("ada", "b@x.de")
    )
    given = given_teams(options)
    assert [(*select(each.draft), each.option) for each in given] == [
        ("Sales", "team", ("Sales",), "--team"),
        ("Sales (2)", "group", ("Sales",), "--group"),
        ("Sales (3)", "queue", ("Sales",), "--queue"),
        ("chosen users", "users", ("ada", "b@x.de"), "--user"),
    ]


@pytest.mark.parametrize("stop", range(len(TYPED)))
def test_the_end_of_the_input_ends_the_interview(stop: int) -> None:
    with pytest.raises(EOFError):
        hold(Typing(*TYPED[:stop]))


def test_a_default_that_does_not_fit_is_an_error_and_no_endless_question() -> None:
    """Without a person, the default end is checked too."""
    message = refusal(**{**GIVEN, "start": "2024-07-01", "end": ""})
    assert message.startswith("--end: must be after range.start")
