"""Every code block of the documentation has a checker; a new one without a checker fails here.

Commands are parsed with their options, YAML is loaded as a job or as a part of one, JSON is parsed.
Python and plain texts are checked by the tests that the tables below name.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections import Counter
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from asyncreport.cli import cli
from asyncreport.config import load_job
from asyncreport.core.timeline import parse_iso
from asyncreport.formats import Library
from tests.blocks import ROOT, Block, all_blocks, pages

#: the tests that execute the Python blocks of a section, and how many blocks there are
EXECUTED = {
    ("coming-from-a-requests-loop.md", "The loop"): (1, "integration/test_loop_page.py"),
    ("coming-from-a-requests-loop.md", "Compare both"): (1, "integration/test_loop_page.py"),
    ("README.md", "Your organisation, in five steps"): (1, "integration/test_python_page.py"),
    ("python.md", "From Python"): (1, "integration/test_python_page.py"),
    ("python.md", "The functions"): (1, "integration/test_python_page.py"),
    ("python.md", "Notebooks and event loops"): (1, "integration/test_python_page.py"),
    ("python.md", "Results and errors"): (2, "integration/test_python_page.py"),
    ("python.md", "Records"): (1, "integration/test_python_page.py"),
    ("python.md", "Data frames"): (2, "integration/test_python_page.py"),
    ("python.md", "Messages"): (1, "integration/test_python_page.py"),
    ("loading.md", "DuckDB"): (2, "integration/test_loading.py"),
    ("loading.md", "PostgreSQL"): (1, "integration/test_loading.py"),
    ("loading.md", "dlt"): (1, "integration/test_loading.py"),
    ("loading.md", "pandas"): (1, "integration/test_loading.py"),
    ("loading.md", "Polars"): (1, "integration/test_loading.py"),
}

#: the tests that compare a block without a language with what the program prints or has
COMPARED = {
    ("coming-from-a-requests-loop.md", "Compare both"): (1, "integration/test_loop_page.py"),
    ("README.md", "Try it"): (1, "integration/test_cli.py"),
    ("architecture.md", "The layers"): (1, "unit/test_docs.py"),
    ("commands.md", "Progress"): (1, "unit/terminal/test_progress.py"),
    ("organisations.md", "One job for each connection, or one for all"): (
        1,
        "integration/test_apart.py",
    ),
}

#: what a command line may begin with, apart from asyncreport
PROGRAMS = {"python3", ".venv/bin/pip", ".venv/bin/asyncreport", ".venv/bin/python", "wc"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ENVIRON = {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": "secret"}
ENVIRON |= {"GENESYS_ENV": "eu-west-1"}
ENVIRON |= dict.fromkeys(("GENESYS_API_URL", "GENESYS_LOGIN_URL"), "https://gateway.example")

#: every key that a job needs, for examples that show only some
SMALLEST = {
    "name": "aht",
    "connections": {
        name: {"emulator": {"seed": seed}}
        for seed, name in enumerate(["default", "acme", "globex"])
    },
    "range": {"start": "2024-01-01", "end": "2024-01-08"},
    "teams": [{"name": "everyone", "everyone": True, "connections": "all"}],
    "output": {"path": "aht.jsonl"},
}


def test_every_block_is_in_a_language_that_is_checked() -> None:
    known = all_blocks("sh", "yaml", "json", "python", "")
    fences = sum(len(re.findall("^ *```", path.read_text(), re.MULTILINE)) for path in pages())
    assert len(known) == fences / 2


@pytest.mark.parametrize(("language", "table"), [("python", EXECUTED), ("", COMPARED)])
def test_every_block_is_in_a_table(language: str, table: dict[Any, tuple[int, str]]) -> None:
    there = Counter((block.page, block.section) for block in all_blocks(language))
    assert there == {place: count for place, (count, _) in table.items()}
    for (page, _), (_, test) in table.items():
        assert page in (ROOT / "tests" / test).read_text(), f"{test} does not read {page}"


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_yaml_is_a_job_or_a_part_of_one(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some formats need an extra.
    monkeypatch.setattr(Library, "is_installed", True)
    ids = iter(f"11111111-2222-4333-8444-{n:012}" for n in range(9))
    text = re.sub("<[a-z]+ id>", lambda _: next(ids), block.text)
    path = tmp_path / "job.yaml"
    if set(YAML(typ="safe").load(text)) < set(SMALLEST):
        part = YAML(typ="safe").load(text)
        text = json.dumps({**SMALLEST, **part}, default=str)
    path.write_text(text)
    load_job(path, environ=ENVIRON, now=parse_iso("2024-06-01T00:00Z"))


@pytest.mark.parametrize("block", all_blocks("json"), ids=str)
def test_json_can_be_read(block: Block) -> None:
    rest = block.text.lstrip()
    while rest:
        value, end = json.JSONDecoder().raw_decode(rest)
        assert isinstance(value, dict)
        rest = rest[end:].lstrip()


def commands_of(text: str) -> list[list[str]]:
    """Split lines of a shell into words, one list for each command; comments are left out."""
    commands = []
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = groupby(lexer, key=lambda word: set(word) <= set("|&;"))
        commands += [list(command) for separates, command in words if not separates]
    return commands


def all_commands() -> list[tuple[str, list[str]]]:
    """List the commands of all blocks, and those in sentences that begin with `asyncreport`."""
    found = [(str(block), each) for block in all_blocks("sh") for each in commands_of(block.text)]
    # Files only: Python keeps what it compiled of the example there.
    examples = filter(Path.is_file, (ROOT / "configs" / "automation").glob("*"))
    jobs = [*(ROOT / "configs").glob("*.yaml"), *examples]
    for path in [*pages(), *jobs]:
        lines = re.findall(r"`(asyncreport [^`]+)`", " ".join(path.read_text().split()))
        lines += re.findall(r"^#\s+(asyncreport [^:.]*)$", path.read_text(), re.MULTILINE)
        found += [(path.name, each) for line in lines for each in commands_of(line)]
    return found


@pytest.mark.parametrize(("place", "words"), all_commands(), ids=str)
def test_a_command_can_be_run(place: str, words: list[str]) -> None:
    while re.fullmatch(r"\w+=\S*", words[0]):
        words = words[1:]
    program, *arguments = words
    if program.rpartition("/")[2] == "asyncreport":
        parse(arguments)
    elif program.rpartition("/")[2] == "pip":
        assert_installable(arguments)
    else:
        assert program in PROGRAMS, place
        assert_module_exists(arguments)


def parse(arguments: list[str]) -> None:
    """Read the arguments of asyncreport as it does, without what its options do."""
    name, *rest = arguments
    if name.startswith("--"):
        cli.make_parser(click.Context(cli)).parse_args([name])
        return
    command = cli.commands[name]
    context = click.Context(command)
    words = [word for word in rest if word not in ("...", "KIND")]
    values, unread, _ = command.make_parser(context).parse_args(words)
    assert unread == []
    for parameter in command.params:
        value = values.get(parameter.name or "")
        # A flag that shows messages in another way has a value that only its callback reads.
        if words and value is not None and parameter.expose_value:
            assert not parameter.value_is_missing(parameter.type_cast_value(context, value))


def assert_installable(arguments: list[str]) -> None:
    """Find what a page says to install among the extras."""
    assert arguments[0] == "install"
    for name in (word for word in arguments[1:] if not word.startswith("-")):
        extra = re.fullmatch(r"(?:asyncreport|\.)\[(\S+)\]", name)
        assert name == "." or (extra is not None and extra[1] in EXTRAS)


def assert_module_exists(arguments: list[str]) -> None:
    """Find the module that `python -m` names."""
    if "-m" in arguments:
        assert find_spec(arguments[arguments.index("-m") + 1]) is not None
