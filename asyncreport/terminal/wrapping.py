"""Break long lines between words, for people who read them on a terminal. Owns nothing."""

from __future__ import annotations

import re
import shutil
import textwrap

#: what stays free in front of the further parts of a line: as much as in front of its text
_INDENT = re.compile(r"(?:OK|WARN|FAIL) +| *")


def wrapped(line: str) -> str:
    """Break a line into several that are not wider than the terminal; words are not broken."""
    match = _INDENT.match(line)
    assert match is not None
    # Without the last column: some terminals begin a new line after it.
    width = shutil.get_terminal_size().columns - 1
    lines = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * match.end(),
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    return "\n".join(lines)
