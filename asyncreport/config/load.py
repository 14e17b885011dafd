"""Turns a job file or options into a Job, and options into a Connection: read, check, resolve.

Reads the job file; owns no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from asyncreport.config import yaml
from asyncreport.config.connection_files import add_connections
from asyncreport.config.connections import DEFAULT, resolve_connection
from asyncreport.config.dates import left_behind
from asyncreport.config.environ import expand
from asyncreport.config.mapping import read_mapping
from asyncreport.config.resolve import Surroundings, resolve
from asyncreport.config.schema import convert
from asyncreport.config.text_file import read_text
from asyncreport.config.validate import VALUE_SHOWN, Place
from asyncreport.config.yaml import Node
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Connection, Job
from asyncreport.core.text import shorten

#: of a job file; 20,000 listed users need less
MAX_BYTES = 1 << 20


def load_job(
    source: Path | Mapping[str, object],
    *,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    now: int,
) -> Job:
    """Load a job file, or a mapping with its content, and apply `KEY=VALUE` overrides.

    `now` is an instant. Raise ConfigError for any mistake, with file and line (or the override),
    key, value and what is accepted.
    """
    root = read_tree(source, environ=environ, overrides=overrides)
    root = expand(Place.of(root), environ)
    return _resolve(root, Surroundings(environ, now), once=bool(overrides))


def read_tree(
    source: Path | Mapping[str, object],
    *,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
) -> Node:
    """Read a job with its overrides, and with the connections of its files.

    The values are as they are written: variables are expanded only in the paths of such files.
    """
    root = _read(source)
    # Those of one connection come last: it may be in a file that another override names.
    of_connections = [text for text in overrides if text.startswith("connections.")]
    others = [text for text in overrides if text not in of_connections]
    root = _overridden(root, others)
    root = add_connections(root, _folder(source), environ)
    return _overridden(root, of_connections)


def load_text(text: str, label: str, *, environ: Mapping[str, str], now: int) -> Job:
    """Load the text of a job file that is not written yet; messages name it by its label.

    `now` is an instant. Raise ConfigError as `load_job` does.
    """
    root = expand(Place.of(yaml.read(text, label)), environ)
    return _resolve(root, Surroundings(environ, now), once=False)


def _read(source: Path | Mapping[str, object]) -> Node:
    """Read a job as it is written: nothing is overridden, expanded or checked yet."""
    if isinstance(source, Mapping):
        return read_mapping(source)
    return _read_job(source)


def _folder(source: Path | Mapping[str, object]) -> Path:
    """Give the folder that the paths of connections are relative to."""
    if isinstance(source, Mapping):
        return Path()
    return source.parent


def _read_job(path: Path) -> Node:
    """Read a job file."""
    root = yaml.read(_read_text(path), str(path))
    if root.value is None:
        raise ConfigError(f"{path}: is empty; remove it, and write one with `asyncreport init`")
    return root


def _resolve(root: Node, around: Surroundings, *, once: bool) -> Job:
    """Turn a tree into a job; `once`: it holds for one run."""
    given = convert(root)
    job = resolve(Place.of(root), given, around)
    if once:
        # It must not delete what the other runs need.
        return job
    return msgspec.structs.replace(job, left_behind=left_behind(given.range, job.interval))


def load_options(
    values: Mapping[str, Any],
    *,
    labels: Mapping[str, str],
    environ: Mapping[str, str],
    now: int,
    connection: Connection | None = None,
) -> Job:
    """Load plain values that have the shape of a job file; `now` is an instant.

    `connection` is one that is resolved already: the job has no other.

    Nothing is expanded; None is an empty value. Raise ConfigError as `load_job` does, with a label
    instead of file and line. `labels` maps a key as messages spell it, `range.start`, to the name
    of the option, `--start`; a key without a label uses the one around it; "" is the root's key.
    """
    root = _labelled(values, labels)
    return _resolve(root, Surroundings(environ, now, connection), once=True)


def load_connection(
    values: Mapping[str, Any] | None,
    *,
    labels: Mapping[str, str],
    environ: Mapping[str, str],
) -> Connection:
    """Load one connection without a job; None: the one of the environment.

    `values` has the keys of a connection in a job file. Raise ConfigError with labels, as
    `load_options` does.
    """
    sections: dict[str, Any] = {}
    if values is not None:
        sections["connections"] = {DEFAULT: values}
    root = Place.of(_labelled(sections, labels))
    connection = resolve_connection(root.at("connections"), DEFAULT, environ)
    if values is None and not environ.get("GENESYS_ENV"):
        # A secret must not go to a region that nobody named.
        raise ConfigError(
            "GENESYS_ENV is not set: write the region of your organisation into .env or the "
            "environment, such as GENESYS_ENV=mypurecloud.ie, or give a job file with --job"
        )
    return connection


def _labelled(values: Mapping[str, Any], labels: Mapping[str, str]) -> Node:
    """Turn plain values into nodes that messages name by labels."""
    place = Place(None, labels.get("", "options"))
    return _Labels(labels).node(values, place)


@dataclass(frozen=True, slots=True)
class _Labels:
    """Turns plain values into nodes; a place without a label uses the one around it."""

    #: key as messages spell it -> the name of an option
    names: Mapping[str, str]

    def node(self, value: Any, place: Place) -> Node:
        """Build the node of a value and of all values inside it."""
        where = self.names.get(place.key, place.where)
        place = replace(place, where=where)
        if isinstance(value, Mapping):
            return Node(where, self._members(value, place))
        if isinstance(value, list | tuple):
            return Node(where, self._items(value, place))
        return Node(where, value, str(value))

    def _members(self, members: Mapping[str, Any], place: Place) -> dict[str, Node]:
        """Make the nodes of a mapping."""
        return {key: self.node(member, place.at(key)) for key, member in members.items()}

    def _items(self, items: Sequence[Any], place: Place) -> list[Node]:
        """Make the nodes of a list."""
        return [self.node(item, place.at(number)) for number, item in enumerate(items)]


def _read_text(path: Path) -> str:
    """Read the text of a job file."""
    try:
        return read_text(path, MAX_BYTES, "a job file has room for 20,000 users")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> ConfigError:
    """Make the error for a job file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return ConfigError(
            f"{path}: does not exist; name a job file, or write one with `asyncreport init`"
        )
    return ConfigError(f"{path}: cannot be read ({error.strerror}); name a readable job file")


