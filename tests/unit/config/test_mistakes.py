"""Mistakes of a first job file: each is answered with the line, the cause and what is right.

`bad_jobs.txt` has the whole rules; this table has what was seen, one change of a good file each.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from asyncreport.config import load_job
from asyncreport.core.errors import ConfigError

GOOD = """\
name: nightly
connections:
  default:
    region: eu-west-1
    client_id: the-client
    client_secret: ${SECRET}
range:
  start: 2024-01-01
  end: 2024-02-01
  time_zone: UTC
  granularity: PT30M
teams:
  - name: support
    group: Support
output:
  path: exports/aht.jsonl
"""
NOW = 1_750_000_000_000

#: what is wrong -> what is replaced, and by what
MISTAKES = {
    # YAML
    "a line indented too little": ("    group: S", "   group: S"),
    "a line indented too much": ("  end: 2024", "   end: 2024"),
    "a line outside its section": ("  end: 2024", " end: 2024"),
    "no blank after a colon, in a list": ("- name: support", "- name:support"),
    "no blank after a colon": ("start: 2024", "start:2024"),
    "no blank after a dash": ("- name: support", "-name: support"),
    "a quote that is not closed": ("path: exports/aht.jsonl", 'path: "exports/aht.jsonl'),
    "a quote that is not closed, in the middle": ("group: Support", "group: 'Support"),
    "a bracket that is not closed": ("group: Support", "users: [ann, bob"),
    "a tab": ("  start: 2024", "\tstart: 2024"),
    "a key twice": ("  end: 2024-02-01", "  end: 2024-02-01\n  end: 2024-03-01"),
    "a section without a colon": ("output:\n", "output\n"),
    "a value with a colon": ("group: Support", "group: Support: east"),
    "a value that starts with *": ("group: Support", "group: *all"),
    "a value that starts with &": ("group: Support", "group: &all"),
    "a value that starts with @": ("group: Support", "group: @all"),
    "a value that starts with %": ("group: Support", "group: %all"),
    "a comma as a value": ("aht.jsonl", "aht.csv\n  csv:\n    decimal: ,"),
    "a comma as a value, in braces": (
        "aht.jsonl",
        "aht.csv\n  csv: {delimiter: ;, decimal: ,}",
    ),
    "a comma as the first value, in braces": (
        "aht.jsonl",
        "aht.csv\n  csv: {decimal: ,, delimiter: ;}",
    ),
    "a value that starts with #": ("group: Support", "group: #1"),
    "braces in a mapping of one line": (
        "  default:\n    region: eu-west-1\n    client_id: the-client\n",
        "  default: {region: eu-west-1, client_id: ${ID}}\n",
    ),
    "a blank that is not a plain one": ("  path: e", "\u00a0 path: e"),
    "a backslash in double quotes": ("exports/aht.jsonl", '"C:\\exports\\aht.jsonl"'),
    "a second document": ("teams:", "---\nteams:"),
    # keys
    "a key with a wrong letter": ("granularity", "granuarity"),
    "a key in the wrong place": ("  time_zone: UTC\n", "  zone: UTC\n"),
    "a section that is missing": ("range:\n", "ranges:\n"),
    "a list in place of a mapping": ("output:\n  path", "output:\n  - path"),
    "a mapping in place of a list": ("  - name: support\n    group", "  name: support\n  group"),
    "a team that selects nobody": ("    group: Support\n", ""),
    "users whose key was forgotten": ("    group: Support\n", "      ann\n      bob\n"),
    "two ways to select": ("group: Support", "group: Support\n    queue: Night"),
    # values
    "the zone of a city": ("UTC", "Berlin"),
    "a zone in small letters": ("UTC", "europe/berlin"),
    "an offset as a zone": ("UTC", "CET+1"),
    "a granularity in small letters": ("PT30M", "pt30m"),
    "a granularity as other tools write it": ("PT30M", "30min"),
    "a granularity that does not exist": ("PT30M", "PT45M"),
    "a region with a wrong digit": ("eu-west-1", "eu-west-11"),
    "a country as a region": ("eu-west-1", "ireland"),
    "a date as people write it": ("start: 2024-01-01", "start: 01.01.2024"),
    "a day that does not exist": ("start: 2024-01-01", "start: 2024-02-30"),
    "an end before the start": ("end: 2024-02-01", "end: 2023-02-01"),
    "a variable without braces": ("${SECRET}", "$SECRET"),
    "a variable that is not set": ("${SECRET}", "${SECERT}"),
    "a variable that is not closed": ("${SECRET}", "${SECRET"),
    "a path of Windows": ("exports/aht.jsonl", "C:\\exports\\aht.jsonl"),
    "a share of Windows": ("exports/aht.jsonl", "\\\\server\\share\\aht.jsonl"),
    "an unknown format": ("aht.jsonl", "aht.doc"),
    "a folder as the output": ("exports/aht.jsonl", "exports/"),
    # several connections
    "a connection and connections": (
        "group: Support",
        "group: Support\n    connection: default\n    connections: all",
    ),
    "an unknown connection in a list": (
        "group: Support",
        "group: Support\n    connections: [default, defualt]",
    ),
    "a connection twice in a list": (
        "group: Support",
        "group: Support\n    connections: [default, default]",
    ),
    "no connection in a list": ("group: Support", "group: Support\n    connections: []"),
    "a connection in place of a list": (
        "group: Support",
        "group: Support\n    connections: default",
    ),
    "users on several connections": ("group: Support", "users: [ann@x.org]\n    connections: all"),
    "a file of one connection next to a file of all": (
        "path: exports/aht.jsonl",
        "path: [exports/aht.jsonl, 'exports/{connection}.csv']",
    ),
    "an unknown placeholder": ("exports/aht.jsonl", "exports/{conection}.jsonl"),
}


def message(folder: Path, old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    path = folder / "job.yaml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_job(path, environ={"SECRET": "s3cr3t", "ID": "i"}, now=NOW)
    assert "s3cr3t" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


def test_each_mistake_has_its_line_and_its_cause(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    table = [f"{name}\n    {message(tmp_path, *change)}" for name, change in MISTAKES.items()]
    assert "\n".join(table) == snapshot


@pytest.mark.parametrize("name", MISTAKES)
def test_each_message_begins_with_file_and_line(tmp_path: Path, name: str) -> None:
    place, _, fact = message(tmp_path, *MISTAKES[name]).partition(": ")
    file, _, line = place.partition(":")
    assert (file, line.isdecimal()) == ("job.yaml", True)
    assert fact
    assert "mapping values are not allowed" not in fact


def load(folder: Path, text: str) -> ConfigError:
    """Load a file with mistakes; give the error."""
    (folder / "job.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_job(folder / "job.yaml", environ={"SECRET": "s"}, now=NOW)
    return caught.value


def test_all_mistakes_of_a_file_are_reported_in_its_order(tmp_path: Path) -> None:
    text = GOOD.replace("region:", "regoin:")
    text = text.replace("group: Support", "everyone: yes please").replace("path:", "paht:")
    found = [each.partition("job.yaml:")[2].split(": ")[:2] for each in load(tmp_path, text).texts]
    assert found == [
        ["4", "connections.default.regoin"],
        ["14", "teams[0].everyone"],
        ["16", "output.paht"],
    ]


def test_a_missing_key_that_may_be_misspelled_is_not_reported_twice(tmp_path: Path) -> None:
    error = load(tmp_path, GOOD.replace("  start:", "  begin:"))
    assert [each.partition("job.yaml:")[2].split(": ")[1] for each in error.texts] == [
        "range.begin"
    ]


def test_ten_mistakes_are_enough(tmp_path: Path) -> None:
    text = GOOD.replace("group: Support", f"users: [{', '.join(map(str, range(15)))}]")
    error = load(tmp_path, text)
    assert len(error.texts) == 11
    assert "teams[0].users[9]" in error.texts[9]
    assert error.texts[10] == "and 5 more mistakes"
    assert str(error) == "\n".join(error.texts)
