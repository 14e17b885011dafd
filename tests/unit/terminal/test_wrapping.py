"""Lines between questions are broken between words, and nothing of them is lost."""

from __future__ import annotations

import pytest

from asyncreport.terminal.wrapping import wrapped

LINE = "FAIL  default: the server refused https://host.example/a-long/path and-so-on again"


def test_words_are_not_broken_and_what_follows_is_indented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    first, *more = wrapped(LINE).splitlines()
    assert first == "FAIL  default: the server refused"
    assert more == ["      https://host.example/a-long/path", "      and-so-on again"]
    assert wrapped("  a list  of 3").splitlines() == ["  a list  of 3"]
    assert wrapped("") == ""


@pytest.mark.parametrize("columns", [10, 50, 80, 120])
def test_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = wrapped(LINE).splitlines()
    assert " ".join(line.strip() for line in lines).split() == LINE.split()
    assert all(len(line) < columns or " " not in line.strip() for line in lines)
