"""Colour the word that says how serious a line is: `error:`, `warning:`, `OK`, `WARN`, `FAIL`.

Owns nothing; reads NO_COLOR and TERM.
"""

from __future__ import annotations

import os
import re
from typing import IO

#: colours as a terminal knows them: https://no-color.org says when not to use any
_GREEN, _YELLOW, _RED = "32", "33", "31"
_COLOURS = {
    "OK": _GREEN,
    "WARN": _YELLOW,
    "warning:": _YELLOW,
    "FAIL": _RED,
    "error:": _RED,
}
_WORD = re.compile(r"(?:OK|WARN|FAIL)(?=  )|(?:[^:]+: )?\b(error:|warning:)(?= )")


def coloured(line: str, stream: IO[str] | None) -> str:
    """Colour the word that says how serious a line is, if the stream is a terminal with colours."""
    match = _WORD.match(line)
    if match is None or not _has_colours(stream):
        return line
    word = match[1] or match[0]
    start = match.end() - len(word)
    return f"{line[:start]}\x1b[{_COLOURS[word]}m{word}\x1b[0m{line[match.end() :]}"


def _has_colours(stream: IO[str] | None) -> bool:
    """Tell whether a stream is a terminal whose user wants colours."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream is not None and stream.isatty()
