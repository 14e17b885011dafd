"""Turns a job file or options into a Job: read, override, expand, check, resolve.

Reads the job file; owns no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asyncreport.config import yaml
from asyncreport.config.environ import expand
from asyncreport.config.resolve import resolve
from asyncreport.config.schema import convert
from asyncreport.config.validate import VALUE_SHOWN, Place
from asyncreport.config.yaml import Node
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job
from asyncreport.core.text import shorten

#: of a job file; 20,000 listed users need less
MAX_BYTES = 1 << 20


def load_job(
    path: Path,
    *,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    now: int,
) -> Job:
    """Load a job file and apply `KEY=VALUE` overrides; `now` is an instant.

    Raise ConfigError for any mistake, with file and line (or the override), key, value and what is
    accepted.
    """
    root = yaml.read(_read_text(path), str(path))
    if root.value is None:
        raise ConfigError(f"{path}: is empty; start with a copy of configs/demo.yaml")
    for override in overrides:
        root = _override(root, override)
    root = expand(Place.of(root), environ)
    return resolve(Place.of(root), convert(root), environ=environ, now=now)


def load_options(
    values: Mapping[str, Any],
    *,
    labels: Mapping[str, str],
    environ: Mapping[str, str],
    now: int,
) -> Job:
    """Load plain values that have the shape of a job file; `now` is an instant.

    Nothing is expanded; None is an empty value. Raise ConfigError as `load_job` does, with a label
    instead of file and line. `labels` maps a key as messages spell it, `range.start`, to the name
    of the option, `--start`; a key without a label uses the one around it; "" is the root's key.
    """
    place = Place(None, labels.get("", "options"))
    root = _labelled(values, place, labels)
    return resolve(Place.of(root), convert(root), environ=environ, now=now)


def _labelled(value: Any, place: Place, labels: Mapping[str, str]) -> Node:
    """Build the nodes of plain values; a place without a label uses the one around it."""
    where = labels.get(place.key, place.where)
    place = replace(place, where=where)
    if isinstance(value, Mapping):
        return Node(where, _labelled_members(value, place, labels))
    if isinstance(value, list | tuple):
        items = [_labelled(item, place.at(n), labels) for n, item in enumerate(value)]
        return Node(where, items)
    return Node(where, value, str(value))


def _labelled_members(
    members: Mapping[str, Any],
    place: Place,
    labels: Mapping[str, str],
) -> dict[str, Node]:
    nodes = {}
    for key, member in members.items():
        nodes[key] = _labelled(member, place.at(key), labels)
    return nodes


def _read_text(path: Path) -> str:
    content = _read_bytes(path)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than 1 MiB; a job file has room for 20,000 users")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8; save the file as UTF-8") from error


def _read_bytes(path: Path) -> bytes:
    """Read a file up to one byte more than the limit."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: does not exist; name a job file such as configs/demo.yaml"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); name a readable job file"
        ) from error


# Keys are spelled as messages spell them: `teams[0].name`.
_OVERRIDE = re.compile(
    r"([^=.\[\]]+(?:\[[0-9]{1,6}\])*(?:\.[^=.\[\]]+(?:\[[0-9]{1,6}\])*)*)=(.*)",
    re.DOTALL,
)
_STEP = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")


def _override(root: Node, text: str) -> Node:
    """Apply one `--set KEY=VALUE`."""
    key, value = _split_override(text)
    label = f"--set {shorten(key, VALUE_SHOWN)}"
    new = yaml.read(value.strip() or "null", label, numbered=False)
    return _replaced(root, _steps(key), new)


def _split_override(text: str) -> tuple[str, str]:
    match = _OVERRIDE.fullmatch(text)
    if match is None:
        # Only the part before = or : is shown: the rest may be a secret.
        shown = shorten(re.split("[=:]", text)[0], VALUE_SHOWN)
        raise ConfigError(
            f"--set {shown}: must be KEY=VALUE, for example --set range.end=2024-02-01"
        )
    return match[1], match[2]


def _steps(key: str) -> list[str | int]:
    """Split `teams[0].name` into teams, 0 and name."""
    steps: list[str | int] = []
    for index, name in _STEP.findall(key):
        if index:
            steps.append(int(index))
        else:
            steps.append(name)
    return steps


def _replaced(node: Node, steps: Sequence[str | int], new: Node) -> Node:
    """Copy a tree with another value at a key; create missing mappings on the way."""
    if not steps:
        return new
    step, rest = steps[0], steps[1:]
    if isinstance(node.value, dict) and isinstance(step, str):
        return replace(node, value=_replaced_member(node.value, step, rest, new))
    if isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
        return replace(node, value=_replaced_item(node.value, step, rest, new))
    raise _no_such_key(node, step, new)


def _replaced_member(
    members: dict[str, Node],
    key: str,
    rest: Sequence[str | int],
    new: Node,
) -> dict[str, Node]:
    member = members.get(key, Node(new.where, {}))
    return {**members, key: _replaced(member, rest, new)}


def _replaced_item(
    items: list[Node],
    number: int,
    rest: Sequence[str | int],
    new: Node,
) -> list[Node]:
    copy = list(items)
    copy[number] = _replaced(items[number], rest, new)
    return copy


def _no_such_key(node: Node, step: str | int, new: Node) -> ConfigError:
    missing = f"key {step}"
    if isinstance(step, int):
        missing = f"item {step}"
    return ConfigError(f"{new.where}: the value at {node.where} has no {missing}; check KEY")
