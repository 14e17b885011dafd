"""A person is found in files of every format, whatever their names, and in damaged files."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from zoneinfo import ZoneInfo

import pytest

from asyncreport.core.person import Person
from asyncreport.core.table import Column, CsvStyle, Table
from asyncreport.formats import FORMATS, Conversion
from asyncreport.store.search import holds

USER = "0b1d6a5e-7c43-4f0e-9f0a-3c5d8e2f1a90"
NAME = 'Siobhán "Shiv" O\'Neil & Söhne'
TABLE = Table(
    (Column("user_id", "user_id", "text"), Column("user_name", "user_name", "text")),
    ZoneInfo("UTC"),
    CsvStyle(),
)
#: more than one block of what is read at once
ROWS = 20_000

SUFFIXES = [
    pytest.param(each, marks=pytest.mark.extra) if found.library else each
    for each, found in FORMATS.items()
]


def written(folder: Path, suffix: str, user: str, name: str) -> Path:
    """Write a file of a format, with one row of a user among many others."""
    rows = [{"user_id": f"{number:036}", "user_name": f"Agent {number}"} for number in range(ROWS)]
    rows[ROWS // 2] = {"user_id": user, "user_name": name}
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    convert = FORMATS[suffix].convert
    if convert is None:
        return source
    # The kind of a file is known from its content: its name may be any.
    target = folder / "copy.bak"
    target.touch()
    convert(Conversion(source=source, target=target, table=TABLE, scratch=folder, stopped=Event()))
    return target


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_id_and_name_are_found_in_each_format(suffix: str, tmp_path: Path) -> None:
    person = Person(USER, names=(NAME,))
    assert holds(written(tmp_path, suffix, USER, "Anna"), person)
    assert holds(written(tmp_path, suffix, "other", NAME), person)
    assert not holds(written(tmp_path, suffix, "other", "Anna"), person)


@pytest.mark.parametrize("suffix", [each for each in SUFFIXES if each not in (".jsonl", ".csv")])
def test_a_file_that_cannot_be_read_may_have_the_person(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path, suffix, "other", "Anna")
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:4], content[:4] + b"\0" * 100):
        path.write_bytes(damaged)
        assert holds(path, Person(USER))


def test_a_text_over_the_border_of_two_blocks_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for begin in range((1 << 20) - 40, (1 << 20) + 5, 5):
        path.write_bytes(b" " * begin + USER.encode() + b" " * 10)
        assert holds(path, Person(USER))
    path.write_bytes(b"")
    assert not holds(path, Person(USER))
