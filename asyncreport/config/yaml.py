"""Reads YAML into plain values that know their lines: strictly, and never more than a bounded number of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.reader import ReaderError

from asyncreport.core.errors import ConfigError

#: values that aliases may add to a file: a few anchored lines can stand for billions
ALIASED = 10_000
#: a job file is at most five deep; the limit keeps hostile ones from exhausting the stack
DEPTH = 20

Scalar = None | bool | int | float | str
Value = Scalar | list["Node"] | dict[str, "Node"]


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it stands."""

    #: `job.yaml:12`, or `--set range.end`
    where: str
    value: Value = field(repr=False)
    #: a scalar as it is spelled, `${...}` unexpanded
    text: str = field(default="", repr=False)


def read(text: str, label: str, *, numbered: bool = True) -> Node:
    """Read one document; raise ConfigError with its label, and line if numbered, for anything that is not strict YAML 1.2.

    Dates, `yes`, `010` and `12:30` stay text. Tags, merge keys, doubled keys and keys that are not text are refused.
    """
    # Errors leave without their cause: ruamel's quote the lines of the file, and a secret may be on them.
    try:
        return _Reader(text, label, numbered=numbered).document()
    except MarkedYAMLError as error:
        # What nothing closes ends with the file: the line where it was opened says more.
        mark = error.context_mark if "end of stream" in str(error.problem) else error.problem_mark
        where = f"{label}:{mark.line + 1}" if numbered and mark else label
        raise ConfigError(f"{where}: is no YAML: {_problem(error)}{_hint(error, text)}") from None
    except ReaderError as error:
        where = f"{label}:{text.count(chr(10), 0, error.position) + 1}" if numbered else label
        raise ConfigError(
            f"{where}: is no YAML: it holds the control character {text[error.position]!r}"
        ) from None
    except (
        YAMLError,
        ValueError,
        OverflowError,
        AssertionError,
    ):  # the last two for "\\UFFFFFFFF" and %YAML 1.3
        raise ConfigError(
            f"{label}: is no YAML: it holds an escape or a directive that is not allowed"
        ) from None


def _problem(error: MarkedYAMLError) -> str:
    problem = str(error.problem)
    if "tag handle" in problem:  # it would quote a secret that begins with !
        return "tags are not allowed"
    return re.sub(r"\('(.*)',\)", r"'\1'", problem)


def _hint(error: MarkedYAMLError, text: str) -> str:
    """Say what to do about the two things that people write and YAML does not take."""
    if r"'\t'" in str(error.problem):
        return "; use spaces in place of the tab"
    line = (
        text.splitlines()[error.problem_mark.line]
        if error.problem_mark and error.problem_mark.line < len(text.splitlines())
        else ""
    )
    return "; put a value that holds { and } in quotes" if re.search(r"\{\w+\}", line) else ""


class _Reader:
    """Build the nodes of one document out of the parser's events."""

    def __init__(self, text: str, label: str, *, numbered: bool) -> None:
        self._label = label
        self._numbered = numbered
        self._events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0
        self._aliased = 0

    def document(self) -> Node:
        next(self._events)  # the stream begins
        if not isinstance(next(self._events), DocumentStartEvent):
            return Node(self._label, None)
        root = self._node(next(self._events), 0)
        next(self._events)  # the document ends
        after = next(self._events)
        if not isinstance(after, StreamEndEvent):
            raise self._error(after, "a second document begins here; a job file is one")
        return root

    def _node(self, event: Event, depth: int) -> Node:
        if isinstance(event, AliasEvent):
            return self._alias(event, depth)
        assert isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent)
        if event.tag is not None:
            raise self._error(
                event,
                "tags are not allowed; write the plain value, or put a text that begins with ! in quotes",
            )
        if depth > DEPTH:
            raise self._error(event, f"is nested more than {DEPTH} deep")
        before = self._count
        self._count += 1
        node = self._built(event, depth)
        # Only what is finished can be referred to, so nothing can hold itself.
        if event.anchor is not None:
            self._anchors[event.anchor] = node, self._count - before
        return node

    def _built(self, event: Event, depth: int) -> Node:
        if isinstance(event, MappingStartEvent):
            return Node(self._where(event), self._mapping(depth + 1))
        if isinstance(event, SequenceStartEvent):
            return Node(self._where(event), self._sequence(depth + 1))
        assert isinstance(event, ScalarEvent)
        plain = event.implicit[0]
        return Node(
            self._where(event), _resolve(event.value) if plain else event.value, event.value
        )

    def _sequence(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, depth))
        return items

    def _mapping(self, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event)
            if key in found:
                raise self._error(
                    event,
                    f"the key {key.partition(':')[0][:60]!r} is written twice; the first is at {found[key].where}",
                )
            # A key's line is where a person looks, even if its value begins below or stands at an anchor.
            found[key] = replace(self._node(next(self._events), depth), where=self._where(event))
        return found

    def _key(self, event: Event) -> str:
        if not isinstance(event, ScalarEvent) or event.tag is not None:
            raise self._error(event, "a key must be plain text")
        if event.implicit[0] and event.value == "<<":
            raise self._error(
                event,
                "merge keys (<<) are not supported; write the keys out, or use an alias for a whole value",
            )
        if event.implicit[0] and not isinstance(_resolve(event.value), str):
            raise self._error(event, f"the key {event.value[:60]!r} is not text; put it in quotes")
        key: str = event.value
        return key

    def _alias(self, event: AliasEvent, depth: int) -> Node:
        if event.anchor not in self._anchors:
            raise self._error(
                event,
                "the alias refers to nothing that ends above it; put a text that begins with * in quotes",
            )
        node, size = self._anchors[event.anchor]
        # The nodes are shared and only counted, before anything walks them.
        self._count += size
        self._aliased += size
        if self._aliased > ALIASED:
            raise self._error(
                event, f"aliases stand for more than {ALIASED:,} values; write fewer of them"
            )
        if depth + _depth(node) > DEPTH:
            raise self._error(event, f"is nested more than {DEPTH} deep")
        return node

    def _where(self, event: Event) -> str:
        return f"{self._label}:{event.start_mark.line + 1}" if self._numbered else self._label

    def _error(self, event: Event, fact: str) -> ConfigError:
        return ConfigError(f"{self._where(event)}: {fact}")


def _depth(node: Node) -> int:
    match node.value:
        case list(items):
            return 1 + max(map(_depth, items), default=0)
        case dict(members):
            return 1 + max(map(_depth, members.values()), default=0)
        case _:
            return 0


_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Longer ones stay text: no key takes them, and int() of a long text is slow.
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
