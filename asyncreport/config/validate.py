"""Checks a tree of nodes against the types of the job file, so that errors know value, key and line. Pure.

msgspec would convert as strictly, but its messages name neither the value nor a mapping's key nor a list's item.
"""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from asyncreport.config.place import Place, near
from asyncreport.config.yaml import Node, Value


def check(place: Place, kind: inspect.Type) -> None:
    """Check what stands at a place and below it; raise ConfigError for the first thing of another type."""
    node = place.node
    assert node is not None
    meta, kind = (kind, kind.type) if isinstance(kind, inspect.Metadata) else (None, kind)
    if node.value is None or (
        node.value == [] and isinstance(kind, inspect.ListType) and kind.min_length
    ):
        raise place.error(f"is empty; expected: {_described(meta) or 'a value'}")
    if isinstance(kind, inspect.UnionType):
        if not isinstance(node.value, bool | dict):
            raise place.wrong(f"is of another type; expected: {_described(meta)}")
        check(place, _chosen(kind, node))
    elif isinstance(kind, inspect.StructType):
        _check_struct(place, kind, node.value)
    elif isinstance(kind, inspect.DictType):
        for key in _members(place, node.value):
            check(place.at(key), kind.value_type)
    elif isinstance(kind, inspect.ListType):
        _check_list(place, kind, node.value)
    elif isinstance(kind, inspect.IntType | inspect.BoolType):
        _check_number(place, kind, node.value)
    else:
        _check_text(place, kind, node.value, example=next(iter(_said(meta, "examples")), ""))


def _said(kind: inspect.Type | None, about: str) -> Any:
    extra = kind.extra_json_schema if isinstance(kind, inspect.Metadata) else None
    return (extra or {}).get(about, ())


def _described(kind: inspect.Type | None) -> str:
    return str(_said(kind, "description") or "")


def _chosen(kind: inspect.UnionType, node: Node) -> inspect.Type:
    """Choose the member of `bool | struct` that a value is meant to be."""
    wanted = inspect.StructType if isinstance(node.value, dict) else inspect.BoolType
    return next(member for member in kind.types if isinstance(member, wanted))


def _check_struct(place: Place, kind: inspect.StructType, value: Value) -> None:
    fields = {field.encode_name: field for field in kind.fields}
    members = _members(place, value)
    for key in members:
        if key not in fields:
            raise place.at(key).error(
                f"is no known key{near(key, fields)}", accepted=", ".join(fields)
            )
    for key, field in fields.items():
        if key in members:
            check(place.at(key), field.type)
        elif field.required:
            raise place.at(key).error(f"is missing; expected: {_described(field.type)}")


def _members(place: Place, value: Value) -> dict[str, Node]:
    if not isinstance(value, dict):
        raise place.error(f"is {_name(value)}, not a mapping of keys")
    return value


def _check_list(place: Place, kind: inspect.ListType, value: Value) -> None:
    if not isinstance(value, list):
        raise place.error(
            f"is {_name(value)}, not a list; write [...] or lines that begin with a dash"
        )
    for n in range(len(value)):
        check(place.at(n), kind.item_type)


def _check_number(place: Place, kind: inspect.IntType | inspect.BoolType, value: Value) -> None:
    if isinstance(kind, inspect.IntType):
        if type(value) is not int or not (kind.ge or 0) <= value <= (kind.le or value):
            raise place.wrong(
                "is no whole number within the limits", accepted=f"{kind.ge} to {kind.le}"
            )
    elif not isinstance(value, bool):
        raise place.wrong("is neither true nor false", accepted="true, false")


def _check_text(place: Place, kind: inspect.Type, value: Value, *, example: str) -> None:
    if not isinstance(value, str):
        such = f" such as {example}" if example else ""
        quote = "" if isinstance(value, list | dict) else "; put what is meant as text in quotes"
        raise place.wrong(f"is {_name(value)}, not text{such}{quote}")
    if isinstance(kind, inspect.LiteralType) and value not in kind.values:
        known = [str(each) for each in kind.values]
        raise place.wrong(f"is not known{near(value, known)}", accepted=", ".join(known))


def _name(value: Value) -> str:
    names = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return names[type(value)]
