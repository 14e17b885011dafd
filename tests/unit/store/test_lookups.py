"""Each name is looked up once a month."""

from __future__ import annotations

import json
from pathlib import Path

from asyncreport.store.lookups import NAME_LIFETIME, Names
from tests.unit.store.facts import START


def test_a_name_that_was_looked_up_is_kept_and_not_missing(tmp_path: Path) -> None:
    Names(tmp_path / "names.json").save("https://api", {"a": "Ann", "b": None}, now=START)
    names = Names(tmp_path / "names.json")
    assert names.of("https://api") == {"a": "Ann", "b": None}
    assert names.missing("https://api", ["c", "b", "a", "c"], now=START + 1) == ["c"]


def test_connections_do_not_share_names(tmp_path: Path) -> None:
    names = Names(tmp_path / "names.json")
    names.save("one", {"a": "Ann"}, now=START)
    assert names.of("other") == {}
    assert names.missing("other", ["a"], now=START) == ["a"]


def test_a_name_is_used_for_thirty_days_and_then_looked_up_again(
    tmp_path: Path,
) -> None:
    names = Names(tmp_path / "names.json")
    names.save("one", {"a": "Ann"}, now=START)
    assert names.missing("one", ["a"], now=START + NAME_LIFETIME) == []
    assert names.missing("one", ["a"], now=START + NAME_LIFETIME + 1) == ["a"]
    names.save("one", {"a": "Anne"}, now=START + NAME_LIFETIME + 1)
    assert names.missing("one", ["a"], now=START + NAME_LIFETIME + 2) == []
    assert names.of("one") == {"a": "Anne"}


def test_the_file_is_a_table_that_people_can_read(tmp_path: Path) -> None:
    Names(tmp_path / "names.json").save("one", {'"\n\u202e/..': "\u202e\n{"}, now=START)
    assert json.loads((tmp_path / "names.json").read_bytes()) == {
        "one": {'"\n\u202e/..': ["\u202e\n{", "2023-01-01T00:00:00.000Z", "8ba88217"]}
    }


def test_a_name_that_somebody_edited_is_looked_up_again(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    Names(path).save("one", {"a": "Ann", "b": "Bob"}, now=START)
    path.write_text(path.read_text().replace("Ann", "Anna Karenina"))
    names = Names(path)
    assert names.of("one") == {"b": "Bob"}
    assert names.missing("one", ["a", "b"], now=START) == ["a"]


def test_names_of_a_version_without_checksums_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text('{"one": {"a": ["Ann", "2023-01-01T00:00:00.000Z"]}}')
    assert Names(path).of("one") == {"a": "Ann"}
