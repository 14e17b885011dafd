"""Words that came from elsewhere, made fit to be shown: no text of a server's moves a terminal's cursor. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """Put a blank in place of every character that is not printable, line breaks and marks of direction among them."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def one_line(text: str, longest: int) -> str:
    """Make one line of printable characters without needless blanks, of so many characters at most."""
    line = " ".join(printable(text[: 20 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
