"""One result of `check` or `verify`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from asyncreport.core.text import MAX_SHOWN, LongList, printable


class Finding(Struct, frozen=True):
    """The result of one test: a level, a line, and more lines with details."""

    level: Literal["OK", "WARN", "FAIL"]
    text: str
    details: tuple[str | LongList, ...] = ()
    #: the exit code of a command with this finding, if it is a failure
    failure_code: int = 1

    @property
    def exit_code(self) -> int:
        """Give the exit code of a command that has no other finding."""
        if self.level == "FAIL":
            return self.failure_code
        return 0

    @property
    def failed(self) -> bool:
        """Tell whether the test failed; a warning is not a failure."""
        return self.level == "FAIL"

    def describe(self, most: int) -> str:
        """Write the line and its details, of long lists at most so many lines."""
        lines = [f"{self.level:<4}  {self.text}"]
        for detail in self.details:
            lines += [f"      {line}" for line in _lines(detail, most)]
        # Names and messages of a server are in these lines.
        return "\n".join(map(printable, lines))

    def __str__(self) -> str:
        """Write the line and its details as without -v."""
        return self.describe(MAX_SHOWN)


def _lines(detail: str | LongList, most: int) -> list[str]:
    """Give the lines of a detail that are shown."""
    if isinstance(detail, LongList):
        return detail.first(most)
    return [detail]


#: take a finding when it comes; an error that it raises ends the tests
Report = Callable[[Finding], None]
