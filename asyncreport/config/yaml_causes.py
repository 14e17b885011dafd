"""The likely cause of a text that is not YAML, and the line of the mistake. Pure.

A YAML reader gives up where the text makes no sense any more. The mistake is often one line above.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Cause(NamedTuple):
    """What a person most likely did, and where."""

    #: counted from 0
    line: int
    text: str


#: a key, then a colon without a blank; not `https://host` and not a time of day
_NO_BLANK = re.compile(r"\s*(?:-\s*)?['\"]?[A-Za-z_]\w*['\"]?:(?!//)[^\s\d].*|\s*-?\s*[a-z_]+:\d.*")
#: an item of a list without a blank after its dash
_NO_BLANK_AFTER_DASH = re.compile(r"\s*-[A-Za-z_]\w*:.*")
#: a key alone, without its colon
_BARE_KEY = re.compile(r"\s*(?:-\s+)?[A-Za-z_]\w*\s*")
_KEY_AND_VALUE = re.compile(r"\s*(?:-\s+)?[A-Za-z_]\w*:\s+\S.*")
#: a value that is a comma: `decimal: ,` or `{decimal: ,, delimiter: ;}`
_COMMA = re.compile(r"(?:^|[{,\s])[A-Za-z_]\w*:\s+,")
_TWO_COLONS = re.compile(r"\s*(?:-\s+)?\w+:\s+[^'\"\s\[{].*:\s.*")


def likely_cause(lines: Sequence[str], number: int) -> Cause | None:
    """Find the cause of a problem that the reader has with line `number`; None if none is known."""
    for each in (number, _before(lines, number)):
        line = _line(lines, each)
        if _NO_BLANK_AFTER_DASH.fullmatch(line):
            return Cause(each, "put a blank after the dash")
        if _NO_BLANK.fullmatch(line):
            return Cause(each, "put a blank after the colon")
    if _COMMA.search(_line(lines, number)):
        return Cause(number, "put the comma in quotes: ','")
    return _colon(lines, number) or _indentation(lines, number)


def _line(lines: Sequence[str], number: int) -> str:
    """Give a line; empty before the first and after the last."""
    if 0 <= number < len(lines):
        return lines[number]
    return ""


def _before(lines: Sequence[str], number: int) -> int:
    """Find the nearest line above that is neither empty nor a comment; -1 if there is none."""
    for each in range(min(number, len(lines)) - 1, -1, -1):
        text = lines[each].strip()
        if text and not text.startswith("#"):
            return each
    return -1


def _colon(lines: Sequence[str], number: int) -> Cause | None:
    """Find a key without its colon, or a value with one too many."""
    above = _before(lines, number)
    if _BARE_KEY.fullmatch(_line(lines, above)):
        return Cause(above, "a key needs a colon after it")
    if _TWO_COLONS.fullmatch(_line(lines, number)):
        return Cause(number, "put a value that contains a colon and a blank in quotes")
    return None


def _indentation(lines: Sequence[str], number: int) -> Cause | None:
    """Find a line that is indented otherwise than the lines that belong to it."""
    line = _line(lines, number)
    if not line.strip() or not re.match(r"\s*(?:-\s+)?\S+:", line):
        return None
    above = _line(lines, _before(lines, number))
    if _indent(line) > _indent(above) and _KEY_AND_VALUE.fullmatch(above):
        return Cause(number, "indent it like the line above, which already has a value")
    return Cause(number, "indent it like the keys that it belongs to")


def _indent(line: str) -> int:
    """Count the blanks at the start of a line."""
    return len(line) - len(line.lstrip(" "))
