"""The names of objects of a bucket in the results of commands, whose files are copies. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import msgspec

from asyncreport.core.object_urls import as_objects


def named_as_objects(value: Any) -> Any:
    """Name objects in all texts of a value: of structs, dataclasses, lists and mappings."""
    if isinstance(value, str):
        return as_objects(value)
    if isinstance(value, dict):
        return {named_as_objects(key): named_as_objects(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(named_as_objects, value))
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **_fields(value, value.__struct_fields__))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value)]
        return dataclasses.replace(value, **_fields(value, names))
    return value


def _fields(value: Any, names: Iterable[str]) -> dict[str, Any]:
    """Give the fields of a value, with names of objects."""
    return {name: named_as_objects(getattr(value, name)) for name in names}
