"""What is written as a job file and as `.env` is read back as it was."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from syrupy.assertion import SnapshotAssertion

from asyncreport.config import load_options, load_text, yaml
from asyncreport.config.env_text import with_variables
from asyncreport.config.job_text import (
    JobDraft,
    Selected,
    TeamDraft,
    job_text,
    job_values,
    quoted,
)
from tests.unit.config.good_job import NOW

HOSTILE = [
    "a: b",
    "a:b",
    "a #b",
    "#a",
    "'a'",
    '"a"',
    'a"b\\c',
    "null",
    "~",
    "True",
    "no",
    "12",
    "0x1f",
    "1e3",
    ".5",
    "2024-01-01",
    "09:30",
    " leading",
    "trailing ",
    "- a",
    "-",
    "? a",
    "[a]",
    "a, b",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "%a",
    "@a",
    "`a`",
    "${HOME}",
    "$${HOME}",
    "$$${",
    "${",
    "a\nb",
    "\u0085\u2028\x7f\x00\ufeff",
    "\u202eevil",
    "Équipe d'accueil",
    "夜勤",
    "🙂 team 👩‍👩‍👧",
    "---",
    "...",
    "<<",
    "=",
    "",
]
Test = Callable[..., None]
ENVIRON = {"GENESYS_CLIENT_ID": "id-1", "GENESYS_CLIENT_SECRET": "s3cret"}
DRAFT = JobDraft(
    name="job",
    hosts={"region": "mypurecloud.ie"},
    id_variable="GENESYS_CLIENT_ID",
    secret_variable="GENESYS_CLIENT_SECRET",
    start="today-P35D",
    end="today",
    time_zone="Europe/Dublin",
    granularity="PT30M",
    teams=(
        TeamDraft(name="Billing", selection="team", selected=(Selected("Billing"),)),
        TeamDraft(name="Circle", selection="group", selected=(Selected("a1", "Circle"),)),
        TeamDraft(
            name="agents",
            selection="users",
            selected=(Selected("ada", "Ada: the first\n# one"), Selected("bob@example.org")),
        ),
        TeamDraft(name="everyone", selection="everyone"),
    ),
    path="exports/job.csv",
)


def hostile(test: Test) -> Test:
    """Try a test with each hostile text."""
    for text in HOSTILE:
        test = example(text)(test)
    return test


@hostile
@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_a_value_is_read_as_the_text_that_was_written(text: str) -> None:
    read = yaml.read(f"key: {quoted(text)}  # comment\nnext: 1\n", "job.yaml")
    value, following = read.children
    assert following.value == 1
    # What reads variables makes `${` of `$${`.
    assert value.value == text.replace("${", "$${")


def test_simple_values_have_no_quotes() -> None:
    for text in (
        "Billing East",
        "today-P35D",
        "Europe/Dublin",
        "exports/a_b.csv",
        "2024-01-01T09:30+01:00",
        "http://127.0.0.1:8080/api",
        "Équipe",
        "bob@example.org",
    ):
        assert quoted(text) == text


def read_both(draft: JobDraft) -> None:
    """Read the text of a draft, and its values; compare the jobs."""
    values = job_values(draft, "id-1", "s3cret")
    text = job_text(draft)
    job = load_text(text, "job.yaml", environ=ENVIRON, now=NOW)
    # Options hold for one run, which deletes nothing.
    job = replace(job, left_behind=None)
    assert job == load_options(values, labels={}, environ=ENVIRON, now=NOW)
    assert all(len(line) <= 100 for line in text.splitlines() if "comment" in line)


def test_the_job_that_is_read_is_the_one_that_was_written(snapshot: SnapshotAssertion) -> None:
    read_both(DRAFT)
    assert job_text(DRAFT) == snapshot
    gateway = {"api_url": "https://g.example/api", "login_url": "https://g.example/#x"}
    read_both(replace(DRAFT, hosts={**gateway, "login_url": gateway["api_url"]}))
    plain = dict.fromkeys(gateway, "http://g.example")
    read_both(replace(DRAFT, hosts=plain, allow_http=True, requests_per_minute=100))


def test_keys_that_are_comments_can_be_used() -> None:
    text = re.sub(r"^( *)# (csv|occupancy):", r"\1\2:", job_text(DRAFT), flags=re.MULTILINE)
    job = load_text(text, "job.yaml", environ=ENVIRON, now=NOW)
    assert (job.output.csv.decimal, job.query.occupancy) == (",", True)
    text = job_text(DRAFT).replace("# split_by", "split_by")
    assert load_text(text, "job.yaml", environ=ENVIRON, now=NOW).query.split_by


#: what a directory may contain, and a job file accepts
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), min_size=1)


@hostile
@settings(deadline=None, max_examples=40)
@given(names)
def test_hostile_names_come_back(name: str) -> None:
    """Also in comments, in which everything may be."""
    team = TeamDraft(
        name="team", selection="queue", selected=(Selected(name.strip() or "x", name),)
    )
    users = TeamDraft(name="users", selection="users", selected=(Selected("ada", name),))
    if all(char.isprintable() for char in name):
        read_both(replace(DRAFT, teams=(team, users)))
    else:
        read_both(replace(DRAFT, teams=(users,)))


@hostile
@example("a${b}c'd\\")
@example("${:-x}")
@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_variable_is_read_as_it_was_written(value: str) -> None:
    if not value.isascii() or not value.isprintable():
        return
    before = "# mine\nOTHER=1"
    text = with_variables(before, {"A": value, "B": "2"})
    assert text.startswith(f"{before}\n")
    read = dotenv_values(stream=StringIO(text))
    assert read == {"OTHER": "1", "A": value, "B": "2"}


@pytest.mark.parametrize("before", ["", "A=1\n", "A=1"])
def test_lines_are_added_on_lines_of_their_own(before: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(with_variables(before, {"B": "2"}))
    assert path.read_text().splitlines() == [*before.splitlines(), "B=2"]
