"""The environment: `.env`, and `${VARIABLE}` in a job file. Reads `.env`; owns no file.

The process's environment comes only as an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Original, parse_stream

from asyncreport.config.validate import VALUE_SHOWN, Place
from asyncreport.config.yaml import Node, Value
from asyncreport.core.errors import ConfigError
from asyncreport.core.text import shorten


def read_environ(
    folder: Path,
    environ: Mapping[str, str],
    file: Path = Path(".env"),
) -> dict[str, str]:
    """Add the variables of a folder's `.env`, or another file, if it exists, to an environment.

    A variable of the environment takes precedence, even if it is empty. `${NAME}` in a value is
    replaced: https://saurabh-kumar.com/python-dotenv/#variable-expansion
    Raise ConfigError if `.env` is unreadable or has a line that is not `NAME=VALUE`.
    """
    path = folder / file
    text = _read_text(path)
    # The public function only logs a line that it cannot read, and a variable would be missing.
    for line in parse_stream(StringIO(text)):
        if line.error:
            raise _bad_line(path, line.original)
    values = dotenv_values(stream=StringIO(text))
    given = {name: value for name, value in values.items() if value is not None}
    return {**given, **environ}


#: a value that begins with a quote
_QUOTED = re.compile(r"\s*(?:export\s+)?[^=\s]+\s*=\s*['\"]")


def _bad_line(path: Path, line: Original) -> ConfigError:
    """Make the error for a line of `.env`."""
    # The line is not shown: it may contain a secret.
    where = f"{path}:{line.line}"
    if _QUOTED.match(line.string):
        return ConfigError(f"{where}: the quote that opens here is not closed, or text follows it")
    return ConfigError(
        f"{where}: is not a NAME=VALUE line; correct it, or start it with # to make it a comment"
    )


def _read_text(path: Path) -> str:
    """Read `.env`; a file that does not exist is empty."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> ConfigError:
    """Say why a `.env` cannot be read, and what to do."""
    match error:
        case UnicodeDecodeError():
            fact = "is not UTF-8; save it as UTF-8"
        case IsADirectoryError():
            fact = "is a folder; remove it, or replace it by a file of NAME=VALUE lines"
        case _:
            fact = f"cannot be read ({error.strerror}); fix its permissions or remove it"
    return ConfigError(f"{path}: {fact}")


# `$${` is a literal `${`; an unclosed `${` matches with an empty name.
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([^{}]*)\})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand(place: Place, environ: Mapping[str, str]) -> Node:
    """Copy a tree with each `${VARIABLE}` of its texts expanded.

    Raise ConfigError for a variable that is not set.
    """
    node = place.node
    assert node is not None
    return replace(
        node,
        value=_expanded(
            place,
            node.value,
            environ,
        ),
    )


def variables_of(*places: Place) -> tuple[str, ...]:
    """Name the variables in the texts of places, as they were before they were expanded."""
    names: list[str] = []
    for place in places:
        if place.node is not None:
            names += filter(None, _REFERENCE.findall(place.node.text))
    return tuple(dict.fromkeys(names))


def _expanded(
    place: Place,
    value: Value,
    environ: Mapping[str, str],
) -> Value:
    """Copy a value and what is inside it; numbers, booleans and null have no variables."""
    if isinstance(value, dict):
        return {key: expand(place.at(key), environ) for key in value}
    if isinstance(value, list):
        return _expanded_items(place, len(value), environ)
    if isinstance(value, str):
        return _expanded_text(place, value, environ)
    return value


def _expanded_items(
    place: Place,
    count: int,
    environ: Mapping[str, str],
) -> list[Node]:
    """Replace the variables in the items of a list."""
    return [expand(place.at(number), environ) for number in range(count)]


def _expanded_text(
    place: Place,
    text: str,
    environ: Mapping[str, str],
) -> str:
    """Replace the variables in a text."""
    return _REFERENCE.sub(
        lambda match: _value_of(
            place,
            match,
            environ,
        ),
        text,
    )


def _value_of(
    place: Place,
    match: re.Match[str],
    environ: Mapping[str, str],
) -> str:
    """Give the text that replaces one reference."""
    if match[0] == "$${":
        return "${"
    name = match[1] or ""
    if not _VARIABLE.fullmatch(name):
        raise _not_a_reference(place)
    if name not in environ:
        raise _not_set(place, name)
    return environ[name]


def _not_a_reference(place: Place) -> ConfigError:
    """Make the error for a `${` without a name and `}`."""
    return place.must(
        "have a variable's name and } after ${",
        "; write ${VARIABLE}, or $${ for a literal ${",
    )


def _not_set(place: Place, name: str) -> ConfigError:
    """Make the error for a variable that is not set."""
    shown = shorten(name, VALUE_SHOWN)
    return place.error(f"the variable {shown} is not set; set it in the environment or in .env")
