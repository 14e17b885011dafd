"""A place in a job file, the errors that name it, and the check of types. Pure.

msgspec converts just as strictly, but its errors write `[...]` for a mapping's key and say neither
the value nor what the key is for. So a walk over the types comes first; then msgspec converts.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec import inspect

from asyncreport.config.yaml import Node, Value
from asyncreport.core.errors import ConfigError
from asyncreport.core.text import counted, shorten

#: characters of a value or a key that a message shows
VALUE_SHOWN = 60

#: mistakes that a message lists
MISTAKES_SHOWN = 10

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


def _says_key(where: str, key: str) -> bool:
    """Tell whether a position is the option or variable of one key, and not a line of a file."""
    if where.startswith(("--set ", "--refresh")):
        return where == f"--set {key}"
    return where.startswith("--") or (where.isupper() and ":" not in where)


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
        """Go down one step; a key that is missing is at the position of what is around it."""
        path = (*self.path, key)
        child = _member(self.node, key)
        if child is None:
            return Place(None, self.where, path)
        return Place(child, child.where, path)

    @property
    def key(self) -> str:
        """Spell the path: `teams[0].users[3]`."""
        steps = map(_shown_step, self.path)
        return "".join(steps).removeprefix(".")

    @property
    def _label(self) -> str:
        """Give what each message starts with: position and key; the name of an option says both."""
        if not self.path or _says_key(self.where, self.key):
            return f"{self.where}: "
        return f"{self.where}: {self.key}: "

    def error(self, fact: str, *, accepted: str = "") -> ConfigError:
        """Report a fact about the key; the value is not shown."""
        message = self._label + fact
        if accepted:
            message += f"; accepted: {accepted}"
        return ConfigError(message)

    def not_with(self, other: str, why: str = "") -> ConfigError:
        """Report a key that excludes another one."""
        return self.error(f"cannot be combined with {other}{why}; remove one of the two")

    def must(
        self,
        rule: str,
        then: str = "",
        *,
        accepted: str = "",
    ) -> ConfigError:
        """Report a value that breaks a rule: `must be a date, but is 'x'`, then more words."""
        return self.error(
            f"must {rule}{self._but_is()}{then}",
            accepted=accepted,
        )

    def _but_is(self) -> str:
        """Say what the value is; nothing if it must not be shown."""
        shown = self.shown_value()
        if not shown:
            return ""
        return f", but is {shown}"

    def shown_value(self) -> str:
        """Give the value as the file spells it; nothing for a secret, a list or a mapping."""
        node = self.node
        if node is None or not node.is_scalar:
            return ""
        text = self._without_secrets(node.text)
        if text and isinstance(node.value, str):
            return repr(shorten(text, VALUE_SHOWN))
        return text

    def _without_secrets(self, text: str) -> str:
        """Remove the password of a URL; give nothing if all of the text may be secret."""
        if "client_secret" in self.path:
            return ""
        if self._last not in _URLS:
            return text
        if "@" in text:
            return "***@" + text.rpartition("@")[2]
        # Without an @, nothing says which part of a proxy is the password.
        if self._last == "proxy":
            return ""
        return text

    @property
    def _last(self) -> str | int:
        """Give the last step of the path; the root has an empty one."""
        if not self.path:
            return ""
        return self.path[-1]


def _member(node: Node | None, key: str | int) -> Node | None:
    """Give the value at a key of a mapping or a position of a list; None if it is missing."""
    if node is None:
        return None
    if isinstance(key, int):
        return node.item(key)
    return node.member(key)


def _shown_step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{_shown_key(key)}"


def _shown_key(key: str) -> str:
    """Give the part of a key that a message may show."""
    # `{client_secret:abc}` lacks a space, so all of it is a key: the rest may be a secret.
    shown = shorten(key.partition(":")[0], VALUE_SHOWN)
    if shown.isprintable():
        return shown
    return repr(shown)


def check_one_line(place: Place) -> None:
    """Refuse a text without quotes that goes on in the next line, anywhere in a tree.

    YAML joins the lines, so what follows a forgotten key becomes a part of the value before it.
    """
    node = place.node
    assert node is not None
    if node.is_continued:
        raise place.error(
            "continues on the next line; write it on one line, or in quotes, "
            "or write the missing key before that line"
        )
    for key in node.keys:
        check_one_line(place.at(key))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Suggest the nearest known word: ` (did you mean 'end'?)`, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    if not close:
        return ""
    return f" (did you mean {close[0]!r}?)"


def check_types(place: Place, kind: inspect.Type) -> None:
    """Check a value and all values inside it; raise ConfigError with a line for each mistake."""
    mistakes = _mistakes([partial(_check, place, kind)])
    if len(mistakes) > MISTAKES_SHOWN:
        more = len(mistakes) - MISTAKES_SHOWN
        mistakes[MISTAKES_SHOWN:] = [f"and {counted(more, 'more mistake')}"]
    _raise_all(mistakes)


def _check(place: Place, kind: inspect.Type) -> None:
    """Check a value and all values inside it; raise ConfigError."""
    bare = _without_metadata(kind)
    if _is_empty(_value(place), bare):
        raise place.error(f"is empty{_lost_text(place)}; expected: {_description(kind)}")
    check = _CHECKS.get(type(bare))
    if check is None:
        _check_text(place, example=_example(kind))
    else:
        check(place, bare)


def _mistakes(checks: Iterable[Callable[[], None]]) -> list[str]:
    """Make checks, and say all that is wrong."""
    found: list[str] = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            found += error.texts
    return found


def _raise_all(mistakes: Sequence[str]) -> None:
    """Raise an error with all mistakes, if there are any."""
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def _lost_text(place: Place) -> str:
    """Say why a value is empty that does not look empty."""
    if place.node is None or not place.node.text.startswith(("#", "&", ",")):
        return ""
    if place.node.text == ",":
        return ": put the comma in quotes: ','"
    return f": a text that starts with {place.node.text[0]} must be in quotes"


def _without_metadata(kind: inspect.Type) -> inspect.Type:
    """Give the type itself, without description and examples."""
    if isinstance(kind, inspect.Metadata):
        return kind.type
    return kind


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


def _value(place: Place) -> Value:
    """Give the value of a key that the file has."""
    assert place.node is not None
    return place.node.value


def _is_empty(value: Value, kind: inspect.Type) -> bool:
    """Tell whether a key has no value; an empty list is one if the type needs an item."""
    if value == []:
        return isinstance(kind, inspect.ListType) and bool(kind.min_length)
    return value is None


def _wrong_type(
    place: Place,
    rule: str,
    then: str = "",
) -> ConfigError:
    """Report a value of another type: the value if it may be shown, else what kind it is."""
    shown = place.shown_value() or _kind_name(place)
    return place.error(f"must be {rule}, but is {shown}{then}")


def _kind_name(place: Place) -> str:
    """Name the type of a value in messages."""
    return _KIND_NAMES[type(_value(place))]


def _check_union(place: Place, kind: inspect.UnionType) -> None:
    """Check a key that takes values of several types."""
    value = _value(place)
    for member in kind.types:
        if type(value) in _TAKES[type(_without_metadata(member))]:
            _check(place, member)
            return
    choices = [_choice(_without_metadata(member)) for member in kind.types]
    raise _wrong_type(place, f"{', '.join(choices[:-1])} or {choices[-1]}")


def _choice(kind: inspect.Type) -> str:
    """Name a type that a key takes."""
    if isinstance(kind, inspect.StructType):
        return f"a mapping of {', '.join(_keys_of(kind))}"
    return _CHOICES[type(kind)]


def _keys_of(kind: inspect.StructType) -> list[str]:
    """List the keys of a section."""
    return [known.encode_name for known in kind.fields]


def _check_struct(place: Place, kind: inspect.StructType) -> None:
    """Check a mapping with known keys, in the order of the file."""
    fields = {field.encode_name: field for field in kind.fields}
    given = _members(place)
    checks = [partial(_check_key, place.at(key), key, fields) for key in given]
    # A missing key may be one that is not known, with another spelling.
    if fields.keys() >= given.keys():
        lacking = [key for key, field in fields.items() if field.required and key not in given]
        checks += [partial(_check_key, place.at(key), key, fields) for key in lacking]
    _raise_all(_mistakes(checks))


def _check_key(place: Place, key: str, fields: Mapping[str, inspect.Field]) -> None:
    """Check one key of a mapping, given or required."""
    if key not in fields:
        raise _unknown_key(place, key, list(fields))
    kind = fields[key].type
    if place.node is None:
        raise place.error(f"is missing; expected: {_description(kind)}")
    _check(place, kind)


def _odd_blank(key: str) -> str:
    """Report a blank that only looks like one: editors and web pages put it there."""
    if any(character.isspace() and character != " " for character in key):
        return " (it has a blank that is not a plain one: delete it and type it again)"
    return ""


def _unknown_key(
    place: Place,
    key: str,
    known: Sequence[str],
) -> ConfigError:
    """Make the error for a key that does not exist."""
    fact = f"is not a known key{_odd_blank(key) or did_you_mean(key, known)}"
    return place.error(fact, accepted=", ".join(known))


def _members(place: Place) -> dict[str, Node]:
    """Give the members of a mapping."""
    value = _value(place)
    if not isinstance(value, dict):
        given = _kind_name(place)
        raise place.error(f"must be a mapping (lines of KEY: VALUE), but is {given}")
    return value


def _check_mapping(place: Place, kind: inspect.DictType) -> None:
    """Check a mapping whose keys the job file chooses."""
    _raise_all(
        _mistakes(partial(_check, place.at(key), kind.value_type) for key in _members(place))
    )


def _check_list(place: Place, kind: inspect.ListType) -> None:
    """Check a list and its items."""
    value = _value(place)
    if not isinstance(value, list):
        given = _kind_name(place)
        raise place.error(f"must be a list, but is {given}; write [...] or lines that start with -")
    _raise_all(_mistakes(partial(_check, place.at(n), kind.item_type) for n in range(len(value))))


def _check_integer(place: Place, kind: inspect.IntType) -> None:
    """Check a number; each integer of a job file has a lowest and a highest value."""
    low, high = kind.ge, kind.le
    assert low is not None
    assert high is not None
    value = _value(place)
    # Not isinstance: true is an int too.
    if type(value) is not int or not low <= value <= high:
        raise _wrong_type(place, f"an integer from {low} to {high}")


def _check_boolean(place: Place, _: inspect.BoolType) -> None:
    if not isinstance(_value(place), bool):
        raise _wrong_type(place, "true or false")


def _check_literal(place: Place, kind: inspect.LiteralType) -> None:
    """Check a text that is one of a few words."""
    known = [str(word) for word in kind.values]
    rule = f"one of {', '.join(known)}"
    value = _value(place)
    if not isinstance(value, str):
        raise _wrong_type(place, rule)
    if value not in known:
        raise _wrong_type(
            place,
            rule,
            did_you_mean(value, known),
        )


def _check_text(place: Place, *, example: str) -> None:
    """Check a text; YAML reads 2023 or true as another type if it has no quotes."""
    value = _value(place)
    if isinstance(value, str):
        return
    rule = "text"
    if example:
        rule += f" such as {example}"
    if isinstance(value, list | dict):
        raise _wrong_type(place, rule)
    raise _wrong_type(place, rule, "; put text in quotes")


#: types of values by the types of keys that may have several
_TAKES: dict[type, tuple[type, ...]] = {
    inspect.BoolType: (bool,),
    inspect.StructType: (dict,),
    inspect.DictType: (dict,),
    inspect.ListType: (list,),
    inspect.StrType: (str,),
}

#: how messages name the types of such keys
_CHOICES: dict[type, str] = {
    inspect.BoolType: "true, false",
    inspect.DictType: "NAME: NEW NAME",
    inspect.ListType: "a list",
    inspect.StrType: "text",
}

#: by type; every other type is text
_CHECKS: dict[type, Callable[[Place, Any], None]] = {
    inspect.UnionType: _check_union,
    inspect.StructType: _check_struct,
    inspect.DictType: _check_mapping,
    inspect.ListType: _check_list,
    inspect.IntType: _check_integer,
    inspect.BoolType: _check_boolean,
    inspect.LiteralType: _check_literal,
}
