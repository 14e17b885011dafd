"""The warnings of a run, for its summary. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable

_PREFIX = "warning: "


class WarningList:
    """Print lines and remember which of them are warnings."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        # A dict keeps the order, and a warning that comes again is listed once.
        self._found: dict[str, None] = {}

    def say(self, line: str) -> None:
        """Print a line."""
        if line.startswith(_PREFIX):
            self._found[line.removeprefix(_PREFIX)] = None
        self._say(line)

    @property
    def texts(self) -> list[str]:
        """List the warnings so far, each once, without the word."""
        return list(self._found)
