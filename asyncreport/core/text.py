"""Words that came from elsewhere, made fit to be shown: no text of a server's moves a terminal's cursor. Pure."""

from __future__ import annotations

from collections.abc import Sequence

#: items of one kind that a message lists
SHOWN = 20


def printable(text: str) -> str:
    """Put a blank in place of every character that is not printable, line breaks and marks of direction among them."""
    return (
        text
        if text.isprintable()
        else "".join(char if char.isprintable() else " " for char in text)
    )


def one_line(text: str, longest: int) -> str:
    """Make one line of printable characters without needless blanks, of so many characters at most."""
    line = " ".join(printable(text[: 20 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def counted(number: int, noun: str) -> str:
    """Write a number of things: `1 chunk`, `1,200 chunks`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Write seconds as people say them: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def first(lines: Sequence[str]) -> list[str]:
    """Keep the first of many lines, and say how many more there are."""
    more = [f"and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]
