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

_TAG = "tags are not allowed; to write text that starts with !, put it in quotes"
_ALIAS = "the alias has no complete anchor above it; to write text that starts with *, quote it"
_DOCUMENT = "a second document starts here; a job file must be one document"
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

    @property
    def children(self) -> Iterable[Node]:
        """Give the values directly inside this one."""
        if isinstance(self.value, dict):
            return self.value.values()
        if isinstance(self.value, list):
            return self.value
        return ()


def read(text: str, label: str, *, numbered: bool = True) -> Node:
    """Read one document of strict YAML 1.2; `numbered` adds the line to the label.

    Dates, `yes`, `010` and `12:30` stay text. Raise ConfigError for invalid YAML, tags, merge
    keys, duplicate keys, keys that are not text, deep nesting and large expansions of aliases.
    """
    source = _Source(text, label, numbered=numbered)
    raw = _compose(source)
    if raw is None:
        return Node(label, None)
    return _Builder(source).build(raw, 0, around=label)


@dataclass(frozen=True, slots=True)
class _Source:
    text: str = field(repr=False)
    label: str
    numbered: bool

    def where(self, line: int) -> str:
        """Name a line, counted from 0 as ruamel's marks do."""
        return f"{self.label}:{line + 1}" if self.numbered else self.label


class _RefusedError(MarkedYAMLError):
    """Report valid YAML that a job file must not contain."""


