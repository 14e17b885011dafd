"""The name of a connection in front of a line. Pure."""

from __future__ import annotations

from collections.abc import Callable

#: put the name of a connection in front of a line, if there are several
Label = Callable[[str, str], str]


def no_label(_: str, text: str) -> str:
    """Leave the name out."""
    return text
