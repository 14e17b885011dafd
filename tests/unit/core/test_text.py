"""Words of a server's reach a terminal as printable characters alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.text import one_line, printable


@given(st.text())
def test_what_is_shown_is_as_long_as_it_was_and_printable(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(new in (old, " ") for old, new in zip(text, shown, strict=True))


@given(st.text(), st.integers(1, 60))
def test_one_line_is_short_printable_and_without_needless_blanks(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert line.isprintable()
    assert len(line) <= longest
    assert "  " not in line


def test_what_is_printable_stays() -> None:
    assert printable("Søren O'Brien – 東京 שלום") == "Søren O'Brien – 東京 שלום"
    assert printable("\x1b[31mred\x07\r\n\u2028\u202egnp.exe\ud800") == " [31mred     gnp.exe "
