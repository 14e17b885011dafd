"""The JSON Schema and the shipped job files agree with the loader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.config import job_schema, load_job
from asyncreport.config.metrics import METRICS
from asyncreport.config.regions import NAMES
from asyncreport.config.schema import (
    DIMENSIONS,
    GRANULARITIES,
    MEDIA_TYPES,
    EmulatorFile,
    JobFile,
    LimitsFile,
)
from asyncreport.config.yaml import Node, read
from asyncreport.core.durations import parse_duration
from asyncreport.core.job import Connection, EmulatorSize, Limits
from asyncreport.emulator.world import World
from asyncreport.formats import Library
from tests.unit.config.good_job import NOW

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "configs").glob("*.yaml"))
NAMED = (
    "GENESYS_CLIENT_ID",
    "GENESYS_CLIENT_SECRET",
    "IRELAND_CLIENT_ID",
    "IRELAND_CLIENT_SECRET",
    "AMERICA_CLIENT_ID",
    "SECOND_CLIENT_SECRET",
)
TABLED = re.findall(r"\$\{(\w+)\}", (ROOT / "configs/many-organisations.csv").read_text())
ENVIRON = dict.fromkeys((*NAMED, *TABLED, "AMERICA_CLIENT_SECRET"), "x") | {
    "GENESYS_ENV": "mypurecloud.ie",
    "PROXY_HOST": "proxy.example",
    "SECOND_CLIENT_ID": "y",
}
SCHEMA = job_schema()


def properties(name: str) -> dict[str, Any]:
    found = SCHEMA["$defs"][name]["properties"]
    assert isinstance(found, dict)
    return found


def _fits(node: Node, kind: dict[str, Any]) -> bool:
    """Tell whether a value is of one of the types that a key takes."""
    types = {dict: "object", list: "array", str: "string"}
    return ("$ref" in kind and isinstance(node.value, dict)) or (
        kind.get("type") is not None and kind["type"] == types.get(type(node.value))
    )


def keys(node: Node, kind: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """List (type, key) of all that a file uses, and check it against the schema."""
    kind = next((each for each in kind.get("anyOf", ()) if _fits(node, each)), kind)
    if "$ref" in kind:
        kind = SCHEMA["$defs"][kind["$ref"].rpartition("/")[2]]
    if isinstance(node.value, list):
        assert kind["type"] == "array"
        for item in node.value:
            yield from keys(item, kind["items"])
    if isinstance(node.value, dict):
        assert kind["type"] == "object"
        for key, member in node.value.items():
            if "properties" in kind:
                yield kind["title"], key
            yield from keys(
                member,
                kind["properties"][key] if "properties" in kind else kind["additionalProperties"],
            )


def test_the_schema_names_its_draft_and_its_root() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$ref"] == "#/$defs/JobFile"
    assert SCHEMA["$defs"]["JobFile"]["required"] == ["name", "range", "teams", "output"]


def test_no_section_takes_unknown_keys_and_every_key_is_described() -> None:
    for name, kind in SCHEMA["$defs"].items():
        assert kind["additionalProperties"] is False, name
        assert all(member.get("description") for member in kind["properties"].values()), name


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (properties("RangeFile")["granularity"], GRANULARITIES),
        (properties("ConnectionFile")["region"], NAMES),
        (properties("JobFile")["split_by"]["items"], DIMENSIONS),
        (properties("FilterFile")["media_types"]["items"], MEDIA_TYPES),
        (properties("JobFile")["metrics"]["items"], METRICS),
    ],
)
def test_an_editor_can_complete_names_and_accepts_variables(
    kind: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert kind["anyOf"] == [{"enum": list(names)}, {"pattern": r"\$\{"}]


def test_numbers_have_their_limits() -> None:
    found = properties("LimitsFile")["concurrency"]
    assert (found["type"], found["minimum"], found["maximum"], found["default"]) == (
        "integer",
        1,
        64,
        16,
    )


def test_the_schema_and_the_job_have_the_same_defaults() -> None:
    given, job = LimitsFile(), Limits()
    assert (given.concurrency, given.max_attempts) == (job.concurrency, job.max_attempts)
    assert parse_duration(given.give_up_after) == job.give_up_after * 1000
    assert parse_duration(given.request_timeout) == job.request_timeout * 1000
    given_size = EmulatorFile()
    assert (
        EmulatorSize(agents=given_size.agents, seed=given_size.seed, clients=given_size.clients)
        == EmulatorSize()
    )
    assert (
        properties("ConnectionFile")["requests_per_minute"]["default"]
        == Connection(name="x").requests_per_minute
    )


def test_the_shipped_jobs_are_these() -> None:
    assert [path.stem for path in SHIPPED] == [
        "backfill-year",
        "demo",
        "formats",
        "last-weeks",
        "many-organisations",
        "multi-team",
        "occupancy",
        "organisations",
        "query-jobs",
        "report",
        "several-clients",
        "single-team",
        "tutorial",
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_job_loads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The chart library is an extra.
    monkeypatch.setattr(Library, "is_installed", True)
    job = load_job(path, environ=ENVIRON, now=NOW + 365 * 86_400_000)
    assert job.output.paths[0].startswith("exports/")


def test_every_key_is_used_by_a_shipped_job() -> None:
    used = {
        pair for path in SHIPPED for pair in keys(read(path.read_text("utf-8"), path.name), SCHEMA)
    }
    assert used == {
        (kind["title"], key) for kind in SCHEMA["$defs"].values() for key in kind["properties"]
    }


def test_the_demo_needs_no_environment_and_its_users_exist() -> None:
    job = load_job(ROOT / "configs/demo.yaml", environ={}, now=NOW)
    size = job.connections[0].emulator
    assert size is not None
    there = {
        person.id
        for person in World(agents=size.agents, seed=size.seed).people
        if person.state == "active"
    }
    users = [user for team in job.teams for user in team.users or ()]
    assert [len(team.users or ()) for team in job.teams] == [8, 8, 8]
    assert len(set(users)) == 24
    assert there.issuperset(users)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("tutorial", ["connections.default={emulator: true}"]),
        ("several-clients", ["connections.default={emulator: {clients: 2}}"]),
        ("occupancy", ["connections.default={emulator: true}"]),
        ("query-jobs", ["connections.default={emulator: true}", "filter={}"]),
    ],
)
def test_a_shipped_job_runs_on_an_emulator_with_the_command_in_its_head(
    name: str, overrides: list[str]
) -> None:
    path = ROOT / f"configs/{name}.yaml"
    said = f"asyncreport run configs/{name}.yaml " + " ".join(
        f"--set '{each}'" for each in overrides
    )
    head = path.read_text("utf-8").replace(" \\\n#    ", "")
    assert said in head
    job = load_job(path, environ={}, overrides=overrides, now=NOW)
    assert job.connections[0].emulator == EmulatorSize(
        clients=2 if name == "several-clients" else 1
    )
    there = {person.id for person in World().people}
    assert there.issuperset(user for team in job.teams for user in team.users or ())


def test_the_shipped_jobs_show_all_contracts_and_selectors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The chart library is an extra.
    monkeypatch.setattr(Library, "is_installed", True)
    jobs = {
        path.stem: load_job(path, environ=ENVIRON, now=NOW + 365 * 86_400_000) for path in SHIPPED
    }
    assert {
        name: job.query.contract for name, job in jobs.items() if job.query.contract != "aggregates"
    } == {
        "tutorial": "entities",
        "query-jobs": "query-jobs",
    }
    assert [name for name, job in jobs.items() if job.query.occupancy and job.query.metrics] == [
        "occupancy"
    ]
    assert [team.selector.kind for team in jobs["occupancy"].teams if team.selector] == [
        "group",
        "team",
        "queue",
    ]


def test_the_demo_with_its_four_lines_changed_uses_a_real_organisation() -> None:
    lines = (ROOT / "configs/demo.yaml").read_text("utf-8").splitlines()
    marked = [[line for line in lines if f"# {n}:" in line] for n in (1, 2, 3, 4)]
    assert [len(found) for found in marked] == [1, 1, 1, 1]
    changed = [
        line.replace("# ", "", 1) if [line] in marked else line
        for line in lines
        if [line] != marked[0]
    ]
    Path("real.yaml").write_text("\n".join(changed), "utf-8")
    job = load_job(Path("real.yaml"), environ=ENVIRON, now=NOW)
    assert job.connections[0].api_url == "https://api.mypurecloud.ie"


def test_the_example_of_dotenv_has_the_variables_of_the_default_connection() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    names = [line.partition("=")[0] for line in lines if "=" in line]
    assert names[:3] == ["GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET", "GENESYS_ENV"]
    assert names[3:] == [
        "# QUERY_START_DATE",
        "# QUERY_END_DATE",
        "# GENESYS_USER_ID",
        "# SSL_CERT_FILE",
    ]


def test_the_job_file_and_the_schema_have_the_same_keys() -> None:
    assert list(properties("JobFile")) == list(JobFile.__struct_fields__)
