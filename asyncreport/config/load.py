"""Turns a job file, or options, into a Job: reads, puts `--set` over it, expands, checks, resolves. Reads the file it is told to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asyncreport.config import yaml
from asyncreport.config.environ import expand
from asyncreport.config.place import Place
from asyncreport.config.resolve import resolve
from asyncreport.config.schema import convert
from asyncreport.config.yaml import Node
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job

#: of a job file; 20,000 listed users take less
BYTES = 1 << 20


def load_job(
    path: Path, *, environ: Mapping[str, str], overrides: Sequence[str] = (), now: int
) -> Job:
    """Load a job file with `KEY=VALUE` overrides put over it; `now` is an instant.

    Raise ConfigError for anything wrong, with file and line (or the override), key, value and what is accepted.
    """
    root = yaml.read(_text(path), str(path))
    if root.value is None:
        raise ConfigError(f"{path}: is empty; configs/demo.yaml is a job file to begin with")
    for option in overrides:
        root = _override(root, option)
    root = expand(Place(root), environ)
    return resolve(Place(root), convert(root), environ=environ, now=now)


def load_options(
    values: Mapping[str, Any], *, labels: Mapping[str, str], environ: Mapping[str, str], now: int
) -> Job:
    """Load a tree of plain values shaped like a job file; `now` is an instant. Nothing is expanded, and None is "left empty".

    Raise ConfigError as `load_job` does, with the label of the key, or of the nearest one around it, in place of file and line:
    `labels` maps a key as messages spell it, `range.start`, to what the person wrote, `--start`; "" is the root's.
    """
    root = _labelled(values, Place(Node("", None)), labels, labels.get("", "options"))
    return resolve(Place(root), convert(root), environ=environ, now=now)


def _labelled(value: Any, place: Place, labels: Mapping[str, str], around: str) -> Node:
    where = labels.get(place.spelled, around)
    match value:
        case Mapping():
            return Node(
                where,
                {
                    key: _labelled(member, place.at(key), labels, where)
                    for key, member in value.items()
                },
            )
        case list() | tuple():
            return Node(
                where, [_labelled(item, place.at(n), labels, where) for n, item in enumerate(value)]
            )
        case _:
            return Node(where, value, str(value))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such file; name a job file such as configs/demo.yaml"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name a readable job file"
        ) from error
    if len(content) > BYTES:
        raise ConfigError(
            f"{path}: is larger than 1 MiB; a job file lists users, and 20,000 of them fit"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8; save the file as UTF-8") from error


# Keys are spelled as the messages spell them: `teams[0].name`.
_OPTION = re.compile(
    r"([^=.\[\]]+(?:\[[0-9]{1,6}\])*(?:\.[^=.\[\]]+(?:\[[0-9]{1,6}\])*)*)=(.*)", re.DOTALL
)


def _override(root: Node, option: str) -> Node:
    match = _OPTION.fullmatch(option)
    if match is None:
        raise ConfigError(
            f"--set {re.split('[=:]', option)[0][:60]}: is no KEY=VALUE; write for example --set range.end=2024-02-01"
        )
    label = f"--set {match[1][:60]}"
    keys = [
        int(index) if index else key
        for index, key in re.findall(r"\[([0-9]+)\]|([^.\[\]]+)", match[1])
    ]
    return _put(root, keys, yaml.read(match[2].strip() or "null", label, numbered=False))


def _put(node: Node, keys: Sequence[str | int], new: Node) -> Node:
    """Copy a tree with another value under a key; a mapping on the way that is not there is made."""
    if not keys:
        return new
    key, rest = keys[0], keys[1:]
    if isinstance(node.value, dict) and isinstance(key, str):
        below = node.value.get(key, Node(new.where, {}))
        return replace(node, value={**node.value, key: _put(below, rest, new)})
    if isinstance(node.value, list) and isinstance(key, int) and key < len(node.value):
        return replace(
            node,
            value=[
                _put(item, rest, new) if n == key else item for n, item in enumerate(node.value)
            ],
        )
    raise ConfigError(
        f"{new.where}: there is no {key} to set at {node.where}; name a key that the job file can have"
    )
