"""Long lines are folded between words."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.terminal.folding import fold, folded

WORDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=30)


@given(words=st.lists(WORDS, min_size=1, max_size=40), columns=st.integers(20, 120))
def test_no_word_is_cut_or_lost(words: list[str], columns: int) -> None:
    lines = fold(" ".join(words), columns).split("\n")
    assert " ".join(lines).split() == words
    for line in lines:
        assert len(line) <= columns or len(line.split()) == 1
    # What a server wrote is never at the start of a line.
    assert all(line.startswith("  ") for line in lines[1:])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("FAIL  default: no token", "FAIL  default: no\n      token"),
        ("  billing: 7,449 records", "  billing: 7,449\n    records"),
        ("error: no such file as this", "error: no such file\n  as this"),
        ("  /a/path/that/is/too/long", "  /a/path/that/is/too/long"),
        ("short   enough", "short   enough"),
    ],
)
def test_the_rest_of_a_line_is_further_in(line: str, expected: str) -> None:
    assert fold(line, 20) == expected


@pytest.mark.parametrize("columns", [0, 19])
def test_without_room_a_line_stays_as_it_is(columns: int) -> None:
    assert fold("word " * 40, columns) == "word " * 40


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_what_is_not_a_terminal_gets_whole_lines(stream: io.StringIO | None) -> None:
    assert folded("word " * 40, stream) == "word " * 40
