"""A place in a job file, the errors that name it, and the check of types. Pure.

msgspec converts just as strictly, but its errors write `[...]` for a mapping's key and say neither
the value nor what the key is for. So a walk over the types comes first; then msgspec converts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import inspect

from asyncreport.config.yaml import Node, Value
from asyncreport.core.errors import ConfigError
from asyncreport.core.text import shorten

#: characters of a value or a key that a message shows
VALUE_SHOWN = 60

_KIND_NAMES = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a mapping",
}

#: keys whose value may contain a password before an `@`
_URLS = ("api_url", "login_url", "proxy")


@dataclass(frozen=True, slots=True)
class Place:
    """A key of a job file, present or not."""

    #: None: the file does not have the key
    node: Node | None
    #: the position of the node, or of the nearest one around it
    where: str
    path: tuple[str | int, ...] = ()

    @classmethod
    def of(cls, root: Node) -> Place:
        """Start at the root of a tree."""
        return cls(root, root.where)

    def at(self, *keys: str | int) -> Place:
        """Go down by keys and by positions in lists."""
        place = self
        for key in keys:
            place = place._child(key)
        return place

    def _child(self, key: str | int) -> Place:
        path = (*self.path, key)
        child = _member(self.node, key)
        if child is None:
            return Place(None, self.where, path)
        return Place(child, child.where, path)

    @property
    def key(self) -> str:
        """Spell the path: `teams[0].users[3]`."""
        spelled = ""
        for key in self.path:
            if isinstance(key, int):
                spelled += f"[{key}]"
            else:
                spelled += f".{_shown_key(key)}"
        return spelled.removeprefix(".")

    def error(self, fact: str, *, accepted: str = "") -> ConfigError:
        """Report a fact about the key; the value is not shown."""
        message = f"{self.where}: "
        if self.path:
            message += f"{self.key}: "
        message += fact
        if accepted:
            message += f"; accepted: {accepted}"
        return ConfigError(message)

    def not_with(self, other: str, why: str = "") -> ConfigError:
        """Report a key that excludes another one."""
        return self.error(f"cannot be combined with {other}{why}; remove one of the two")

    def must(self, rule: str, then: str = "", *, accepted: str = "") -> ConfigError:
        """Report a value that breaks a rule: `must be a date, but is 'x'`, then more words."""
        fact = f"must {rule}"
        shown = self.shown_value()
        if shown:
            fact += f", but is {shown}"
        return self.error(fact + then, accepted=accepted)

    def shown_value(self) -> str:
        """Give the value as the file spells it; nothing for a secret, a list or a mapping."""
        node = self.node
        if node is None or isinstance(node.value, list | dict):
            return ""
        text = self._without_secrets(node.text)
        if text and isinstance(node.value, str):
            return repr(shorten(text, VALUE_SHOWN))
        return text

    def _without_secrets(self, text: str) -> str:
        """Remove the password of a URL; give nothing if all of the text may be secret."""
        if "client_secret" in self.path:
            return ""
        if not self.path or self.path[-1] not in _URLS:
            return text
        if "@" in text:
            return "***@" + text.rpartition("@")[2]
        # Without an @, nothing says which part of a proxy is the password.
        if self.path[-1] == "proxy":
            return ""
        return text


def _member(node: Node | None, key: str | int) -> Node | None:
    """Give the value at a key of a mapping or a position of a list; None if it is missing."""
    if node is None:
        return None
    if isinstance(node.value, dict) and isinstance(key, str):
        return node.value.get(key)
    if isinstance(node.value, list) and isinstance(key, int):
        return _item(node.value, key)
    return None


def _item(items: list[Node], number: int) -> Node | None:
    if number < len(items):
        return items[number]
    return None


def _shown_key(key: str) -> str:
    # `{client_secret:abc}` lacks a space, so all of it is a key: the rest may be a secret.
    shown = shorten(key.partition(":")[0], VALUE_SHOWN)
    if shown.isprintable():
        return shown
    return repr(shown)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the nearest known word: ` (did you mean 'end'?)`, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    if not close:
        return ""
    return f" (did you mean {close[0]!r}?)"


def check_types(place: Place, kind: inspect.Type) -> None:
    """Check a value and all values inside it; raise ConfigError for the first of a wrong type."""
    value = _value(place)
    bare = kind
    if isinstance(kind, inspect.Metadata):
        bare = kind.type
    if _is_empty(value, bare):
        raise place.error(f"is empty; expected: {_description(kind)}")
    _check_kind(place, bare, value, example=_example(kind))


def _description(kind: inspect.Type) -> str:
    """Say what a key is for, in the words of the JSON Schema."""
    return str(_about(kind).get("description", "a value"))


def _example(kind: inspect.Type) -> str:
    """Give the first example of a key, or nothing."""
    examples = _about(kind).get("examples", [""])
    return str(examples[0])


def _about(kind: inspect.Type) -> dict[str, Any]:
    """Give what the JSON Schema says about a key."""
    if isinstance(kind, inspect.Metadata):
        return kind.extra_json_schema or {}
    return {}


def _check_kind(place: Place, kind: inspect.Type, value: Value, *, example: str) -> None:
    """Choose the check of a type."""
    match kind:
        case inspect.UnionType():
            _check_switch(place, kind, value)
        case inspect.StructType():
            _check_struct(place, kind, value)
        case inspect.DictType():
            for key in _members(place, value):
                check_types(place.at(key), kind.value_type)
        case inspect.ListType():
            _check_list(place, kind, value)
        case inspect.IntType():
            _check_integer(place, kind, value)
        case inspect.BoolType():
            _check_boolean(place, value)
        case inspect.LiteralType():
            _check_literal(place, kind, value)
        case _:
            _check_text(place, value, example=example)


def _value(place: Place) -> Value:
    assert place.node is not None
    return place.node.value


def _is_empty(value: Value, kind: inspect.Type) -> bool:
    """Tell whether a key has no value; an empty list is one if the type needs an item."""
    if isinstance(kind, inspect.ListType) and kind.min_length:
        return value is None or value == []
    return value is None


def _wrong_type(place: Place, rule: str, then: str = "") -> ConfigError:
    """Report a value of another type: the value if it may be shown, else what kind it is."""
    shown = place.shown_value() or _KIND_NAMES[type(_value(place))]
    return place.error(f"must be {rule}, but is {shown}{then}")


def _check_switch(place: Place, kind: inspect.UnionType, value: Value) -> None:
    """Check a key that is true, false or a mapping."""
    if isinstance(value, bool):
        return
    (mapping,) = (member for member in kind.types if isinstance(member, inspect.StructType))
    if isinstance(value, dict):
        _check_struct(place, mapping, value)
        return
    keys = ", ".join(known.encode_name for known in mapping.fields)
    raise _wrong_type(place, f"true, false or a mapping of {keys}")


def _check_struct(place: Place, kind: inspect.StructType, value: Value) -> None:
    """Check a mapping with known keys."""
    members = _members(place, value)
    _check_keys(place, members, [field.encode_name for field in kind.fields])
    for field in kind.fields:
        member = place.at(field.encode_name)
        if member.node is not None:
            check_types(member, field.type)
        elif field.required:
            raise member.error(f"is missing; expected: {_description(field.type)}")


def _check_keys(place: Place, keys: Iterable[str], known: Sequence[str]) -> None:
    for key in keys:
        if key not in known:
            fact = f"is not a known key{did_you_mean(key, known)}"
            raise place.at(key).error(fact, accepted=", ".join(known))


def _members(place: Place, value: Value) -> dict[str, Node]:
    if not isinstance(value, dict):
        given = _KIND_NAMES[type(value)]
        raise place.error(f"must be a mapping (lines of KEY: VALUE), but is {given}")
    return value


def _check_list(place: Place, kind: inspect.ListType, value: Value) -> None:
    if not isinstance(value, list):
        given = _KIND_NAMES[type(value)]
        raise place.error(f"must be a list, but is {given}; write [...] or lines that start with -")
    for number in range(len(value)):
        check_types(place.at(number), kind.item_type)


def _check_integer(place: Place, kind: inspect.IntType, value: Value) -> None:
    low, high = kind.ge, kind.le
    assert low is not None
    assert high is not None
    # Not isinstance: true is an int too.
    if type(value) is not int or not low <= value <= high:
        raise _wrong_type(place, f"an integer from {low} to {high}")


def _check_boolean(place: Place, value: Value) -> None:
    if not isinstance(value, bool):
        raise _wrong_type(place, "true or false")


def _check_literal(place: Place, kind: inspect.LiteralType, value: Value) -> None:
    known = [str(word) for word in kind.values]
    rule = f"one of {', '.join(known)}"
    if not isinstance(value, str):
        raise _wrong_type(place, rule)
    if value not in known:
        raise _wrong_type(place, rule, did_you_mean(value, known))


def _check_text(place: Place, value: Value, *, example: str) -> None:
    if isinstance(value, str):
        return
    rule = "text"
    if example:
        rule += f" such as {example}"
    if isinstance(value, list | dict):
        raise _wrong_type(place, rule)
    raise _wrong_type(place, rule, "; put text in quotes")
