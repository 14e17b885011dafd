"""Turns a job that a program gives as a mapping into the tree of a job file. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import date

from asyncreport.config.validate import Place
from asyncreport.config.yaml import DEPTH, Node, Scalar
from asyncreport.core.errors import ConfigError

#: the position that messages show instead of file and line
_WHERE = "job"


def read_mapping(values: Mapping[str, object]) -> Node:
    """Build the tree of a job; raise ConfigError for what no job file can contain.

    Besides the values of YAML, a date or date-time (other readers of YAML make them) and a path
    count as their texts.
    """
    return _node(values, Place(None, _WHERE))


def _node(value: object, place: Place) -> Node:
    """Build the node of a value and of all values inside it."""
    if len(place.path) > DEPTH:
        raise place.error(f"more than {DEPTH} levels of nesting are not allowed")
    if isinstance(value, Mapping):
        return Node(_WHERE, dict(_member(key, each, place) for key, each in value.items()))
    if isinstance(value, list | tuple):
        return Node(_WHERE, list(_items(value, place)))
    return _scalar(value, place)


def _member(key: object, value: object, place: Place) -> tuple[str, Node]:
    """Build a member of a mapping."""
    if not isinstance(key, str):
        raise place.error(f"the key {key!r} is not text; put it in quotes")
    return key, _node(value, place.at(key))


def _items(values: Iterable[object], place: Place) -> Iterable[Node]:
    """Build the items of a list."""
    for number, value in enumerate(values):
        yield _node(value, place.at(number))


def _scalar(value: object, place: Place) -> Node:
    """Build the node of a value with nothing inside it."""
    if isinstance(value, date):
        return _text(value.isoformat())
    if isinstance(value, os.PathLike):
        return _text(os.fsdecode(value))
    if isinstance(value, bool):
        return Node(_WHERE, value, str(value).lower())
    if value is None:
        return Node(_WHERE, None)
    return Node(_WHERE, _plain(value, place), str(value))


def _text(text: str) -> Node:
    """Build the node of a text."""
    return Node(_WHERE, text, text)


def _plain(value: object, place: Place) -> Scalar:
    """Give a number or a text; raise ConfigError for anything else."""
    if isinstance(value, int | float | str):
        return value
    raise _bad_type(value, place)


def _bad_type(value: object, place: Place) -> ConfigError:
    """Make the error for a value that no job file can contain; it may be a secret."""
    return place.error(
        f"is a {type(value).__name__}",
        accepted="text, numbers, booleans, None, lists, mappings, dates, paths",
    )
