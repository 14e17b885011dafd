"""Numbers, lists, durations and text of a server, as messages show them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.text import (
    age,
    counted,
    describe_batch,
    describe_users,
    duration,
    first_items,
    first_lines,
    one_line,
    plural,
    printable,
    shorten,
)

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@given(st.text())
def test_printable_text_has_the_same_length(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(new in (old, " ") for old, new in zip(text, shown, strict=True))


def test_printable_replaces_control_characters_and_keeps_letters() -> None:
    assert printable("Søren O'Brien – 東京 שלום") == "Søren O'Brien – 東京 שלום"
    assert printable("\x1b[31mred\x07\r\n\u2028\u202egnp.exe\ud800") == " [31mred     gnp.exe "


@given(st.text(), st.integers(1, 60))
def test_shortened_text_keeps_its_beginning(text: str, longest: int) -> None:
    shown = shorten(text, longest)
    assert len(shown) <= longest
    assert shown == text or (shown[-1] == "…" and text.startswith(shown[:-1]))


@given(st.text(), st.integers(1, 60))
def test_one_line_is_short_and_printable_without_repeated_blanks(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert line.isprintable()
    assert len(line) <= longest
    assert "  " not in line
    words = " ".join(printable(text).split())
    if len(words) <= longest:
        assert line == words
    else:
        assert len(line) == longest
        assert line.endswith("…")
        assert words.startswith(line.removesuffix("…"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Bad request", "Bad request"),
        ("  Bad\r\n  request ", "Bad request"),
        ("Bad requests", "Bad reques…"),
    ],
)
def test_one_line_keeps_the_words(text: str, line: str) -> None:
    assert one_line(text, 11) == line


def test_words_follow_their_number() -> None:
    assert plural(1, "chunk") == "chunk"
    assert plural(0, "chunk") == "chunks"
    assert plural(1, "is", "are") == "is"
    assert plural(2, "is", "are") == "are"
    assert counted(1, "chunk") == "1 chunk"
    assert counted(1200, "chunk") == "1,200 chunks"
    assert counted(2, "retry", "retries") == "2 retries"


def test_first_lines_say_how_many_more_exist() -> None:
    lines = [f"line {n}" for n in range(25)]
    assert first_lines([]) == []
    assert first_lines(lines[:5]) == lines[:5]
    assert first_lines(lines) == [*lines[:5], "and 20 more"]
    assert first_lines(lines[:6], "part") == [*lines[:5], "and 1 more part"]
    assert first_lines(lines, "part", limit=2) == ["line 0", "line 1", "and 23 more parts"]


def test_first_items_say_how_many_more_exist() -> None:
    items = ["a", "b", "c"]
    assert first_items([]) == ""
    assert first_items(items) == "a, b, c"
    assert first_items(items, limit=2) == "a, b and 1 more"
    assert first_items(items, "file", limit=1) == "a and 2 more files"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (4.2, "4.2 s"),
        (10, "10 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7800, "2 h 10 min"),
        (100 * 3600, "100 h 0 min"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-HOUR, "just now"),
        (999, "just now"),
        (4200, "4.2 s ago"),
        (2 * HOUR + 10 * MINUTE, "2 h 10 min ago"),
        (2 * DAY - 1000, "47 h 59 min ago"),
        (2 * DAY, "2 days ago"),
        (1500 * DAY, "1,500 days ago"),
    ],
)
def test_an_age_is_in_days_from_two_days_on(ms: int, text: str) -> None:
    now = 1_700_000_000_000
    assert age(now - ms, now=now) == text


def test_users_are_described_in_a_few_words() -> None:
    assert describe_users(None) == "everyone"
    assert describe_users(("u1",)) == "user u1"
    assert describe_users(("u1", "u2")) == "2 users"
    assert describe_batch(None) == "everyone"
    assert describe_batch(("u1",)) == "user u1"
    assert describe_batch(("u1", "u2", "u3")) == "3 users from u1 to u3"