class _StrictComposer(Composer):
    """Builds ruamel's nodes; refuses tags and deep nesting, which the finished nodes hide."""

    level = -1

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if not isinstance(event, AliasEvent) and event.tag is not None:
            raise _RefusedError(problem=_TAG, problem_mark=event.start_mark)
        self.level += 1
        if self.level > DEPTH:
            raise _RefusedError(problem=_TOO_DEEP, problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.level -= 1
        return node


def _compose(source: _Source) -> RawNode | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _StrictComposer
    yaml.composer.warn_double_anchors = False
    # Raised without a cause: ruamel's errors quote lines of the file, which may contain a secret.
    try:
        root: RawNode | None = yaml.compose(source.text)
    except MarkedYAMLError as error:
        raise _marked_error(error, source) from None
    except ReaderError as error:
        raise _reader_error(error, source) from None
    # "\UFFFFFFFF" raises ValueError or OverflowError, %YAML 1.3 AssertionError.
    except (YAMLError, ValueError, OverflowError, AssertionError):
        raise ConfigError(
            f"{source.label}: is not valid YAML: an escape or a directive is not allowed"
        ) from None
    return root


def _reader_error(error: ReaderError, source: _Source) -> ConfigError:
    line = source.text.count("\n", 0, error.position)
    character = source.text[error.position]
    return ConfigError(f"{source.where(line)}: is not valid YAML: control character {character!r}")


def _marked_error(error: MarkedYAMLError, source: _Source) -> ConfigError:
    mark = error.problem_mark
    # What is never closed ends with the file: the line that opened it says more.
    if "end of stream" in str(error.problem):
        mark = error.context_mark
    where = source.label
    if mark is not None:
        where = source.where(mark.line)
    return ConfigError(f"{where}: {_fact(error, source.text)}")


def _fact(error: MarkedYAMLError, text: str) -> str:
    """Describe a problem; in our own words if ruamel's are unclear or quote the file."""
    problem = str(error.problem)
    if isinstance(error, _RefusedError):
        return problem
    if "tag handle" in problem:
        return _TAG
    if "undefined alias" in problem:
        return _ALIAS
    if "another document" in problem:
        return _DOCUMENT
    problem = re.sub(r"\('(.*)',\)", r"'\1'", problem)
    return f"is not valid YAML: {problem}{_hint(error, text)}"


def _hint(error: MarkedYAMLError, text: str) -> str:
    """Say what to do about two common mistakes."""
    if r"'\t'" in str(error.problem):
        return "; use spaces instead of the tab"
    if re.search(r"\{\w+\}", _line(error, text)):
        return "; put a value that contains { and } in quotes"
    return ""


def _line(error: MarkedYAMLError, text: str) -> str:
    """Give the line of a problem; the end of the file is on none."""
    lines = text.splitlines()
    if error.problem_mark is None or error.problem_mark.line >= len(lines):
        return ""
    line: str = lines[error.problem_mark.line]
    return line


class _Builder:
    """Turns ruamel's nodes into ours. Aliases share a node; only their size is counted."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        #: by id of ruamel's node; None while the node is not complete
        self._built: dict[int, Node | None] = {}
        self._aliased = 0

    def build(self, raw: RawNode, depth: int, *, around: str) -> Node:
        """Build a node; `around` is the position for errors about an alias."""
        if id(raw) in self._built:
            return self._alias(self._built[id(raw)], depth, around)
        self._built[id(raw)] = None
        node = self._new(raw, depth)
        self._built[id(raw)] = node
        return node

    def _new(self, raw: RawNode, depth: int) -> Node:
        where = self._where(raw)
        if isinstance(raw, MappingNode):
            return Node(where, self._mapping(raw, depth + 1))
        if isinstance(raw, SequenceNode):
            items = [self.build(item, depth + 1, around=where) for item in raw.value]
            return Node(where, items)
        assert isinstance(raw, ScalarNode)
        return Node(where, _scalar(raw), raw.value)

    def _mapping(self, raw: MappingNode, depth: int) -> dict[str, Node]:
        members: dict[str, Node] = {}
        for raw_key, raw_member in raw.value:
            where = self._where(raw_key)
            key = self._key(raw_key, where)
            if key in members:
                raise _repeated_key(key, where, members[key])
            member = self.build(raw_member, depth, around=where)
            # People look at the key's line, even if the value starts below or at an anchor.
            members[key] = replace(member, where=where)
        return members

    def _key(self, raw: RawNode, where: str) -> str:
        if not isinstance(raw, ScalarNode) or id(raw) in self._built:
            raise ConfigError(f"{where}: a key must be plain text")
        if raw.value == "<<" and _is_plain(raw):
            raise ConfigError(f"{where}: {_MERGE}")
        key = _scalar(raw)
        if not isinstance(key, str):
            shown = shorten(raw.value, KEY_SHOWN)
            raise ConfigError(f"{where}: the key {shown!r} is not text; put it in quotes")
        return key

    def _alias(self, node: Node | None, depth: int, around: str) -> Node:
        if node is None:
            raise ConfigError(f"{around}: {_ALIAS}")
        # Checked before anything walks the expanded tree.
        self._aliased += _size(node)
        if self._aliased > ALIASED:
            raise ConfigError(f"{around}: {_TOO_MANY}")
        if depth + _height(node) > DEPTH:
            raise ConfigError(f"{around}: {_TOO_DEEP}")
        return node

    def _where(self, raw: RawNode) -> str:
        return self._source.where(raw.start_mark.line)


def _repeated_key(key: str, where: str, first: Node) -> ConfigError:
    # `{client_secret:abc}` lacks a space, so all of it is a key: the rest may be a secret.
    shown = shorten(key.partition(":")[0], KEY_SHOWN)
    return ConfigError(f"{where}: the key {shown!r} is repeated; it is also at {first.where}")


def _is_plain(raw: ScalarNode) -> bool:
    """Tell whether a scalar has neither quotes nor a block style."""
    return not raw.style


def _scalar(raw: ScalarNode) -> Scalar:
    text: str = raw.value
    if _is_plain(raw):
        return _resolve(text)
    return text


def _size(node: Node) -> int:
    return 1 + sum(map(_size, node.children))


def _height(node: Node) -> int:
    return max((1 + _height(child) for child in node.children), default=0)


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


def _resolve(text: str) -> Scalar:
    """Give a plain scalar's value by the core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and not text.isdigit():
        return float(text)
    return text
