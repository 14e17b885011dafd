"""Writes lines of a `.env` file. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: a value that every reader of such files takes as it is
_PLAIN = re.compile(r"[A-Za-z0-9_.~/+=-]+")


def with_variables(text: str, variables: Mapping[str, str]) -> str:
    """Add variables at the end of the text of a `.env`; what it has stays as it is."""
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"{name}={_value(value)}\n" for name, value in variables.items())


def _value(text: str) -> str:
    """Write a value, in quotes if it needs them."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    # Variables are replaced in quotes too, and nothing escapes a `${`. A variable without a name is
    # never set, so its default, a dollar, is used.
    return "'" + escaped.replace("${", "${:-$}{") + "'"
