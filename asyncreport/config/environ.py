"""The environment: `.env`, and `${VARIABLE}` in a job file. Reads `.env`; owns no file.

The process's environment comes only as an argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from asyncreport.config.validate import VALUE_SHOWN, Place
from asyncreport.config.yaml import Node, Value
from asyncreport.core.errors import ConfigError
from asyncreport.core.text import shorten


def read_environ(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Add the variables of a folder's `.env`, if it exists, to an environment.

    A variable of the environment takes precedence, even if it is empty.
    Raise ConfigError if `.env` is unreadable or has a line that is not `NAME=VALUE`.
    """
    path = folder / ".env"
    lines = _read_lines(path)
    for line in lines:
        if line.error:
            raise _bad_line(path, line.original.line)
    return {**_variables(lines), **environ}


def _variables(lines: Iterable[Binding]) -> dict[str, str]:
    """Give the variables of parsed lines; empty lines and comments have no key."""
    variables: dict[str, str] = {}
    for line in lines:
        if line.key is not None and line.value is not None:
            variables[line.key] = line.value
    return variables


def _bad_line(path: Path, number: int) -> ConfigError:
    # The line is not shown: it may contain a secret.
    return ConfigError(
        f"{path}:{number}: is not a NAME=VALUE line; "
        "correct it, or start it with # to make it a comment"
    )


def _read_lines(path: Path) -> list[Binding]:
    """Read and parse `.env`; a file that does not exist has no lines."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return list(parse_stream(file))
    except FileNotFoundError:
        return []
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
    return [expand(place.at(number), environ) for number in range(count)]


def _expanded_text(
    place: Place,
    text: str,
    environ: Mapping[str, str],
) -> str:
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
    return place.must(
        "have a variable's name and } after ${",
        "; write ${VARIABLE}, or $${ for a literal ${",
    )


def _not_set(place: Place, name: str) -> ConfigError:
    shown = shorten(name, VALUE_SHOWN)
    return place.error(f"the variable {shown} is not set; set it in the environment or in .env")
