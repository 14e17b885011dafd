"""One result of `check` or `verify`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from asyncreport.core.text import printable


class Finding(Struct, frozen=True):
    """The result of one test: a level, a line, and more lines with details."""

    level: Literal["OK", "WARN", "FAIL"]
    text: str
    details: tuple[str, ...] = ()
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

    def __str__(self) -> str:
        """Write the line and its details, each on a line of its own."""
        lines = [f"{self.level:<4}  {self.text}"]
        lines += [f"      {detail}" for detail in self.details]
        # Names and messages of a server are in these lines.
        return "\n".join(map(printable, lines))


#: take a finding when it comes; an error that it raises ends the tests
Report = Callable[[Finding], None]
