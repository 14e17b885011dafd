"""A person is found however a file writes texts, and taken out of JSON values."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from xml.sax.saxutils import escape

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.person import ERASED, Person, PersonFinder, without_person

USER = "0b1d6a5e-7c43-4f0e-9f0a-3c5d8e2f1a90"
OTHER = "1b1d6a5e-7c43-4f0e-9f0a-3c5d8e2f1a90"
PERSON = Person(USER, ("anna@example.com",), ("Anna O'Neil",))
FINDER = PersonFinder(PERSON)


@pytest.mark.parametrize("name", ["Anna O'Neil", 'Siobhán "Shiv"', "A & B <C>", "Müller\\李"])
def test_a_name_is_found_in_each_spelling(name: str) -> None:
    row = io.StringIO()
    csv.writer(row).writerow([name, "1"])
    finder = PersonFinder(Person(USER, names=(name,)))
    for text in (name, json.dumps(name), orjson.dumps(name).decode(), escape(name), row.getvalue()):
        assert finder.occurs_in(b"before " + text.encode() + b" after"), text


@pytest.mark.parametrize("text", ["Annabel", "anna o'neill", OTHER, "joanna@example.com", ""])
def test_a_piece_of_a_longer_word_is_not_the_person(text: str) -> None:
    assert not FINDER.occurs_in(text.encode())


@pytest.mark.parametrize("text", [USER.upper(), "ANNA@example.com", "x,anna o'neil;"])
def test_upper_case_does_not_matter(text: str) -> None:
    assert FINDER.occurs_in(text.encode())


def test_entries_and_items_go_and_longer_texts_stay_without_the_id() -> None:
    value = {
        "org": {USER: ["Anna O'Neil", "2024"], OTHER: ["Anna O'Neil", "2024"]},
        "emails": {"anna@example.com": USER, "ben@example.com": OTHER},
        "team": {"users": [OTHER, USER], "shown": None, "count": 2},
        "warnings": [f"1 listed user is unknown: {USER.upper()}; compare", "nobody has it"],
    }
    assert without_person(value, PERSON) == {
        "org": {OTHER: ["Anna O'Neil", "2024"]},
        "emails": {"ben@example.com": OTHER},
        "team": {"users": [OTHER], "shown": None, "count": 2},
        "warnings": [f"1 listed user is unknown: {ERASED}; compare", "nobody has it"],
    }


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_VALUES = st.recursive(
    _LEAVES | st.sampled_from([USER, f"user {USER}", OTHER]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just(USER), inner),
    max_leaves=10,
)


@given(_VALUES)
def test_nothing_of_the_person_is_in_the_copy_and_other_values_are_equal(value: Any) -> None:
    copy = without_person([value], PERSON)
    assert USER not in json.dumps(copy)
    if USER not in json.dumps(value):
        assert copy == [value]
