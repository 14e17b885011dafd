"""Reads the files that `connections_from` names into the section `connections`. Owns no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec.structs import fields

from asyncreport.config import yaml
from asyncreport.config.connection_csv import read_csv
from asyncreport.config.environ import expand
from asyncreport.config.schema import ConnectionFile
from asyncreport.config.text_file import read_text
from asyncreport.config.validate import Place
from asyncreport.config.yaml import Node
from asyncreport.core.errors import ConfigError

#: of a job
MAX_CONNECTIONS = 10_000
#: of one file: 10,000 connections with long addresses have room
MAX_BYTES = 4 << 20

_AT_MOST = f"a job has at most {MAX_CONNECTIONS:,} connections"
_WILDCARDS = frozenset("*?[")
_KEYS = frozenset(field.encode_name for field in fields(ConnectionFile))


def add_connections(root: Node, folder: Path, environ: Mapping[str, str]) -> Node:
    """Copy the tree of a job, with the connections of its files after those of the job file.

    A path is relative to `folder`, that of a `--set` to the current folder. Raise ConfigError for
    files that cannot be read or are not as they should be, and for names that are repeated. A value
    of a wrong type stays as it is: the check of types reports it.
    """
    place = Place.of(root).at("connections_from")
    own = root.member("connections")
    if place.node is None or not _is_mapping(own) or not _is_paths(place.node):
        return root
    section = own or Node(place.node.where, {})
    members = dict(_members(section))
    for entry in _entries(place):
        for path in _files(entry, folder, environ):
            _add(members, _connections(entry, path))
    section = Node(section.where, members)
    return replace(root, value={**_members(root), "connections": section})


def _is_mapping(own: Node | None) -> bool:
    """Tell whether the job file has no connections of its own, or a mapping of them."""
    return own is None or isinstance(own.value, dict)


def _is_paths(node: Node) -> bool:
    """Tell whether a value is a text or a list of texts."""
    if isinstance(node.value, list):
        return all(isinstance(item.value, str) for item in node.value)
    return isinstance(node.value, str)


def _members(node: Node) -> dict[str, Node]:
    """Give the members of a mapping."""
    assert isinstance(node.value, dict)
    return node.value


def _entries(place: Place) -> list[Place]:
    """List the places of the paths, which are one text or a list."""
    assert place.node is not None
    if isinstance(place.node.value, str):
        return [place]
    entries = [place.at(number) for number in place.node.keys]
    if not entries:
        raise place.error("is empty; write a file such as connections.csv, or remove the key")
    return entries


def _files(entry: Place, folder: Path, environ: Mapping[str, str]) -> list[Path]:
    """Find the files of a path; those that match wildcards are sorted by name."""
    text = str(expand(entry, environ).value)
    if not text.strip() or "\0" in text:
        raise entry.must("be the path of a file", accepted="connections.csv, connections/*.yaml")
    if entry.where.startswith("--set "):
        folder = Path()
    if _has_wildcard(Path(text).parent):
        raise entry.must("have * ? [ only in the name of a file, not in that of a folder")
    path = folder / text
    if not _has_wildcard(path.name):
        return [path]
    return _matches(entry, path.parent, path.name)


def _has_wildcard(path: str | Path) -> bool:
    """Tell whether a path has wildcards."""
    return not _WILDCARDS.isdisjoint(str(path))


def _matches(entry: Place, folder: Path, pattern: str) -> list[Path]:
    """List the files of a folder that match a pattern; hidden ones only if it begins with a dot."""
    # Not Path.glob: it takes a folder that it may not read for an empty one.
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise _unreadable(entry, folder, error) from error
    matches = [path for path in paths if _matches_pattern(path.name, pattern)]
    if not matches:
        raise entry.error(f"no file in the folder {folder} matches {pattern!r}{_base(entry)}")
    return matches


def _matches_pattern(name: str, pattern: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return fnmatchcase(name, pattern)


def _base(entry: Place) -> str:
    """Say what paths are relative to."""
    if ":" in entry.where and not entry.where.startswith("--set "):
        return "; a path is relative to the folder of the job file"
    return "; a path is relative to the current folder"


def _unreadable(entry: Place, path: Path, error: OSError) -> ConfigError:
    """Make the error for a file or a folder that cannot be read."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return entry.error(f"{path} does not exist{_base(entry)}")
        case IsADirectoryError():
            return entry.error(f"{path} is a folder; name the files in it, for example by *.yaml")
        case _:
            return entry.error(
                f"{path} cannot be read ({error.strerror}); check the path and its permissions"
            )


def _add(members: dict[str, Node], connections: Iterable[tuple[str, Node]]) -> None:
    """Add the connections of a file."""
    for name, node in connections:
        place = Place(node, node.where, ("connections", name))
        if name in members:
            first = members[name].where
            raise place.error(f"is repeated; it is also at {first}; use another name")
        if len(members) >= MAX_CONNECTIONS:
            raise place.error(f"is one too many: {_AT_MOST}; use several jobs")
        members[name] = node


def _connections(entry: Place, path: Path) -> Iterable[tuple[str, Node]]:
    """Read the connections of a file: the name and the node of each."""
    try:
        text = read_text(path, MAX_BYTES, _AT_MOST)
    except OSError as error:
        raise _unreadable(entry, path, error) from error
    match path.suffix.lower():
        case ".csv":
            connections = list(read_csv(text, str(path)))
        case ".yaml" | ".yml":
            connections = list(_read_yaml(text, path))
        case _:
            raise entry.error(f"{path} must end in .csv, .yaml or .yml")
    if not connections:
        raise ConfigError(f"{path}: has no connection; add one, or remove the file from the job")
    return connections


def _read_yaml(text: str, path: Path) -> Iterable[tuple[str, Node]]:
    """Read a file that is written as the section `connections` is: NAME: connection."""
    root = yaml.read(text, str(path))
    if root.value is None:
        raise ConfigError(f"{path}: is empty; write NAME: and the keys of a connection below it")
    if not isinstance(root.value, dict):
        raise ConfigError(f"{root.where}: must be a mapping of NAME: connection")
    for key, member in root.value.items():
        _check_is_name(key, member, path)
    return root.value.items()


def _check_is_name(key: str, member: Node, path: Path) -> None:
    """Refuse one connection without its name, and a file with the key of the section."""
    place = Place(member, member.where, (key,))
    if key in _KEYS and not isinstance(member.value, dict):
        raise place.error(
            f"is a key of a connection, and the file must be a mapping of NAME: connection; "
            f"write the name above, such as {path.stem}:, and indent its keys"
        )
    if key == "connections" and _is_section(member):
        raise place.error("remove this line: the file begins with the names of connections")


def _is_section(node: Node) -> bool:
    """Tell whether a value is the section `connections`, and not a connection of this name."""
    return isinstance(node.value, dict) and _KEYS.isdisjoint(node.value)
