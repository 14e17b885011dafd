"""Names of a job's teams from names of the directory, which may be any text. Pure."""

from __future__ import annotations

import re
import unicodedata
from itertools import chain, count

from asyncreport.config.names import CLOSING, NAME_BYTES, OPENING, in_curly_quotes
from asyncreport.core.text import printable

#: characters that the name of a job's team must not have: it may be part of a file name
_NOT_IN_NAMES = re.compile(r"[/\\{}]")
#: bytes that a number in brackets needs
_ROOM = len(" (99999)")


def valid_name(text: str) -> str:
    """Change a text into one that a team may have as its name."""
    name = _NOT_IN_NAMES.sub("-", printable(text)).lstrip(" .")
    cut = name.encode()[: NAME_BYTES - _ROOM].decode(errors="ignore").strip()
    if cut and in_curly_quotes(cut):
        cut = cut.strip(f"{OPENING}{CLOSING} .")
    return cut or "team"


class TeamNames:
    """The names of the teams of a job, one for each selection."""

    def __init__(self) -> None:
        #: what a team selects, by its name; some file systems ignore case
        self._values: dict[str, object] = {}

    def choose(self, name: str, value: object) -> str:
        """Give a name for what a team selects: `A-B`, or `A-B (2)` if another one has it.

        The same selection keeps its name, so that a team that is given twice is refused.
        """
        name = valid_name(name)
        candidates = chain([name], (f"{name} ({number})" for number in count(2)))
        free = (each for each in candidates if self._values.get(_folded(each), value) == value)
        chosen = next(free)
        self._values[_folded(chosen)] = value
        return chosen


def _folded(name: str) -> str:
    """Spell a name so that names which some file system treats as one are equal."""
    return unicodedata.normalize("NFC", name).casefold()
