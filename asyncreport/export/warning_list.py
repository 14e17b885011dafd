"""The warnings of a run, for its summary. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable


class WarningList:
    """Print lines and warnings, and remember the warnings.

    `warn` prints a warning; None: `say` prints it, as the line `warning: ...`.
    """

    def __init__(
        self, say: Callable[[str], None], warn: Callable[[str], None] | None = None
    ) -> None:
        self._say = say
        self._warn = warn or self._say_warning
        # A dict keeps the order, and a warning that comes again is listed once.
        self._found: dict[str, None] = {}

    def say(self, line: str) -> None:
        """Print a line."""
        self._say(line)

    def warn(self, text: str) -> None:
        """Print a warning, and remember it."""
        self._found[text] = None
        self._warn(text)

    def _say_warning(self, text: str) -> None:
        """Print a warning as a line."""
        self._say(f"warning: {text}")

    @property
    def texts(self) -> list[str]:
        """List the warnings so far, each once, without the word."""
        return list(self._found)
