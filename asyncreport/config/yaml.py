"""Reads YAML into plain values that know their lines: strict, and bounded in size. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as RawNode
from ruamel.yaml.reader import ReaderError

from asyncreport.config.yaml_errors import (
    ALIAS,
    TAG,
    RefusedError,
    Source,
    marked_error,
    not_allowed,
    reader_error,
)
from asyncreport.core.errors import ConfigError
from asyncreport.core.text import shorten

#: values that aliases may add to a file: a few anchored lines can expand to billions
ALIASED = 10_000
#: a job file is at most five levels deep; the limit protects the stack from hostile files
DEPTH = 20
#: characters of a key that a message shows
KEY_SHOWN = 60

Scalar = None | bool | int | float | str
Value = Scalar | list["Node"] | dict[str, "Node"]

_TOO_DEEP = f"more than {DEPTH} levels of nesting are not allowed"
_TOO_MANY = f"aliases may not expand to more than {ALIASED:,} values; use fewer aliases"
_MERGE = "merge keys (<<) are not supported; write out the keys, or use an alias for a whole value"


@dataclass(frozen=True, slots=True)
class Node:
    """One value and its position."""

    #: `job.yaml:12`, or `--set range.end`
    where: str
    value: Value = field(repr=False)
    #: a scalar as the file spells it, `${...}` not expanded
    text: str = field(default="", repr=False)
    #: a text without quotes that goes on in the next line; YAML joins the lines
    is_continued: bool = False

    @property
    def is_scalar(self) -> bool:
        """Tell whether the value is neither a list nor a mapping."""
        return not isinstance(self.value, list | dict)

    @property
    def children(self) -> Iterable[Node]:
        """Give the values directly inside this one."""
        if isinstance(self.value, dict):
            return self.value.values()
        if isinstance(self.value, list):
            return self.value
        return ()

    @property
    def keys(self) -> Iterable[str | int]:
        """Give the keys of a mapping or the positions of a list."""
        if isinstance(self.value, dict):
            return self.value
        if isinstance(self.value, list):
            return range(len(self.value))
        return ()

    def member(self, key: str) -> Node | None:
        """Return the value of a key of a mapping, None if the key is missing."""
        if not isinstance(self.value, dict):
            return None
        return self.value.get(key)

    def item(self, number: int) -> Node | None:
        """Return the value at a position of a list, None if the list is shorter."""
        if not isinstance(self.value, list) or number >= len(self.value):
            return None
        return self.value[number]


def read(
    text: str,
    label: str,
    *,
    numbered: bool = True,
) -> Node:
    """Read one document of strict YAML 1.2; `numbered` adds the line to the label.

    Dates, `yes`, `010` and `12:30` stay text. Raise ConfigError for invalid YAML, tags, merge
    keys, duplicate keys, keys that are not text, deep nesting and large expansions of aliases.
    """
    source = Source(text, label, numbered=numbered)
    raw = _compose(source)
    if raw is None:
        return Node(label, None)
    return _Builder(source).build(raw, 0, around=label)


#: a comment, an anchor or a comma that was meant to be a text: `group: #1`, `{decimal: ,}`, but not
#: `users: # the agents`
_LOST_TEXT = re.compile(r":\s+([#&]\S+|,)")


class _StrictComposer(Composer):
    """Builds ruamel's nodes; refuses tags and deep nesting, which the finished nodes hide."""

    #: of the node that is being built; the root has 0
    level = -1

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Build the next node and all inside it; ruamel calls this for each node."""
        event = self.parser.peek_event()
        _check_tag(event)
        self.level += 1
        if self.level > DEPTH:
            raise _refused(_TOO_DEEP, event)
        node = super().compose_node(parent, index)
        self.level -= 1
        return node


def _check_tag(event: Any) -> None:
    """Refuse a tag, also on a value that would be text without it."""
    if isinstance(event, AliasEvent):
        return
    if event.tag is not None:
        raise _refused(TAG, event)


def _refused(problem: str, event: Any) -> RefusedError:
    return RefusedError(problem=problem, problem_mark=event.start_mark)


def _compose(source: Source) -> RawNode | None:
    """Read the text into ruamel's nodes; None for an empty document."""
    # Raised without a cause: ruamel's errors quote lines of the file, which may contain a secret.
    try:
        root: RawNode | None = _parser().compose(source.text)
    except MarkedYAMLError as error:
        raise marked_error(error, source) from None
    except ReaderError as error:
        raise reader_error(error, source) from None
    # "\UFFFFFFFF" raises ValueError or OverflowError, %YAML 1.3 AssertionError, %YAML 0.0 KeyError.
    except (YAMLError, ValueError, OverflowError, AssertionError, KeyError):
        raise not_allowed(source) from None
    return root


def _parser() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _StrictComposer
    # A file may define an anchor again; the later definition is used below it.
    yaml.composer.warn_double_anchors = False
    return yaml


