"""The environment: `.env` under it, and `${VARIABLE}` in a job file. Reads `.env`; knows no process environment but its argument."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dotenv.parser import parse_stream

from asyncreport.config.place import Place
from asyncreport.config.yaml import Node
from asyncreport.core.errors import ConfigError


def read_environ(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Put the `.env` of a folder, where there is one, under an environment, which always wins; raise ConfigError where it is unreadable."""
    path = folder / ".env"
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = list(parse_stream(file))
    except FileNotFoundError:
        lines = []
    except IsADirectoryError as error:
        raise ConfigError(
            f"{path}: is a folder; remove it, or put a file of NAME=VALUE lines there"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); mend its permissions or remove it"
        ) from error
    for line in lines:
        if line.error:  # without its words: a secret may be among them
            raise ConfigError(
                f"{path}:{line.original.line}: is no line of the form NAME=VALUE; mend it, or begin it with #"
            )
    return {
        **{
            line.key: line.value
            for line in lines
            if line.key is not None and line.value is not None
        },
        **environ,
    }


# `$${` stands for itself; a `${` that nothing closes is caught with an empty name.
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([^{}]*)\})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def expand(place: Place, environ: Mapping[str, str]) -> Node:
    """Copy a tree with every `${VARIABLE}` of its texts expanded; raise ConfigError where one is not set."""
    node = place.node
    assert node is not None
    match node.value:
        case dict(members):
            return replace(node, value={key: expand(place.at(key), environ) for key in members})
        case list(items):
            return replace(node, value=[expand(place.at(n), environ) for n in range(len(items))])
        case str(text):
            return replace(
                node, value=_REFERENCE.sub(lambda match: _expanded(place, match, environ), text)
            )
        case _:
            return node


def _expanded(place: Place, match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match[0] == "$${":
        return "${"
    name = match[1] or ""
    if not _VARIABLE.fullmatch(name):
        raise place.wrong(
            "holds a ${ without a variable's name and }; write ${VARIABLE}, or $${ for the characters themselves"
        )
    if name not in environ:
        raise place.error(
            f"the variable {name[:60]} is not set; set it in the environment or in .env"
        )
    return environ[name]