# Keys are spelled as messages spell them: `teams[0].name`.
_OVERRIDE = re.compile(
    r"([^=.\[\]]+(?:\[[0-9]{1,6}\])*(?:\.[^=.\[\]]+(?:\[[0-9]{1,6}\])*)*)=(.*)",
    re.DOTALL,
)
_STEP = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")


def _overridden(root: Node, overrides: Iterable[str]) -> Node:
    """Apply overrides in their order."""
    for override in overrides:
        root = _override(root, override)
    return root


def _override(root: Node, text: str) -> Node:
    """Apply one `--set KEY=VALUE`."""
    key, value = _split_override(text)
    label = f"--set {shorten(key, VALUE_SHOWN)}"
    new = yaml.read(value or "null", label, numbered=False)
    return _replaced(root, _steps(key), new)


def _split_override(text: str) -> tuple[str, str]:
    """Split `KEY=VALUE`; the spaces around the value do not count."""
    match = _OVERRIDE.fullmatch(text)
    if match is None:
        raise _bad_override(text)
    return match[1], match[2].strip()


def _bad_override(text: str) -> ConfigError:
    """Make the error for a `--set` without KEY=VALUE."""
    # Only the part before = or : is shown: the rest may be a secret.
    first, *_ = re.split("[=:]", text)
    shown = shorten(first, VALUE_SHOWN)
    return ConfigError(f"--set {shown}: must be KEY=VALUE, for example --set range.end=2024-02-01")


def _steps(key: str) -> list[str | int]:
    """Split `teams[0].name` into teams, 0 and name."""
    steps: list[str | int] = []
    for index, name in _STEP.findall(key):
        if index:
            steps.append(int(index))
        else:
            steps.append(name)
    return steps


def _replaced(
    node: Node,
    steps: Sequence[str | int],
    new: Node,
) -> Node:
    """Copy a tree with another value at a key; create missing mappings on the way."""
    if not steps:
        return new
    step, *rest = steps
    if isinstance(step, str):
        return _with_member(node, step, rest, new)
    return _with_item(node, step, rest, new)


def _with_member(
    node: Node,
    key: str,
    rest: Sequence[str | int],
    new: Node,
) -> Node:
    """Copy a mapping with another value at a key, or below it."""
    if not isinstance(node.value, dict):
        raise _no_such_key(node, f"key {key}", new)
    member = node.value.get(key, Node(new.where, {}))
    members = {**node.value, key: _replaced(member, rest, new)}
    return replace(node, value=members)


def _with_item(
    node: Node,
    number: int,
    rest: Sequence[str | int],
    new: Node,
) -> Node:
    """Copy a list with another value at a position, or below it."""
    item = node.item(number)
    if item is None:
        raise _no_such_key(node, f"item {number}", new)
    items = list(node.children)
    items[number] = _replaced(item, rest, new)
    return replace(node, value=items)


def _no_such_key(
    node: Node,
    missing: str,
    new: Node,
) -> ConfigError:
    """Report a KEY that the job file has no place for."""
    return ConfigError(f"{new.where}: the value at {node.where} has no {missing}; check KEY")
