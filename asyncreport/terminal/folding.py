"""Fold long lines between words; a terminal alone would cut words. Owns nothing."""

from __future__ import annotations

import os
import re
import textwrap
from typing import IO

#: a terminal with fewer columns has no room for words
_FEWEST_COLUMNS = 20

#: blanks by which the rest of a line is indented
_INDENT = 2

#: what comes before a line's text: how serious it is, or blanks
_FRONT = re.compile(r"(?:OK|WARN|FAIL) +|(?P<blanks> *)")


def folded(line: str, stream: IO[str] | None) -> str:
    """Fold a line if the stream is a terminal; in a file or a pipe a line stays one line."""
    return fold(line, _columns(stream))


def fold(line: str, columns: int) -> str:
    """Fold a line at blanks; a word that is too long stays whole. 0 columns: as it is."""
    if columns < _FEWEST_COLUMNS or len(line) <= columns:
        return line
    front = _FRONT.match(line)
    assert front is not None
    lines = textwrap.wrap(
        line[front.end() :],
        columns,
        initial_indent=front[0],
        subsequent_indent=_blanks_below(front),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def _blanks_below(front: re.Match[str]) -> str:
    """Give the indent of all lines but the first."""
    indent = front.end()
    if front["blanks"] is not None:
        indent += _INDENT
    return " " * indent


def _columns(stream: IO[str] | None) -> int:
    """Give the columns of a terminal; 0: the stream is not one, or it does not say."""
    if stream is None or not stream.isatty():
        return 0
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 0
