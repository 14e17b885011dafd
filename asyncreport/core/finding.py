"""What a check found. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from asyncreport.core.text import printable


class Finding(Struct, frozen=True):
    """One thing tried, in a line, and what there is to say of it in lines under it."""

    level: Literal["OK", "WARN", "FAIL"]
    text: str
    details: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """Give the exit code that this finding alone would end with."""
        return 1 if self.level == "FAIL" else 0

    def __str__(self) -> str:
        lines = (f"{self.level:<4}  {self.text}", *(f"      {line}" for line in self.details))
        return "\n".join(map(printable, lines))  # a server's words may be in them