class _Builder:
    """Turns ruamel's nodes into ours. Aliases share a node; only their size is counted."""

    def __init__(self, source: Source) -> None:
        self._source = source
        #: by id of ruamel's node; None while the node is not complete
        self._built: dict[int, Node | None] = {}
        self._aliased = 0

    def build(
        self,
        raw: RawNode,
        depth: int,
        *,
        around: str,
    ) -> Node:
        """Build a node; `around` is the position for errors about an alias."""
        identity = id(raw)
        if identity in self._built:
            return self._alias(
                self._built[identity],
                depth,
                around,
            )
        self._built[identity] = None
        node = self._new(raw, depth)
        self._built[identity] = node
        return node

    def _lost_text(self, raw: ScalarNode) -> str:
        """Give what follows the colon of an empty value: a comment, an anchor, a comma."""
        line = raw.start_mark.line
        # ruamel puts an empty value after its comment, which is the start of the next line.
        for number in (line, max(line - 1, 0)):
            match = _LOST_TEXT.search(self._source.line(number))
            if match:
                return match[1]
        return ""

    def _new(self, raw: RawNode, depth: int) -> Node:
        """Build a node that no alias repeats; `depth` is its level, the root has 0."""
        where = self._where(raw)
        if isinstance(raw, MappingNode):
            return Node(where, self._mapping(raw, depth + 1))
        if isinstance(raw, SequenceNode):
            return Node(where, self._sequence(raw, depth + 1))
        assert isinstance(raw, ScalarNode)
        return Node(
            where,
            _scalar(raw),
            raw.value or self._lost_text(raw),
            _is_continued(raw),
        )

    def _sequence(self, raw: SequenceNode, depth: int) -> list[Node]:
        """Build the items of a list; `depth` is the level of the items."""
        where = self._where(raw)
        return [
            self.build(
                item,
                depth,
                around=where,
            )
            for item in raw.value
        ]

    def _mapping(self, raw: MappingNode, depth: int) -> dict[str, Node]:
        """Build the members of a mapping; `depth` is the level of the values."""
        members: dict[str, Node] = {}
        for raw_key, raw_member in raw.value:
            where = self._where(raw_key)
            key = self._key(raw_key, where)
            if key in members:
                raise _repeated_key(key, where, members[key])
            member = self.build(
                raw_member,
                depth,
                around=where,
            )
            # People look at the key's line, even if the value starts below or at an anchor.
            members[key] = replace(member, where=where)
        return members

    def _key(self, raw: RawNode, where: str) -> str:
        """Read a key; it is text, not an alias, and not a merge key."""
        if not isinstance(raw, ScalarNode) or id(raw) in self._built:
            raise ConfigError(f"{where}: a key must be plain text")
        if raw.value == "<<" and _is_plain(raw):
            raise ConfigError(f"{where}: {_MERGE}")
        key = _scalar(raw)
        if not isinstance(key, str):
            raise _key_is_not_text(raw.value, where)
        return key

    def _alias(
        self,
        node: Node | None,
        depth: int,
        around: str,
    ) -> Node:
        """Give the node of an anchor; None is an anchor that is not complete yet."""
        if node is None:
            raise ConfigError(f"{around}: {ALIAS}")
        self._check_size(node, around)
        if depth + _height(node) > DEPTH:
            raise ConfigError(f"{around}: {_TOO_DEEP}")
        return node

    def _check_size(self, node: Node, around: str) -> None:
        """Count the values that an alias adds, before anything walks the expanded tree."""
        self._aliased += _size(node)
        if self._aliased > ALIASED:
            raise ConfigError(f"{around}: {_TOO_MANY}")

    def _where(self, raw: RawNode) -> str:
        """Name the line that a node begins on."""
        return self._source.where(raw.start_mark.line)


def _key_is_not_text(text: str, where: str) -> ConfigError:
    """Report a key that YAML reads as a number, a boolean or null."""
    shown = shorten(text, KEY_SHOWN)
    return ConfigError(f"{where}: the key {shown!r} is not text; put it in quotes")


def _repeated_key(
    key: str,
    where: str,
    first: Node,
) -> ConfigError:
    """Report a key of a mapping for the second time; `first` is its first value."""
    # `{client_secret:abc}` lacks a space, so all of it is a key: the rest may be a secret.
    shown = shorten(key.partition(":")[0], KEY_SHOWN)
    return ConfigError(f"{where}: the key {shown!r} is repeated; it is also at {first.where}")


def _is_plain(raw: ScalarNode) -> bool:
    """Tell whether a scalar has neither quotes nor a block style."""
    return not raw.style


def _is_continued(raw: ScalarNode) -> bool:
    """Tell whether a scalar without quotes or block style has several lines."""
    return _is_plain(raw) and raw.end_mark.line > raw.start_mark.line


def _scalar(raw: ScalarNode) -> Scalar:
    """Read a scalar; only one without quotes can be anything but text."""
    text: str = raw.value
    if _is_plain(raw):
        return plain_scalar(text)
    return text


def _size(node: Node) -> int:
    """Count the values of a tree, its root included."""
    return 1 + sum(map(_size, node.children))


def _height(node: Node) -> int:
    """Count the levels below a node."""
    below = (1 + _height(child) for child in node.children)
    return max(below, default=0)


_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Longer numbers stay text: no key accepts them, and int() of a long text is slow.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,20}|[0-9]{1,20}(\.[0-9]{0,20})?)([eE][-+]?[0-9]{1,3})?")


def plain_scalar(text: str) -> Scalar:
    """Give the value of a text without quotes by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _is_float(text):
        return float(text)
    return text


def _is_float(text: str) -> bool:
    # Digits alone are an integer that is too long for _INT, or has a zero in front.
    return _FLOAT.fullmatch(text) is not None and not text.isdigit()
